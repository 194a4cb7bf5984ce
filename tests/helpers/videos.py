"""Small real H.264 files of two classes."""

import numpy as np

from video_rs.video.encoding import write_video

CLASSES = ("dark", "light")


def moving_square(seed, frames=12, size=48, light=False):
    """uint8 ``[T, size, size, 3]``: a square that moves over noise; the classes differ in brightness."""
    rng = np.random.default_rng(seed)
    video = rng.integers(*((140, 200) if light else (40, 100)), (frames, size, size, 3), dtype=np.uint8)
    for t in range(frames):
        left = (seed + 2 * t) % (size - 12)
        video[t, 10:22, left : left + 12] = 255
    return video


def make_videos(folder, per_class=4, **shape):
    """Writes ``folder/{train,val}/CLASS/N.mp4`` and ``folder/list.csv``; returns the list's path."""
    lines = ["path,label,split"]
    for split, count in (("train", per_class), ("val", 2)):
        for name in CLASSES:
            for i in range(count):
                path = f"{split}/{name}/{i}.mp4"
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                seed = 100 * (split == "val") + 10 * (name == "light") + i
                write_video(folder / path, moving_square(seed, light=name == "light", **shape), fps=10)
                lines.append(f"{path},{name},{split}")
    (folder / "list.csv").write_text("\n".join(lines) + "\n")
    return folder / "list.csv"
