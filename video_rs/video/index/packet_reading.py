"""Reading the packets of a container into tables."""

from array import array

import av
import numpy as np

from video_rs.video.container import read_packets
from video_rs.video.index.bitstream import has_idr_picture, is_hidden_packet, states_orientation
from video_rs.video.index.packet_table import UNKNOWN, PacketTable
from video_rs.video.index.picture_sizes import PictureSizes


def read_packet_tables(container: av.container.InputContainer, streams: list[av.VideoStream]) -> list[PacketTable]:
    """Return a table of the packets of each stream. The file is read once, to its end or to where it is damaged."""
    builders = {stream.index: _TableBuilder(stream.codec_context) for stream in streams}
    try:
        for packet in read_packets(container, streams):
            builders[packet.stream_index].add(packet)
    except av.FFmpegError:
        pass  # the container is damaged from here on; what came before counts

    return [builders[stream.index].table() for stream in streams]


class _TableBuilder:
    """Collects packets as they come, in flat arrays: a recording of a day has a million of them."""

    def __init__(self, context: av.VideoCodecContext):
        self._codec = context.codec.name
        self._may_hide = self._codec in ("vp8", "vp9")
        self._may_refresh = self._codec == "h264"

        self._pts = array("q")
        self._dts = array("q")
        self._position = array("q")
        self._size = array("q")
        self._key = bytearray()
        self._shown = bytearray()
        self._clean = bytearray()

        self._oriented = False
        self._picture_sizes = PictureSizes(self._codec, context.extradata)
        self._corrupt_at_end = 0

    def add(self, packet: av.Packet) -> None:
        """Take over what is to know of a packet, which holds data."""
        pts, dts, position = packet.pts, packet.dts, packet.pos
        is_key = packet.is_keyframe

        # An orientation holds for what follows, so the first packet tells it for all.
        if not self._key:
            self._oriented = states_orientation(self._codec, memoryview(packet))

        self._pts.append(UNKNOWN if pts is None else pts)
        self._dts.append(UNKNOWN if dts is None else dts)
        self._position.append(UNKNOWN if position is None or position < 0 else position)
        self._size.append(packet.size)
        self._key.append(is_key)

        is_hidden = self._may_hide and is_hidden_packet(self._codec, memoryview(packet))
        self._shown.append(not (packet.is_discard or is_hidden))

        is_clean = True
        if is_key:
            self._picture_sizes.add(packet)
            if self._may_refresh:
                is_clean = has_idr_picture(memoryview(packet))
        self._clean.append(is_clean)

        if packet.is_corrupt:
            self._corrupt_at_end += 1
        else:
            self._corrupt_at_end = 0

    def table(self) -> PacketTable:
        """Return the packets that were added, without those that the end of a cut file has cut in two."""
        count = len(self._key) - self._corrupt_at_end

        # The arrays are views of what was collected; nothing is copied.
        return PacketTable(
            pts=np.frombuffer(self._pts, np.int64)[:count],
            dts=np.frombuffer(self._dts, np.int64)[:count],
            position=np.frombuffer(self._position, np.int64)[:count],
            size=np.frombuffer(self._size, np.int64)[:count],
            key=np.frombuffer(self._key, bool)[:count],
            shown=np.frombuffer(self._shown, bool)[:count],
            clean=np.frombuffer(self._clean, bool)[:count],
            oriented=self._oriented,
            size_changes=self._picture_sizes.change,
        )
