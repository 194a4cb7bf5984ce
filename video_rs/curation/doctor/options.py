"""What the user of the doctor chooses; importing this module is quick, so that a command line can show defaults."""

import math
from dataclasses import dataclass
from pathlib import Path

from video_rs.runtime.errors import InputError


@dataclass(frozen=True)
class CheckOptions:
    """Options of :func:`video_rs.curation.doctor.check.run_check`.

    Attributes:
        lists: list files or folders of class folders. Of several, the name of a list without a split column tells its
            split: ``kinetics_train.csv``.
        output: folder for what is written.
        root: what relative paths start from; empty: each list's own folder.
        label_map: file with one class name a line; empty: the names of the train rows, sorted.
        cache: SQLite file of probes; empty: ``probes.sqlite`` in ``output``.
        depth: "ends" decodes the first and the last frame of each file, "all" every frame.
        clip_reach: frames below which a video is "short".
        target_fps: frames per second that ``clip_reach`` counts in; 0: the frames of each video as they are.
        processes: files probed at once.
        time_limit: seconds for one file.
        path_handlers: iopath handlers of URLs, ``module:Class``.
    """

    lists: tuple[str, ...]
    output: str
    root: str = ""
    label_map: str = ""
    cache: str = ""
    depth: str = "ends"
    clip_reach: int = 1
    target_fps: float = 0.0
    processes: int = 1
    time_limit: float = 30.0
    path_handlers: tuple[str, ...] = ()

    @property
    def cache_file(self) -> str:
        """Path of the SQLite file of probes."""
        return self.cache or str(Path(self.output) / "probes.sqlite")

    def check(self) -> None:
        """Raise InputError for a number out of range."""
        if self.clip_reach < 1:
            raise InputError(f"--min-frames: got {self.clip_reach}, allowed: from 1 (frames)")
        if not 0 <= self.target_fps < math.inf:
            raise InputError(
                f"--target-fps: got {self.target_fps:g}, allowed: frames per second, or 0 for each video's own"
            )
