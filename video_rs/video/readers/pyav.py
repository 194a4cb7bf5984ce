"""PyAV: the reader that reads every file."""

from collections.abc import Iterator, Sequence
from functools import partial

import av
import numpy as np
import torch
from av.video.frame import PictureType

from video_rs.video.container import ffmpeg_reason
from video_rs.video.errors import DecodeError
from video_rs.video.filter_graph import FilterGraph
from video_rs.video.index.frame_index import Entry, FrameIndex
from video_rs.video.index.numbered_packets import NO_FRAME, FrameNumbering, NumberedPackets
from video_rs.video.orientation import Orientation, frame_orientation, other_angle
from video_rs.video.reader import VideoReader, check_indices
from video_rs.video.readers.damage_tracking import DamageTracker

_END = object()


class PyAVReader(VideoReader):
    """A :class:`VideoReader` that seeks to the key frame before the frames wanted and decodes forward from there.

    Consecutive calls with increasing indices go on decoding without a seek unless a key frame lies between.

    A frame that the decoder calls damaged or cannot decode is refused, and so are the frames that are decoded from it,
    up to the next key frame, whatever was read before.

    Attributes:
        orientation: how the frames are turned and mirrored, as the first one says.
        other_size: height and width of a frame that was scaled to the size of the first; None: none was so far.
        other_angle: degrees by which they should be turned but are not, for it is no quarter turn; else 0.
        bits: of a stored sample.
        transfer: FFmpeg's number of the transfer characteristic.
        interlaced: a frame read up to now holds two fields.
    """

    def __init__(self, path: str, index: FrameIndex):
        self._path, self._index = path, index
        self._places = FrameNumbering(index)
        self._packets = NumberedPackets(path, index.stream)
        self._damage = DamageTracker(index)
        self.num_frames, self.fps, self.times = len(index.pts), index.fps, index.times
        try:
            self._forget(after_seek=False)
            first = self._next_frame(0, frozenset([0]))
            if first is None:
                raise self._failure(0)
        except BaseException:
            self.close()
            raise
        self.orientation, self.other_angle = frame_orientation(first), other_angle(first)
        self.bits = max(component.bits for component in first.format.components)
        self.transfer, self.interlaced = first.color_trc, first.interlaced_frame
        self.height, self.width = self.orientation.shown_size(first.height, first.width)
        self.other_size: tuple[int, int] | None = None
        self._to_rgb = FilterGraph(partial(_chain, self.orientation, self.height, self.width))

    def frames(self, indices: Sequence[int] | torch.Tensor | np.ndarray) -> torch.Tensor:
        """See :meth:`VideoReader.frames`. Holds the result and a few frames inside the decoder, no more."""
        indices = check_indices(indices, self.num_frames)
        out = torch.empty(len(indices), self.height, self.width, 3, dtype=torch.uint8)
        wanted, place = np.unique(indices, return_inverse=True)
        needed = frozenset(wanted.tolist())
        for number, target in enumerate(wanted.tolist()):
            picture = self._picture(self._frame(target, needed))
            for slot in np.flatnonzero(place == number):
                out[slot] = picture
        return out

    def close(self) -> None:
        self._packets.close()

    def _frame(self, target: int, needed: frozenset[int]) -> av.VideoFrame:
        """Frame ``target``, decoded from where the reader stands, from a key frame, or else from the file's start."""
        entry, start = self._entry_for(target)
        if start <= self._position <= target:
            frame = self._next_frame(target, needed)
            if frame is not None:
                return frame

        # Also after a failure: among frames decoded ahead of need, one may be damaged that no other refers to.
        if entry is not None and self._packets.seek(entry):
            self._forget(after_seek=True)
            frame = self._next_frame(target, needed)
            if frame is not None:
                return frame
            if self._damage.spoils(target):
                raise self._failure(target)

        self._packets.restart()
        self._forget(after_seek=False)
        frame = self._next_frame(target, needed)
        if frame is None:
            raise self._failure(target)
        return frame

    def _failure(self, target: int) -> DecodeError:
        """The error for a frame that :meth:`_next_frame` did not find."""
        return DecodeError(self._path, f"frame {target} of {self.num_frames}: {self._reason}", "damaged")

    def _entry_for(self, target: int) -> tuple[Entry | None, int]:
        """The key packet to start from, and the frame that it gives; (None, -1) where decoding starts with the file."""
        entry = self._index.entry_for(target)
        return (None, -1) if entry is None else (entry, self._places.of_packet(entry.number))

    def _next_frame(self, target: int, needed: frozenset[int]) -> av.VideoFrame | None:
        """Decodes forward to ``target``; None if it is damaged or does not come, and ``_reason`` says why."""
        self._reason = "the decoder does not give it"
        try:
            for position, frame in self._decode(needed):
                self._position = position + 1
                if self._after_seek and frame.pict_type != PictureType.I:
                    self._reason = "a gradual refresh is no key frame"  # H.264 recovery points: pictures not yet whole
                    break
                self._after_seek = False
                self._damage.follow(position, frame)
                if position == target and self._has_sound_references(target, needed):
                    return frame
                if position >= target:
                    break
        except av.FFmpegError as error:
            self._reason = ffmpeg_reason(error)
        if self._damage.spoils(target):
            self._reason = self._damage.reason(target)
        self._position = self.num_frames  # nothing can be said about what the decoder would give next
        return None

    def _has_sound_references(self, target: int, needed: frozenset[int]) -> bool:
        """Whether ``target``, which was decoded just now, is sound, and all that it is decoded from.

        Of a B-frame, that is known when the frames shown after it are there that were decoded before it.
        """
        ahead: list[tuple[int, av.VideoFrame]] = []
        position, last = target, self._damage.last_reference(target)
        while position < last and not self._damage.spoils(target):
            position, frame = next(self._decode(needed), (last, None))
            if frame is None:
                break
            ahead.append((position, frame))
            if frame.is_corrupt:
                self._damage.follow(position, frame)
        self._ready = ahead + self._ready
        return not self._damage.spoils(target)

    def _decode(self, needed: frozenset[int]) -> Iterator[tuple[int, av.VideoFrame]]:
        """The frames from here on with their indices; of those before the last one ``needed``, maybe only these.

        The decoder leaves out a frame that is not needed if no other refers to it, which saves up to half of the work.
        Not where frames had to be counted: a packet may hold a part of another one's frame (packed DivX).
        """
        last = max(needed)
        may_skip = not self._index.counted
        while True:
            while self._ready:
                yield self._ready.pop(0)
            number, packet = next(self._packets, (0, _END))
            if packet is _END:
                return
            frame = self._places.of_packet(number)
            skip = may_skip and frame != NO_FRAME and frame < last and frame not in needed
            try:
                frames = self._packets.decode(packet, skip_unreferenced=skip)
            except av.FFmpegError as error:
                self._damage.refused(number, frame, ffmpeg_reason(error))
            else:
                self._ready += self._places.placed(frames)

    def _forget(self, after_seek: bool) -> None:
        """Forget what was decoded: the packets go on elsewhere."""
        self._places.forget()
        self._damage.forget()
        self._after_seek = after_seek
        self._ready: list[tuple[int, av.VideoFrame]] = []
        self._position = 0

    def _picture(self, frame: av.VideoFrame) -> torch.Tensor:
        """uint8 ``[height, width, 3]`` as shown."""
        self.interlaced = self.interlaced or frame.interlaced_frame
        size = self.orientation.shown_size(frame.height, frame.width)
        if size != (self.height, self.width):
            self.other_size = size
        rgb = self._to_rgb(frame).planes[0]
        rows = np.frombuffer(rgb, np.uint8).reshape(-1, rgb.line_size)[: self.height, : self.width * 3]
        return torch.from_numpy(rows.reshape(self.height, self.width, 3))


def _chain(orientation: Orientation, height: int, width: int, frame: av.VideoFrame) -> list[str]:
    """The filters of a frame. A stream that changes its size is scaled to that of its first frame, given as shown."""
    chain = list(orientation.filters())
    if orientation.shown_size(frame.height, frame.width) != (height, width):
        chain.append(f"scale={width}:{height}:flags=bicubic")
    return [*chain, "format=rgb24"]
