"""The probabilities of windows, computed in batches as a test computes those of views."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from video_rs.data.eval_transform import EvalTransform
from video_rs.engine.evaluation import Scorer
from video_rs.inference.predictor import Predictor
from video_rs.inference.timeline.windows import Window

Clip = tuple[Window, Tensor | None]
"""A window, and its clip uint8 ``[3, T, h, w]``, or None where that could not be read."""
Scored = tuple[Window, np.ndarray | None]
"""A window, and its probabilities float32 ``[K]``, or None where there is no clip."""


@dataclass(frozen=True)
class WindowScorer:
    """Gives windows their probabilities: the mean over their crops, as a test of one clip a video does.

    Attributes:
        scorer: views -> probabilities.
        transform: makes the crops.
        batch: clips at a time.
    """

    scorer: Scorer
    transform: EvalTransform
    batch: int

    @classmethod
    def of(cls, predictor: Predictor, crops: int = 1) -> "WindowScorer":
        """Return the scorer of a predictor, for 1 or 3 crops of each window."""
        transform = replace(predictor.preprocessing.transform, num_crops=crops)
        return cls(predictor.scorer, transform, max(1, predictor.batch // crops))

    def score(self, clips: Iterable[Clip]) -> Iterator[Scored]:
        """Yield each window with its probabilities."""
        waiting: list[Clip] = []
        readable = 0
        for window, clip in clips:
            waiting.append((window, clip))
            if clip is not None:
                readable += 1

            # Windows without a clip wait with the others, so that all come in their order.
            if readable == self.batch:
                yield from self._scored(waiting)
                waiting = []
                readable = 0

        yield from self._scored(waiting)

    def _scored(self, waiting: list[Clip]) -> Iterator[Scored]:
        """Yield windows with their probabilities, all computed in one pass."""
        clips = [clip for _, clip in waiting if clip is not None]
        rows = iter(())
        if clips:
            rows = iter(self.probabilities(clips))

        for window, clip in waiting:
            if clip is None:
                yield window, None
            else:
                yield window, next(rows)

    @torch.inference_mode()
    def probabilities(self, clips: list[Tensor]) -> np.ndarray:
        """Return the probabilities of clips uint8 ``[3, T, h, w]``: float32 ``[B, K]``."""
        views = []
        for clip in clips:
            views += self.transform.crops(clip)

        of_views = self.scorer(torch.stack(views))
        return of_views.unflatten(0, (len(clips), -1)).mean(1).cpu().numpy()
