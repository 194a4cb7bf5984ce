"""The vote of the nearest and the features that are compared, each written out again here."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from helpers.neighbours import literal_vote
from video_rs.engine.neighbours import QUERIES_AT_ONCE, unit_mean, vote


def test_the_vote_of_two_by_hand():
    query = torch.tensor([[1.0, 0.0]])
    memory = torch.tensor([[0.0, 1.0], [0.8, 0.6], [1.0, 0.0], [-1.0, 0.0]])
    labels = torch.tensor([0, 0, 2, 1])
    nobody, ids = torch.tensor([-1]), torch.arange(4)
    # The two nearest have similarities 1 (class 2) and 0.8 (class 0): 1 to exp(-0.2 / 0.07) = 0.0574.
    near = math.exp(-0.2 / 0.07)
    [answer] = vote(query, nobody, memory, ids, labels, 2, 4).tolist()
    assert answer == pytest.approx([near / (1 + near), 0, 1 / (1 + near), 0], rel=1e-6)
    assert answer[1] == answer[3] == 0
    # Two votes of one class are added: with three, class 0 has 0.8 and 0.
    far = math.exp(-1 / 0.07)
    [answer] = vote(query, nobody, memory, ids, labels, 3, 4).tolist()
    assert answer[0] == pytest.approx((near + far) / (1 + near + far), rel=1e-6)
    # Without a vote of its own, the nearest of one is the one of 0.8.
    assert vote(query, torch.tensor([2]), memory, ids, labels, 1, 4).tolist() == [[1, 0, 0, 0]]


@pytest.mark.parametrize("k", [1, 5, 37])
def test_the_vote_is_the_literal_one(k):
    """More queries than are compared at a time; ids 0 to 2 are in the memory, id 1 twice."""
    generator = torch.Generator().manual_seed(k)
    count = 2 * QUERIES_AT_ONCE + 3
    queries, memory = (nn.functional.normalize(torch.randn(n, 6, generator=generator), dim=1) for n in (count, 39))
    labels = torch.randint(0, 7, (39,), generator=generator)
    memory_ids = torch.tensor([0, 1, 1, 2, *range(1000, 1035)])
    query_ids = torch.arange(count).flip(0)
    got = vote(queries, query_ids, memory, memory_ids, labels, k, 7)
    assert got.dtype == torch.float32
    expected = []
    for query, i in zip(queries.double().numpy(), query_ids.tolist(), strict=True):
        others = zip(memory.double().numpy(), labels.tolist(), memory_ids.tolist(), strict=True)
        expected.append(literal_vote(query, [(v, label) for v, label, j in others if i != j], k, 7))
    # A rounding of 1e-7 in a similarity is divided by 0.07.
    np.testing.assert_allclose(got.numpy(), expected, rtol=0, atol=1e-5)


def test_features_of_several_views_are_the_unit_mean_of_their_units():
    got = unit_mean(torch.tensor([[3.0, 4.0], [0.0, 7.0], [0.0, 1.0]]))
    # Units (0.6, 0.8), (0, 1), (0, 1): their sum is (0.6, 2.8).
    assert got.tolist() == pytest.approx([0.6 / math.hypot(0.6, 2.8), 2.8 / math.hypot(0.6, 2.8)], rel=1e-6)
    assert unit_mean(torch.zeros(1, 2)).tolist() == [0, 0]
