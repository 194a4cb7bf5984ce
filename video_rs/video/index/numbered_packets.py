"""The packets of a video by their number, and frames by the number of their packet.

What a container says of times may be missing, wrong or reckoned anew after a seek. A packet's number cannot be: the
decoder is given it in the place of the packet's time, and hands it on to the frame that it makes of the packet.
"""

from collections.abc import Callable, Iterator
from itertools import chain

import av
import numpy as np

from video_rs.video.container import open_container, read_packets, single_threaded_stream
from video_rs.video.index.frame_index import Entry, FrameIndex
from video_rs.video.index.packet_table import UNKNOWN

# In these, a packet is found by its byte: they have no index, and their times are reckoned from what was read before.
_READ_BY_POSITION = ("mpegts", "mpeg", "h264", "hevc", "m4v", "mpegvideo")
# Packets that are read in search of a key packet before a seek counts as failed: after a time, since containers go back
# further than they were asked to; and what a parser may make of the bytes before the first whole packet.
_FAR, _LOST = 2000, 4
NO_FRAME = -1
"""The frame of a packet that shows nothing."""


class FrameNumbering:
    """Which frame of the video a packet makes."""

    def __init__(self, index: FrameIndex):
        self._frames = np.full(index.packets.max() + 1, NO_FRAME)
        # Assigned backwards: where a packet makes several frames, the first stays.
        self._frames[index.packets[::-1]] = np.arange(len(index.packets))[::-1]
        self.forget()

    def forget(self) -> None:
        """Forget the frames that came: decoding goes on elsewhere."""
        self._latest, self._repeats = NO_FRAME, 0

    def of_packet(self, number: int) -> int:
        """Return the first frame of a packet, or ``NO_FRAME``."""
        return int(self._frames[number]) if number < len(self._frames) else NO_FRAME

    def placed(self, frames: list[av.VideoFrame]) -> Iterator[tuple[int, av.VideoFrame]]:
        """Yield each decoded frame with its index in the video; frames that the video does not show are left out."""
        for frame in frames:
            first = self.of_packet(frame.pts)
            self._repeats = self._repeats + 1 if first == self._latest else 0
            self._latest = first
            if first != NO_FRAME:
                yield first + self._repeats, frame


class NumberedPackets:
    """One stream of an open file; iterating gives (number, packet), and at the end (count, None), which is decoded too.

    Args:
        path: a file or a part of one.
        stream: its number in the file.
        skip_filters: leave out deblocking and inverse transforms where the decoder can: for counting frames whose
            pictures nobody looks at.
    """

    def __init__(self, path: str, stream: int, skip_filters: bool = False):
        self._path, self._number, self._skip_filters = path, stream, skip_filters
        self._container = self._demuxer = None
        self.restart()

    def restart(self) -> None:
        """Stand before packet 0 of the file opened afresh: some containers cannot seek even there."""
        self.close()
        self._container = open_container(self._path)
        self._stream = single_threaded_stream(self._container, self._number)
        if self._skip_filters:
            self._stream.codec_context.options = {"skip_loop_filter": "all", "skip_idct": "all"}
        # Now, while no frame is to be left out: dav1d asks for that only here, and would leave out frames for good.
        self._stream.codec_context.open(strict=False)
        self._begin()

    def seek(self, entry: Entry) -> bool:
        """Stand before a key packet; False if it is not found."""
        if self._container.format.name in _READ_BY_POSITION:
            return self._seek_by_position(entry)

        times = dict.fromkeys(time for time in (entry.pts, entry.dts) if time != UNKNOWN)
        return any(self._seek_by_time(entry, time) for time in times)

    def decode(self, packet: av.Packet | None, skip_unreferenced: bool = False) -> list[av.VideoFrame]:
        """Return the frames that the decoder has ready after this packet; ``pts`` of each is its packet's number.

        ``skip_unreferenced`` lets it leave out the frame of this packet if no other refers to it, which changes no
        other pixel.
        """
        context = self._stream.codec_context
        context.skip_frame = "NONREF" if skip_unreferenced else "DEFAULT"
        frames = context.decode(packet)
        return [frame for frame in frames if frame.pts is not None]  # made of no packet: repeats of a decoder's own

    def close(self) -> None:
        """Free the file; a second call does nothing."""
        self._end_demuxer()
        if self._container is not None:
            self._container.close()
            self._container = None

    def __iter__(self) -> Iterator[tuple[int, av.Packet | None]]:
        return self

    def __next__(self) -> tuple[int, av.Packet | None]:
        if self._ended:
            raise StopIteration

        packet = next(self._packets, None)
        number = self._next
        if packet is None:
            self._ended = True
            return number, None

        packet.pts, packet.dts = number, None
        self._next += 1
        return number, packet

    def _seek_by_position(self, entry: Entry) -> bool:
        """Read from the entry's byte on until it comes."""
        try:
            self._container.seek(entry.start, unsupported_byte_offset=True)
        except av.FFmpegError:
            return False

        is_wanted = _is_at_position if entry.position != UNKNOWN else _is_alike
        return self._read_to(entry, is_wanted, entry.ahead + _LOST)

    def _seek_by_time(self, entry: Entry, time: int) -> bool:
        """Read from a time on until the entry comes; a container may go back further than it was asked to."""
        try:
            self._container.seek(time, stream=self._stream)
        except av.FFmpegError:
            return False

        return self._read_to(entry, _is_at_time, _FAR)

    def _read_to(self, entry: Entry, is_wanted: Callable[[av.Packet, int, Entry], bool], at_most: int) -> bool:
        """Read packets from where the container stands until the entry comes; False where it does not."""
        self._begin()
        previous = 0
        try:
            for read, packet in enumerate(self._packets):
                if packet.is_keyframe and packet.size == entry.size and is_wanted(packet, previous, entry):
                    self._packets = chain([packet], self._packets)
                    self._next = entry.number
                    return True
                if read >= at_most:
                    return False
                previous = packet.size
        except av.FFmpegError:
            pass  # the container is damaged on the way
        return False

    def _begin(self) -> None:
        """Demux from where the container stands."""
        self._end_demuxer()
        self._demuxer = read_packets(self._container, self._stream)
        self._packets: Iterator[av.Packet] = self._demuxer
        self._next = 0
        self._ended = False

    def _end_demuxer(self) -> None:
        if self._demuxer is not None:
            self._demuxer.close()
            self._demuxer = None


def _is_at_position(packet: av.Packet, _previous: int, entry: Entry) -> bool:
    return packet.pos == entry.position


def _is_at_time(packet: av.Packet, _previous: int, entry: Entry) -> bool:
    return packet.dts == entry.dts or packet.pts == entry.pts


def _is_alike(packet: av.Packet, previous: int, entry: Entry) -> bool:
    """For packets that share a position with others (MPEG-PS): times are reckoned anew there, sizes are not."""
    return previous == entry.previous or packet.dts == entry.dts
