"""The order of the training stream by enumeration: shares, resuming, several clips of a video, balanced classes."""

from collections import Counter
from functools import partial

import numpy as np
import pytest

from video_rs.data.order import ClipOrder, Partition, balanced, permutation
from video_rs.runtime.errors import InputError


def order(num_samples=10, batch=4, accumulation=1, rank=0, world=1, seed=0, first=0, last=20, clips=1):
    epoch_order = partial(permutation, seed=seed, num_samples=num_samples)
    return ClipOrder(epoch_order, num_samples, batch, accumulation, Partition(rank, world), first, last, clips)


def global_stream(world, accumulation, **settings):
    """(epoch, index) in the order of the whole run: step by step, micro-batch by micro-batch, process by process."""
    parts = [list(order(accumulation=accumulation, rank=r, world=world, **settings)) for r in range(world)]
    assert len({len(part) for part in parts}) == 1
    return [key for micro in zip(*parts, strict=True) for share in micro for key in share]


def test_permutation_literals():
    # Fixed: a run resumed under another version must go on in the same order.
    assert permutation(0, seed=0, num_samples=8) == [6, 0, 3, 1, 2, 5, 4, 7]
    assert permutation(1, seed=0, num_samples=8) == [0, 4, 7, 1, 2, 6, 5, 3]
    assert permutation(0, seed=1, num_samples=8) == [1, 3, 5, 4, 6, 0, 7, 2]
    assert permutation(3, seed=2026, num_samples=10) == [5, 7, 9, 6, 8, 2, 0, 3, 1, 4]
    assert permutation(0, seed=0, num_samples=1) == [0]


@pytest.mark.parametrize(("num_samples", "batch"), [(10, 4), (12, 4), (7, 1), (3, 8), (1, 4)])
def test_each_epoch_is_a_permutation(num_samples, batch):
    """Batches straddle epochs, so none is cut; a batch may be larger than the data set."""
    steps = 6 * num_samples  # whole epochs, whatever the batch
    stream = global_stream(1, 1, num_samples=num_samples, batch=batch, last=steps)
    assert len(stream) == steps * batch
    for position, (epoch, _) in enumerate(stream):
        assert epoch == position // num_samples
    for epoch in range(6 * batch):
        indices = [index for e, index in stream if e == epoch]
        assert indices == permutation(epoch, seed=0, num_samples=num_samples)
        assert sorted(indices) == list(range(num_samples))


