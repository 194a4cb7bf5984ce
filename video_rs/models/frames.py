"""Clips seen as a batch of images: what acts within frames may run by PyTorch's 2D operators."""

from torch import Tensor


def as_images(clips: Tensor) -> Tensor:
    """Return the frames of all clips as one batch: ``[B, C, T, H, W] -> [B*T, C, H, W]``.

    The result is a view where the clips lie in channels-last memory format, and a copy elsewhere.
    """
    return clips.transpose(1, 2).flatten(0, 1)


def as_clips(images: Tensor, like: Tensor) -> Tensor:
    """Return the inverse of :func:`as_images`: ``[B*T, C, H, W] -> [B, C, T, H, W]``.

    Args:
        images: ``[B*T, C, H, W]``.
        like: a map ``[B, ?, T, ?, ?]`` with as many clips and frames.
    """
    batch, _, frames, _, _ = like.shape
    return images.unflatten(0, (batch, frames)).transpose(1, 2)
