"""Animated WebP, which FFmpeg's libraries do not decode: read through Pillow, whichever decoder is asked for."""

import io
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import torch

from video_rs.video.errors import DecodeError, system_reason
from video_rs.video.index.frame_index import FrameIndex, average_fps, index_of_pictures
from video_rs.video.location import Location
from video_rs.video.reader import VideoReader, check_indices, frames_with_slots

WEBP_ENDING = ".webp"

# The layout of a file: RFC 9649, 2.
_RIFF_HEADER = 12  # bytes before the first chunk
_CHUNK_HEADER = 8  # bytes of a chunk's kind and size
_FLAGS = 20  # the byte of an extended file that holds its flags
_ANIMATION_FLAG = 0x02
_FRAME_CHUNK = b"ANMF"
_FRAME_DURATION = slice(12, 15)  # bytes of a frame's chunk that hold its duration; position and size stand before them

_DEFAULT_DURATION = 100  # milliseconds of a frame whose duration is 0, as browsers have it


def is_animated_webp(path: str) -> bool:
    """Return whether ``path`` is a readable WebP file with frames; a picture, of whatever kind, is not.

    Only files that are called ``.webp`` are looked into, and parts of shards, which have no name.
    """
    location = Location.parse(path)
    if not location.is_part and not path.lower().endswith(WEBP_ENDING):
        return False

    try:
        header = _read_bytes(location, _FLAGS + 1)
    except OSError:
        return False
    is_extended = header[:4] == b"RIFF" and header[8:16] == b"WEBPVP8X" and len(header) > _FLAGS
    return is_extended and bool(header[_FLAGS] & _ANIMATION_FLAG)


def _read_bytes(location: Location, most: int | None = None) -> bytes:
    """Return the first ``most`` bytes of a location, or all."""
    size = most
    if size is None or (location.size is not None and location.size < size):
        size = location.bytes()
    with open(location.file, "rb") as file:
        file.seek(location.start)
        return file.read(size)


def frame_index(path: str, data: bytes) -> FrameIndex:
    """Return which frames a file holds and when each is shown, from its chunks alone.

    Args:
        path: of the file, for errors.
        data: the bytes of the file.

    Raises:
        DecodeError: the file ends inside a chunk, or has no frame.
    """
    durations = _frame_durations(path, data)
    if not durations:
        raise DecodeError(path, "a WebP animation without a frame")

    milliseconds = Fraction(1, 1000)
    pts = np.cumsum([0, *durations[:-1]]).astype(np.int64)
    fps = average_fps(pts, milliseconds, 1000 / durations[0])
    is_first = np.arange(len(pts)) == 0  # any other frame may be drawn over those before it
    return index_of_pictures(pts, is_first, milliseconds, fps)


def _frame_durations(path: str, data: bytes) -> list[int]:
    """Return the milliseconds for which each frame is shown."""
    durations: list[int] = []
    at = _RIFF_HEADER
    while at + _CHUNK_HEADER <= len(data):
        kind = data[at : at + 4]
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        begin = at + _CHUNK_HEADER
        if begin + size > len(data):
            raise DecodeError(path, f"truncated: it ends inside frame {len(durations)}", "truncated")

        if kind == _FRAME_CHUNK:
            duration = data[begin + _FRAME_DURATION.start : begin + _FRAME_DURATION.stop]
            durations.append(int.from_bytes(duration, "little") or _DEFAULT_DURATION)
        at = begin + size + size % 2  # chunks begin at even bytes
    return durations


class AnimatedWebpReader(VideoReader):
    """A :class:`VideoReader` over one file, which it holds in memory. For one frame it draws all that lie before it.

    Attributes:
        index: the frame index of the file.

    Raises:
        DecodeError: the file cannot be read, is truncated or has no frame, or its first frame cannot be drawn.
    """

    def __init__(self, path: str):
        self._path = path
        try:
            self._data = _read_bytes(Location.parse(path))
        except OSError as error:
            raise DecodeError(path, system_reason(error)) from error

        self.index = frame_index(path, self._data)
        self.num_frames = len(self.index.pts)
        self.fps = self.index.fps
        self.times = self.index.times
        self._picture = None
        self.height, self.width = self._frame(0).shape[:2]

    def frames(self, indices: Sequence[int] | torch.Tensor | np.ndarray) -> torch.Tensor:
        """Return the frames; see :meth:`VideoReader.frames`."""
        indices = check_indices(indices, self.num_frames)
        out = torch.empty(len(indices), self.height, self.width, 3, dtype=torch.uint8)

        # In rising order, since each frame is drawn over those before it.
        for target, slots in frames_with_slots(indices):
            frame = torch.from_numpy(self._frame(target))
            for slot in slots:
                out[slot] = frame
        return out

    def close(self) -> None:
        """Free the picture; a second call does nothing."""
        if self._picture is not None:
            self._picture.close()
            self._picture = None

    def _frame(self, number: int) -> np.ndarray:
        """Return a frame: uint8 ``[height, width, 3]``; transparent pixels are black."""
        from PIL import Image  # most data sets have no such files

        try:
            if self._picture is None:
                self._picture = Image.open(io.BytesIO(self._data), formats=["WEBP"])
            self._picture.seek(number)
            return np.array(self._picture.convert("RGB"))
        except (EOFError, OSError, SyntaxError, ValueError) as error:
            first_line = str(error).strip().split("\n")[0]
            reason = first_line or "it cannot be drawn"
            raise DecodeError(self._path, f"frame {number} of {self.num_frames}: {reason}", "damaged") from error
