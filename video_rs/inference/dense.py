"""One pass over a whole video: overlapping clips share their work, as the network is convolutional throughout."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from video_rs.data.whole_video import WholeVideo
from video_rs.engine.evaluation import NetworkScorer, Unread, VideoScorer, VideoScores
from video_rs.models.temporal_reach import TemporalReach, temporal_reach
from video_rs.video import DecodeError

PART_CLIPS = 4
"""Training clips whose frames a part has, or as many times what a cell sees, where that is more: a part shares
half of itself at most. Squeeze-and-excitation and gating take their means over a part."""


class Part(NamedTuple):
    """Frames that pass through the network together.

    Attributes:
        first, last: of the frames, the latter excluded.
        begin, end: which cells of their map are of this part alone; those before and behind are of its neighbours.
    """

    first: int
    last: int
    begin: int
    end: int


class DenseScorer(VideoScorer):
    """Answers for a video by one pass over it.

    The last map is pooled over space, and over each window of as much time as a training clip has, one cell after the
    other; the probabilities of a video are the mean over the windows. Parts of a long video share as many frames as a
    cell sees, so that what comes out is what a pass over all of it would give: exactly, in a network without
    squeeze-and-excitation and gating.

    Args:
        network: to answer with.
        clip_frames: of a training clip.
    """

    def __init__(self, network: NetworkScorer, clip_frames: int):
        self.network = network
        self.reach = temporal_reach(network.model.backbone.architecture)
        self.clip_frames = clip_frames

    def score(self, video: WholeVideo) -> VideoScores | Unread:
        """Return the probabilities of a video, and of each of its windows."""
        try:
            cells = torch.cat(list(self.cells(video)), dim=1)  # [C, T']
        except DecodeError as error:
            return Unread(error.reason)

        window = min(-(-self.clip_frames // self.reach.stride), cells.shape[1])
        pooled = functional.avg_pool1d(cells[None], window, stride=1)[0].T  # [W, C]
        logits = self.network.model.forward_head(pooled[:, :, None, None, None])
        probabilities = self.network.probabilities(logits).cpu()
        return VideoScores(probabilities.mean(0), probabilities)

    def cells(self, video: WholeVideo) -> Iterator[Tensor]:
        """Yield the last map of a video, pooled over space, part by part: float ``[C, t]``.

        Raises:
            DecodeError: the video cannot be read.
        """
        model = self.network.model.eval()
        plan = parts_of(len(video.numbers), frames_of_a_part(self.clip_frames, self.reach), self.reach)
        bounds = [(part.first, part.last) for part in plan]
        for part, frames in zip(plan, video.parts(bounds), strict=True):
            features = model.forward_features(self.network.prepare(frames[None]))
            yield features.mean((3, 4))[0, :, part.begin : part.end]


def frames_of_a_part(clip_frames: int, reach: TemporalReach) -> int:
    """Return how many frames of a long video pass through a network together, at most."""
    return PART_CLIPS * max(clip_frames, reach.before + reach.after)


def parts_of(frames: int, part_frames: int, reach: TemporalReach) -> list[Part]:
    """Return parts of a video of so many frames, which begin and end at multiples of the network's stride.

    Frames behind the last such multiple are left out, unless all frames are one part.

    Args:
        frames: of the video.
        part_frames: of a part, at most, where that is more than what its ends share with its neighbours.
        reach: of the network.
    """
    if frames <= part_frames:
        return [Part(0, frames, 0, -(-frames // reach.stride))]

    cells = frames // reach.stride
    before = -(-reach.before // reach.stride)
    after = -(-reach.after // reach.stride)
    # A part of nothing but what it shares would not get on.
    own = max(part_frames // reach.stride - before - after, before + after, 1)
    parts = []
    for begin in range(0, cells, own):
        end = min(begin + own, cells)
        first = max(begin - before, 0)
        last = min(end + after, cells)
        parts.append(Part(first * reach.stride, last * reach.stride, begin - first, end - first))
    return parts
