"""The order of the training stream by enumeration, collation, and equal batches for any number of workers."""

import random
from collections import Counter

import numpy as np
import pytest
import torch

from video_rs.data.dataset import ClipDataset, ClipSample, VideoViews, ViewDataset
from video_rs.data.loader import ClipOrder, Share, Stack, permutation, train_loader, view_loader
from video_rs.data.preprocessing import ClipSpec, Preprocessing
from video_rs.data.records import VideoRecord
from video_rs.data.transforms import EvalTransform, TrainTransform
from video_rs.errors import InputError


def order(num_samples=10, batch=4, accumulation=1, rank=0, world=1, seed=0, first=0, last=20):
    return ClipOrder(num_samples, batch, accumulation, Share(rank, world), seed, first, last)


def global_stream(world, accumulation, **settings):
    """(epoch, index) in the order of the whole run: step by step, micro-batch by micro-batch, process by process."""
    parts = [list(order(accumulation=accumulation, rank=r, world=world, **settings)) for r in range(world)]
    assert len({len(part) for part in parts}) == 1
    return [key for micro in zip(*parts, strict=True) for share in micro for key in share]


def test_permutation_literals():
    # Fixed: a run resumed under another version must go on in the same order.
    assert permutation(0, 0, 8) == [6, 0, 3, 1, 2, 5, 4, 7]
    assert permutation(0, 1, 8) == [0, 4, 7, 1, 2, 6, 5, 3]
    assert permutation(1, 0, 8) == [1, 3, 5, 4, 6, 0, 7, 2]
    assert permutation(2026, 3, 10) == [5, 7, 9, 6, 8, 2, 0, 3, 1, 4]
    assert permutation(0, 0, 1) == [0]


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
        assert indices == permutation(0, epoch, num_samples)
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
    orders = [tuple(permutation(seed, epoch, 50)) for seed in range(5) for epoch in range(5)]
    assert len(set(orders)) == 25
    assert list(order(seed=1)) != list(order(seed=2))


@pytest.mark.parametrize(("batch", "world", "accumulation", "multiple"), [(6, 4, 1, 4), (6, 1, 4, 4), (2, 2, 2, 4)])
def test_a_batch_that_does_not_divide_is_refused(batch, world, accumulation, multiple):
    with pytest.raises(InputError) as caught:
        order(10, batch, accumulation, 0, world)
    assert str(caught.value) == (
        f"TRAIN.BATCH_SIZE {batch} does not divide into {world} processes x {accumulation} accumulation steps; "
        f"take a multiple of {multiple}"
    )


def sample(value, label):
    return ClipSample(torch.full((3, 2, 4, 4), value, dtype=torch.uint8), label, f"{value}.mp4")


def test_stack_keeps_the_valid_slots_in_order():
    batch = Stack((3, 2, 4, 4))([sample(7, 1), ClipSample(None, 5, "bad.mp4", "truncated"), sample(9, 0)])
    assert batch.clips.shape == (2, 3, 2, 4, 4)
    assert batch.clips.dtype == torch.uint8
    assert batch.clips[:, 0, 0, 0, 0].tolist() == [7, 9]
    assert batch.labels.dtype == torch.int64
    assert batch.labels.tolist() == [1, 0]
    assert batch.size == 3
    assert batch.failures == [("bad.mp4", "truncated")]


def test_stack_without_a_valid_slot():
    failed = [ClipSample(None, i, f"{i}.mp4", "gone") for i in range(2)]
    batch = Stack((3, 2, 4, 4))(failed)
    assert batch.clips.shape == (0, 3, 2, 4, 4)
    assert batch.clips.dtype == torch.uint8
    assert batch.labels.shape == (0,)
    assert batch.labels.dtype == torch.int64
    assert (batch.size, batch.failures) == (2, [("0.mp4", "gone"), ("1.mp4", "gone")])


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """Five real H.264 files of 14 frames and one that is not a video, in the middle of the list."""
    from video_rs.data.encoding import write_video

    folder = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(0)
    paths = [folder / f"{i}.mp4" for i in range(6)]
    for i, path in enumerate(paths):
        coarse = rng.integers(0, 256, (14, 6, 8, 3), dtype=np.uint8)
        write_video(path, coarse.repeat(8, axis=1).repeat(8, axis=2), fps=10)
        if i == 2:
            path.write_bytes(b"not a video at all" * 10)
    return [VideoRecord(str(path), (i % 3,), None, None, path.name) for i, path in enumerate(paths)]


