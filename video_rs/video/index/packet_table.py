"""What the packets of a stream say of themselves, before anything is decoded."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

UNKNOWN = np.iinfo(np.int64).min
"""A time or a place in the file that the container does not state."""


@dataclass(frozen=True)
class PacketTable:
    """The packets of one stream in the order of the file, which is that of decoding; empty packets are left out.

    Attributes:
        pts: int64 ``[P]``, when the frame is shown, in the stream's time base, or ``UNKNOWN``.
        dts: int64 ``[P]``, when it is decoded, likewise.
        position: int64 ``[P]``, the byte of the file at which the packet begins, or ``UNKNOWN``.
        size: int64 ``[P]``, bytes.
        key: bool ``[P]``, decoding can start here.
        shown: bool ``[P]``; False: an edit list discards it, or it only holds a reference picture (VP8, VP9).
        clean: bool ``[P]``; of a key packet: decoding starts with a whole picture, not with a gradual refresh.
        oriented: the first packet says how its frames are to be shown, which TorchCodec and decord do not look at.
        size_changes: a later key packet states another size than the first, which TorchCodec refuses to scale, and
            decord scales in its own way.
    """

    pts: np.ndarray
    dts: np.ndarray
    position: np.ndarray
    size: np.ndarray
    key: np.ndarray
    shown: np.ndarray
    clean: np.ndarray
    oriented: bool = False
    size_changes: bool = False

    def __len__(self) -> int:
        return len(self.pts)

    @property
    def first_key(self) -> int:
        """Number of the first key packet; 0 where there is none."""
        return int(self.key.argmax()) if len(self) else 0

    @property
    def is_spliced(self) -> bool:
        """Whether decoding times run backwards: several recordings, one behind the other."""
        dts = self.dts[self.dts != UNKNOWN]
        return bool((np.diff(dts) < 0).any())

    @property
    def is_reordered(self) -> bool:
        """Whether the times say that frames are shown in another order than they are decoded (B-frames)."""
        pts = self.pts[self.shown & (self.pts != UNKNOWN)]
        return bool((np.diff(pts) < 0).any())

    @property
    def tells_frames(self) -> bool:
        """Whether the packets' times alone say which frames a decoder will show, and when.

        Not so if a time is missing or repeated, if the stream is spliced, if the file does not begin with a key frame,
        or if something is shown before that key frame (decoders drop it).
        """
        if not len(self) or not self.key[0] or (self.pts == UNKNOWN).any() or self.is_spliced:
            return False
        shown = np.sort(self.pts[self.shown])
        if not len(shown) or (np.diff(shown) == 0).any():
            return False
        return not self.shown[0] or bool(shown[0] >= self.pts[0])

    @property
    def has_closed_groups(self) -> bool:
        """Whether every packet is shown and each key frame begins anew: a whole picture, nothing after it shown before.

        Past such a key frame no decoder needs anything that came earlier. In open groups (x265's default, MPEG-2,
        x264's open-gop) decord and TorchCodec were seen to return wrong frames or none after a seek. The table must
        begin with a key packet.
        """
        latest_key = np.maximum.accumulate(np.where(self.key, np.arange(len(self)), 0))
        begins_anew = (self.pts >= self.pts[latest_key]).all() and self.clean[self.key].all()
        return bool(self.shown.all() and begins_anew)

    @property
    def entries(self) -> np.ndarray:
        """For each key packet, where it stands and how it is known again; int64 ``[K, 8]``, see :class:`Entry`."""
        keys = np.flatnonzero(self.key)
        begun = self._begun_at(keys)
        start = np.where(begun >= 0, self.position[begun], 0)
        own = [column[keys] for column in (self.pts, self.dts, self.position, self.size)]
        return np.stack([keys, *own, self._previous_size(keys, begun), start, keys - begun], axis=1)

    def _begun_at(self, keys: np.ndarray) -> np.ndarray:
        """The packet at which reading begins to come to each of these, whole; -1: at the beginning of the file.

        Parsers that begin inside a stream lose or misjudge their first packets, so reading begins three packets
        earlier, where the container states a position. Measured on MPEG-TS, MPEG-PS and raw streams.
        """
        stated = np.where(self.position == UNKNOWN, -1, np.arange(len(self)))
        latest_stated = np.maximum.accumulate(stated)
        return np.where(keys >= 3, latest_stated[np.maximum(keys - 3, 0)], -1)

    def _previous_size(self, keys: np.ndarray, begun: np.ndarray) -> np.ndarray:
        """Bytes of the packet before each of these; UNKNOWN where another key on the way has the same two sizes."""
        previous = np.where(keys > 0, self.size[np.maximum(keys - 1, 0)], UNKNOWN)
        pairs = np.stack([previous, self.size[keys]], axis=1)
        first_on_the_way = np.searchsorted(keys, begun)
        for row in np.flatnonzero(first_on_the_way < np.arange(len(keys))):
            if (pairs[first_on_the_way[row] : row] == pairs[row]).all(axis=1).any():
                previous[row] = UNKNOWN
        return previous


def average_fps(pts: np.ndarray, time_base: Fraction, header_fps: float | None) -> float:
    """Frames per second from the first to the last frame; the header's word where that says nothing, else 1.0."""
    span = float((int(pts[-1]) - int(pts[0])) * time_base) if len(pts) > 1 else 0.0
    if span > 0:
        return (len(pts) - 1) / span
    return usable_rate(header_fps)


def usable_rate(header_fps: float | None) -> float:
    """The header's frames per second, or 1.0 where it states none, or nonsense."""
    if header_fps and 0 < header_fps < float("inf"):
        return header_fps
    return 1.0


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
