"""The order of two lists in one stream, by enumeration: whose slots are whose, shares, resuming, epochs of each."""

from collections import Counter
from functools import partial

import numpy as np
import pytest

from video_rs.data.order import SECOND_ORDER, ClipOrder, JoinedOrder, Partition, SecondList, balanced, permutation
from video_rs.runtime.errors import InputError

FIRST, SECOND = 10, 7


def joined(batch=8, per_step=3, accumulation=1, rank=0, world=1, seed=0, first=0, last=20, clips=1, epoch_order=None):
    of_second = partial(permutation, seed=seed, num_samples=SECOND, stream=SECOND_ORDER)
    return JoinedOrder(
        SecondList(of_second, SECOND, per_step),
        epoch_order=epoch_order or partial(permutation, seed=seed, num_samples=FIRST),
        num_samples=FIRST,
        batch_size=batch,
        accumulation=accumulation,
        partition=Partition(rank, world),
        first_step=first,
        last_step=last,
        clips_per_video=clips,
    )


def global_stream(world, accumulation, **settings):
    """(epoch, pick) in the order of the whole run: step by step, micro-batch by micro-batch, process by process."""
    parts = [list(joined(accumulation=accumulation, rank=r, world=world, **settings)) for r in range(world)]
    return [key for micro in zip(*parts, strict=True) for share in micro for key in share]


def is_second(key):
    return key[1] % (FIRST + SECOND) >= FIRST


def endless(order, **settings):
    """All keys of one list, epoch after epoch."""
    epoch = 0
    while True:
        for pick in order(epoch, **settings):
            yield epoch, pick
        epoch += 1


def test_the_stream_equals_two_queues_that_take_turns():
    """Of 8 slots, the third, sixth and eighth are where three eighths come to another whole one."""
    firsts = endless(permutation, seed=0, num_samples=FIRST)
    seconds = endless(permutation, seed=0, num_samples=SECOND, stream=SECOND_ORDER)
    expected = []
    for _ in range(20):
        for slot in range(8):
            if slot in (2, 5, 7):
                epoch, pick = next(seconds)
                expected.append((epoch, FIRST + pick))
            else:
                expected.append(next(firsts))
    assert global_stream(1, 1) == expected


def test_literals():
    # Fixed: a run resumed under another version must go on in the same order.
    assert permutation(0, seed=0, num_samples=8, stream=SECOND_ORDER) == [0, 3, 7, 2, 4, 5, 1, 6]
    assert list(joined(batch=4, per_step=2, last=2)) == [
        [(0, 4), (0, 15), (0, 3), (0, 14)],
        [(0, 7), (0, 10), (0, 2), (0, 13)],
    ]


@pytest.mark.parametrize("world", [1, 2, 4])
@pytest.mark.parametrize("accumulation", [1, 2])
@pytest.mark.parametrize("per_step", [1, 3, 4, 7])
def test_any_division_of_the_batch_gives_the_same_stream(world, accumulation, per_step):
    whole = global_stream(1, 1, per_step=per_step)
    assert global_stream(world, accumulation, per_step=per_step) == whole
    for step in range(20):
        keys = whole[8 * step : 8 * step + 8]
        assert sum(map(is_second, keys)) == per_step

    # Each part of a step has its share, to one.
    share = per_step / world / accumulation
    for rank in range(world):
        for keys in joined(per_step=per_step, accumulation=accumulation, rank=rank, world=world):
            assert len(keys) == 8 // world // accumulation
            assert abs(sum(map(is_second, keys)) - share) < 1


@pytest.mark.parametrize(("world", "accumulation"), [(1, 1), (2, 1), (1, 2), (2, 2)])
def test_a_resumed_order_is_the_tail_of_the_whole(world, accumulation):
    for rank in range(world):
        whole = list(joined(accumulation=accumulation, rank=rank, world=world, last=12))
        for step in range(13):
            resumed = joined(accumulation=accumulation, rank=rank, world=world, first=step, last=12)
            assert list(resumed) == whole[step * accumulation :]
            assert len(resumed) == (12 - step) * accumulation


def test_an_order_can_be_walked_twice_and_by_two_at_once():
    order = joined()
    assert list(order) == list(order)
    assert all(a == b for a, b in zip(order, order, strict=True))


def test_each_list_has_its_own_epochs():
    stream = global_stream(1, 1, last=70)  # 350 of the first list, 210 of the second: whole epochs of both
    for of_second, count, epochs in ((False, FIRST, 35), (True, SECOND, 30)):
        keys = [key for key in stream if is_second(key) == of_second]
        records = Counter((epoch, pick % (FIRST + SECOND)) for epoch, pick in keys)
        first = FIRST if of_second else 0
        assert records == Counter((e, first + i) for e in range(epochs) for i in range(count))


def test_the_first_list_is_read_as_without_the_second():
    """The same clips in the same order: a clip is a function of epoch and pick."""
    alone = ClipOrder(partial(permutation, seed=0, num_samples=FIRST), FIRST, 5, 1, Partition(), 0, 20)
    assert [key for key in global_stream(1, 1) if not is_second(key)] == [key for keys in alone for key in keys]


def test_lists_of_one_length_are_not_in_one_order():
    orders = [
        permutation(epoch, seed=0, num_samples=50, stream=stream) for epoch in range(3) for stream in (-1, SECOND_ORDER)
    ]
    assert len({tuple(order) for order in orders}) == 6
    assert global_stream(1, 1, seed=1) != global_stream(1, 1)


def test_a_record_that_comes_again_in_its_epoch_is_another_pick():
    labels = np.array([0] * 9 + [1])
    order = partial(balanced, seed=0, labels=labels, balance=1.0)
    stream = global_stream(1, 1, epoch_order=order, last=2)
    own = [key for key in stream if not is_second(key)]
    expected = [(0, pick % FIRST + pick // FIRST * (FIRST + SECOND)) for pick in order(0)]
    assert own == expected
    assert len(set(own)) == 10
    assert Counter(pick % (FIRST + SECOND) for _, pick in own)[9] == 5


@pytest.mark.parametrize(("world", "accumulation"), [(1, 1), (2, 1), (1, 2), (2, 2)])
def test_several_clips_of_a_video_keep_the_stream_of_videos(world, accumulation):
    """A batch of 16 slots is 8 videos of 2 clips."""
    assert global_stream(world, accumulation, batch=16, clips=2) == global_stream(1, 1)


def test_a_batch_that_does_not_divide_is_refused():
    with pytest.raises(InputError) as caught:
        joined(batch=6, per_step=3, world=4)
    assert str(caught.value) == (
        "TRAIN.BATCH_SIZE 6 does not divide into 4 processes x 1 accumulation step; take a multiple of 4"
    )
