"""Animated WebP, which FFmpeg's libraries do not decode: read through Pillow, whichever decoder is asked for."""

import io
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import torch

from video_rs.video.errors import DecodeError, system_reason
from video_rs.video.index.frame_index import FrameIndex, index_of_pictures
from video_rs.video.index.packet_table import average_fps
from video_rs.video.location import Location
from video_rs.video.reader import VideoReader, check_indices

WEBP_ENDING = ".webp"
_HEADER = 21  # bytes up to the flags of an extended file
_ANIMATION = 0x02  # the flag of a file with frames
_SHOWN_FOR = 100  # milliseconds of a frame whose duration is 0, as browsers have it


def is_animated_webp(path: str) -> bool:
    """Return whether ``path`` is a readable WebP file with frames; a picture, of whatever kind, is none.

    Only files that are called ``.webp`` are looked into, and parts of archives, which have no name.
    """
    location = Location.parse(path)
    if not location.is_part and not path.lower().endswith(WEBP_ENDING):
        return False
    try:
        header = _read(location, _HEADER)
    except OSError:
        return False
    is_extended = header[:4] == b"RIFF" and header[8:16] == b"WEBPVP8X" and len(header) == _HEADER
    return is_extended and bool(header[20] & _ANIMATION)


def _read(location: Location, size: int | None = None) -> bytes:
    """Return the first ``size`` bytes, or all."""
    if size is None or (location.size is not None and location.size < size):
        size = location.bytes()
    with open(location.file, "rb") as file:
        file.seek(location.start)
        return file.read(size)


def frame_index(path: str, data: bytes) -> FrameIndex:
    """Return which frames a file's bytes hold and when each is shown, from its chunks (RFC 9649) alone.

    Raises:
        DecodeError: the file ends inside a chunk, or has no frame.
    """
    durations, at = [], 12
    while at + 8 <= len(data):
        kind, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        if at + 8 + size > len(data):
            raise DecodeError(path, f"truncated: it ends inside frame {len(durations)}", "truncated")
        if kind == b"ANMF":
            # Position and size of the frame are 12 bytes, its duration in milliseconds is 3.
            durations.append(int.from_bytes(data[at + 20 : at + 23], "little") or _SHOWN_FOR)
        at += 8 + size + size % 2
    if not durations:
        raise DecodeError(path, "a WebP animation without a frame")

    milliseconds = Fraction(1, 1000)
    pts = np.cumsum([0, *durations[:-1]]).astype(np.int64)
    fps = average_fps(pts, milliseconds, 1000 / durations[0])
    key = np.arange(len(pts)) == 0  # a frame may be drawn over those before it
    return index_of_pictures(pts, key, milliseconds, fps)


class AnimatedWebpReader(VideoReader):
    """A :class:`VideoReader` over one file, which it holds in memory. It draws all that lie before one."""

    def __init__(self, path: str):
        try:
            self._data = _read(Location.parse(path))
        except OSError as error:
            raise DecodeError(path, system_reason(error)) from error
        self._path, self.index = path, frame_index(path, self._data)
        self.num_frames, self.fps, self.times = len(self.index.pts), self.index.fps, self.index.times
        self._picture = None
        self.height, self.width = self._frame(0).shape[:2]

    def frames(self, indices: Sequence[int] | torch.Tensor | np.ndarray) -> torch.Tensor:
        """See :meth:`VideoReader.frames`."""
        indices = check_indices(indices, self.num_frames)
        out = torch.empty(len(indices), self.height, self.width, 3, dtype=torch.uint8)
        wanted, place = np.unique(indices, return_inverse=True)
        for number, target in enumerate(wanted.tolist()):
            frame = torch.from_numpy(self._frame(target))
            for slot in np.flatnonzero(place == number):
                out[slot] = frame
        return out

    def close(self) -> None:
        if self._picture is not None:
            self._picture.close()
            self._picture = None

    def _frame(self, number: int) -> np.ndarray:
        """uint8 ``[height, width, 3]``; transparent cells are black."""
        from PIL import Image

        try:
            if self._picture is None:
                self._picture = Image.open(io.BytesIO(self._data), formats=["WEBP"])
            self._picture.seek(number)
            return np.array(self._picture.convert("RGB"))
        except (EOFError, OSError, SyntaxError, ValueError) as error:
            reason = str(error).strip().split("\n")[0] or "it cannot be drawn"
            raise DecodeError(self._path, f"frame {number} of {self.num_frames}: {reason}", "damaged") from error
