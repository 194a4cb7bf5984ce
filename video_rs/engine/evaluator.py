"""Multi-view evaluation: a video's probabilities are the mean over its views. Testing and prediction both come here."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from video_rs.engine.metrics import VideoResult
from video_rs.runtime import distributed


@torch.inference_mode()
def view_probabilities(
    model: nn.Module, views: Iterable[Tensor], prepare: Callable[[Tensor], Tensor], multi_label: bool = False
) -> tuple[Tensor, int]:
    """Mean of the views' probabilities (not of their logits), as published.

    Args:
        model: in evaluation mode; clips -> logits.
        views: batches of uint8 ``[b, 3, T, h, w]``.
        prepare: uint8 clips on the CPU -> float clips on the model's device.
        multi_label: a video may have several classes, each with a probability of its own: sigmoid instead of softmax.

    Returns:
        float32 ``[K]`` on the CPU, and the number of views.
    """
    total, count = None, 0
    for batch in views:
        logits = model(prepare(batch)).float()
        probabilities = (logits.sigmoid() if multi_label else logits.softmax(1)).sum(0)
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
    model: nn.Module, videos: Iterable[Any], prepare: Callable[[Tensor], Tensor], batch: int, multi_label: bool = False
) -> Iterator[VideoResult]:
    """Results one by one, as their videos arrive.

    Args:
        model: put in evaluation mode here.
        videos: items with ``index``, ``id``, ``video``, ``labels``, ``error`` and ``views(batch) -> batches``.
        prepare, multi_label: as in :func:`view_probabilities`.
        batch: views per forward pass.
    """
    of = partial(view_probabilities, multi_label=multi_label)
    for item, scored in over_videos(model, videos, prepare, batch, of):
        if scored is None:
            yield VideoResult(item.index, item.video, item.labels, error=item.error, id=item.id)
            continue
        probabilities, count = scored
        yield VideoResult(item.index, item.video, item.labels, probabilities, views=count, id=item.id)


def gather_results(results: list[Any]) -> list[Any]:
    """All processes' results (anything with an ``index``) in the order of the list, on every process."""
    everyone = [r for part in distributed.gather(results) for r in part]
    return sorted(everyone, key=lambda result: result.index)
