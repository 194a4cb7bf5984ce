"""Multi-view evaluation: a video's probabilities are the mean over its views. Testing and prediction both use this."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from video_rs.engine.metrics import VideoResult
from video_rs.engine.probabilities import ClassProbabilities
from video_rs.runtime import distributed

# uint8 clips [b, 3, T, h, w] on the CPU -> float clips on the model's device.
Prepare = Callable[[Tensor], Tensor]
# uint8 views [b, 3, T, h, w] on the CPU -> their probabilities, float32 [b, K].
Scorer = Callable[[Tensor], Tensor]
SOFTMAX = ClassProbabilities()


@dataclass(frozen=True)
class NetworkScorer:
    """A network as testing and prediction call it: views in, probabilities out.

    Attributes:
        model: clips -> logits.
        prepare: uint8 clips on the CPU -> float clips on the model's device.
        probabilities: logits -> probabilities.
    """

    model: nn.Module
    prepare: Prepare
    probabilities: ClassProbabilities = SOFTMAX

    def __call__(self, views: Tensor) -> Tensor:
        """Return the probabilities of uint8 views ``[b, 3, T, h, w]``, float32 ``[b, K]``."""
        # Batch norm has to take its stored statistics, wherever the network comes from.
        self.model.eval()
        return self.probabilities(self.model(self.prepare(views)))


class VideoScores(NamedTuple):
    """What the views of a video say, float32 on the CPU.

    Attributes:
        mean: ``[K]``, the mean of the probabilities of all views (not of their logits), as published.
        views: ``[V, K]``, those of each view, in the order of the views.
    """

    mean: Tensor
    views: Tensor


@torch.inference_mode()
def view_probabilities(scorer: Scorer, views: Iterable[Tensor]) -> VideoScores:
    """Return the probabilities of all views of a video, and their mean.

    Args:
        scorer: views -> probabilities.
        views: batches of uint8 ``[b, 3, T, h, w]``.
    """
    total: Tensor | None = None
    parts = []
    for batch in views:
        part = scorer(batch)
        summed = part.sum(0)
        total = summed if total is None else total + summed
        parts.append(part)

    every_view = torch.cat(parts)
    return VideoScores((total / len(every_view)).cpu(), every_view.cpu())


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


def evaluate(scorer: Scorer, videos: Iterable[Any], batch: int, keep_views: bool = False) -> Iterator[VideoResult]:
    """Yield the results of videos as they arrive.

    Args:
        scorer: views -> probabilities.
        videos: items as of :func:`evaluate_each` that also have ``index``, ``id``, ``video`` and ``labels``.
        batch: views at a time.
        keep_views: whether results hold the probabilities of each view, too.
    """
    for item in videos:
        known = VideoResult(item.index, item.video, item.labels, id=item.id)
        if item.error is not None:
            yield replace(known, error=item.error)
            continue
        scores = view_probabilities(scorer, item.views(batch))
        of_views = scores.views if keep_views else None
        yield replace(known, probabilities=scores.mean, views=len(scores.views), view_probabilities=of_views)


def gather_results(results: list[Any]) -> list[Any]:
    """Return the results of all processes (anything with an ``index``) in the order of the list, on every process."""
    everyone = [result for part in distributed.gather(results) for result in part]
    return sorted(everyone, key=lambda result: result.index)
