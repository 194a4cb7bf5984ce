"""What looking at a video leaves: a film, a strip and the numbers."""

import io
from pathlib import Path

import numpy as np

from video_rs.inference.looking import HeatMap
from video_rs.reports.heat import film_frames, heat_strip
from video_rs.reports.plots import png
from video_rs.runtime.atomic import replace_bytes
from video_rs.runtime.wording import pluralize
from video_rs.video.encoding import write_video

# Frames per second of the film; fewer and more are hard to follow.
SLOWEST = 2.0
FASTEST = 30.0
FILES = ("look.mp4", "look.png", "look.npz")
"""What is written, the last one last."""


def describe(heat_map: HeatMap) -> str:
    """Return in a line what was looked for and where the heat is."""
    seen = f"{pluralize(len(heat_map.frames), 'frame')} from {heat_map.times[0]:.2f} s to {heat_map.times[-1]:.2f} s"
    found = f"{heat_map.label}  {heat_map.score:.2%}  {heat_map.stage}  {seen}"
    if heat_map.label != heat_map.best[0]:
        found += f"  (best: {heat_map.best[0]}  {heat_map.best[1]:.2%})"

    if not heat_map.heat.any():
        return f"{found}  no heat: at this stage nothing speaks for {heat_map.label}"
    warmest = int(heat_map.heat.mean((1, 2)).argmax())
    return f"{found}  most heat at {heat_map.times[warmest]:.2f} s"


def write_look(heat_map: HeatMap, folder: Path) -> list[Path]:
    """Write look.mp4, look.png and look.npz into a folder, each whole or not at all, and return their paths.

    Raises:
        OSError: a file cannot be written.
    """
    film, strip, numbers = (folder / name for name in FILES)
    pictures = heat_map.pictures.numpy()
    heat = heat_map.heat.numpy()
    title = f"{heat_map.label}  {heat_map.score:.1%}  {heat_map.stage}"

    captions = [f"{title}  {seconds:.2f} s" for seconds in heat_map.times]
    write_video(film, film_frames(pictures, heat, captions), frames_per_second(heat_map.times))
    replace_bytes(strip, png(heat_strip(pictures, heat, heat_map.times, title)))
    replace_bytes(numbers, npz(heat_map))
    return [film, strip, numbers]


def frames_per_second(times: np.ndarray) -> float:
    """Return how fast the seen frames follow each other in most places; what lies between clips is left out."""
    if len(times) < 2:
        return SLOWEST
    usual = float(np.median(np.diff(times)))
    return min(FASTEST, max(SLOWEST, 1 / max(usual, 1e-6)))


def npz(heat_map: HeatMap) -> bytes:
    """Return the numbers of a heat map as a compressed NumPy archive."""
    file = io.BytesIO()
    np.savez_compressed(
        file,
        heat=heat_map.heat.numpy(),
        frames=heat_map.frames.numpy(),
        times=heat_map.times,
        box=np.array(heat_map.box),
        label=np.array(heat_map.label),
        score=np.array(heat_map.score),
        stage=np.array(heat_map.stage),
    )
    return file.getvalue()
