"""The distribution that fresh weights are drawn from."""

import math

import pytest
import torch
from torch import nn

from video_rs.models.convolution import truncated_normal


def normal_below(x):
    return (1 + math.erf(x / math.sqrt(2))) / 2


@pytest.mark.parametrize("std", [1.0, 0.01])
def test_truncated_normal_has_its_distribution(std):
    count = 1_000_000
    torch.manual_seed(0)
    drawn = torch.empty(count)
    truncated_normal(drawn, std)
    assert drawn.abs().max() <= 2 * std
    inside = normal_below(2) - normal_below(-2)
    points = [-1.99, -1.9, -1.5, -1.0, -0.5, -0.1, 0.0, 0.1, 0.5, 1.0, 1.5, 1.9, 1.99]
    for x in points:
        below = (normal_below(x) - normal_below(-2)) / inside
        # Kolmogorov: the largest distance exceeds 1.95 / sqrt(n) in one of 1000 samples.
        assert abs((drawn <= x * std).double().mean().item() - below) < 1.95 / count**0.5, x


def test_truncated_normal_reaches_its_bounds_and_never_beyond():
    for seed in range(20):
        torch.manual_seed(seed)
        for dtype in (torch.float32, torch.float64):
            drawn = torch.empty(100_000, dtype=dtype)
            truncated_normal(drawn, 0.5)
            assert 0.999 < drawn.abs().max() <= 1
            assert drawn.isfinite().all()


def test_truncated_normal_depends_on_the_seed_alone():
    def drawn(seed):
        torch.manual_seed(seed)
        weight = nn.Parameter(torch.empty(3, 4, 5))
        truncated_normal(weight, 1.0)
        return weight.detach()

    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))
