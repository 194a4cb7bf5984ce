"""Writing videos from frames in memory; :mod:`video_rs.curation.prepare` writes a file's own frames again."""

import os
import platform
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import numpy as np
import torch

from video_rs.runtime.errors import InputError

Frames = torch.Tensor | np.ndarray | Iterable[torch.Tensor | np.ndarray]


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
    """Encodes ``frames`` to ``path`` as yuv420p; the suffix chooses the container.

    The file appears whole or not at all, and the same input gives the same bytes: one thread, one instruction set, no
    creation time. A key frame at least every ``keyframe_interval`` frames makes a random clip cheap to read back.

    Args:
        frames: RGB uint8 ``[T, H, W, 3]``, or an iterable of ``[H, W, 3]``; H and W even, T at least 1.
        fps: frames per second, above 0.
        codec: name of an FFmpeg encoder.
        crf: constant rate factor of x264 and x265; lower is better and bigger.
        options: more options of the encoder, e.g. ``{"preset": "veryfast", "bf": "0"}``.

    Raises:
        InputError: frames, rate, codec or suffix are refused.
        OSError: the folder is missing or cannot be written.
    """
    if not 0 < fps < float("inf"):
        raise InputError(f"fps must be above 0, got {fps}")
    path = Path(path)
    checked = _checked(frames)
    first = next(checked, None)
    if first is None:
        raise InputError(f"no frames to write to {path}; give at least one")
    settings = reproducible_options(codec, {"crf": str(crf), **(options or {})})
    with atomic_file(path, codec) as temporary:
        _encode(temporary, chain([first], checked), first.shape, fps, codec, keyframe_interval, settings)


@contextmanager
def atomic_file(path: Path, codec: str) -> Iterator[Path]:
    """A name to write to; the file takes its place at ``path`` if no exception comes."""
    temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    except InputError:
        raise
    except OSError as error:
        raise OSError(f"cannot write {path}: {error.strerror or error}") from error
    except (av.FFmpegError, ValueError) as error:
        raise InputError(f"cannot write {path} with codec {codec!r}: {error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def reproducible_options(codec: str, options: dict[str, str]) -> dict[str, str]:
    """``options`` with x264 held to SSE2, which every x86-64 processor has.

    With AVX-512 the x264 inside PyAV 18.1 wrote 9 and 16 different files in 60 runs over the same 96x96 frames; with
    SSE2 one. It costs a quarter more encoding time at 340x256 (0.67 s instead of 0.54 s for 60 frames).
    """
    if codec != "libx264" or platform.machine() not in ("x86_64", "AMD64"):
        return options
    given = options.get("x264-params")
    return {**options, "x264-params": f"asm=SSE2:{given}" if given else "asm=SSE2"}


def _encode(
    path: Path,
    frames: Iterable[np.ndarray],
    shape: tuple[int, ...],
    fps: float | Fraction,
    codec: str,
    keyframe_interval: int,
    options: dict[str, str],
) -> None:
    """Writes checked frames of one ``shape`` [H, W, 3] to ``path``."""
    with av.open(str(path), "w") as container:
        # 1001 is the largest denominator of the usual rates (30000/1001).
        stream = container.add_stream(codec, rate=Fraction(fps).limit_denominator(1001), options=options)
        stream.height, stream.width, _ = shape
        stream.pix_fmt = "yuv420p"
        stream.codec_context.gop_size, stream.codec_context.thread_count = keyframe_interval, 1
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        container.mux(stream.encode(None))


def _checked(frames: Frames) -> Iterator[np.ndarray]:
    """The frames one by one, each uint8 ``[H, W, 3]`` of the first one's even size."""
    if isinstance(frames, torch.Tensor | np.ndarray) and frames.ndim != 4:
        raise InputError(f"frames must be uint8 [T, H, W, 3], got {list(frames.shape)}")
    size = None
    for frame in frames:
        picture = np.ascontiguousarray(frame)
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
            raise InputError(f"a frame must be uint8 [H, W, 3], got {picture.dtype} {list(picture.shape)}")
        height, width = size = size or picture.shape[:2]
        if picture.shape[:2] != size:
            raise InputError(f"all frames must be {height}x{width} as the first, got {list(picture.shape[:2])}")
        if height % 2 or width % 2 or not picture.size:
            raise InputError(f"height and width must be even for yuv420p, got {height}x{width}; crop or pad by a pixel")
        yield picture
