"""The packet scan that every decoder relies on: which frames a video shows."""

import os
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Self

import av
import numpy as np
from av.stream import Disposition

from video_rs.data.decoding.index import (
    FrameIndex,
    PacketInfo,
    average_fps,
    groups_are_closed,
    has_idr_picture,
    is_hidden_packet,
    is_reordered,
    timestamps_tell_frames,
)
from video_rs.data.decoding.location import Location
from video_rs.data.decoding.matroska import matroska_size
from video_rs.data.decoding.reader import DecodeError

# These containers store no presentation times of their own: the library reckons them from the decoding order, and
# differently after a seek. With B-frames they name the wrong frames.
_FORMATS_WITHOUT_PTS = ("avi", "mpeg", "h264", "hevc", "m4v", "mpegvideo")

# Containers in which TorchCodec and decord were measured to return the frames asked for; not so MPEG-TS and MPEG-PS.
_ADDRESSABLE_FORMATS = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "flv", "avi", "gif")

# A file whose timestamps do not tell its frames is decoded once to count them. Twice this many pixels took 5.9 s
# (340x256 H.264, one thread, two cores shared by five jobs), so this bound keeps opening under five seconds there: 95
# seconds of 340x256 at 30 fps, or 120 frames of 1920x1080.
MAX_COUNTED_PIXELS = 250_000_000


def scan(path: str | os.PathLike) -> FrameIndex:
    """Which frames the video at ``path`` shows, from its packets; by one full decode where those do not tell.

    Raises:
        DecodeError: no video stream, no frames, a file that cannot be opened, that ends before its own index says, or
            that is too long to be counted.
    """
    path = os.fspath(path)
    with open_container(path) as container:
        stream = video_stream(container, path)
        facts = _StreamFacts.of(container, stream)
        _refuse_truncated(path, stream)
        packets = _read_packets(container, stream)
    shown = sorted((p.pts, p.key) for p in packets if p.shown and p.pts is not None)
    if not packets:
        raise DecodeError(path, "the video stream has no frames")
    if timestamps_tell_frames(packets) and (facts.stores_pts or not (facts.has_b_frames or is_reordered(packets))):
        pts, key = (np.array(column) for column in zip(*shown, strict=True))
        return facts.index(pts, key, True, facts.addressable_format and groups_are_closed(packets))
    if len(packets) * facts.pixels > MAX_COUNTED_PIXELS:
        reason = "timestamps do not tell the frames and the file is too long to count them by decoding"
        raise DecodeError(path, f"{reason}; re-encode it: ffmpeg -i IN -c:v libx264 OUT.mp4")
    return _count_by_decoding(path, facts, {p.pts for p in packets if p.key})


@dataclass(frozen=True)
class _StreamFacts:
    """What a closed container can no longer be asked for."""

    number: int
    time_base: Fraction
    header_fps: float | None
    stores_pts: bool
    addressable_format: bool
    has_b_frames: bool
    pixels: int

    @classmethod
    def of(cls, container, stream) -> Self:
        context, container_format = stream.codec_context, container.format.name
        return cls(
            number=stream.index,
            time_base=stream.time_base,
            header_fps=float(stream.average_rate) if stream.average_rate else None,
            stores_pts=container_format not in _FORMATS_WITHOUT_PTS,
            addressable_format=container_format in _ADDRESSABLE_FORMATS,
            has_b_frames=bool(context.has_b_frames),
            pixels=context.width * context.height,
        )

    def index(self, pts: np.ndarray, key: np.ndarray, seekable: bool, addressable: bool) -> FrameIndex:
        fps = average_fps(pts, self.time_base, self.header_fps)
        return FrameIndex(pts.astype(np.int64), key, self.time_base, fps, self.number, seekable, addressable)


def open_container(path: str):
    """The container."""
    try:
        return av.open(Location.of(path).url())
    except (av.FFmpegError, ValueError) as error:  # ValueError: a null byte in the name
        raise DecodeError(path, ffmpeg_reason(error)) from error


def video_stream(container, path: str):
    """The stream that ffmpeg would choose, with one decoding thread. A cover picture is no video."""
    stream = container.streams.best("video")
    if stream is None or stream.disposition & Disposition.attached_pic:
        raise DecodeError(path, "no video stream")
    if stream.codec_context is None:
        raise DecodeError(path, "unknown video codec")
    stream.codec_context.thread_count = 1  # the readers' parallelism is worker processes
    return stream


def _refuse_truncated(path: str, stream) -> None:
    """Raises DecodeError where the container's index (MP4, MOV, AVI) or size (Matroska, WebM) goes past the file's end.

    The frames in front of the cut would read well, and pass half a video off as a whole one. Others (MPEG-TS, FLV, a
    Matroska recording that was never finished) do not tell: there, what is left of a file is the video.
    """
    size, entries = Location.of(path).bytes(), list(stream.index_entries)
    missing = sum(entry.pos + entry.size > size for entry in entries)
    if missing:
        reason = f"truncated: {missing} of {len(entries)} frames are behind the end of the file"
        raise DecodeError(path, reason, "truncated")
    stated = matroska_size(path)
    if stated is not None and stated > size:
        raise DecodeError(path, f"truncated: {size} of {stated} bytes are there", "truncated")


def _read_packets(container, stream) -> list[PacketInfo]:
    """Every packet of the stream. A file cut short gives what is there: packets cut in two at its end do not count."""
    packets, corrupt, codec = [], [], stream.codec_context.codec.name
    try:
        for packet in container.demux(stream):
            if packet.size:
                shown = not packet.is_discard and not is_hidden_packet(codec, memoryview(packet))
                clean = codec != "h264" or not packet.is_keyframe or has_idr_picture(memoryview(packet))
                packets.append(PacketInfo(packet.pts, packet.dts, packet.is_keyframe, shown, clean))
                corrupt.append(packet.is_corrupt)
    except av.FFmpegError:
        pass  # the container is damaged from here on
    while corrupt and corrupt.pop():
        packets.pop()
    return packets


def _count_by_decoding(path: str, facts: _StreamFacts, key_pts: set[int | None]) -> FrameIndex:
    """The index of what a full decode shows. Damage at the end is a file cut short; data behind it: DecodeError."""
    times, error = [], None
    with open_container(path) as container:
        try:
            for packet in container.demux(video_stream(container, path)):
                try:
                    times += [frame.pts for frame in packet.decode()]
                except av.FFmpegError as failure:
                    error = error or failure
                else:
                    if error and packet.size:
                        raise DecodeError(path, f"near frame {len(times)}: {ffmpeg_reason(error)}", "damaged")
        except av.FFmpegError as failure:
            error = error or failure
    if not times:
        raise DecodeError(path, ffmpeg_reason(error) if error else "no frame can be decoded") from error
    known = all(time is not None for time in times)
    seekable = facts.stores_pts and known and all(a < b for a, b in pairwise(times))
    pts = np.array(times) if known else np.zeros(len(times))
    return facts.index(pts, np.array([time in key_pts for time in times]), seekable, addressable=False)


def ffmpeg_reason(error: BaseException) -> str:
    """FFmpeg's words for an error, without PyAV's number and file name."""
    return str(getattr(error, "strerror", None) or error).lower()
