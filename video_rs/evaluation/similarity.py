"""An order of classes in which those that are taken for each other stand together."""

import numpy as np
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform


def similarity_order(counts: np.ndarray) -> list[int]:
    """Return the classes of a confusion matrix, similar ones beside each other.

    Two classes are as similar as the larger share of one that is taken for the other; they are joined by average
    linkage, and the leaves of the tree are ordered so that neighbours are most similar (Bar-Joseph et al. 2001).

    Args:
        counts: int ``[K, K]``, rows true classes, columns predicted ones.

    Returns:
        The class at each place, all K of them.
    """
    if len(counts) < 3:
        return list(range(len(counts)))
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    similarity = np.maximum(shares, shares.T)
    distance = 1 - similarity
    np.fill_diagonal(distance, 0)
    tree = hierarchy.linkage(squareform(distance, checks=False), "average", optimal_ordering=True)
    return [int(leaf) for leaf in hierarchy.leaves_list(tree)]
