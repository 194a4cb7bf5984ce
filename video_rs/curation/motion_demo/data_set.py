"""The motion demo as files: clips, list and label map."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from video_rs.curation.motion_demo.clips import LABELS, VERSION, motion_clip
from video_rs.lists.rows import ListRow
from video_rs.lists.text_files import write_text
from video_rs.lists.writing import write_list
from video_rs.runtime.errors import InputError
from video_rs.video.encoding import write_video

LIST = "motion_demo.csv"
SETTINGS = "motion_demo.json"
"""Name of the file with the settings of a complete folder, which is written last."""
_UNFINISHED = "motion_demo.unfinished.json"  # the settings of a folder that is being filled

_SPLITS = ("train", "val")
_FPS = 12
_CRF = 20


class _Clip(NamedTuple):
    """A clip to write, and its row in the list."""

    row: ListRow
    seed: int


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
    Files that are there already are kept: an interrupted or damaged folder is completed.

    Args:
        folder: for what is written.
        train_clips: number of clips to train on, over all classes.
        val_clips: number of clips to validate on, over all classes.
        seed: another seed makes other clips.
        workers: number of threads.
        progress: called with (files done, files in all) after each file.

    Raises:
        InputError: a number is out of range, or the folder cannot be written or was made with other settings.
    """
    folder = Path(folder)
    settings = {
        "train_clips": _checked("train_clips", train_clips, 1),
        "val_clips": _checked("val_clips", val_clips, 1),
        "seed": _checked("seed", seed, 0),
        "version": VERSION,
    }
    _checked("workers", workers, 1)
    clips = [*_clips_of_split("train", train_clips, seed), *_clips_of_split("val", val_clips, seed)]

    # The settings come last: a folder that has them is complete.
    try:
        _claim(folder, settings)
        _write_clips(folder, clips, workers, progress)
        write_list(folder / LIST, [clip.row for clip in clips], ("path", "label", "split"))
        write_text(folder / "labels.txt", "\n".join([*LABELS, ""]))
        write_text(folder / SETTINGS, _as_text(settings))
        (folder / _UNFINISHED).unlink(missing_ok=True)
    except (OSError, json.JSONDecodeError) as error:
        raise InputError(f"cannot make the motion demo in {folder}: {error}") from error
    return folder / LIST


def _checked(name: str, value: int, least: int) -> int:
    """Return ``value``, which has to be ``least`` or more."""
    if value < least:
        raise InputError(f"{name} is {value}; allowed: {least} or more")
    return value


def _clips_of_split(split: str, count: int, seed: int) -> list[_Clip]:
    """Return the clips of a split; the classes take turns."""
    clips = []
    for index in range(count):
        label = LABELS[index % len(LABELS)]
        number = index // len(LABELS) + 1

        # A seed of its own for each clip: the number of clips does not change their pixels.
        sequence = np.random.SeedSequence([seed, _SPLITS.index(split), index])
        clip_seed = int(sequence.generate_state(1, np.uint64)[0])
        row = ListRow(0, f"{split}/{label}/{label}_{number:04d}.mp4", label, split)
        clips.append(_Clip(row, clip_seed))
    return clips


def _claim(folder: Path, settings: Mapping[str, Any]) -> None:
    """Mark a folder as being filled with these settings.

    Raises:
        InputError: the folder has other settings, finished or not.
    """
    folder.mkdir(parents=True, exist_ok=True)

    for file in (folder / SETTINGS, folder / _UNFINISHED):
        if file.exists():
            _require_same(folder, json.loads(file.read_text()), settings)
    if not (folder / SETTINGS).exists():
        write_text(folder / _UNFINISHED, _as_text(settings))


def _require_same(folder: Path, found: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """Raise InputError where the folder's settings are others."""
    differences = []
    for name, value in settings.items():
        if found.get(name) != value:
            differences.append(f"{name} {found.get(name)} there, {value} asked for")

    if differences:
        raise InputError(
            f"{folder} holds a motion demo made with other settings ({'; '.join(differences)}); "
            "ask for the same, choose another folder, or delete this one"
        )


def _as_text(settings: Mapping[str, Any]) -> str:
    """Return settings as indented JSON."""
    return json.dumps(settings, indent=2) + "\n"


def _write_clips(
    folder: Path, clips: Sequence[_Clip], workers: int, progress: Callable[[int, int], None] | None
) -> None:
    """Write the clips that are not there."""

    def write(clip: _Clip) -> None:
        path = folder / clip.row.path
        # A file appears only when it is complete.
        if path.exists():
            return

        path.parent.mkdir(parents=True, exist_ok=True)
        write_video(path, motion_clip(clip.row.label, clip.seed), fps=_FPS, crf=_CRF)

    # Threads, not processes: NumPy and the encoder let go of the interpreter for most of the time.
    with ThreadPoolExecutor(workers) as pool:
        for done, _ in enumerate(pool.map(write, clips), start=1):
            if progress is not None:
                progress(done, len(clips))
