"""Multi-view evaluation: a video's probabilities are the mean over its views. Testing and prediction both use this."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from video_rs.engine.metrics import VideoResult
from video_rs.runtime import distributed

# uint8 clips [b, 3, T, h, w] on the CPU -> float clips on the model's device.
Prepare = Callable[[Tensor], Tensor]


@torch.inference_mode()
def view_probabilities(
    model: nn.Module, views: Iterable[Tensor], prepare: Prepare, multi_label: bool = False
) -> tuple[Tensor, int]:
    """Return the mean of the probabilities of all views (not of their logits), as published.

    Args:
        model: in evaluation mode; clips -> logits.
        views: batches of uint8 ``[b, 3, T, h, w]``.
        prepare: uint8 clips on the CPU -> float clips on the model's device.
        multi_label: a video may have several classes, each with a probability of its own: sigmoid instead of softmax.

    Returns:
        float32 ``[K]`` on the CPU, and the number of views.
    """
    total = None
    count = 0
    for batch in views:
        logits = model(prepare(batch)).float()
        probabilities = logits.sigmoid() if multi_label else logits.softmax(1)
        summed = probabilities.sum(0)
        total = summed if total is None else total + summed
        count += len(batch)
    return (total / count).cpu(), count


def evaluate_each(
    model: nn.Module,
    videos: Iterable[Any],
    prepare: Prepare,
    batch: int,
    compute: Callable[[nn.Module, Iterable[Tensor], Prepare], Any],
) -> Iterator[tuple[Any, Any]]:
    """Yield each video with what ``compute`` makes of it, as videos arrive; with None where it could not be read.

    Args:
        model: put into evaluation mode here.
        videos: items with ``error`` and ``views(batch)``, which gives batches of uint8 ``[b, 3, T, h, w]``.
        prepare: uint8 clips on the CPU -> float clips on the model's device.
        batch: views per forward pass.
        compute: called with the model, the views of a video and ``prepare``.
    """
    model.eval()
    for item in videos:
        if item.error is not None:
            yield item, None
        else:
            yield item, compute(model, item.views(batch), prepare)


def evaluate(
    model: nn.Module, videos: Iterable[Any], prepare: Prepare, batch: int, multi_label: bool = False
) -> Iterator[VideoResult]:
    """Yield the results of videos as they arrive.

    Args:
        model: put into evaluation mode here.
        videos: items as of :func:`evaluate_each` that also have ``index``, ``id``, ``video`` and ``labels``.
        prepare, multi_label: as in :func:`view_probabilities`.
        batch: views per forward pass.
    """
    compute = partial(view_probabilities, multi_label=multi_label)
    for item, scored in evaluate_each(model, videos, prepare, batch, compute):
        if scored is None:
            yield VideoResult(item.index, item.video, item.labels, error=item.error, id=item.id)
            continue
        probabilities, count = scored
        yield VideoResult(item.index, item.video, item.labels, probabilities, views=count, id=item.id)


def gather_results(results: list[Any]) -> list[Any]:
    """Return the results of all processes (anything with an ``index``) in the order of the list, on every process."""
    everyone = [result for part in distributed.gather(results) for result in part]
    return sorted(everyone, key=lambda result: result.index)
