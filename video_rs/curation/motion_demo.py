"""Motion clips: a generated data set whose classes differ in motion and in nothing else.

A clip shows one textured object over a static textured background. The object has four coordinates, each a fraction
of a full cycle in [0, 1): across and down the frame (leaving on one side, it comes back on the other), scale and angle.
A class moves one coordinate at a constant rate, forwards or backwards, and leaves the other three alone.

No single frame tells the class. All four coordinates start uniform on their cycle, whatever the class and the rate;
adding a constant to a uniform point of a cycle gives a uniform point. So at every frame index and for every class the
four coordinates are uniform and independent, and texture, colours and background are drawn without looking at the
label: each single frame has the same distribution in all classes. Playing a class backwards gives its opposite.

Scale becomes a cycle as pitch does in a Shepard tone: the object is a nest of discs, each ``_NEST`` times the next one
inside and of the same texture. The outermost disc fades away while it grows, and once it is gone the next one has
exactly taken its place: an object grows for ever without a jump, and is equally often of each size.
"""

import json
import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from video_rs.runtime.errors import InputError
from video_rs.video.encoding import write_video

_ACROSS, _DOWN, _SCALE, _ANGLE = range(4)
_MOTIONS = {  # the coordinate that a class moves, and which way
    "moving_left": (_ACROSS, -1),
    "moving_right": (_ACROSS, 1),
    "moving_up": (_DOWN, -1),
    "moving_down": (_DOWN, 1),
    "turning_clockwise": (_ANGLE, 1),
    "turning_counterclockwise": (_ANGLE, -1),
    "growing": (_SCALE, 1),
    "shrinking": (_SCALE, -1),
}
LABELS = tuple(_MOTIONS)

_RADIUS = 0.46  # of the largest disc, in frame sizes: below 0.5, or the object would meet its own other side
_NEST = 1.6  # a disc's radius over that of the next one inside it
_RATES = {  # slowest and fastest, in cycles per frame
    _ACROSS: (0.7 / 96, 1.3 / 96),  # 0.7 to 1.3 pixels at 96 pixels
    _DOWN: (0.7 / 96, 1.3 / 96),
    _SCALE: (math.log(1.03, _NEST), math.log(1.04, _NEST)),  # 3 to 4 %
    _ANGLE: (0.08 / (2 * math.pi), 0.14 / (2 * math.pi)),  # 0.08 to 0.14 radians
}

_FPS = 12
_CRF = 20
_FRAMES = 24
_SIZE = 96

_SPLITS = ("train", "val")
_SETTINGS = "motion_demo.json"  # the settings of a complete folder, written last
_UNFINISHED = "motion_demo.unfinished.json"  # the settings of a folder being filled
_VERSION = 1  # of the generator: raise it with any change to the pixels


def motion_path(label: int | str, seed: int, frames: int = _FRAMES) -> np.ndarray:
    """The object's coordinates: float64 ``[frames, 4]`` in [0, 1), columns across, down, scale, angle (clockwise).

    The first row and the rate's place in its range depend on the seed alone, not on the label.
    """
    axis, sign = _MOTIONS[_label_name(label)]
    slowest, fastest = _RATES[axis]
    rng = np.random.default_rng([seed, 0])
    start, pace = rng.random(4), rng.random()
    velocity = np.zeros(4)
    velocity[axis] = sign * (slowest + pace * (fastest - slowest))
    return (start + np.arange(frames)[:, None] * velocity) % 1.0


def motion_clip(label: int | str, seed: int, frames: int = _FRAMES, size: int = _SIZE) -> np.ndarray:
    """One clip: uint8 ``[frames, size, size, 3]``, a pure function of its arguments.

    Clips of one seed and different labels have the same first frame, texture and background.
    """
    rng = np.random.default_rng([seed, 1])
    middle, dark, light = rng.uniform([[0.35], [0.0], [0.7]], [[0.65], [0.3], [1.0]], (3, 3))
    background = _paint(_cyclic_noise(rng, ((4, 4), (12, 12)), (size, size)), middle - 0.12, middle + 0.12)
    texture = _paint(_disc_texture(rng), dark, light)
    clip = np.stack([_draw(background, texture, *point) for point in motion_path(label, seed, frames).tolist()])
    return np.rint(clip * 255).astype(np.uint8)


