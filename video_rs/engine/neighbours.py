"""Weighted k-nearest-neighbour classification of a network's features: how good they are, with nothing trained.

Wu et al. 2018, "Unsupervised feature learning via non-parametric instance discrimination", section 3.4: cosine
similarity s, the k most similar videos of a labelled memory, each voting for its class with weight exp(s / 0.07).
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

TEMPERATURE = 0.07
# Rows of similarities at a time: with a memory of 240,000 videos they take 250 MB.
QUERIES_AT_ONCE = 256


@dataclass(frozen=True)
class VideoFeatures:
    """What the network makes of one video.

    Attributes:
        index: position in its list.
        features: float32 ``[D]`` of length 1 on the CPU, or None where the video could not be read.
        error: why it could not be read, or None.
    """

    index: int
    features: Tensor | None = None
    error: str | None = None


def unit_mean(views: Tensor) -> Tensor:
    """Return the mean of the features of a video's views, each brought to length 1, and of length 1 again.

    Args:
        views: float32 ``[V, D]``.

    Returns:
        float32 ``[D]``; zeros stay zeros.
    """
    return normalize(normalize(views, dim=1).mean(0), dim=0)


@torch.inference_mode()
def vote(
    queries: Tensor,
    query_ids: Tensor,
    memory: Tensor,
    memory_ids: Tensor,
    labels: Tensor,
    k: int,
    num_classes: int,
) -> Tensor:
    """Return class probabilities of each query: the weights of its k neighbours, summed by class, over their sum.

    Args:
        queries: float32 ``[Q, D]``, rows of length 1, on one device with all other tensors.
        query_ids: int64 ``[Q]``.
        memory: float32 ``[M, D]``, rows of length 1.
        memory_ids: int64 ``[M]``; a video of the memory has no vote on a query of the same id.
        labels: int64 ``[M]`` in [0, num_classes).
        k: 1 to the number of videos that have a vote on each query.
        num_classes: how many columns.

    Returns:
        float32 ``[Q, num_classes]`` in [0, 1], rows that sum to 1; 0 for a class of none of the k.
    """
    parts = []
    chunks = zip(queries.split(QUERIES_AT_ONCE), query_ids.split(QUERIES_AT_ONCE), strict=True)
    for chunk, ids in chunks:
        similarity = chunk @ memory.T
        similarity.masked_fill_(ids[:, None] == memory_ids, -torch.inf)
        nearest = similarity.topk(k, dim=1)

        # The softmax is exp(s / 0.07) over its sum.
        weights = (nearest.values / TEMPERATURE).softmax(1)
        votes = weights.new_zeros(len(chunk), num_classes)
        parts.append(votes.scatter_add_(1, labels[nearest.indices], weights))
    return torch.cat(parts)