def clip_dataset(records, seed=0):
    transform = TrainTransform(crop_size=16, color_jitter=0.3)  # jitter draws through torchvision's global generator
    return ClipDataset(records, ClipSpec(4, 2), transform, "auto", seed)


def batches(records, workers, first=0, seed=0):
    loader = train_loader(clip_dataset(records, seed), order(6, 4, 2, seed=seed, first=first, last=3), workers, False)
    return list(loader)


def assert_equal_batches(ours, theirs):
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        assert torch.equal(a.clips, b.clips)
        assert torch.equal(a.labels, b.labels)
        assert (a.size, a.failures) == (b.size, b.failures)


@pytest.fixture(scope="module")
def reference(records):
    """The batches read in this process."""
    return batches(records, workers=0)


def test_batches_hold_the_samples_of_their_keys(records, reference):
    dataset = clip_dataset(records)
    for batch, keys in zip(reference, order(6, 4, 2, last=3), strict=True):
        good = [key for key in keys if key[1] != 2]
        assert batch.size == 2
        assert batch.labels.tolist() == [records[index].labels[0] for _, index in good]
        assert [video for video, _ in batch.failures] == [records[2].path] * (2 - len(good))
        for clip, key in zip(batch.clips, good, strict=True):
            assert torch.equal(clip, dataset[key].clip)
    # Twelve positions are two epochs of six: each video twice, each time as another clip.
    labels = Counter(label for batch in reference for label in batch.labels.tolist())
    assert labels == {0: 4, 1: 4, 2: 2}
    clips = torch.cat([batch.clips for batch in reference])
    assert len({clip.numpy().tobytes() for clip in clips}) == len(clips) == 10


@pytest.mark.parametrize("workers", [1, 2])
def test_batches_do_not_depend_on_the_number_of_workers(records, reference, workers):
    assert_equal_batches(batches(records, workers), reference)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_resumed_loader_starts_with_the_right_batch(records, reference, workers):
    assert_equal_batches(batches(records, workers, first=2), reference[4:])


def test_another_seed_gives_other_clips(records, reference):
    assert not all(torch.equal(a.clips, b.clips) for a, b in zip(batches(records, 0, seed=1), reference, strict=True))


def preprocessing():
    return Preprocessing(ClipSpec(4, 2), 2, EvalTransform(24, 16, 3), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def test_global_generators_are_left_alone(records):
    before = torch.get_rng_state()
    others = random.getstate(), np.random.get_state()[1].tolist()
    for workers in (0, 1):
        loader = train_loader(clip_dataset(records), order(6, 2, last=2), workers, False)
        assert len(list(loader)) == 2
        assert len(list(view_loader(ViewDataset(records, preprocessing(), "auto"), Share(), workers))) == 6
    assert torch.equal(torch.get_rng_state(), before)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == others


class Numbers(torch.utils.data.Dataset):
    """Items that say which record they are."""

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return VideoViews(index, str(index), f"{index}.mp4", None)


@pytest.mark.parametrize("world", [1, 2, 3, 8])
@pytest.mark.parametrize("count", [0, 1, 5, 6, 17])
def test_views_are_shared_out_without_duplicates_or_drops(world, count):
    loaders = [view_loader(Numbers(count), Share(rank, world), 0) for rank in range(world)]
    shares = [[item.index for item in loader] for loader in loaders]
    assert [len(loader) for loader in loaders] == [len(share) for share in shares]
    assert sorted(index for share in shares for index in share) == list(range(count))
    assert all(share == sorted(share) for share in shares)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize("workers", [0, 2])
def test_views_arrive_in_order_as_the_dataset_made_them(records, workers):
    dataset = ViewDataset(records, preprocessing(), "auto")
    items = list(view_loader(dataset, Share(), workers))
    assert [item.index for item in items] == list(range(6))
    assert [item.error is None for item in items] == [True, True, False, True, True, True]
    for item in items:
        assert isinstance(item, VideoViews)
        assert (item.video, item.label) == (records[item.index].path, item.index % 3)
        if item.error is None:
            views = torch.cat(list(item.views(4)))
            assert views.shape == (6, 3, 4, 16, 16)  # 3 crops x 2 clips
            assert torch.equal(views, torch.cat(list(dataset[item.index].views(100))))
