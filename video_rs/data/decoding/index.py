"""Which frames a video shows, from its packets alone: no frame is decoded, no decoder is imported."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

import numpy as np

# Times are rounded to the container's unit (1/1000 s in Matroska), and cameras are a little uneven.
_EVEN = 0.1  # share of the mean time between frames


class PacketInfo(NamedTuple):
    """What the index needs to know of one packet, in the order of the file (= decoding order)."""

    pts: int | None
    dts: int | None
    key: bool
    shown: bool  # False: an edit list discards it, or it only holds a reference picture (VP8, VP9)
    clean: bool = True  # if key: decoding can start here with a whole picture, not with a gradual refresh


@dataclass(frozen=True)
class FrameIndex:
    """The frames of a video in presentation order.

    Attributes:
        pts: int64 ``[N]``, each frame's time in units of ``time_base``; strictly increasing if ``seekable``.
        key: bool ``[N]``, decoding can start here.
        time_base: seconds per unit of ``pts``.
        fps: average rate, above 0.
        stream: number of the video stream in the file.
        seekable: a decoded frame can be told by its timestamp. If not, frames are counted from the first one.
        addressable: decoders that seek on their own (TorchCodec, decord) find the right frames.
    """

    pts: np.ndarray
    key: np.ndarray
    time_base: Fraction
    fps: float
    stream: int
    seekable: bool
    addressable: bool

    @property
    def variable_rate(self) -> bool:
        """Whether the times between frames differ by more than rounding, where times are known."""
        steps = np.diff(self.pts)
        return bool(self.seekable and len(steps) > 1 and np.ptp(steps) > 1 + _EVEN * steps.mean())

    @property
    def times(self) -> np.ndarray | None:
        """Seconds from the first frame, float64 ``[N]``; None where frame i is at i / fps, to half a frame."""
        if not self.seekable:
            return None
        times = (self.pts - self.pts[0]) * float(self.time_base)
        # A rate that drifts adds up, however small its steps; rounded times do not.
        drift = np.abs(times * self.fps - np.arange(len(times))).max()
        return times if drift > 0.5 else None

    def start_for(self, frame: int) -> int | None:
        """The last key frame at or before ``frame``; None if there is none: decode from the start of the file."""
        keys = np.flatnonzero(self.key[: frame + 1])
        return int(keys[-1]) if len(keys) else None


def timestamps_tell_frames(packets: Sequence[PacketInfo]) -> bool:
    """Whether the packets' timestamps alone say which frames a decoder will show, and when.

    Not so if a time is missing or repeated, if decoding times run backwards (spliced streams), if the file does not
    begin with a key frame, or if something is shown before that key frame (decoders drop it).
    """
    if not packets or not packets[0].key or any(p.pts is None for p in packets):
        return False
    shown = [p.pts for p in packets if p.shown]
    if not shown or len(set(shown)) != len(shown) or (packets[0].shown and min(shown) < packets[0].pts):
        return False
    dts = [p.dts for p in packets if p.dts is not None]
    return all(a <= b for a, b in pairwise(dts))


def groups_are_closed(packets: Sequence[PacketInfo]) -> bool:
    """Whether every packet is shown and each key frame begins anew: a whole picture, nothing after it shown before it.

    Past such a key frame no decoder needs anything that came earlier. In open groups (x265's default, MPEG-2, x264's
    open-gop) decord and TorchCodec were seen to return wrong frames or none after a seek.
    """
    latest_key = None
    for packet in packets:
        if packet.key:
            latest_key = packet.pts
        if not packet.shown or (packet.key and not packet.clean) or packet.pts < latest_key:
            return False
    return True


def is_reordered(packets: Sequence[PacketInfo]) -> bool:
    """Whether frames are shown in another order than they are decoded (B-frames)."""
    pts = [p.pts for p in packets if p.shown and p.pts is not None]
    return any(a > b for a, b in pairwise(pts))


def average_fps(pts: Sequence[int] | np.ndarray, time_base: Fraction, header_fps: float | None) -> float:
    """Frames per second from the first to the last frame; the header's word where that says nothing, else 1.0."""
    span = float((int(max(pts)) - int(min(pts))) * time_base) if len(pts) > 1 else 0.0
    if span > 0:
        return (len(pts) - 1) / span
    return header_fps if header_fps and 0 < header_fps < float("inf") else 1.0


def is_hidden_packet(codec: str, packet: memoryview) -> bool:
    """Whether a VP8 or VP9 packet only stores a reference picture (alt-ref); other codecs have no such packets.

    VP8 (RFC 6386, 9.1): show_frame is bit 4 of the first byte. VP9 (bitstream specification, 6.2): marker 2 bits,
    profile 2 bits, a reserved bit for profile 3, show_existing_frame, frame_type, show_frame. A VP9 superframe ends
    with the marker 0b110 and shows one of its frames.
    """
    if codec == "vp8":
        return not packet[0] & 0x10
    if codec != "vp9" or packet[-1] & 0xE0 == 0xC0:
        return False
    after_profile = 3 if packet[0] & 0x30 == 0x30 else 4
    shows_existing, shows = packet[0] >> (after_profile - 1) & 1, packet[0] >> (after_profile - 3) & 1
    return not shows_existing and not shows


def has_idr_picture(packet: memoryview) -> bool:
    """Whether an H.264 packet with 4-byte lengths (MP4, Matroska, FLV) holds an IDR slice, NAL unit type 5."""
    at = 0
    while at + 4 < len(packet):
        if packet[at + 4] & 0x1F == 5:
            return True
        at += 4 + int.from_bytes(packet[at : at + 4], "big")
    return False
