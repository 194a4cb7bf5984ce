"""Writing videos from frames in memory, so that the same frames give the same bytes.

:mod:`video_rs.curation.prepare`, which writes the frames of a file again, takes its two building blocks from here.
"""

import io
import os
import platform
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
import torch

from video_rs.runtime.errors import InputError

Frames = torch.Tensor | np.ndarray | Iterable[torch.Tensor | np.ndarray]

_LARGEST_DENOMINATOR = 1001  # of the usual frame rates, such as 30000/1001


@dataclass(frozen=True)
class _Encoder:
    """How frames are encoded; see :func:`write_video` for the attributes."""

    codec: str
    rate: Fraction
    keyframe_interval: int
    options: dict[str, str]


def write_video(
    path: str | os.PathLike,
    frames: Frames,
    fps: float | Fraction,
    *,
    codec: str = "libx264",
    keyframe_interval: int = 12,
    crf: int = 18,
    options: Mapping[str, str] | None = None,
) -> None:
    """Encode ``frames`` to ``path`` as yuv420p; the suffix of the path chooses the container.

    The file appears whole or not at all. The same input gives the same bytes: one thread, one instruction set, no
    creation time.

    Args:
        frames: RGB, uint8 ``[T, H, W, 3]``, or an iterable of ``[H, W, 3]``; H and W even, T at least 1.
        fps: frames per second, above 0.
        codec: name of an FFmpeg encoder.
        keyframe_interval: frames from a key frame to the next, at most. A short interval makes a random clip cheap to
            read back.
        crf: constant rate factor of x264 and x265; lower is better and bigger.
        options: more options of the encoder, such as ``{"preset": "veryfast", "bf": "0"}``.

    Raises:
        InputError: frames, rate, codec or suffix are refused.
        OSError: the folder is missing or cannot be written.
    """
    path = Path(path)
    encoder = _encoder(codec, fps, keyframe_interval, {"crf": str(crf), **(options or {})})
    shape, pictures = _begun(frames, str(path))
    with atomic_file(path, codec) as temporary:
        _encode(str(temporary), pictures, shape, encoder)


def encode_mp4(frames: Frames, fps: float | Fraction, *, keyframe_interval: int, options: Mapping[str, str]) -> bytes:
    """Return ``frames`` as an MP4 with H.264, the same as :func:`write_video` writes; no file is made.

    Args:
        frames, fps, keyframe_interval, options: see :func:`write_video`.

    Raises:
        InputError: frames or rate are refused.
    """
    encoder = _encoder("libx264", fps, keyframe_interval, dict(options))
    shape, pictures = _begun(frames, "an MP4")
    buffer = io.BytesIO()
    _encode(buffer, pictures, shape, encoder, container="mp4")
    return buffer.getvalue()


def _encoder(codec: str, fps: float | Fraction, keyframe_interval: int, options: dict[str, str]) -> _Encoder:
    """Return how frames are encoded; raise InputError where they cannot be played at such a rate."""
    if not 0 < fps < float("inf"):
        raise InputError(f"fps must be above 0, got {fps}")

    rate = Fraction(fps).limit_denominator(_LARGEST_DENOMINATOR)
    return _Encoder(codec, rate, keyframe_interval, reproducible_options(codec, options))


def _begun(frames: Frames, target: str) -> tuple[tuple[int, ...], Iterator[np.ndarray]]:
    """Return the shape [H, W, 3] of checked frames, and the frames; raise InputError where there is none.

    The first one is taken out before anything is written: it gives the size.
    """
    pictures = _checked_pictures(frames)
    first = next(pictures, None)
    if first is None:
        raise InputError(f"no frames to write to {target}; give at least one")

    return first.shape, chain([first], pictures)


@contextmanager
def atomic_file(path: Path, codec: str) -> Iterator[Path]:
    """Give a neighbouring name to write to; the file takes its place at ``path`` if no exception comes.

    Raises:
        InputError: the encoder or the container refuses what it is given.
        OSError: the folder is missing or cannot be written.
    """
    # The suffix stays, since it chooses the container.
    temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)

    # An InputError is a ValueError, and says already what is wrong.
    except InputError:
        raise
    except OSError as error:
        raise OSError(f"cannot write {path}: {error.strerror or error}") from error
    except (av.FFmpegError, ValueError) as error:
        raise InputError(f"cannot write {path} with codec {codec!r}: {error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def reproducible_options(codec: str, options: dict[str, str]) -> dict[str, str]:
    """Return ``options`` with x264 held to SSE2, which every x86-64 processor has.

    With AVX-512 the x264 inside PyAV 18.1 wrote 9 and 16 different files in 60 runs over the same 96x96 frames; with
    SSE2 it wrote one. SSE2 costs a quarter more encoding time at 340x256 (0.67 s instead of 0.54 s for 60 frames).
    """
    if codec != "libx264" or platform.machine() not in ("x86_64", "AMD64"):
        return options

    parameters = "asm=SSE2"
    if options.get("x264-params"):
        parameters = f"asm=SSE2:{options['x264-params']}"
    return {**options, "x264-params": parameters}


def _encode(
    target: str | BinaryIO,
    pictures: Iterable[np.ndarray],
    shape: tuple[int, ...],
    encoder: _Encoder,
    container: str | None = None,
) -> None:
    """Write checked pictures, all of one ``shape`` [H, W, 3], to a path or an open file.

    Args:
        container: FFmpeg's name of it; None: as the path ends.
    """
    with av.open(target, "w", format=container) as output:
        stream = output.add_stream(encoder.codec, rate=encoder.rate, options=encoder.options)
        stream.height, stream.width, _ = shape
        stream.pix_fmt = "yuv420p"
        stream.codec_context.gop_size = encoder.keyframe_interval
        stream.codec_context.thread_count = 1

        for picture in pictures:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        output.mux(stream.encode(None))


def _checked_pictures(frames: Frames) -> Iterator[np.ndarray]:
    """Yield the frames one by one, each uint8 ``[H, W, 3]`` of the first one's size, which is even.

    Raises:
        InputError: a frame is none of these.
    """
    if isinstance(frames, torch.Tensor | np.ndarray) and frames.ndim != 4:
        raise InputError(f"frames must be uint8 [T, H, W, 3], got {list(frames.shape)}")

    first_size = None
    for frame in frames:
        picture = np.ascontiguousarray(frame)
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
            raise InputError(f"a frame must be uint8 [H, W, 3], got {picture.dtype} {list(picture.shape)}")

        size = picture.shape[:2]
        first_size = first_size or size
        height, width = first_size
        if size != first_size:
            raise InputError(f"all frames must be {height}x{width} as the first, got {list(size)}")

        # yuv420p has one value of chroma for two by two pixels.
        if height % 2 or width % 2 or not picture.size:
            raise InputError(f"height and width must be even for yuv420p, got {height}x{width}; crop or pad by a pixel")
        yield picture
