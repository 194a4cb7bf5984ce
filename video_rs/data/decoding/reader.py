"""What a video reader is, the error of an unreadable video, and the one way to open a video.

Presentation, the same whichever decoder reads: frame ``i`` is the i-th frame that a full sequential decode shows.
Rotation metadata is applied in quarter turns (a mirrored or skewed display matrix is not); frames that an edit list
discards neither count nor appear; a variable frame rate changes nothing, an index is a frame number; the pixel aspect
ratio is NOT applied, pixels come as stored.
"""

import os
import stat
from collections.abc import Sequence
from typing import Protocol, Self

import numpy as np
import torch

from video_rs.errors import InputError

DECODERS = ("auto", "pyav", "decord", "torchcodec")
"""Names for ``open_video``. ``auto`` is PyAV: it reads every file that FFmpeg reads, it is a dependency of the package
and so the same everywhere, and a random 32-frame, stride-2 clip of 340x256 H.264 takes it 0.5 to 0.9 of the time that
TorchCodec 0.17 or decord 0.6 take, because it leaves out frames that nobody asked for or refers to."""


class DecodeError(InputError):
    """A video, or a frame of it, cannot be read. Survives pickling, so it crosses worker processes whole."""

    def __init__(self, path: str | os.PathLike, reason: str):
        super().__init__(f"cannot decode {path}: {reason}")
        self.path, self.reason = os.fspath(path), reason

    def __reduce__(self):
        return type(self), (self.path, self.reason)


class VideoReader(Protocol):
    """An open video; use it as a context manager. Not to be shared between threads.

    Attributes:
        num_frames: frames that a full decode shows, at least 1.
        fps: average frames per second, above 0; 1.0 for a single frame whose header names no rate.
        height, width: size of the frames as shown, after rotation.
    """

    num_frames: int
    fps: float
    height: int
    width: int

    def frames(self, indices: Sequence[int] | torch.Tensor | np.ndarray) -> torch.Tensor:
        """The frames at ``indices`` (any order, repeats allowed), RGB, uint8 ``[T, height, width, 3]``.

        Raises:
            ValueError: an index is outside ``[0, num_frames)``.
            DecodeError: a frame asked for cannot be decoded; no other frame takes its place.
        """
        ...

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc_info) -> None: ...


def open_video(path: str | os.PathLike, decoder: str = "auto") -> VideoReader:
    """Opens the video at ``path`` (a regular file) with one of ``DECODERS``.

    ``torchcodec`` hands files in which it would not find the right frames (``FrameIndex.addressable``) to PyAV;
    ``decord`` refuses them.

    Raises:
        InputError: the decoder's name is unknown, or its package cannot be imported.
        DecodeError: the file cannot be read as a video by this decoder.
    """
    if decoder not in DECODERS:
        raise InputError(f"unknown decoder {decoder!r}; allowed: {', '.join(DECODERS)}")
    path = os.fspath(path)
    try:
        from video_rs.data.decoding.packets import scan
        from video_rs.data.decoding.pyav import PyAVReader

        if decoder == "torchcodec":
            from video_rs.data.decoding.torchcodec import TorchCodecReader as Reader
        elif decoder == "decord":
            from video_rs.data.decoding.decord import DecordReader as Reader
        else:
            Reader = PyAVReader
    except (
        ImportError,
        OSError,
        RuntimeError,
    ) as error:  # torchcodec without FFmpeg's libraries: RuntimeError
        raise InputError(_missing_package(decoder, error)) from error
    check_file(path)
    index = scan(path)
    if decoder == "torchcodec" and not index.addressable:
        Reader = PyAVReader
    return Reader(path, index)


def check_file(path: str) -> None:
    """Raises DecodeError unless ``path`` is a readable regular file with something in it: no pipe may block us."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        raise DecodeError(path, "no such file") from None
    except OSError as error:
        raise DecodeError(path, (error.strerror or str(error)).lower()) from error
    if stat.S_ISDIR(status.st_mode):
        raise DecodeError(path, "is a directory, not a video file")
    if not stat.S_ISREG(status.st_mode):
        raise DecodeError(path, "not a regular file")
    if status.st_size == 0:
        raise DecodeError(path, "empty file")


def check_indices(indices: Sequence[int] | torch.Tensor | np.ndarray, num_frames: int) -> np.ndarray:
    """``indices`` as int64 ``[T]``; ValueError names the first one outside ``[0, num_frames)``."""
    array = np.asarray(indices)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise ValueError(f"frame indices must be whole numbers [T], got {array.dtype} {list(array.shape)}")
    array = array.astype(np.int64)
    outside = array[(array < 0) | (array >= num_frames)]
    if outside.size:
        raise ValueError(f"frame index {outside[0]} is out of range: the video has num_frames={num_frames}")
    return array


def _missing_package(decoder: str, error: Exception) -> str:
    """One line: a missing package and a package that cannot load its libraries have different next steps."""
    package = "av" if decoder in ("auto", "pyav") else decoder
    if isinstance(error, ModuleNotFoundError):
        install = "pip install av" if package == "av" else f"pip install 'video_rs[{package}]'"
        return f"decoder {decoder!r} needs the package {error.name!r}, which is not installed: {install}"
    first_line = str(error).strip().split("\n")[0]
    broken = f"decoder {decoder!r}: {package} is installed but cannot be imported ({first_line})"
    return f"{broken}; allowed: {', '.join(DECODERS)}"
