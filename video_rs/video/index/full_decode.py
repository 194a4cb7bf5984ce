"""Learning the frames of a video by decoding it once, for files whose packets do not tell them."""

from dataclasses import dataclass

import av
import numpy as np

from video_rs.video.container import ffmpeg_reason
from video_rs.video.errors import DecodeError
from video_rs.video.index.numbered_packets import NumberedPackets
from video_rs.video.index.packet_table import PacketTable


@dataclass(frozen=True)
class DecodedFrames:
    """The frames that a decoder gave, in the order in which it gave them.

    Attributes:
        packets: int64 ``[N]``, number of the packet of which each was made.
        corrupt: bool ``[N]``, whether the decoder marks the frame as damaged.
    """

    packets: np.ndarray
    corrupt: np.ndarray

    def is_corrupt(self, packet: int) -> bool:
        """Return whether the decoder made a frame of this packet, and marks it as damaged."""
        return bool(self.corrupt[self.packets == packet].any())


def decode_all(path: str, stream: int, table: PacketTable) -> DecodedFrames:
    """Decode a whole stream, and return its frames without their pictures.

    Args:
        path: a file or a part of a shard.
        stream: number of the stream in the file.
        table: the packets of the stream.

    Raises:
        DecodeError: no frame can be decoded, or there is damage with frames behind it: nobody knows then which frames
            were lost.
    """
    packets: list[int] = []
    corrupt: list[bool] = []
    damage: av.FFmpegError | None = None

    source = NumberedPackets(path, stream, skip_filters=True)
    try:
        for number, packet in source:
            try:
                frames = source.decode(packet)
            except av.FFmpegError as error:
                # A recording may begin inside a group of pictures. What comes before the first key packet cannot be
                # decoded then, and is no damage.
                if number >= table.first_key:
                    damage = damage or error
                continue

            # Damage with nothing but the end (packet None) behind it is that of a file cut short, which may be read.
            if damage is not None and packet is not None:
                raise DecodeError(path, f"near frame {len(packets)}: {ffmpeg_reason(damage)}", "damaged")

            for frame in frames:
                # The table leaves out a packet that the end of the file has cut in two; its frame does not count.
                if frame.pts < len(table):
                    packets.append(frame.pts)
                    corrupt.append(frame.is_corrupt)
    except av.FFmpegError as error:  # the container itself is damaged
        damage = damage or error
    finally:
        source.close()

    if not packets:
        reason = "no frame can be decoded" if damage is None else ffmpeg_reason(damage)
        raise DecodeError(path, reason) from damage
    return DecodedFrames(np.array(packets), np.array(corrupt))
