"""Multi-view evaluation: the mean softmax over all views of a video. Testing and prediction both come through here."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from video_rs.engine import distributed
from video_rs.engine.metrics import VideoResult


@torch.inference_mode()
def view_probabilities(
    model: nn.Module, views: Iterable[Tensor], prepare: Callable[[Tensor], Tensor]
) -> tuple[Tensor, int]:
    """Mean of the views' softmax probabilities (not of their logits), as published.

    Args:
        model: in evaluation mode; clips -> logits.
        views: batches of uint8 ``[b, 3, T, h, w]``.
        prepare: uint8 clips on the CPU -> float clips on the model's device.

    Returns:
        float32 ``[K]`` on the CPU, and the number of views.
    """
    total, count = None, 0
    for batch in views:
        probabilities = model(prepare(batch)).float().softmax(1).sum(0)
        total = probabilities if total is None else total + probabilities
        count += len(batch)
    return (total / count).cpu(), count


def over_videos(
    model: nn.Module,
    videos: Iterable[Any],
    prepare: Callable[[Tensor], Tensor],
    batch: int,
    of: Callable[[nn.Module, Iterable[Tensor], Callable[[Tensor], Tensor]], Any],
) -> Iterator[tuple[Any, Any]]:
    """Each video with ``of(model, its views, prepare)``, or with None where it could not be read, as they arrive.

    Arguments as for :func:`evaluate`; ``of`` is called in evaluation mode.
    """
    model.eval()
    for item in videos:
        yield item, None if item.error is not None else of(model, item.views(batch), prepare)


def evaluate(
    model: nn.Module, videos: Iterable[Any], prepare: Callable[[Tensor], Tensor], batch: int
) -> Iterator[VideoResult]:
    """Results one by one, as their videos arrive.

    Args:
        model: put in evaluation mode here.
        videos: items with ``index``, ``id``, ``video``, ``label``, ``error`` and ``views(batch) -> batches``.
        prepare: as in :func:`view_probabilities`.
        batch: views per forward pass.
    """
    for item, scored in over_videos(model, videos, prepare, batch, view_probabilities):
        if scored is None:
            yield VideoResult(item.index, item.video, item.label, error=item.error, id=item.id)
            continue
        probabilities, count = scored
        yield VideoResult(item.index, item.video, item.label, probabilities, views=count, id=item.id)


def gather_results(results: list[Any]) -> list[Any]:
    """All processes' results (anything with an ``index``) in the order of the list, on every process."""
    everyone = [r for part in distributed.gather(results) for r in part]
    return sorted(everyone, key=lambda result: result.index)
