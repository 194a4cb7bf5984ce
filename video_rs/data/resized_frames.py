"""Frames of a video in the size of its test views, whatever the size of the video."""

from collections.abc import Iterator

import torch
from torch import Tensor

from video_rs.data.eval_transform import EvalTransform
from video_rs.video import VideoReader

# Bytes of frames decoded at a time: bounds the memory of a long or large video before it is resized.
CHUNK_BYTES = 2**28


def resized_frames(reader: VideoReader, numbers: Tensor, transform: EvalTransform) -> Tensor:
    """Return frames of an open video, resized: uint8 ``[3, N, h, w]``.

    Args:
        reader: of the video.
        numbers: of the frames, int64 ``[N]``, ascending, each once.
        transform: resizes them.
    """
    chunks = [transform.resize(chunk) for chunk in decoded_chunks(reader, numbers)]
    # Most videos are a single chunk, which need not be copied.
    return chunks[0] if len(chunks) == 1 else torch.cat(chunks, dim=1)


def decoded_chunks(reader: VideoReader, needed: Tensor) -> Iterator[Tensor]:
    """Yield the frames at ``needed``, uint8 ``[N, H, W, 3]``, at most :data:`CHUNK_BYTES` of them at a time."""
    frame_bytes = reader.height * reader.width * 3
    at_once = max(1, CHUNK_BYTES // frame_bytes)
    for part in needed.split(at_once):
        yield reader.frames(part)
