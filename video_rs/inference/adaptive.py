"""Views of a video until its answer is decided."""

from itertools import pairwise

import torch

from video_rs.data.dataset import VideoViews
from video_rs.engine.evaluation import Scorer, Unread, VideoScorer, VideoScores
from video_rs.engine.stopping import decidedness, looks, spread_out


class AdaptiveScorer(VideoScorer):
    """Answers for a video by as many of its views as it takes.

    Args:
        scorer: views -> probabilities.
        stop_at: the decidedness (:func:`video_rs.engine.stopping.decidedness`) at which no more views are taken.
        batch: views at a time.
    """

    def __init__(self, scorer: Scorer, stop_at: float, batch: int):
        self.scorer = scorer
        self.stop_at = stop_at
        self.batch = batch

    def score(self, video: VideoViews) -> VideoScores | Unread:
        """Return the probabilities of a video, and of each of the views that were taken."""
        total = video.num_views
        order = spread_out(len(video.clips), total // len(video.clips))
        taken = []
        for done, count in pairwise([0, *looks(total)]):
            taken += [self.scorer(views) for views in video.some_views(order[done:count], self.batch)]
            views = torch.cat(taken)
            mean = views.mean(0)
            if decidedness(mean, count, total) >= self.stop_at:
                break
        return VideoScores(mean.cpu(), views.cpu())
