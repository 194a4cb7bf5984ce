"""Two clips of one video, for learning without labels: what they share is what a network is to find."""

from dataclasses import dataclass

import torch
from torch import Tensor

from video_rs.data.dataset import ClipReader
from video_rs.video.segments import Span

# Two clips are a pair, of which each is the other one's partner.
CLIPS_OF_A_PAIR = 2


@dataclass(frozen=True, kw_only=True)
class PairReader(ClipReader):
    """From a record to two training clips, near to each other more often than far apart.

    Both are decoded together, and each has its own draw of everything else: box, mirroring and augmentations.

    Attributes:
        power: how late the probability of a distance falls (:func:`video_rs.data.sampling.random_pair`).
        clips: two.
    """

    power: float

    def __post_init__(self):
        assert self.clips == CLIPS_OF_A_PAIR

    def draw(self, span: Span, generator: torch.Generator) -> list[Tensor]:
        """Return which frames make both clips, int64 ``[T]`` each."""
        return list(self.clip.random_pair(span, self.power, generator))
