"""What is to be remembered of a live stream: which frames damage spoils, and what time it is in it."""

import av
from av.video.frame import PictureType

MOST_SPOILT = 250
"""Frames that are left out after damage where no key frame comes: a stream may refresh its pictures gradually."""
MOST_WAITING = 100
"""Packets whose frames are waited for: more than decoders hold back."""
LONGEST_PAUSE = 10.0
"""Seconds by which times may jump ahead within a stream; further jumps, and those back, are a new beginning."""


class StreamDamage:
    """Which frames show damage: those from a damaged packet on, in the order of decoding, up to the next key frame.

    Where packets are lost, only the packet behind them is marked, and decoders conceal what is missing without a word.
    """

    def __init__(self):
        self._latest = 0  # number of the latest packet
        self._numbers: dict[int, int] = {}  # time of a packet -> its number
        self._first: int | None = None  # number of the first damaged packet
        self._left_out = 0

    def packet_came(self, packet: av.Packet) -> None:
        """Take the next packet, before it is decoded."""
        self._latest += 1
        if packet.pts is not None:
            self._numbers[packet.pts] = self._latest

        # Of packets that make no frame, none is waited for, for ever.
        if len(self._numbers) > MOST_WAITING:
            oldest = next(iter(self._numbers))
            del self._numbers[oldest]

        if packet.is_corrupt:
            self._found(self._latest)

    def packet_refused(self) -> None:
        """Take over that the decoder refuses the latest packet."""
        self._found(self._latest)

    def spoils(self, frame: av.VideoFrame) -> bool:
        """Return whether a frame is damaged or decoded from one that is."""
        number = self._numbers.pop(frame.pts, self._latest)
        if frame.is_corrupt:
            self._found(number)
        if self._first is None:
            return False

        is_whole = frame.key_frame and frame.pict_type == PictureType.I and number > self._first
        if is_whole or self._left_out >= MOST_SPOILT:
            self._first = None
            return False

        # Frames are shown in another order than they are decoded in.
        is_spoilt = number >= self._first
        if is_spoilt:
            self._left_out += 1
        return is_spoilt

    def _found(self, number: int) -> None:
        """Take over that a packet is damaged."""
        if self._first is None:
            self._first = number
            self._left_out = 0
        self._first = min(self._first, number)


class StreamTimes:
    """Seconds of frames from the first one, which never run backwards.

    A stream may begin its times anew, as a file does that is sent again and again.
    """

    def __init__(self, fps: float):
        self._step = 1 / fps
        self._latest: float | None = None
        self._offset = 0.0

    def of(self, frame: av.VideoFrame) -> float:
        """Return the seconds of the next frame."""
        stated = frame.time
        if self._latest is None:
            self._offset = -(stated or 0.0)
            self._latest = 0.0
            return 0.0

        expected = self._latest + self._step
        seconds = expected
        if stated is not None:
            seconds = stated + self._offset
            goes_on = self._latest < seconds < self._latest + LONGEST_PAUSE
            if not goes_on:
                self._offset = expected - stated
                seconds = expected

        self._latest = seconds
        return seconds
