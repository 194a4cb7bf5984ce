"""The frame index: which frames a video shows, and from which packets each of them can be decoded."""

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import NamedTuple

import numpy as np

# By how much of the mean time between frames these times may differ before a rate counts as variable: containers round
# times to their unit (1/1000 s in Matroska), and cameras are a little uneven.
_EVEN = 0.1

# By how many frames a frame may be off its place at an even rate before readers go by the times of the frames.
_DRIFT = 0.5


class KeyPacket(NamedTuple):
    """A packet from which decoding can start, and what it is recognised by after a seek.

    Attributes:
        number: its place among the packets of its stream.
        pts, dts: when its frame is shown and decoded, in the stream's time base; may be ``UNKNOWN`` (packet_table.py).
        position: byte of the file at which it begins; may be ``UNKNOWN``.
        size: bytes.
        previous_size: bytes of the packet before it; ``UNKNOWN`` where it does not help to recognise this one.
        read_from: byte of the file from which reading comes to this packet, and gives it whole.
        packets_ahead: number of packets that come before it when reading starts there.
    """

    number: int
    pts: int
    dts: int
    position: int
    size: int
    previous_size: int
    read_from: int
    packets_ahead: int


class Note(NamedTuple):
    """Something worth knowing of a video that is read all the same; the doctor has an explanation for each ``kind``."""

    kind: str
    detail: str


@dataclass(frozen=True)
class FrameIndex:
    """The frames of a video in the order in which they are shown.

    Attributes:
        pts: int64 ``[N]``, each frame's time in units of ``time_base``, strictly increasing.
        packets: int64 ``[N]``, number of the packet of which the decoder makes each frame. Packets are counted in the
            order of the file, empty ones left out.
        key: bool ``[N]``, whether decoding can start at this frame.
        key_packets: int64 ``[K, 8]``, a :class:`KeyPacket` for each key packet, in the order of the file.
        time_base: seconds per unit of ``pts``.
        fps: average frames per second, above 0.
        stream: number of the video stream in the file.
        addressable: whether decoders that seek on their own (TorchCodec, decord) find the right frames.
        counted: whether the file was decoded once, because the packets did not tell the frames.
        notes: what is worth knowing of the file.
    """

    pts: np.ndarray
    packets: np.ndarray
    key: np.ndarray
    key_packets: np.ndarray
    time_base: Fraction
    fps: float
    stream: int
    addressable: bool
    counted: bool = False
    notes: tuple[Note, ...] = ()

    @property
    def variable_rate(self) -> bool:
        """Whether the times between frames differ by more than rounding."""
        steps = np.diff(self.pts)
        if len(steps) < 2:
            return False
        return bool(np.ptp(steps) > 1 + _EVEN * steps.mean())

    @property
    def times(self) -> np.ndarray | None:
        """Seconds of each frame from the first, float64 ``[N]``; None where frame i is at i / fps, to half a frame."""
        times = (self.pts - self.pts[0]) * float(self.time_base)
        # A rate that changes slowly adds up, however small its steps are; times that are only rounded do not.
        drift = np.abs(times * self.fps - np.arange(len(times))).max()
        return times if drift > _DRIFT else None

    @cached_property
    def _key_frames(self) -> np.ndarray:
        return np.flatnonzero(self.key)

    def key_packet_before(self, frame: int) -> KeyPacket | None:
        """Return the last key packet shown at or before ``frame``; None where decoding must start with the file."""
        count = np.searchsorted(self._key_frames, frame, side="right")
        if not count:
            return None
        number = self.packets[self._key_frames[count - 1]]
        row = np.searchsorted(self.key_packets[:, 0], number)
        return KeyPacket(*self.key_packets[row].tolist())


def index_of_pictures(pts: np.ndarray, key: np.ndarray, time_base: Fraction, fps: float) -> FrameIndex:
    """Return the index of frames that lie in no packets: the pictures of a folder or of an animation."""
    return FrameIndex(
        pts=pts,
        packets=np.arange(len(pts)),
        key=key,
        key_packets=np.empty((0, len(KeyPacket._fields)), np.int64),
        time_base=time_base,
        fps=fps,
        stream=0,
        addressable=True,
    )


def average_fps(pts: np.ndarray, time_base: Fraction, header_fps: float | None) -> float:
    """Return the frames per second from the first to the last frame.

    Args:
        pts: int64 ``[N]``, times of the frames in units of ``time_base``.
        time_base: seconds.
        header_fps: what the container's header says, which counts where the times say nothing (a single frame).
    """
    if len(pts) > 1:
        seconds = float((int(pts[-1]) - int(pts[0])) * time_base)
        if seconds > 0:
            return (len(pts) - 1) / seconds
    return usable_rate(header_fps)


def usable_rate(header_fps: float | None) -> float:
    """Return the frames per second of a container's header, or 1.0 where it states none, or nonsense."""
    if header_fps and 0 < header_fps < float("inf"):
        return header_fps
    return 1.0