@pytest.mark.parametrize("world", [1, 2, 4])
@pytest.mark.parametrize("accumulation", [1, 2])
@pytest.mark.parametrize("num_samples", [10, 3])
def test_any_division_of_the_batch_gives_the_same_stream(world, accumulation, num_samples):
    whole = global_stream(1, 1, num_samples=num_samples, batch=8, last=15)
    assert global_stream(world, accumulation, num_samples=num_samples, batch=8, last=15) == whole
    part = order(num_samples, 8, accumulation, rank=world - 1, world=world, last=15)
    assert len(part) == len(list(part)) == 15 * accumulation
    assert {len(keys) for keys in part} == {8 // world // accumulation}


def test_an_order_can_be_walked_twice():
    twice = order()
    assert list(twice) == list(twice)


@pytest.mark.parametrize(("world", "accumulation"), [(1, 1), (2, 1), (1, 2), (2, 2)])
def test_a_resumed_order_is_the_tail_of_the_whole(world, accumulation):
    for rank in range(world):
        whole = list(order(7, 4, accumulation, rank, world, last=12))
        for step in range(13):
            resumed = order(7, 4, accumulation, rank, world, first=step, last=12)
            assert list(resumed) == whole[step * accumulation :]
            assert len(resumed) == (12 - step) * accumulation


def test_seeds_and_epochs_differ():
    orders = [tuple(permutation(epoch, seed=seed, num_samples=50)) for seed in range(5) for epoch in range(5)]
    assert len(set(orders)) == 25
    assert list(order(seed=1)) != list(order(seed=2))


@pytest.mark.parametrize(
    ("batch", "world", "accumulation", "parts"),
    [
        (6, 4, 1, "4 processes x 1 accumulation step"),
        (6, 1, 4, "1 process x 4 accumulation steps"),
        (2, 2, 2, "2 processes x 2 accumulation steps"),
    ],
)
def test_a_batch_that_does_not_divide_is_refused(batch, world, accumulation, parts):
    with pytest.raises(InputError) as caught:
        order(10, batch, accumulation, 0, world)
    assert str(caught.value) == (f"TRAIN.BATCH_SIZE {batch} does not divide into {parts}; take a multiple of 4")


@pytest.mark.parametrize(("world", "accumulation"), [(1, 1), (2, 1), (1, 2), (2, 2)])
def test_several_clips_of_a_video_keep_the_stream_of_videos(world, accumulation):
    """A batch of 8 slots is 4 videos of 2 clips, whoever reads them."""
    settings = {"num_samples": 10, "last": 15}
    halved = global_stream(world, accumulation, batch=8, clips=2, **settings)
    assert halved == global_stream(1, 1, batch=4, **settings)
    assert (
        order(batch=8, clips=2, world=world, accumulation=accumulation).picks_per_micro_batch
        == 4 // world // accumulation
    )


def test_a_video_is_not_split_over_micro_batches():
    with pytest.raises(InputError) as caught:
        order(batch=12, world=2, accumulation=1, clips=4)
    assert str(caught.value) == (
        "TRAIN.BATCH_SIZE 12 does not divide into 2 processes x 1 accumulation step x 4 clips of a video; "
        "take a multiple of 8"
    )


LABELS = np.array([0] * 90 + [1] * 9 + [3])


def class_counts(picks):
    return Counter(LABELS[np.array(picks) % 100].tolist())


@pytest.mark.parametrize(
    ("balance", "counts"),
    [
        (0.0, {0: 90, 1: 9, 3: 1}),
        # sqrt(90) : 3 : 1 of 100 is 70.34 : 22.24 : 7.41
        (0.5, {0: 70, 1: 22, 3: 8}),
        # a third each, and the one that is left over to the first
        (1.0, {0: 34, 1: 33, 3: 33}),
    ],
)
def test_balance_gives_classes_their_shares(balance, counts):
    picks = balanced(3, seed=0, labels=LABELS, balance=balance)
    assert len(picks) == len(set(picks)) == 100
    assert class_counts(picks) == counts
    assert picks == balanced(3, seed=0, labels=LABELS, balance=balance)
    assert picks != balanced(4, seed=0, labels=LABELS, balance=balance)
    assert picks != balanced(3, seed=1, labels=LABELS, balance=balance)


def test_no_record_comes_again_before_all_of_its_class_have_come():
    picks = balanced(0, seed=0, labels=LABELS, balance=1.0)
    assert len({pick for pick in picks if LABELS[pick % 100] == 0}) == 34  # 34 of 90, each once
    times = Counter(pick % 100 for pick in picks)
    assert {times[i] for i in range(90, 99)} <= {3, 4}  # 33 over 9 records
    assert times[99] == 33
    # The k-th time of a record is another pick, so that it is another clip.
    assert sorted(pick // 100 for pick in picks if pick % 100 == 99) == list(range(33))


def test_classes_are_mixed_over_the_epoch():
    picks = balanced(0, seed=0, labels=LABELS, balance=1.0)
    for part in np.array_split(picks, 4):
        assert min(class_counts(part).values()) >= 3


@pytest.mark.parametrize("world", [1, 2, 4])
def test_balanced_classes_are_shared_out_like_any_order(world):
    def part(rank):
        epoch_order = partial(balanced, seed=0, labels=LABELS, balance=1.0)
        return ClipOrder(epoch_order, 100, 20, 1, Partition(rank, world), 0, 5)

    stream = [key for micro in zip(*map(part, range(world)), strict=True) for share in micro for key in share]
    assert stream == [(0, pick) for pick in balanced(0, seed=0, labels=LABELS, balance=1.0)]
