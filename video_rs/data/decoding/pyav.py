"""PyAV: the packet scan that every decoder relies on, and the reader that reads every file."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Self

import av
import numpy as np
import torch
from av.stream import Disposition
from av.video.frame import PictureType
from av.video.reformatter import Interpolation, VideoReformatter

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
from video_rs.data.decoding.reader import DecodeError, check_indices

# These containers store no presentation times of their own: the library reckons them from the decoding order, and
# differently after a seek. With B-frames they name the wrong frames.
_FORMATS_WITHOUT_PTS = ("avi", "mpeg", "h264", "hevc", "m4v", "mpegvideo")

# Containers in which TorchCodec and decord were measured to return the frames asked for. In MPEG-TS and -PS they do not.
_ADDRESSABLE_FORMATS = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "flv", "avi", "gif")

# A file whose timestamps do not tell its frames is decoded once to count them. At 130 million pixels a second on one
# slow core this bound keeps opening under five seconds: 90 seconds of 340x256 at 60 fps, or 240 frames of 1920x1080.
MAX_COUNTED_PIXELS = 500_000_000


def scan(path: str | os.PathLike) -> FrameIndex:
    """Which frames the video at ``path`` shows, from its packets; by one full decode where those do not tell.

    Raises:
        DecodeError: no video stream, no frames, or a file that cannot be opened, or is too long to be counted.
    """
    path = os.fspath(path)
    with _open(path) as container:
        stream = _video_stream(container, path)
        facts = _StreamFacts.of(container, stream)
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


def _open(path: str):
    """The container. ``file:`` keeps a colon in a name from being read as a protocol."""
    try:
        return av.open(f"file:{path}")
    except (av.FFmpegError, ValueError) as error:  # ValueError: a null byte in the name
        raise DecodeError(path, _reason(error)) from error


def _video_stream(container, path: str):
    """The stream that ffmpeg would choose, with one decoding thread. A cover picture is no video."""
    stream = container.streams.best("video")
    if stream is None or stream.disposition & Disposition.attached_pic:
        raise DecodeError(path, "no video stream")
    if stream.codec_context is None:
        raise DecodeError(path, "unknown video codec")
    stream.codec_context.thread_count = 1  # the readers' parallelism is worker processes
    return stream


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
    """The index of what a full decode shows, up to the first damage."""
    times, error = [], None
    with _open(path) as container:
        try:
            for frame in container.decode(_video_stream(container, path)):
                times.append(frame.pts)
        except av.FFmpegError as failure:
            error = failure
    if not times:
        raise DecodeError(path, _reason(error) if error else "no frame can be decoded") from error
    known = all(time is not None for time in times)
    seekable = facts.stores_pts and known and all(a < b for a, b in zip(times, times[1:], strict=False))
    pts = np.array(times) if known else np.zeros(len(times))
    return facts.index(pts, np.array([time in key_pts for time in times]), seekable, addressable=False)


def _reason(error: BaseException) -> str:
    """FFmpeg's words for an error, without PyAV's number and file name."""
    return str(getattr(error, "strerror", None) or error).lower()


class PyAVReader:
    """A :class:`VideoReader` that seeks to the key frame before the frames wanted and decodes forward from there.

    Consecutive calls with increasing indices go on decoding without a seek unless a key frame lies between.
    """

    def __init__(self, path: str, index: FrameIndex):
        self._path, self._index = path, index
        self._positions = {int(pts): i for i, pts in enumerate(index.pts)}
        self._reformatter = VideoReformatter()
        self._container = None
        self.num_frames, self.fps = len(index.pts), index.fps
        try:
            self._restart()
            first = self._next_frame(0, frozenset([0]))
        except BaseException:
            self.close()
            raise
        self._quarter_turns = _quarter_turns(first.rotation)
        self._stored_size = first.height, first.width
        self.height, self.width = self._stored_size[:: -1 if self._quarter_turns % 2 else 1]

    def frames(self, indices: Sequence[int] | torch.Tensor | np.ndarray) -> torch.Tensor:
        """See :meth:`VideoReader.frames`. Holds the result and a few frames inside the decoder, no more."""
        indices = check_indices(indices, self.num_frames)
        out = torch.empty(len(indices), self.height, self.width, 3, dtype=torch.uint8)
        wanted, place = np.unique(indices, return_inverse=True)
        needed = frozenset(wanted.tolist())
        for number, target in enumerate(wanted.tolist()):
            picture = self._to_rgb(self._frame(target, needed))
            for slot in np.flatnonzero(place == number):
                out[slot] = picture
        return out

    def close(self) -> None:
        if self._container is not None:
            self._container.close()
            self._container = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info) -> None:
        self.close()

    def _frame(self, target: int, needed: frozenset[int]) -> av.VideoFrame:
        """Frame ``target``, decoded from where the reader stands, from a key frame, or else from the file's start."""
        start = self._index.start_for(target) if self._index.seekable else None
        if target < self._position or (start is not None and start > self._position):
            if start is not None and self._seek(start):
                frame = self._next_frame(target, needed, may_miss=True)
                if frame is not None:
                    return frame
            self._restart()
        return self._next_frame(target, needed)

    def _next_frame(self, target: int, needed: frozenset[int], may_miss: bool = False) -> av.VideoFrame | None:
        """Decodes forward to ``target``. If it does not come: None if it ``may_miss``, else DecodeError."""
        reason = "the decoder does not give it"
        try:
            for position, frame in self._decode(needed):
                self._position = position + 1
                if self._after_seek and frame.pict_type != PictureType.I:
                    reason = "a gradual refresh is no key frame"  # H.264 recovery points: pictures not yet whole
                    break
                self._after_seek = False
                if position == target:
                    if frame.is_corrupt:
                        reason = "its data is damaged"
                        break
                    return frame
                if position > target:
                    break
        except av.FFmpegError as error:
            reason = _reason(error)
        self._position = self.num_frames  # nothing can be said about what the decoder would give next
        if may_miss:
            return None
        raise DecodeError(self._path, f"frame {target} of {self.num_frames}: {reason}")

    def _decode(self, needed: frozenset[int]) -> Iterator[tuple[int, av.VideoFrame]]:
        """The frames from here on with their indices; of those before the last one ``needed``, maybe only these.

        A packet whose frame is not needed is decoded with ``NONREF``: the decoder leaves out the frame if no other
        refers to it. That changes no other pixel and saves up to half of the work.
        """
        last = max(needed)
        while True:
            while self._ready:
                yield self._ready.pop(0)
            packet = next(self._packets, None)
            if packet is None:
                return
            if self._index.seekable and packet.pts is not None:
                frame = self._positions.get(packet.pts)
                skip = frame is not None and frame < last and frame not in needed
                self._stream.codec_context.skip_frame = "NONREF" if skip else "DEFAULT"
            for frame in packet.decode():
                position = self._positions.get(frame.pts) if self._index.seekable else self._count
                self._count += 1
                if position is not None:
                    self._ready.append((position, frame))

    def _seek(self, key_frame: int) -> bool:
        """Stands before ``key_frame``; False if the container cannot."""
        try:
            self._container.seek(int(self._index.pts[key_frame]), stream=self._stream)
        except av.FFmpegError:
            return False
        self._begin(after_seek=True)
        return True

    def _restart(self) -> None:
        """Stands before frame 0 of the file opened afresh: some containers cannot seek even there."""
        self.close()
        self._container = _open(self._path)
        self._stream = _video_stream(self._container, self._path)
        self._begin(after_seek=False)

    def _begin(self, after_seek: bool) -> None:
        """Forgets what was decoded. After a seek, packets before the first key frame are of no use."""
        self._packets = self._container.demux(self._stream)
        if after_seek:
            self._packets = _from_key_packet(self._packets)
        self._after_seek = after_seek
        self._ready: list[tuple[int, av.VideoFrame]] = []
        self._count = self._position = 0

    def _to_rgb(self, frame: av.VideoFrame) -> torch.Tensor:
        """uint8 ``[height, width, 3]`` as shown. A stream that changes its size is scaled to its first frame's."""
        height, width = self._stored_size
        # One thread, and one reformatter for all frames: to_ndarray would set up the conversion anew for each.
        # Bicubic is also what TorchCodec takes; it matters for odd sizes and more than 8 bits only.
        options = {"interpolation": Interpolation.BICUBIC, "threads": 1}
        rgb = self._reformatter.reformat(frame, width, height, "rgb24", **options).planes[0]
        rows = np.frombuffer(rgb, np.uint8).reshape(-1, rgb.line_size)[:height, : width * 3]
        picture = torch.from_numpy(rows.reshape(height, width, 3).copy())
        return torch.rot90(picture, self._quarter_turns) if self._quarter_turns else picture


def _from_key_packet(packets: Iterator[av.Packet]) -> Iterator[av.Packet]:
    """``packets`` from the first key frame on."""
    found = False
    for packet in packets:
        found = found or packet.is_keyframe
        if found:
            yield packet


def _quarter_turns(degrees: int) -> int:
    """Counter-clockwise quarter turns; 0 for angles that are none, as in a garbage display matrix."""
    return degrees // 90 % 4 if degrees % 90 == 0 and abs(degrees) <= 360 else 0
