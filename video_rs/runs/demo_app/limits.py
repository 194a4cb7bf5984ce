"""What a visitor may send."""

from dataclasses import dataclass

from video_rs.runtime.errors import InputError
from video_rs.video import VideoReader

MEBIBYTE = 2**20


@dataclass(frozen=True)
class Limits:
    """Of one video, and of all of them together.

    Attributes:
        megabytes: of a file.
        seconds: length of a video.
        time_limit: seconds for reading it.
        waiting: how many videos may wait for their turn; one more is told to come again.
        folder_megabytes: of all files that are kept at a time.
    """

    megabytes: float = 100.0
    seconds: float = 300.0
    time_limit: float = 60.0
    waiting: int = 64
    folder_megabytes: float = 2000.0

    def __post_init__(self):
        for option, value in (("--max-mb", self.megabytes), ("--max-seconds", self.seconds)):
            if not 0 < value < float("inf"):
                raise InputError(f"{option} is {value:g}; allowed: above 0")
        if self.waiting < 1:
            raise InputError(f"--max-waiting is {self.waiting}; allowed: from 1")

    @property
    def bytes(self) -> int:
        """Of a file."""
        return int(self.megabytes * MEBIBYTE)

    @property
    def folder_bytes(self) -> int:
        """Of all files that are kept at a time: at least one has a place."""
        return max(int(self.folder_megabytes * MEBIBYTE), self.bytes)

    def refusal(self, reader: VideoReader) -> str:
        """Return why a video is too long; "" where it is not."""
        seconds = reader.num_frames / reader.fps
        if reader.times is not None:
            seconds = max(seconds, float(reader.times[-1]))

        if seconds > self.seconds:
            return f"it lasts {seconds:.0f} s; allowed: {self.seconds:g} s"

        return ""
