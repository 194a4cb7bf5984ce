"""The frames of a video as its decoder shows them: for files whose packets do not tell, or that were cut short."""

from dataclasses import dataclass

import av
import numpy as np

from video_rs.video.container import ffmpeg_reason
from video_rs.video.errors import DecodeError
from video_rs.video.index.frame_index import Entry
from video_rs.video.index.numbered_packets import NumberedPackets
from video_rs.video.index.packet_table import PacketTable


@dataclass(frozen=True)
class DecodedFrames:
    """The frames that a decoder gave, in its order.

    Attributes:
        packets: int64 ``[N]``, number of the packet of which each was made.
        corrupt: bool ``[N]``, the decoder marks it as damaged.
    """

    packets: np.ndarray
    corrupt: np.ndarray

    def is_corrupt(self, packet: int) -> bool:
        """Whether the frame of a packet came, and is damaged."""
        return bool(self.corrupt[self.packets == packet].any())


def before_packet(path: str, packets: np.ndarray, last: int) -> np.ndarray:
    """Return the frames, by their packets, that are shown before that of packet ``last``, if it shows one.

    Frames shown behind it go too, so that those that are left are the beginning of the video.

    Raises:
        DecodeError: none is left.
    """
    at = np.flatnonzero(packets == last)
    if len(at) and at[0] == 0:
        raise DecodeError(path, "no frame can be decoded without damage", "damaged")
    return packets[: at[0]] if len(at) else packets


def decode_all(path: str, stream: int, table: PacketTable) -> DecodedFrames:
    """Decode a whole stream once.

    Packets before the first key packet may give nothing: the recording starts inside a group of pictures. Damage at
    the end is a file cut short.

    Raises:
        DecodeError: no frame can be decoded, or damage with data behind it: which frames are lost there is unknown.
    """
    packets, corrupt, error = [], [], None
    source = NumberedPackets(path, stream, skip_filters=True)
    try:
        for number, packet in source:
            try:
                frames = source.decode(packet)
            except av.FFmpegError as failure:
                if number >= table.first_key:
                    error = error or failure
                continue
            if error and packet is not None:
                raise DecodeError(path, f"near frame {len(packets)}: {ffmpeg_reason(error)}", "damaged")
            whole = [frame for frame in frames if frame.pts < len(table)]  # not of a packet cut in two at the end
            packets += [frame.pts for frame in whole]
            corrupt += [frame.is_corrupt for frame in whole]
    except av.FFmpegError as failure:  # the container itself
        error = error or failure
    finally:
        source.close()

    if not packets:
        raise DecodeError(path, ffmpeg_reason(error) if error else "no frame can be decoded") from error
    return DecodedFrames(np.array(packets), np.array(corrupt))


def last_packet_is_whole(path: str, stream: int, table: PacketTable) -> bool:
    """Return whether the decoder gives the frame of the last packet undamaged; only the last group is decoded."""
    last = len(table) - 1
    source = NumberedPackets(path, stream)
    try:
        for entry in table.entries[:-4:-1].tolist():  # an open group needs the one before, a refresh more than one
            if source.seek(Entry(*entry)) and last in _sound_frames(source):
                return True
        source.restart()
        return last in _sound_frames(source)
    finally:
        source.close()


def _sound_frames(source: NumberedPackets) -> set[int]:
    """Decode to the end; the numbers of the packets whose frames come undamaged."""
    sound: set[int] = set()
    try:
        for _, packet in source:
            try:
                frames = source.decode(packet)
            except av.FFmpegError:
                continue
            sound.update(frame.pts for frame in frames if not frame.is_corrupt)
    except av.FFmpegError:
        pass  # the container ends in damage
    return sound
