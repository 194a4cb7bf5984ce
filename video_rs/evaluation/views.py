"""What more views of a video buy."""

from collections.abc import Sequence

import numpy as np

DRAWS = 50


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
    views = np.stack(view_probabilities).astype(np.float64)
    total = views.shape[1]
    counts = sorted({*(2**power for power in range(total.bit_length()) if 2**power <= total), total})

    generator = np.random.default_rng(seed)
    found = dict.fromkeys(counts, 0.0)
    for _ in range(draws):
        order = generator.permutation(total)
        sums = views[:, order].cumsum(1)
        for count in counts:
            best = sums[:, count - 1].argmax(1)
            found[count] += float(truth[np.arange(len(truth)), best].mean()) / draws
    return found
