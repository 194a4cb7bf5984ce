"""The packets of a video by their number, from the start of the file or from a key packet on.

What a container says of times may be missing or wrong, and FFmpeg may make up other times after a seek than before. The
number of a packet cannot be wrong. The decoder is therefore given the number in the place of the packet's time, and
hands it on to the frame that it makes of the packet.
"""

from collections.abc import Callable, Iterator
from itertools import chain

import av

from video_rs.video.container import open_container, read_packets, single_threaded_stream
from video_rs.video.index.frame_index import KeyPacket
from video_rs.video.index.packet_table import UNKNOWN

# In these containers a packet is found by its byte: they have no index, and FFmpeg makes up their times from what was
# read before.
_READ_BY_POSITION = ("mpegts", "mpeg", "h264", "hevc", "m4v", "mpegvideo")

# Packets that are read in search of a key packet before the seek counts as failed. By time, since containers go back
# further than they were asked to:
_AFTER_SEEK_BY_TIME = 2000
# By position, beyond those that lie before the key packet: what a parser may make of the bytes before the first whole
# packet.
_AFTER_SEEK_BY_POSITION = 4


class NumberedPackets:
    """One stream of an open file, as an iterator over (number, packet).

    At the end comes (number of packets, None), which is to be decoded like a packet: it makes the decoder give the
    frames that it has held back.

    Args:
        path: a file or a part of a shard.
        stream: number of the stream in the file.
        skip_filters: leave out deblocking and inverse transforms where the decoder can, to count frames at whose
            pictures nobody looks.
    """

    def __init__(self, path: str, stream: int, skip_filters: bool = False):
        self._path = path
        self._stream_number = stream
        self._skip_filters = skip_filters
        self._container: av.container.InputContainer | None = None
        self._demuxer: Iterator[av.Packet] | None = None
        self.restart()

    def restart(self) -> None:
        """Go to before packet 0. The file is opened afresh, since some containers cannot seek even there."""
        self.close()
        self._container = open_container(self._path)
        self._stream = single_threaded_stream(self._container, self._stream_number)
        context = self._stream.codec_context
        if self._skip_filters:
            context.options = {"skip_loop_filter": "all", "skip_idct": "all"}

        # The decoder is opened now, while no frame is to be left out: dav1d looks at that only when it is opened, and
        # would leave out frames for good.
        context.open(strict=False)
        self._start_demuxing()

    def seek(self, key_packet: KeyPacket) -> bool:
        """Go to before a key packet; return False where it is not found."""
        if self._container.format.name in _READ_BY_POSITION:
            return self._seek_by_position(key_packet)

        # Containers differ in which of the two times they look for.
        times = [key_packet.pts]
        if key_packet.dts != key_packet.pts:
            times.append(key_packet.dts)
        return any(time != UNKNOWN and self._seek_by_time(key_packet, time) for time in times)

    def decode(self, packet: av.Packet | None, skip_unreferenced: bool = False) -> list[av.VideoFrame]:
        """Return the frames that the decoder has ready after a packet; ``pts`` of each is the number of its packet.

        Args:
            packet: from this iterator; None for the end.
            skip_unreferenced: let the decoder leave out the frame of this packet if no other frame refers to it, which
                changes no pixel of another frame.

        Raises:
            av.FFmpegError: the decoder refuses the packet.
        """
        context = self._stream.codec_context
        context.skip_frame = "NONREF" if skip_unreferenced else "DEFAULT"
        frames = context.decode(packet)

        # A frame without a number is made of no packet: some decoders repeat frames on their own.
        return [frame for frame in frames if frame.pts is not None]

    def close(self) -> None:
        """Free the file; a second call does nothing."""
        self._stop_demuxing()
        if self._container is not None:
            self._container.close()
            self._container = None

    def __iter__(self) -> Iterator[tuple[int, av.Packet | None]]:
        return self

    def __next__(self) -> tuple[int, av.Packet | None]:
        if self._ended:
            raise StopIteration

        packet = next(self._packets, None)
        number = self._next_number
        if packet is None:
            self._ended = True
            return number, None

        packet.pts = number
        packet.dts = None
        self._next_number += 1
        return number, packet

    def _seek_by_position(self, key_packet: KeyPacket) -> bool:
        """Read from a byte before the key packet on until it comes."""
        try:
            self._container.seek(key_packet.read_from, unsupported_byte_offset=True)
        except av.FFmpegError:
            return False

        is_wanted = _has_same_position
        if key_packet.position == UNKNOWN:
            is_wanted = _has_same_neighbour
        return self._read_to(key_packet, is_wanted, key_packet.packets_ahead + _AFTER_SEEK_BY_POSITION)

    def _seek_by_time(self, key_packet: KeyPacket, time: int) -> bool:
        """Let the container seek to a time, and read on until the key packet comes."""
        try:
            self._container.seek(time, stream=self._stream)
        except av.FFmpegError:
            return False
        return self._read_to(key_packet, _has_same_time, _AFTER_SEEK_BY_TIME)

    def _read_to(
        self, key_packet: KeyPacket, is_wanted: Callable[[av.Packet, int, KeyPacket], bool], most_packets: int
    ) -> bool:
        """Read packets from where the container is until the key packet comes; return False where it does not."""
        self._start_demuxing()
        previous_size = 0

        try:
            for number_read, packet in enumerate(self._packets):
                may_be_wanted = packet.is_keyframe and packet.size == key_packet.size
                if may_be_wanted and is_wanted(packet, previous_size, key_packet):
                    # The packet was taken out of the demuxer to look at it, and has to come once more.
                    self._packets = chain([packet], self._packets)
                    self._next_number = key_packet.number
                    return True

                if number_read >= most_packets:
                    return False
                previous_size = packet.size
        except av.FFmpegError:
            pass  # the container is damaged on the way

        return False

    def _start_demuxing(self) -> None:
        """Read packets from where the container is."""
        self._stop_demuxing()
        self._demuxer = read_packets(self._container, self._stream)
        self._packets = self._demuxer
        self._next_number = 0
        self._ended = False

    def _stop_demuxing(self) -> None:
        if self._demuxer is not None:
            self._demuxer.close()
            self._demuxer = None


def _has_same_position(packet: av.Packet, _previous_size: int, key_packet: KeyPacket) -> bool:
    return packet.pos == key_packet.position


def _has_same_time(packet: av.Packet, _previous_size: int, key_packet: KeyPacket) -> bool:
    return packet.dts == key_packet.dts or packet.pts == key_packet.pts


def _has_same_neighbour(packet: av.Packet, previous_size: int, key_packet: KeyPacket) -> bool:
    """Compare what is left in MPEG-PS, where several packets share a position and FFmpeg makes up other times."""
    return previous_size == key_packet.previous_size or packet.dts == key_packet.dts
