"""PyAV: the reader that reads every file."""

from collections.abc import Iterator, Sequence

import av
import numpy as np
import torch
from av.video.frame import PictureType
from av.video.reformatter import Interpolation, VideoReformatter

from video_rs.data.decoding.index import FrameIndex
from video_rs.data.decoding.packets import ffmpeg_reason, open_container, video_stream
from video_rs.data.decoding.reader import DecodeError, VideoReader, check_indices


class PyAVReader(VideoReader):
    """A :class:`VideoReader` that seeks to the key frame before the frames wanted and decodes forward from there.

    Consecutive calls with increasing indices go on decoding without a seek unless a key frame lies between.
    """

    def __init__(self, path: str, index: FrameIndex):
        self._path, self._index = path, index
        self._positions = {int(pts): i for i, pts in enumerate(index.pts)}
        self._reformatter = VideoReformatter()
        self._container = self._demuxer = None
        self.num_frames, self.fps, self.times = len(index.pts), index.fps, index.times
        try:
            self._restart()
            first = self._next_frame(0, frozenset([0]))
        except BaseException:
            self.close()
            raise
        self.quarter_turns = _quarter_turns(first.rotation)
        self._stored_size = first.height, first.width
        self.height, self.width = self._stored_size[:: -1 if self.quarter_turns % 2 else 1]

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
        self._end_demuxer()
        if self._container is not None:
            self._container.close()
            self._container = None

    def _end_demuxer(self) -> None:
        """PyAV's generator frees its packet only when it is closed; what it leaks splits the heap."""
        if self._demuxer is not None:
            self._demuxer.close()
            self._demuxer = None

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
            reason = ffmpeg_reason(error)
        self._position = self.num_frames  # nothing can be said about what the decoder would give next
        if may_miss:
            return None
        raise DecodeError(self._path, f"frame {target} of {self.num_frames}: {reason}", "damaged")

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
        self._container = open_container(self._path)
        self._stream = video_stream(self._container, self._path)
        self._begin(after_seek=False)

    def _begin(self, after_seek: bool) -> None:
        """Forgets what was decoded. After a seek, packets before the first key frame are of no use."""
        self._end_demuxer()
        self._demuxer = self._container.demux(self._stream)
        self._packets = _from_key_packet(self._demuxer) if after_seek else self._demuxer
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
        picture = torch.from_numpy(rows.reshape(height, width, 3))
        return torch.rot90(picture, self.quarter_turns) if self.quarter_turns else picture


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
