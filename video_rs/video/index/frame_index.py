"""Which frames a video shows, and how to come to each of them."""

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import NamedTuple

import numpy as np

# Times are rounded to the container's unit (1/1000 s in Matroska), and cameras are a little uneven.
_EVEN = 0.1  # share of the mean time between frames


class Entry(NamedTuple):
    """A key packet, from which decoding can start, and what it is known by again after a seek.

    ``number`` is its place among the packets of its stream; ``position`` is its byte, ``size`` its bytes and
    ``previous`` those of the packet before it. Reading from the byte ``start`` on comes to it, whole, ``ahead`` packets
    later. Times, ``position`` and ``previous`` may be ``UNKNOWN`` (packet_table.py).
    """

    number: int
    pts: int
    dts: int
    position: int
    size: int
    previous: int
    start: int
    ahead: int


class Note(NamedTuple):
    """Something worth knowing of a video that is read all the same; ``kind`` is of NOTES in data/doctor.py."""

    kind: str
    detail: str


@dataclass(frozen=True)
class FrameIndex:
    """The frames of a video in presentation order.

    Attributes:
        pts: int64 ``[N]``, each frame's time in units of ``time_base``, strictly increasing.
        packets: int64 ``[N]``, number of the packet of which the decoder makes each frame; packets are counted in the
            order of the file, empty ones left out.
        key: bool ``[N]``, decoding can start here.
        entries: int64 ``[K, 8]``, an :class:`Entry` for each key packet, in the order of the file.
        time_base: seconds per unit of ``pts``.
        fps: average rate, above 0.
        stream: number of the video stream in the file.
        addressable: decoders that seek on their own (TorchCodec, decord) find the right frames.
        counted: the packets did not tell the frames; the file was decoded once to learn them.
        notes: what is worth knowing of the file.
    """

    pts: np.ndarray
    packets: np.ndarray
    key: np.ndarray
    entries: np.ndarray
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
        return bool(len(steps) > 1 and np.ptp(steps) > 1 + _EVEN * steps.mean())

    @property
    def times(self) -> np.ndarray | None:
        """Seconds from the first frame, float64 ``[N]``; None where frame i is at i / fps, to half a frame."""
        times = (self.pts - self.pts[0]) * float(self.time_base)
        # A rate that drifts adds up, however small its steps; rounded times do not.
        drift = np.abs(times * self.fps - np.arange(len(times))).max()
        return times if drift > 0.5 else None

    @cached_property
    def _key_frames(self) -> np.ndarray:
        return np.flatnonzero(self.key)

    def entry_for(self, frame: int) -> Entry | None:
        """Return the last key packet shown at or before ``frame``; None if there is none: decode from the start."""
        before = np.searchsorted(self._key_frames, frame, side="right")
        if not before:
            return None
        number = self.packets[self._key_frames[before - 1]]
        row = np.searchsorted(self.entries[:, 0], number)
        return Entry(*self.entries[row].tolist())


def index_of_pictures(pts: np.ndarray, key: np.ndarray, time_base: Fraction, fps: float) -> FrameIndex:
    """Return the index of frames that lie in no packets: the pictures of a folder or of an animation."""
    no_entries = np.empty((0, len(Entry._fields)), np.int64)
    return FrameIndex(pts, np.arange(len(pts)), key, no_entries, time_base, fps, stream=0, addressable=True)