def _label_name(label: int | str) -> str:
    if isinstance(label, str) and label in LABELS:
        return label
    if not isinstance(label, str) and 0 <= label < len(LABELS):
        return LABELS[label]
    raise ValueError(f"no motion class {label!r}: one of {', '.join(LABELS)} or 0 to {len(LABELS) - 1}")


def _draw(background, texture, across: float, down: float, scale: float, angle: float) -> np.ndarray:
    """The object over the background: float32 ``[S,S,3]`` in [0, 1]."""
    size = len(background)
    pixels = (np.arange(size, dtype=np.float32) + 0.5) / size
    x = (pixels - across + 0.5) % 1.0 - 0.5  # signed, by the short way round
    y = (pixels - down + 0.5) % 1.0 - 0.5
    radius = np.maximum(np.hypot(x[None, :], y[:, None]), 0.5 / size)
    outer = _RADIUS * _NEST ** (scale - 1)
    nest = np.log(radius / outer) / math.log(_NEST)  # 0 at the outer edge, -1 at the edge of the next disc
    turn = np.arctan2(y[:, None], x[None, :]) / (2 * math.pi) - angle  # y points down, so this is clockwise
    disc = _look_up(texture, turn, nest)
    inner = np.clip(0.5 + size * (outer / _NEST - radius), 0, 1)  # an edge one pixel wide
    whole = np.clip(0.5 + size * (outer - radius), 0, 1)
    opacity = np.maximum(inner, whole * (1 - scale**3))[..., None]
    return (background * (1 - opacity) + disc * opacity).astype(np.float32)


def _disc_texture(rng: np.random.Generator) -> np.ndarray:
    """One cycle of the object: float ``[angle, log radius]`` in [0, 1], fine enough to look up unblended."""
    texture = _cyclic_noise(rng, ((8, 1), (8, 2)), (720, 128))
    low, high = texture.min(), texture.max()
    shade = np.linspace(1.0, 0.5, texture.shape[1])  # darkest at the rim, so that every disc shows its edge
    return (texture - low) / (high - low) * shade


def _paint(shades: np.ndarray, dark: np.ndarray, light: np.ndarray) -> np.ndarray:
    return (dark + shades[..., None] * (light - dark)).astype(np.float32)


