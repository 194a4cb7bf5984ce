"""What the user of preparation chooses; importing this module is quick, so that a command line can show defaults."""

from dataclasses import dataclass

from video_rs.runtime.errors import InputError

KEPT_FRAMES = 12
"""Frames that a clip may show, from a key frame to the next, where nobody says."""
LARGEST_STRIDE = 8
"""In frames; B-frames in longer rows are poor predictions."""
PROGRAMS = ("pyav", "ffmpeg")
"""What encodes: PyAV in this process, or the program of that name, 5.1 or newer."""


@dataclass(frozen=True)
class PrepareOptions:
    """Options of :func:`video_rs.curation.prepare.preparation.run_preparation`.

    Attributes:
        source: list file, or folder of class folders.
        output: folder for what is written.
        root: what relative paths start from; empty: the list's own folder.
        short_side: of the new files in pixels, an even number; no video is enlarged.
        stride: of the clips that will be read, in frames.
        keyframe_interval: frames from a key frame to the next, at most, a multiple of ``stride``; None: 12 strides.
        crf: constant rate factor of x264, 0 to 51; lower is better and larger.
        program: one of :data:`PROGRAMS`.
        processes: files prepared at once.
        time_limit: seconds for one file.
        overwrite: whether all files of the folder are made again, where it was prepared before.
        path_handlers: iopath handlers of URLs, ``module:Class``.
    """

    source: str
    output: str
    root: str = ""
    short_side: int = 320
    stride: int = 1
    keyframe_interval: int | None = None
    crf: int = 18
    program: str = "pyav"
    processes: int = 1
    time_limit: float = 600.0
    overwrite: bool = False
    path_handlers: tuple[str, ...] = ()

    def check_encoding(self) -> None:
        """Raise InputError for an encoding that is out of range."""
        if self.short_side < 2 or self.short_side % 2:
            raise InputError(f"--short-side: got {self.short_side}, allowed: even numbers from 2 (pixels)")
        if not 1 <= self.stride <= LARGEST_STRIDE:
            raise InputError(f"--stride: got {self.stride}, allowed: 1 to {LARGEST_STRIDE} (frames)")
        self._check_interval()
        if not 0 <= self.crf <= 51:
            raise InputError(f"--crf: got {self.crf}, allowed: 0 (lossless, large) to 51")

    @property
    def interval(self) -> int:
        """Frames from a key frame to the next, at most."""
        if self.keyframe_interval is None:
            return KEPT_FRAMES * self.stride
        return self.keyframe_interval

    def _check_interval(self) -> None:
        allowed = "from 1"
        if self.stride > 1:
            allowed = f"multiples of --stride, {self.stride}"
        if self.interval < 1 or self.interval % self.stride:
            raise InputError(f"--keyframe-interval: got {self.interval}, allowed: {allowed} (frames)")

    def check_program(self) -> None:
        """Raise InputError for a program that is not known."""
        if self.program not in PROGRAMS:
            raise InputError(f"--program: got {self.program!r}, allowed: {', '.join(PROGRAMS)}")
