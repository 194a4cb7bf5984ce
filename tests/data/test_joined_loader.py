"""Batches of two lists from real files: equal for any number of workers, processes and micro-batches, and resumed."""

from functools import partial

import pytest
import torch

from helpers.clips import clip_spec, train_transform
from video_rs.data.dataset import ClipReader, VideoSource
from video_rs.data.loader import NO_LABEL, ClipLoader, Workers
from video_rs.data.order import SECOND_ORDER, JoinedOrder, Partition, SecondList, permutation
from video_rs.data.second_view import SecondView, TwoViewReader
from video_rs.lists.records import VideoRecord

FIRST, SECOND = 5, 3
STEPS = 4
VIEW = SecondView(num_frames=6, crop_size=20, antialias=True)


@pytest.fixture(scope="module")
def records(videos):
    """Five labelled records, of which one cannot be read, and three of a second list, of which one has no label."""
    paths = sorted((videos.parent / "train").rglob("*.mp4"))
    found = [VideoRecord(str(path), (i % 2,), None, None, path.name) for i, path in enumerate(paths)]
    found[2] = VideoRecord(str(videos), (0,), None, None, "a text")
    found[6] = VideoRecord(found[6].path, (), None, None, "without a label")
    return found


def reader(views):
    arguments = (clip_spec(4, 2), train_transform(crop_size=16, color_jitter=0.3), VideoSource(), 0)
    return TwoViewReader(*arguments, second=VIEW) if views == 2 else ClipReader(*arguments)


def batches(records, workers=0, accumulation=1, rank=0, world=1, first=0, views=1):
    order = JoinedOrder(
        SecondList(partial(permutation, seed=0, num_samples=SECOND, stream=SECOND_ORDER), SECOND, 3),
        epoch_order=partial(permutation, seed=0, num_samples=FIRST),
        num_samples=FIRST,
        batch_size=8,
        accumulation=accumulation,
        partition=Partition(rank, world),
        first_step=first,
        last_step=STEPS,
    )
    shape = VIEW.shape if views == 2 else None
    loader = ClipLoader(records, reader(views), order, Workers(workers), second_shape=shape)
    return list(loader), list(order)


def flat(parts):
    """What the clips of a run are, in the order of the run: (record, label, clip, second clip)."""
    rows = []
    for part in parts:
        seconds = [None] * len(part.clips) if part.second_clips is None else part.second_clips
        rows += zip(part.records.tolist(), part.labels.tolist(), part.clips, seconds, strict=True)
    return rows


def assert_equal_rows(ours, theirs):
    assert [row[:2] for row in ours] == [row[:2] for row in theirs]
    for a, b in zip(ours, theirs, strict=True):
        assert torch.equal(a[2], b[2])
        assert (a[3] is None) == (b[3] is None)
        assert a[3] is None or torch.equal(a[3], b[3])


@pytest.fixture(scope="module", params=[1, 2], ids=["one view", "two views"])
def whole(request, records):
    """The number of views, the batches of one process that reads itself, and their keys."""
    return request.param, *batches(records, views=request.param)


def test_batches_say_which_records_their_clips_are_of(records, whole):
    views, parts, keys = whole
    assert len(parts) == STEPS
    read = reader(views)
    for part, picks in zip(parts, keys, strict=True):
        places = [pick % 8 for _, pick in picks]
        good = [place for place in places if place != 2]
        assert part.records.tolist() == good
        assert part.size == 8
        assert part.labels.tolist() == [NO_LABEL if place == 6 else place % 2 for place in good]
        assert part.videos == [records[place].path for place in good]
        assert [video for video, _ in part.failures] == [records[2].path] * (8 - len(good))
        samples = [read(records[pick % 8], epoch, pick)[0] for epoch, pick in picks if pick % 8 != 2]
        assert torch.equal(part.clips, torch.stack([sample.clip for sample in samples]))
        if views == 2:
            assert torch.equal(part.second_clips, torch.stack([sample.second_clip for sample in samples]))
        else:
            assert part.second_clips is None
    assert sum(place >= FIRST for part in parts for place in part.records.tolist()) == 3 * STEPS


@pytest.mark.parametrize("workers", [1, 2])
def test_batches_do_not_depend_on_the_number_of_workers(records, whole, workers):
    views, parts, _ = whole
    assert_equal_rows(flat(batches(records, workers, views=views)[0]), flat(parts))


@pytest.mark.parametrize(("world", "accumulation"), [(2, 1), (1, 2), (2, 2), (4, 1)])
def test_batches_do_not_depend_on_processes_and_micro_batches(records, whole, world, accumulation):
    views, parts, _ = whole
    shares = [batches(records, accumulation=accumulation, rank=r, world=world, views=views)[0] for r in range(world)]
    together = [part for micro in zip(*shares, strict=True) for part in micro]
    assert_equal_rows(flat(together), flat(parts))
    assert sum(part.size for part in together) == 8 * STEPS


@pytest.mark.parametrize("workers", [0, 2])
def test_a_resumed_loader_starts_with_the_right_batch(records, whole, workers):
    views, parts, _ = whole
    assert_equal_rows(flat(batches(records, workers, first=2, views=views)[0]), flat(parts[2:]))


def test_a_batch_without_a_valid_slot_keeps_its_sizes(records):
    parts, _ = batches([records[2]] * 8, views=2)
    assert parts[0].clips.shape == (0, 3, 4, 16, 16)
    assert parts[0].second_clips.shape == (0, 3, 6, 20, 20)
    assert (parts[0].records.shape, parts[0].records.dtype) == ((0,), torch.int64)


def test_the_first_view_does_not_depend_on_the_second(records, whole):
    """Bit for bit, colour jitter included."""
    single = flat(batches(records, views=1)[0])
    double = flat(batches(records, views=2)[0])
    assert all(torch.equal(a[2], b[2]) for a, b in zip(single, double, strict=True))
