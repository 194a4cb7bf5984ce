"""Multi-view evaluation: a video's probabilities are the mean over its views. Testing and prediction both use this."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
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
        run: what answers in the model's place, such as a faster engine: float clips -> logits; None: the model does.
    """

    model: nn.Module
    prepare: Prepare
    probabilities: ClassProbabilities = SOFTMAX
    run: Callable[[Tensor], Tensor] | None = None

    def __call__(self, views: Tensor) -> Tensor:
        """Return the probabilities of uint8 views ``[b, 3, T, h, w]``, float32 ``[b, K]``."""
        clips = self.prepare(views)
        if self.run is not None:
            return self.probabilities(self.run(clips))
        # Batch norm has to take its stored statistics, wherever the network comes from.
        self.model.eval()
        return self.probabilities(self.model(clips))


class VideoScores(NamedTuple):
    """What the views of a video say, float32 on the CPU.

    Attributes:
        mean: ``[K]``, the mean of the probabilities of all views (not of their logits), as published.
        views: ``[V, K]``, those of each view, in the order of the views.
    """

    mean: Tensor
    views: Tensor


class Unread(NamedTuple):
    """What stands for the scores of a video that could not be read to its end.

    Attributes:
        reason: why.
    """

    reason: str


class VideoScorer(ABC):
    """What answers for a video in another way than by the mean over all of its views."""

    @abstractmethod
    def score(self, video: Any) -> VideoScores | Unread:
        """Return what a video says that could be opened."""


@torch.inference_mode()
def view_probabilities(scorer: Scorer, views: Iterable[Tensor]) -> VideoScores:
    """Return the probabilities of all views of a video, and their mean.

    Args:
        scorer: views -> probabilities.
        views: batches of uint8 ``[b, 3, T, h, w]``.
    """
    return _mean_of([scorer(batch) for batch in views])


@torch.inference_mode()
def _mean_of(parts: Sequence[Tensor]) -> VideoScores:
    """Return the scores of a video from the probabilities of its views, batches of float32 ``[b, K]``."""
    total = sum(part.sum(0) for part in parts)
    views = torch.cat(list(parts))
    return VideoScores((total / len(views)).cpu(), views.cpu())


def evaluate(
    scorer: Scorer | VideoScorer, videos: Iterable[Any], batch: int, keep_views: bool = False
) -> Iterator[VideoResult]:
    """Yield the results of videos as they arrive.

    Args:
        scorer: views -> probabilities, or what answers for whole videos.
        videos: items as of :func:`outputs_of_videos`, or as the scorer takes them, that also have ``index``, ``id``,
            ``video`` and ``labels``.
        batch: views at a time.
        keep_views: whether results hold the probabilities of each view, too.
    """
    for item, scores in _scores_of_videos(scorer, videos, batch):
        result = VideoResult(item.index, item.video, item.labels, error=item.error, id=item.id)
        if isinstance(scores, Unread):
            result = replace(result, error=scores.reason)
        elif scores is not None:
            kept = scores.views if keep_views else None
            result = replace(result, probabilities=scores.mean, views=len(scores.views), view_probabilities=kept)
        yield result


def _scores_of_videos(
    scorer: Scorer | VideoScorer, videos: Iterable[Any], batch: int
) -> Iterator[tuple[Any, VideoScores | Unread | None]]:
    """Yield each video with its scores, in order; with None where it could not be opened."""
    if isinstance(scorer, VideoScorer):
        for item in videos:
            yield item, None if item.error is not None else _score(scorer, item)
        return
    for item, parts in outputs_of_videos(scorer, videos, batch):
        yield item, None if parts is None else _mean_of(parts)


@torch.inference_mode()
def _score(scorer: VideoScorer, item: Any) -> VideoScores | Unread:
    """Return the scores of one video."""
    return scorer.score(item)


def outputs_of_videos(
    compute: Callable[[Tensor], Tensor], videos: Iterable[Any], batch: int
) -> Iterator[tuple[Any, list[Tensor] | None]]:
    """Yield each video with what is computed of its views, in order; with None where it could not be read.

    Videos of few views of one size share a forward pass; one whose views fill a batch has its own.

    Args:
        compute: uint8 views ``[b, 3, T, h, w]`` on the CPU -> ``[b, D]``.
        videos: items with ``error``, ``num_views``, ``view_size`` and ``views(batch)``, which gives batches of views.
        batch: views at a time.

    Yields:
        An item, and batches of ``[b, D]`` in the order of its views.
    """
    for together in _packed(videos, batch):
        readable = [item for item in together if item.error is None]
        outputs = iter(_outputs_together(compute, readable, batch))
        for item in together:
            yield item, None if item.error is not None else next(outputs)


@torch.inference_mode()
def _outputs_together(compute: Callable[[Tensor], Tensor], videos: Sequence[Any], batch: int) -> list[list[Tensor]]:
    """Return what is computed of one video of any number of views, or of several whose views are one batch."""
    if len(videos) == 1:
        return [[compute(views) for views in videos[0].views(batch)]]
    if not videos:
        return []

    # The views of all videos are copied together once, not first those of each video.
    views = [part for item in videos for part in item.views(batch)]
    outputs = compute(torch.cat(views)).split([item.num_views for item in videos])
    return [[part] for part in outputs]


def _packed(videos: Iterable[Any], batch: int) -> Iterator[list[Any]]:
    """Yield consecutive videos whose views fit into a batch together; a video of more views comes alone."""
    together: list[Any] = []
    views = 0
    size = None
    for item in videos:
        count = 0 if item.error is not None else item.num_views
        other_size = item.error is None and size not in (None, item.view_size)
        if together and (views + count > batch or other_size):
            yield together
            together = []
            views = 0
            size = None
        together.append(item)
        views += count
        if item.error is None:
            size = item.view_size
        # A full batch does not wait for the next video to be read.
        if views >= batch:
            yield together
            together = []
            views = 0
            size = None
    if together:
        yield together


def gather_results(results: list[Any]) -> list[Any]:
    """Return the results of all processes (anything with an ``index``) in the order of the list, on every process."""
    everyone = [result for part in distributed.gather(results) for result in part]
    return sorted(everyone, key=lambda result: result.index)
