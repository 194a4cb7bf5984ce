"""Which of several video streams in one file is read.

Phones and drones put a still beside the film, action cameras a small copy of it. The rule: the stream that moves (has
more than one frame), of those the one with the larger picture, then the one that lasts longer, then the first.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Self

import av

from video_rs.runtime.wording import pluralize
from video_rs.video.index.frame_index import Note
from video_rs.video.index.packet_table import UNKNOWN, PacketTable


@dataclass(frozen=True)
class StreamFacts:
    """What a container says of a video stream, for when the container is closed.

    Attributes:
        number: of the stream in the file.
        time_base: seconds per unit of its times.
        header_fps: frames per second as its header says, or None.
        container: FFmpeg's name of the format.
        codec: FFmpeg's name of the codec, which may have several decoders.
        has_b_frames: whether the decoder reorders frames.
        height, width: pixels of its pictures, before rotation.
    """

    number: int
    time_base: Fraction
    header_fps: float | None
    container: str
    codec: str
    has_b_frames: bool
    height: int
    width: int

    @classmethod
    def read(cls, container: av.container.InputContainer, stream: av.VideoStream) -> Self:
        """Return the facts of a stream of an open container."""
        context = stream.codec_context
        header_fps = None
        if stream.average_rate:
            header_fps = float(stream.average_rate)

        return cls(
            number=stream.index,
            time_base=stream.time_base,
            header_fps=header_fps,
            container=container.format.name,
            codec=context.codec.canonical_name,
            has_b_frames=bool(context.has_b_frames),
            height=context.height,
            width=context.width,
        )


@dataclass(frozen=True)
class ScannedStream:
    """A video stream and its packets."""

    facts: StreamFacts
    table: PacketTable

    @property
    def num_frames(self) -> int:
        """Number of packets that show a frame."""
        return int(self.table.shown.sum())

    @property
    def seconds(self) -> float:
        """Seconds from the first to the last frame whose time is stated."""
        times = self.table.pts[self.table.pts != UNKNOWN]
        if not len(times):
            return 0.0
        return float((int(times.max()) - int(times.min())) * self.facts.time_base)

    def __str__(self) -> str:
        frames = pluralize(self.num_frames, "frame")
        return f"stream {self.facts.number} ({frames} of {self.facts.width}x{self.facts.height})"


def choose_stream(streams: list[ScannedStream]) -> tuple[ScannedStream, tuple[Note, ...]]:
    """Return the stream that is read, and a note that names the others where there are any."""
    best, *others = sorted(streams, key=_rank, reverse=True)
    if not others:
        return best, ()
    left_out = ", ".join(str(stream) for stream in others)
    return best, (Note("streams", f"{best} is read; beside it: {left_out}"),)


def _rank(stream: ScannedStream) -> tuple:
    area = stream.facts.height * stream.facts.width
    return stream.num_frames > 1, area, stream.seconds, -stream.facts.number
