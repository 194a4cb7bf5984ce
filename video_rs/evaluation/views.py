"""What more views of a video buy."""

from collections.abc import Sequence

import numpy as np

DRAWS = 20


def accuracy_by_views(
    view_probabilities: Sequence[np.ndarray], truth: np.ndarray, draws: int = DRAWS, seed: int = 0
) -> dict[int, float]:
    """Return the accuracy with so many views of each video, taken at random from those that it has.

    Args:
        view_probabilities: of each video, float ``[V, K]``, the same V for all.
        truth: bool ``[N, K]``.
        draws: over how many choices of the views the accuracies are averaged; one choice is that of all videos.
        seed: of the choices.

    Returns:
        Number of views, from 1 to V by doubling and V itself -> accuracy in [0, 1].
    """
    views = np.stack(view_probabilities, axis=1)
    total = len(views)
    counts = sorted({*(2**power for power in range(total.bit_length()) if 2**power <= total), total})

    generator = np.random.default_rng(seed)
    found = dict.fromkeys(counts, 0.0)
    for _ in range(draws):
        summed = np.zeros_like(views[0])
        for count, view in enumerate(generator.permutation(total), start=1):
            summed += views[view]
            if count in found:
                right = truth[np.arange(len(truth)), summed.argmax(1)]
                found[count] += float(right.mean()) / draws
    return found
