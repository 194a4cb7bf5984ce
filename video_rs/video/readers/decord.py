"""decord, confined to the files on which it is exact to the frame; it refuses the others instead of guessing."""

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
from video_rs.video.readers.pyav_fallback import FallbackReader

# The share of frames that decord may replace by their neighbours before it raises: none, but 0 means "any number".
_FAULT_TOLERANCE = 1e-9

# How far a frame may be from PyAV's, in levels on average: decord's FFmpeg places the chroma of odd sizes otherwise
# (0.6 measured).
_MOST_DIFFERENCE = 1.0

# How far a time may be from the index's, in frames. decord keeps float32 seconds, which are off by 0.1 ms at half an
# hour; a wrong frame is off by a whole one.
_MOST_TIME_DIFFERENCE = 0.25

# DECORDLimitReachedError says that the tolerance above is used up; it is not derived from DECORDError.
_DECORD_ERRORS = (decord.DECORDError, DECORDLimitReachedError)


@cache
def _ffmpeg_errors() -> ErrorCounter:
    decord.logging.set_level(decord.logging.QUIET)
    return ErrorCounter(ctypes.CDLL(_LIB._name))


class DecordReader(FallbackReader):
    """A :class:`VideoReader` for files on which decord's frames and times agree with the index; one decoding thread.

    Args:
        path: a file.
        index: the frame index of the file.

    Raises:
        DecodeError: decord cannot read the file, or not as PyAV does.
    """

    def __init__(self, path: str, index: FrameIndex):
        if Location.parse(path).is_part:
            raise DecodeError(path, "decord cannot read inside an archive; use pyav")
        if not index.addressable:
            raise DecodeError(path, "decord would not find the right frames in this file; use pyav")
        super().__init__(path, index, _ffmpeg_errors())

        try:
            # An absolute path keeps a colon in a name from being read as a protocol.
            self._reader = decord.VideoReader(
                os.path.abspath(path), ctx=decord.cpu(0), num_threads=1, fault_tol=_FAULT_TOLERANCE
            )
        except (*_DECORD_ERRORS, RuntimeError) as error:
            raise DecodeError(path, f"decord: {_reason(error)}") from error

        self._check_times(index)
        _, self.height, self.width, _ = self.frames([0]).shape
        self._check_picture(index)

    def _check_times(self, index: FrameIndex) -> None:
        """Check that decord lists as many frames as the index, at the same times.

        Raises:
            DecodeError: decord does not.
        """
        listed = len(self._reader)
        if listed != self.num_frames:
            raise DecodeError(self._path, f"decord lists {pluralize(listed, 'frame')} of {self.num_frames}; use pyav")

        expected = (index.pts - index.pts[0]) * float(index.time_base)
        begins = self._reader.get_frame_timestamp(range(listed))[:, 0]
        differences = np.abs(begins - begins[0] - expected)
        if differences.max() > _MOST_TIME_DIFFERENCE / self.fps:
            raise DecodeError(self._path, "decord lists other times for its frames; use pyav")

    def _check_picture(self, index: FrameIndex) -> None:
        """Check that decord shows frames as PyAV does.

        Raises:
            DecodeError: decord does not.
        """
        with PyAVReader(self._path, index) as pyav:
            if (pyav.height, pyav.width) != (self.height, self.width):
                size = f"{self.height}x{self.width}, not {pyav.height}x{pyav.width}"
                raise DecodeError(self._path, f"decord shows frames of {size}; use pyav")
            if pyav.bits > 8:
                raise DecodeError(self._path, f"decord converts {pyav.bits} bits to other colours; use pyav")

            # Pictures that are turned or mirrored otherwise may be alike in one frame.
            compared = [0]
            if pyav.orientation != AS_STORED:
                compared = [0, self.num_frames // 2, self.num_frames - 1]

            difference = (self.frames(compared).float() - pyav.frames(compared).float()).abs().mean().item()
            if difference > _MOST_DIFFERENCE:
                reason = f"decord shows other pictures, by {difference:.1f} of 255 levels on average"
                raise DecodeError(self._path, f"{reason}; use pyav")

    def _read(self, indices: np.ndarray) -> torch.Tensor | None:
        try:
            return torch.from_numpy(self._reader.get_batch(indices.tolist()).asnumpy())
        except _DECORD_ERRORS as error:
            if self._has_logged_errors:
                return None

            # FFmpeg has no objections, so this is a limit of decord's own, and no damage.
            frames = f"frames {indices.min()} to {indices.max()} of {self.num_frames}"
            raise DecodeError(self._path, f"{frames}: decord: {_reason(error)}; use pyav") from error

    def _release(self) -> None:
        self._reader = None  # this frees the file: decord has no close


def _reason(error: Exception) -> str:
    """Return decord's first line without its time stamps and source locations ("[12:30:59] /src/file.cc:12: words")."""
    first_line = str(error).strip().split("\n")[0]
    return re.sub(r"\[[\d:]+\] |\S+\.cc:\d+: ", "", first_line)
