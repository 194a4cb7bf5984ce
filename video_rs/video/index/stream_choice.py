"""Which of several films in one file is the video.

Phones and drones put a still beside the film, action cameras a small copy of it. The rule: the film that moves (more
than one frame), of those the one with the larger picture, then the one that lasts longer, then the first.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Self

from video_rs.runtime.wording import pluralize
from video_rs.video.index.frame_index import Note
from video_rs.video.index.packet_table import UNKNOWN, PacketTable


@dataclass(frozen=True)
class StreamFacts:
    """What a closed container can no longer be asked for.

    Attributes:
        number: of the stream in the file.
        time_base: seconds per unit of its times.
        header_fps: frames per second as its header says, or None.
        container: FFmpeg's name of the format.
        codec: FFmpeg's name of the codec, which may have several decoders.
        has_b_frames: the decoder reorders frames.
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
    def of(cls, container, stream) -> Self:
        """Ask an open container."""
        context = stream.codec_context
        return cls(
            number=stream.index,
            time_base=stream.time_base,
            header_fps=float(stream.average_rate) if stream.average_rate else None,
            container=container.format.name,
            codec=context.codec.canonical_name,
            has_b_frames=bool(context.has_b_frames),
            height=context.height,
            width=context.width,
        )


@dataclass(frozen=True)
class Film:
    """A video stream and its packets."""

    facts: StreamFacts
    table: PacketTable

    @property
    def frames(self) -> int:
        """How many packets show a frame."""
        return int(self.table.shown.sum())

    @property
    def seconds(self) -> float:
        """From the first to the last frame whose time is stated."""
        times = self.table.pts[self.table.pts != UNKNOWN]
        return float((int(times.max()) - int(times.min())) * self.facts.time_base) if len(times) else 0.0

    def __str__(self) -> str:
        frames = pluralize(self.frames, "frame")
        return f"stream {self.facts.number} ({frames} of {self.facts.width}x{self.facts.height})"


def choose(films: list[Film]) -> tuple[Film, tuple[Note, ...]]:
    """Return the film that is read, and a note that names the others where there are any."""

    def rank(film: Film) -> tuple:
        area = film.facts.height * film.facts.width
        return film.frames > 1, area, film.seconds, -film.facts.number

    best, *others = sorted(films, key=rank, reverse=True)
    if not others:
        return best, ()
    left_out = ", ".join(map(str, others))
    return best, (Note("streams", f"{best} is read; beside it: {left_out}"),)
