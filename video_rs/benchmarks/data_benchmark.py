"""Reading training clips: decoding alone as the limit, our pipeline in every way, and peers; original and prepared."""

import importlib.util
from collections.abc import Sequence
from typing import NamedTuple

from video_rs.benchmarks.data_files import FOR_STRIDE, ORIGINALS, Files
from video_rs.benchmarks.measuring import Report, Row, measure, row_of
from video_rs.benchmarks.subject import DATA, LIMIT, OURS, PEER, Subject
from video_rs.benchmarks.table import Column, memory_cell, spread_cell
from video_rs.runtime.errors import InputError
from video_rs.video import reader_class


class Way(NamedTuple):
    """A way of reading clips.

    Attributes:
        side: whose it is.
        way: "decode" (alone), "loader" (ours), "DataLoader" or "threads" (ours, read by others), "dataset"
            (pytorchvideo's) or "plain PyAV loop".
        decoder: what reads the videos.
        clips_per_video: clips of each video read.
        package: what it needs beside the package's own dependencies.
        quick: ours resizes in integers (DATA.TRAIN_RESIZE quick).
    """

    side: str
    way: str
    decoder: str
    clips_per_video: int = 1
    package: str = ""
    quick: bool = False

    @property
    def shows_layout(self) -> bool:
        """Whether files of two layouts are compared in this way."""
        is_decoding = self.way == "decode" and self.decoder != "decord"
        is_training = self.quick or (self.way, self.decoder) == ("loader", "pyav")
        return is_decoding or is_training


WAYS = (
    Way(LIMIT, "decode", "pyav"),
    Way(LIMIT, "decode", "torchcodec", package="torchcodec"),
    Way(LIMIT, "decode", "decord", package="decord"),
    Way(OURS, "loader", "pyav"),
    Way(OURS, "loader", "torchcodec", package="torchcodec"),
    Way(OURS, "loader", "decord", package="decord"),
    Way(OURS, "DataLoader", "auto"),
    Way(OURS, "threads", "auto", package="spdl"),
    Way(OURS, "loader", "auto", quick=True),
    Way(OURS, "loader", "auto", clips_per_video=2),
    Way(OURS, "loader", "auto", clips_per_video=4),
    Way(OURS, "loader", "auto", clips_per_video=4, quick=True),
    Way(PEER, "dataset", "pyav", package="pytorchvideo"),
    Way(PEER, "dataset", "decord", package="decord"),
    Way(PEER, "plain PyAV loop", "pyav"),
)


def data_subjects(files: Files, frames: int, size: int, peers: bool) -> list[Subject]:
    """Return every way that can be taken here.

    Args:
        files: what is read.
        frames: of a clip.
        size: pixels of a side of the crop that training takes.
        peers: whether peers are among them.
    """
    subjects = []
    for way in WAYS:
        is_wanted = peers or way.side != PEER
        if files.kind == FOR_STRIDE:
            is_wanted = way.shows_layout
        if is_wanted and _is_installed(way.package):
            subjects.append(data_subject(way, files, frames, size))
    return subjects


def data_subject(way: Way, files: Files, frames: int, size: int) -> Subject:
    """Return one way on some files."""
    return Subject(
        DATA,
        way.side,
        way.way,
        batch=1,
        frames=frames,
        size=size,
        decoder=way.decoder,
        clips_per_video=way.clips_per_video,
        files=files.kind,
        start_multiple=files.start_multiple,
        quick=way.quick,
        videos=files.videos,
        cache=files.cache,
    )


def _is_installed(package: str) -> bool:
    """Return whether a package is there, and torchcodec with the libraries that it needs."""
    if not package:
        return True
    if importlib.util.find_spec(package) is None:
        return False
    if package != "torchcodec":
        return True

    # It loads the system's FFmpeg when it is imported, which may not be there.
    try:
        return reader_class(package) is not None
    except InputError:
        return False


def measure_data(
    files: Sequence[Files], frames: Sequence[int], size: int, peers: bool, rounds: int, report: Report
) -> list[Row]:
    """Return the rows: for each length of clips, all ways in turn on the originals, then on what was prepared.

    Raises:
        InputError: a way that cannot be measured.
    """
    # The two ways of preparing are compared with each other, and so have their turns together.
    originals = [some for some in files if some.kind == ORIGINALS]
    prepared = [some for some in files if some.kind != ORIGINALS]

    rows = []
    for length in frames:
        for kinds in filter(None, (originals, prepared)):
            subjects = [subject for some in kinds for subject in data_subjects(some, length, size, peers)]
            for measured in measure(subjects, rounds, report):
                rows.append(row_of(measured, None, first_clip_s=measured.end["first_clip_s"]))
    return rows


DATA_COLUMNS = [
    Column("", lambda row: row.subject.method, is_text=True),
    Column("files", lambda row: row.subject.files, is_text=True),
    Column("frames", lambda row: str(row.subject.frames)),
    Column("clips/s", lambda row: f"{row.clips_per_s:.2f}"),
    Column("first clip s", lambda row: f"{row.more['first_clip_s']:.2f}"),
    Column("MiB", memory_cell),
    Column("spread", spread_cell),
]
