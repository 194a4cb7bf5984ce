"""What the packets of a stream say of themselves, before anything is decoded."""

from dataclasses import dataclass

import numpy as np

UNKNOWN = np.iinfo(np.int64).min
"""A time or a place in the file that the container does not state."""

# Parsers that begin inside a stream lose or misjudge their first packets, so reading begins this many packets before
# the one that is wanted. Measured on MPEG-TS, MPEG-PS and raw streams.
_LEAD = 3


@dataclass(frozen=True)
class PacketTable:
    """The packets of one stream in the order of the file, which is the order of decoding; empty ones are left out.

    Attributes:
        pts: int64 ``[P]``, when the frame is shown, in the stream's time base, or ``UNKNOWN``.
        dts: int64 ``[P]``, when the frame is decoded, likewise.
        position: int64 ``[P]``, byte of the file at which the packet begins, or ``UNKNOWN``.
        size: int64 ``[P]``, bytes.
        key: bool ``[P]``, whether decoding can start here.
        shown: bool ``[P]``. False: an edit list discards the frame, or the packet only holds a reference picture (VP8,
            VP9).
        clean: bool ``[P]``. Of a key packet: whether decoding starts with a whole picture, not with a gradual refresh.
        oriented: whether the first packet says how its frames are to be shown, which TorchCodec and decord do not look
            at.
        size_changes: whether a later key packet states another size of pictures than the first. TorchCodec refuses to
            scale such pictures, and decord scales them in its own way.
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
        stated = self.dts[self.dts != UNKNOWN]
        return bool((np.diff(stated) < 0).any())

    @property
    def is_reordered(self) -> bool:
        """Whether the times say that frames are shown in another order than they are decoded in (B-frames)."""
        stated = self.pts[self.shown & (self.pts != UNKNOWN)]
        return bool((np.diff(stated) < 0).any())

    @property
    def tells_frames(self) -> bool:
        """Whether the packets' times alone say which frames a decoder will show, and when.

        They do not where a time is missing or repeated, where the stream is spliced, or where the file does not begin
        with a key frame. Nor do they where a frame is shown before that key frame, since decoders drop such frames.
        """
        begins_with_key = len(self) > 0 and self.key[0]
        if not begins_with_key or (self.pts == UNKNOWN).any() or self.is_spliced:
            return False

        times = np.sort(self.pts[self.shown])
        if not len(times) or (np.diff(times) == 0).any():
            return False

        # A first packet that an edit list discards may well be timed behind the first frame that is shown.
        return not self.shown[0] or bool(times[0] >= self.pts[0])

    @property
    def has_closed_groups(self) -> bool:
        """Whether every packet is shown, and each key frame is a whole picture with nothing after it shown before it.

        Past such a key frame no decoder needs anything that came earlier. In open groups (x265's default, MPEG-2,
        x264's open-gop) decord and TorchCodec were seen to return wrong frames, or none, after a seek. The table must
        begin with a key packet.
        """
        key_numbers = np.where(self.key, np.arange(len(self)), 0)
        latest_key = np.maximum.accumulate(key_numbers)
        nothing_shown_before_key = (self.pts >= self.pts[latest_key]).all()
        return bool(self.shown.all() and nothing_shown_before_key and self.clean[self.key].all())

    @property
    def key_packets(self) -> np.ndarray:
        """For each key packet, where it is and how it is recognised: int64 ``[K, 8]``, see :class:`KeyPacket`."""
        keys = np.flatnonzero(self.key)
        first_read = self._first_read(keys)
        # Where no packet is found to begin at, reading begins with the file.
        read_from = np.where(first_read >= 0, self.position[first_read], 0)

        columns = [
            keys,
            self.pts[keys],
            self.dts[keys],
            self.position[keys],
            self.size[keys],
            self._previous_sizes(keys, first_read),
            read_from,
            keys - first_read,
        ]
        return np.stack(columns, axis=1)

    def _first_read(self, keys: np.ndarray) -> np.ndarray:
        """Return the packet at which reading begins so as to come to each of these, and get it whole.

        Args:
            keys: int64 ``[K]``, numbers of packets.

        Returns:
            int64 ``[K]``, the last packets with a stated position that are early enough; -1: the beginning of the file.
        """
        stated_numbers = np.where(self.position == UNKNOWN, -1, np.arange(len(self)))
        latest_stated = np.maximum.accumulate(stated_numbers)
        return np.where(keys >= _LEAD, latest_stated[np.maximum(keys - _LEAD, 0)], -1)

    def _previous_sizes(self, keys: np.ndarray, first_read: np.ndarray) -> np.ndarray:
        """Return the size of the packet before each of these, which together with its own size identifies a packet.

        ``UNKNOWN`` stands where there is no packet before, and where another key packet between ``first_read`` and this
        one has the same two sizes, so that they tell nothing.
        """
        previous = np.where(keys > 0, self.size[np.maximum(keys - 1, 0)], UNKNOWN)
        pairs = np.stack([previous, self.size[keys]], axis=1)

        first_on_the_way = np.searchsorted(keys, first_read)
        has_keys_on_the_way = first_on_the_way < np.arange(len(keys))
        for row in np.flatnonzero(has_keys_on_the_way):
            on_the_way = pairs[first_on_the_way[row] : row]
            if (on_the_way == pairs[row]).all(axis=1).any():
                previous[row] = UNKNOWN
        return previous
