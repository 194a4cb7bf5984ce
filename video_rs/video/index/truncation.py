"""Files that were cut: how to find them, and what is left of them.

An MP4 or MOV file lists all its frames in one place, so that missing ones are known, and the file is refused: half a
video must not pass for a whole one. AVI, Matroska and WebM files state their own size. Of recordings in other
containers (MPEG-TS, FLV, ...), only a damaged last frame says that they were cut. What is left of all these is the
video, without that damaged frame.
"""

import av
import numpy as np

from video_rs.video.errors import DecodeError
from video_rs.video.index.container_size import size_in_header
from video_rs.video.index.frame_index import KeyPacket
from video_rs.video.index.numbered_packets import NumberedPackets
from video_rs.video.index.packet_table import PacketTable
from video_rs.video.location import Location

# Of a recording in one of these containers that was cut, nothing says so but its last frame.
_WITHOUT_END = ("mpegts", "flv", "asf", "ogg", "mpeg", "h264", "hevc", "m4v", "mpegvideo")

# Groups of pictures at the end of a file that are decoded to see whether the last frame is whole: an open group needs
# the one before it, and a gradual refresh more than one.
_LAST_GROUPS = 3


def refuse_truncated(path: str, container: str, streams: list[av.VideoStream]) -> None:
    """Check that the index inside an MP4 or MOV file does not go past the end of the file.

    The frames before the cut would read well, so nothing else would tell that the others are missing.

    Args:
        path: a file or a part of a shard.
        container: FFmpeg's name of the format.
        streams: the video streams of the open container.

    Raises:
        DecodeError: the index does.
    """
    if not container.startswith("mov"):
        return

    size = Location.parse(path).bytes()
    total = missing = 0
    for stream in streams:
        for entry in stream.index_entries:
            total += 1
            missing += entry.pos + entry.size > size

    if missing:
        reason = f"truncated: {missing} of {total} frames are behind the end of the file"
        raise DecodeError(path, reason, "truncated")


def missing_bytes(path: str) -> str:
    """Return how much is there of a file that ends before the size that it states; "" where nothing is missing."""
    stated = size_in_header(path)
    size = Location.parse(path).bytes()
    if stated is None or stated <= size:
        return ""
    return f"{size} of {stated} bytes are there"


def may_end_in_damage(container: str, missing: str) -> bool:
    """Return whether a file is known to be cut, or is of a kind of which only its last frame can tell."""
    return bool(missing) or container in _WITHOUT_END


def shown_before(path: str, packets: np.ndarray, last: int) -> np.ndarray:
    """Return the frames that are shown before the frame of packet ``last``; all where that packet shows none.

    The damaged frame of the last packet may be shown before others. Those go too, so that what is left is the beginning
    of the video without a gap.

    Args:
        path: of the file, for the error.
        packets: int64 ``[N]``, the packets of the frames, in the order in which they are shown.
        last: number of the last packet.

    Raises:
        DecodeError: no frame is left.
    """
    places = np.flatnonzero(packets == last)
    if not len(places):
        return packets
    if places[0] == 0:
        raise DecodeError(path, "no frame can be decoded without damage", "damaged")
    return packets[: places[0]]


def last_packet_is_whole(path: str, stream: int, table: PacketTable) -> bool:
    """Return whether the decoder gives the frame of the last packet without damage.

    Only the last groups of pictures are decoded, unless that does not give the frame: then the whole file is.
    """
    last = len(table) - 1
    last_groups = table.key_packets[::-1][:_LAST_GROUPS]

    source = NumberedPackets(path, stream)
    try:
        for row in last_groups.tolist():
            if source.seek(KeyPacket(*row)) and last in _undamaged_packets(source):
                return True
        source.restart()
        return last in _undamaged_packets(source)
    finally:
        source.close()


def _undamaged_packets(source: NumberedPackets) -> set[int]:
    """Decode to the end of the file, and return the numbers of the packets whose frames come without damage."""
    undamaged: set[int] = set()
    try:
        for _, packet in source:
            try:
                frames = source.decode(packet)
            except av.FFmpegError:
                continue

            for frame in frames:
                if not frame.is_corrupt:
                    undamaged.add(frame.pts)
    except av.FFmpegError:
        pass  # the container itself ends in damage

    return undamaged
