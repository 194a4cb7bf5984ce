"""The vote of the nearest, written out once more."""

import math

import numpy as np


def literal_vote(query, memory, k, num_classes):
    """Section 3.4 of Wu et al. 2018 in plain loops; ``memory`` has (vector, label) pairs."""
    nearest = sorted(memory, key=lambda item: -float(np.dot(query, item[0])))[:k]
    scores = [0.0] * num_classes
    for vector, label in nearest:
        scores[label] += math.exp(float(np.dot(query, vector)) / 0.07)
    return [score / sum(scores) for score in scores]
