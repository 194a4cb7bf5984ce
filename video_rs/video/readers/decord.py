"""decord, confined to the files on which it is frame-exact; it refuses the others instead of guessing."""

import ctypes
import os
import re
from functools import cache

import decord
import numpy as np
import torch
from decord._ffi.base import _LIB, DECORDLimitReachedError

from video_rs.runtime.wording import pluralize
from video_rs.video.errors import DecodeError
from video_rs.video.index.frame_index import FrameIndex
from video_rs.video.location import Location
from video_rs.video.orientation import AS_STORED
from video_rs.video.readers.ffmpeg_log import ErrorCounter
from video_rs.video.readers.pyav import PyAVReader
from video_rs.video.readers.pyav_fallback import FallbackReader, name_frames

# The share of frames that decord may replace by their neighbours before it raises: none, but 0 means "any number".
_FAULT_TOLERANCE = 1e-9

# How far a frame may be from PyAV's, on average: its FFmpeg places the chroma of odd sizes otherwise (0.6 measured).
_LEVELS = 1.0


# The second one is what the share above leads to; it is no kind of the first.
_ERRORS = (decord.DECORDError, DECORDLimitReachedError)


@cache
def _complaints() -> ErrorCounter:
    decord.logging.set_level(decord.logging.QUIET)
    return ErrorCounter(ctypes.CDLL(_LIB._name))


class DecordReader(FallbackReader):
    """A :class:`VideoReader` for files on which decord's frames and times agree with the index; one decoding thread."""

    def __init__(self, path: str, index: FrameIndex):
        if Location.parse(path).is_part:
            raise DecodeError(path, "decord cannot read inside an archive; use pyav")
        if not index.addressable:
            raise DecodeError(path, "decord would not find the right frames in this file; use pyav")
        super().__init__(path, index, _complaints())
        try:
            # An absolute path keeps a colon in a name from being read as a protocol.
            self._reader = decord.VideoReader(
                os.path.abspath(path), ctx=decord.cpu(0), num_threads=1, fault_tol=_FAULT_TOLERANCE
            )
        except (*_ERRORS, RuntimeError) as error:
            raise DecodeError(path, f"decord: {_reason(error)}") from error
        self._check_times(index)
        _, self.height, self.width, _ = self.frames([0]).shape
        self._check_picture(index)

    def _check_times(self, index: FrameIndex) -> None:
        """DecodeError unless decord lists as many frames as the index, at the same times."""
        listed = len(self._reader)
        if listed != self.num_frames:
            raise DecodeError(self._path, f"decord lists {pluralize(listed, 'frame')} of {self.num_frames}; use pyav")
        ours = (index.pts - index.pts[0]) * float(index.time_base)
        theirs = self._reader.get_frame_timestamp(range(listed))[:, 0]
        # decord keeps float32 seconds: 0.1 ms at half an hour; a quarter of a frame is the least that matters.
        if np.abs(theirs - theirs[0] - ours).max() > 0.25 / self.fps:
            raise DecodeError(self._path, "decord lists other times for its frames; use pyav")

    def _check_picture(self, index: FrameIndex) -> None:
        """DecodeError if PyAV shows frames otherwise than decord does."""
        with PyAVReader(self._path, index) as shown:
            if (shown.height, shown.width) != (self.height, self.width):
                size = f"{self.height}x{self.width}, not {shown.height}x{shown.width}"
                raise DecodeError(self._path, f"decord shows frames of {size}; use pyav")
            if shown.bits > 8:
                raise DecodeError(self._path, f"decord converts {shown.bits} bits to other colours; use pyav")
            # Of a picture that is turned or mirrored, one frame may look the same both ways.
            as_stored = shown.orientation == AS_STORED
            looked_at = [0] if as_stored else [0, self.num_frames // 2, self.num_frames - 1]
            difference = (self.frames(looked_at).float() - shown.frames(looked_at).float()).abs().mean().item()
            if difference > _LEVELS:
                reason = f"decord shows other pictures, by {difference:.1f} of 255 levels on average"
                raise DecodeError(self._path, f"{reason}; use pyav")

    def _read(self, indices: np.ndarray) -> torch.Tensor | None:
        try:
            return torch.from_numpy(self._reader.get_batch(indices.tolist()).asnumpy())
        except _ERRORS as error:
            if self._complained:
                return None
            # What decord cannot do without a word from the decoder is a limit of its own.
            frames = name_frames(indices, self.num_frames)
            raise DecodeError(self._path, f"{frames}: decord: {_reason(error)}; use pyav") from error

    def _release(self) -> None:
        self._reader = None  # frees the file; decord has no close


def _reason(error: Exception) -> str:
    """decord's first line without its time stamps and source locations ("[12:30:59] /src/file.cc:12: message")."""
    return re.sub(r"\[[\d:]+\] |\S+\.cc:\d+: ", "", str(error).strip().split("\n")[0])
