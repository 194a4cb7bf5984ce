"""PyAV: the reader that reads every file."""

from collections.abc import Iterator, Sequence

import av
import numpy as np
import torch
from av.video.frame import PictureType

from video_rs.video.container import ffmpeg_reason
from video_rs.video.errors import DecodeError
from video_rs.video.filter_graph import RgbBox
from video_rs.video.index.frame_index import FrameIndex, KeyPacket
from video_rs.video.index.frame_numbering import NO_FRAME, FrameNumbering
from video_rs.video.index.numbered_packets import NumberedPackets
from video_rs.video.location import Stamp
from video_rs.video.reader import Box, VideoReader, check_indices, frames_with_slots
from video_rs.video.readers.damage_tracking import DamageTracker
from video_rs.video.readers.first_frame import FirstFrame, known_first_frames

_NO_MORE = object()

# Frames that are decoded rather than passed by a seek when a long video is read in order: a group of pictures or two.
_NEAR = 250


class PyAVReader(VideoReader):
    """A :class:`VideoReader` that seeks to the key frame before the frames wanted and decodes forward from there.

    Consecutive calls with increasing indices go on decoding without a seek unless a key frame lies between.

    A frame that the decoder calls damaged or cannot decode is refused. So are the frames that are decoded from it, up
    to the next key frame, whatever was read before.

    Args:
        path: a file or a part of a shard.
        index: the frame index of the file.

    Attributes:
        orientation: how the frames are turned and mirrored, as the first one says.
        other_size: height and width of a frame that was scaled to the size of the first; None: none was so far.
        other_angle: degrees that the file says the frames are to be turned by, and that are ignored because they are no
            multiple of 90; else 0.
        bits: bits of a stored sample.
        transfer: FFmpeg's number of the transfer characteristic.
        interlaced: whether one of the frames read up to now holds two fields.
    """

    def __init__(self, path: str, index: FrameIndex):
        self._path = path
        self._index = index
        self.num_frames = len(index.pts)
        self.fps = index.fps
        self.times = index.times

        self._packets = NumberedPackets(path, index.stream)
        self._numbering = FrameNumbering(index)
        self._damage = DamageTracker(index)
        self._reset(after_seek=False)
        try:
            first = self._first_frame()
        except BaseException:
            self.close()
            raise

        self.orientation = first.orientation
        self.other_angle = first.other_angle
        self.bits = first.bits
        self.transfer = first.transfer
        self.interlaced = first.interlaced
        self.height = first.height
        self.width = first.width
        self.other_size: tuple[int, int] | None = None
        self._whole = RgbBox(self.orientation, self.height, self.width)

    def _first_frame(self) -> FirstFrame:
        """Return what the first frame says, which is decoded where this process does not know it yet."""
        stamp = Stamp.of_file(self._path)
        known = known_first_frames.get(self._path, stamp)
        if known is not None:
            return known

        frame = self._decode_to(0, frozenset([0]))
        if frame is None:
            raise self._error_for(0)
        first = FirstFrame.of(frame)
        known_first_frames.keep(self._path, stamp, first)
        return first

    def frames(self, indices: Sequence[int] | torch.Tensor | np.ndarray) -> torch.Tensor:
        """Return the frames; see :meth:`VideoReader.frames`. Beside them, only a few are held inside the decoder."""
        return self._pictures(indices, self._whole, straight_on=False)

    def boxes(self, indices: Sequence[int] | torch.Tensor | np.ndarray, box: Box) -> torch.Tensor:
        """Return a box of the frames; see :meth:`VideoReader.boxes`. Where that is exact, only the box becomes RGB."""
        to_rgb = RgbBox(self.orientation, self.height, self.width, box)
        return self._pictures(indices, to_rgb, straight_on=False)

    def next_frames(self, indices: Sequence[int] | torch.Tensor | np.ndarray) -> torch.Tensor:
        """Return the frames; see :meth:`VideoReader.next_frames`.

        A seek to a near frame saves little, and in some files it leads back to the beginning: a film of hours would be
        decoded again for each of its groups of pictures.
        """
        return self._pictures(indices, self._whole, straight_on=True)

    def close(self) -> None:
        """Free the file; a second call does nothing."""
        self._packets.close()

    def _pictures(
        self, indices: Sequence[int] | torch.Tensor | np.ndarray, to_rgb: RgbBox, straight_on: bool
    ) -> torch.Tensor:
        """Return what ``to_rgb`` makes of the frames at ``indices``; see :meth:`_frame` for ``straight_on``."""
        indices = check_indices(indices, self.num_frames)
        # NumPy copies each picture here and now, while PyTorch would wake its other threads for it.
        out = np.empty((len(indices), to_rgb.box.height, to_rgb.box.width, 3), np.uint8)

        # Frames are decoded in rising order, whatever the order of the indices, so that each is decoded once.
        needed = frozenset(indices.tolist())
        for target, slots in frames_with_slots(indices):
            picture = self._picture(self._frame(target, needed, straight_on), to_rgb)
            out[slots] = picture.numpy()
        return torch.from_numpy(out)

    def _frame(self, target: int, needed: frozenset[int], straight_on: bool) -> av.VideoFrame:
        """Return frame ``target``, decoded from where the reader is, from a key frame, or from the start of the file.

        Args:
            target: number of a frame.
            needed: all frames that are asked for in this call, ``target`` among them.
            straight_on: go on to a near frame from where the reader is, even where a key frame lies between.

        Raises:
            DecodeError: the frame is damaged or cannot be decoded.
        """
        key_packet, key_frame = self._key_before(target)
        is_near = key_frame <= self._position or (straight_on and target - self._position <= _NEAR)
        if is_near and self._position <= target:
            frame = self._decode_to(target, needed)
            if frame is not None:
                return frame

        # A failure above is no reason to give up: among frames that were decoded ahead of need, one may be damaged that
        # no other frame refers to. From the key frame on, only what is needed is decoded.
        if key_packet is not None and self._packets.seek(key_packet):
            self._reset(after_seek=True)
            frame = self._decode_to(target, needed)
            if frame is not None:
                return frame
            if self._damage.is_spoilt(target):
                raise self._error_for(target)

        # The seek failed, or led to where decoding cannot start: a gradual refresh, or an open group.
        self._packets.restart()
        self._reset(after_seek=False)
        frame = self._decode_to(target, needed)
        if frame is None:
            raise self._error_for(target)
        return frame

    def _error_for(self, target: int) -> DecodeError:
        """Return the error for a frame that :meth:`_decode_to` did not find."""
        return DecodeError(self._path, f"frame {target} of {self.num_frames}: {self._reason}", "damaged")

    def _key_before(self, target: int) -> tuple[KeyPacket | None, int]:
        """Return the key packet to start from, and its frame; (None, -1) where decoding starts with the file."""
        key_packet = self._index.key_packet_before(target)
        if key_packet is None:
            return None, -1
        return key_packet, self._numbering.frame_of(key_packet.number)

    def _decode_to(self, target: int, needed: frozenset[int]) -> av.VideoFrame | None:
        """Decode forward to ``target``; return None if it is damaged or does not come, and set ``_reason``."""
        self._reason = "the decoder does not give it"
        try:
            for number, frame in self._decode(needed):
                self._position = number + 1

                # The recovery points of H.264 are marked as key frames, but the pictures that follow are not whole yet.
                if self._after_seek and frame.pict_type != PictureType.I:
                    self._reason = "a gradual refresh is no key frame"
                    break
                self._after_seek = False

                self._damage.frame_decoded(number, frame)
                if number == target and self._has_sound_references(target, needed):
                    return frame
                if number >= target:
                    break
        except av.FFmpegError as error:
            self._reason = ffmpeg_reason(error)

        if self._damage.is_spoilt(target):
            self._reason = self._damage.reason(target)
        # Nothing can be said about what the decoder would give next, so that the next call has to seek.
        self._position = self.num_frames
        return None

    def _has_sound_references(self, target: int, needed: frozenset[int]) -> bool:
        """Return whether ``target``, which was decoded just now, is sound, and all that it is decoded from.

        Of a B-frame this is known only when the frames are there that are shown after it but were decoded before it.
        They are decoded here, and kept for the calls that ask for them.
        """
        ahead: list[tuple[int, av.VideoFrame]] = []
        number = target
        last = self._damage.last_reference(target)

        while number < last and not self._damage.is_spoilt(target):
            number, frame = next(self._decode(needed), (last, None))
            if frame is None:
                break
            ahead.append((number, frame))
            if frame.is_corrupt:
                self._damage.frame_decoded(number, frame)

        self._ready = ahead + self._ready
        return not self._damage.is_spoilt(target)

    def _decode(self, needed: frozenset[int]) -> Iterator[tuple[int, av.VideoFrame]]:
        """Yield the frames from here on with their numbers.

        Of the frames before the last needed one, maybe only the needed ones come: the decoder leaves out a frame that
        is not needed if no other refers to it, which saves up to half of the work.
        """
        last_needed = max(needed)
        # Where frames had to be counted, a packet may hold a part of another one's frame (packed DivX).
        may_skip = not self._index.counted
        while True:
            while self._ready:
                yield self._ready.pop(0)

            number, packet = next(self._packets, (0, _NO_MORE))
            if packet is _NO_MORE:
                return

            frame = self._numbering.frame_of(number)
            is_superfluous = frame != NO_FRAME and frame < last_needed and frame not in needed
            try:
                frames = self._packets.decode(packet, skip_unreferenced=may_skip and is_superfluous)
            except av.FFmpegError as error:
                self._damage.packet_refused(number, frame, ffmpeg_reason(error))
            else:
                self._ready += self._numbering.number(frames)

    def _reset(self, after_seek: bool) -> None:
        """Forget what was decoded, because the packets go on elsewhere."""
        self._numbering.reset()
        self._damage.reset()
        self._after_seek = after_seek
        self._ready: list[tuple[int, av.VideoFrame]] = []
        self._position = 0

    def _picture(self, frame: av.VideoFrame, to_rgb: RgbBox) -> torch.Tensor:
        """Return what is wanted of a frame, as shown: uint8 ``[h, w, 3]``."""
        self.interlaced = self.interlaced or frame.interlaced_frame
        size = self.orientation.shown_size(frame.height, frame.width)
        if size != (self.height, self.width):
            self.other_size = size

        try:
            return to_rgb(frame)
        except av.FFmpegError as error:
            reason = f"its frames cannot be made RGB pictures ({ffmpeg_reason(error)})"
            raise DecodeError(self._path, reason, "unreadable") from error