def _look_up(texture: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    height, width, _ = texture.shape
    row = np.floor(rows * height).astype(np.int64) % height
    column = np.floor(columns * width).astype(np.int64) % width
    return texture.reshape(-1, 3)[row * width + column]


def _cyclic_noise(rng, cells: tuple[tuple[int, int], ...], shape: tuple[int, int]) -> np.ndarray:
    """Random shades that join smoothly over every edge: float ``[*shape]`` in [0, 1].

    The mean of one grid of random shades per entry of ``cells``, given as (rows, columns).
    """
    grids = [rng.random(size) for size in cells]
    return np.mean([_blend(shape[0], len(g)) @ g @ _blend(shape[1], g.shape[1]).T for g in grids], axis=0)


def _blend(points: int, cells: int) -> np.ndarray:
    """Weights ``[points, cells]`` of a smooth cyclic interpolation; each row sums to one."""
    place = np.arange(points) * cells / points
    cell, along = place.astype(np.int64), place % 1.0
    weight = along**2 * (3 - 2 * along)
    eye = np.eye(cells)
    return eye[cell] * (1 - weight)[:, None] + eye[(cell + 1) % cells] * weight[:, None]


class _Job(NamedTuple):
    path: str  # below the folder
    label: str
    split: str
    seed: int  # of the clip


def make_motion_demo(
    folder: str | os.PathLike,
    train_clips: int = 480,
    val_clips: int = 160,
    seed: int = 0,
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write the demo data set as H.264 files and return its list, ``folder/motion_demo.csv``.

    The clips go to ``folder/<split>/<label>/<label>_0001.mp4`` and up, their names in class order to ``labels.txt``.
    Files that are there already are kept, so an interrupted or damaged folder is completed; a folder made with other
    settings is refused. ``progress`` is called with (files done, files in all) after each file.
    """
    folder = Path(folder)
    settings = {
        "train_clips": _checked("train_clips", train_clips, 1),
        "val_clips": _checked("val_clips", val_clips, 1),
        "seed": _checked("seed", seed, 0),
        "version": _VERSION,
    }
    jobs = [job for split in _SPLITS for job in _split_jobs(split, settings[f"{split}_clips"], seed)]
    try:
        _claim(folder, settings)
        _write_clips(folder, jobs, workers, progress)
        rows = [f"{job.path},{job.label},{job.split}" for job in jobs]
        _write_text(folder / "motion_demo.csv", "\n".join(["path,label,split", *rows, ""]))
        _write_text(folder / "labels.txt", "\n".join([*LABELS, ""]))
        _write_text(folder / _SETTINGS, json.dumps(settings, indent=2) + "\n")
        (folder / _UNFINISHED).unlink(missing_ok=True)
    except (OSError, json.JSONDecodeError) as error:
        raise InputError(f"cannot make the motion demo in {folder}: {error}") from error
    return folder / "motion_demo.csv"


def _checked(name: str, value: int, least: int) -> int:
    if value < least:
        raise InputError(f"{name} is {value}; allowed: {least} or more")
    return value


def _split_jobs(split: str, clips: int, seed: int) -> list[_Job]:
    """One job a clip; the classes take turns."""
    jobs = []
    for index in range(clips):
        label, number = LABELS[index % len(LABELS)], index // len(LABELS) + 1
        clip_seed = np.random.SeedSequence([seed, _SPLITS.index(split), index]).generate_state(1, np.uint64)[0]
        jobs.append(_Job(f"{split}/{label}/{label}_{number:04d}.mp4", label, split, int(clip_seed)))
    return jobs


def _claim(folder: Path, settings: dict) -> None:
    """Refuse a folder of other settings, finished or not, and mark this one as being written."""
    folder.mkdir(parents=True, exist_ok=True)
    for note in (folder / _SETTINGS, folder / _UNFINISHED):
        if note.exists():
            _require_same(folder, json.loads(note.read_text()), settings)
    if not (folder / _SETTINGS).exists():
        _write_text(folder / _UNFINISHED, json.dumps(settings, indent=2) + "\n")


def _require_same(folder: Path, found: dict, settings: dict) -> None:
    differences = [f"{k} {found.get(k)} there, {v} asked for" for k, v in settings.items() if found.get(k) != v]
    if differences:
        raise InputError(
            f"{folder} holds a motion demo made with other settings ({'; '.join(differences)}); "
            "ask for the same, choose another folder, or delete this one"
        )


def _write_clips(folder: Path, jobs: list[_Job], workers: int, progress: Callable[[int, int], None] | None) -> None:
    def write(job: _Job) -> None:
        path = folder / job.path
        if not path.exists():  # a file that is there is whole: writing is atomic
            path.parent.mkdir(parents=True, exist_ok=True)
            write_video(path, motion_clip(job.label, job.seed), fps=_FPS, crf=_CRF)

    # Threads, not processes: NumPy and the encoder let go of the interpreter for most of the time.
    with ThreadPoolExecutor(workers) as pool:
        for done, _ in enumerate(pool.map(write, jobs), start=1):
            if progress is not None:
                progress(done, len(jobs))


def _write_text(path: Path, text: str) -> None:
    """Write a whole file or none; a file that says so already is left alone, its folder may be read-only."""
    if path.exists() and path.read_text() == text:
        return
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(text)
    partial.replace(path)
