"""Batches of real files: equal for any number of workers, with an empty slot for what cannot be read."""

import ctypes
import random
from collections import Counter
from functools import partial

import numpy as np
import pytest
import torch

from helpers.clips import clip_spec, eval_transform, train_transform
from video_rs.data.dataset import ClipReader, VideoSource, VideoViews, ViewReader
from video_rs.data.loader import ClipLoader, ViewLoader, Workers
from video_rs.data.order import ClipOrder, Partition, permutation
from video_rs.data.preprocessing import Preprocessing
from video_rs.lists.records import VideoRecord


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """Five real H.264 files of 14 frames and one that is not a video, in the middle of the list."""
    from video_rs.video.encoding import write_video

    folder = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(0)
    paths = [folder / f"{i}.mp4" for i in range(6)]
    for i, path in enumerate(paths):
        coarse = rng.integers(0, 256, (14, 6, 8, 3), dtype=np.uint8)
        write_video(path, coarse.repeat(8, axis=1).repeat(8, axis=2), fps=10)
        if i == 2:
            path.write_bytes(b"not a video at all" * 10)
    return [VideoRecord(str(path), (i % 3,), None, None, path.name) for i, path in enumerate(paths)]


def order(batch, accumulation=1, seed=0, first=0, last=3, clips=1):
    epoch_order = partial(permutation, seed=seed, num_samples=6)
    return ClipOrder(epoch_order, 6, batch, accumulation, Partition(), first, last, clips)


def clip_reader(seed=0, clips=1):
    transform = train_transform(crop_size=16, color_jitter=0.3)  # jitter draws through torchvision's global generator
    return ClipReader(clip_spec(4, 2), transform, VideoSource(), seed, clips)


def batches(records, workers, first=0, seed=0):
    loader = ClipLoader(records, clip_reader(seed), order(4, 2, seed, first), Workers(workers))
    assert len(loader) == 2 * (3 - first)
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
    read = clip_reader()
    for batch, keys in zip(reference, order(4, 2), strict=True):
        good = [key for key in keys if key[1] != 2]
        assert batch.size == 2
        assert batch.labels.tolist() == [records[index].labels[0] for _, index in good]
        assert [video for video, _ in batch.failures] == [records[2].path] * (2 - len(good))
        for clip, key in zip(batch.clips, good, strict=True):
            assert torch.equal(clip, read(records[key[1]], *key)[0].clip)
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


@pytest.mark.parametrize("workers", [0, 2])
def test_several_clips_of_a_video_stand_side_by_side(records, workers):
    loader = ClipLoader(records, clip_reader(clips=2), order(4, clips=2), Workers(workers))
    for batch, keys in zip(loader, order(4, clips=2), strict=True):
        samples = [s for epoch, pick in keys for s in clip_reader(clips=2)(records[pick], epoch, pick)]
        assert batch.size == len(samples) == 4
        assert batch.labels.tolist() == [s.labels[0] for s in samples if s.clip is not None]
        assert torch.equal(batch.clips, torch.stack([s.clip for s in samples if s.clip is not None]))
        assert batch.failures == [(s.video, s.error) for s in samples if s.clip is None]


def test_a_batch_without_a_valid_slot_keeps_its_sizes(records):
    [batch] = ClipLoader([records[2]] * 6, clip_reader(), order(2, last=1), Workers())
    assert batch.clips.shape == (0, 3, 4, 16, 16)
    assert batch.clips.dtype == torch.uint8
    assert batch.labels.shape == (0,)
    assert batch.labels.dtype == torch.int64
    assert batch.size == 2
    assert [video for video, _ in batch.failures] == [records[2].path] * 2


class Hanging:
    """Reads as its reader, but one video never ends: not even Python runs any more in its process."""

    def __init__(self, read, video):
        self.read, self.video = read, video

    def __getattr__(self, name):
        if name in ("read", "__setstate__"):
            raise AttributeError(name)
        return getattr(self.read, name)

    def __call__(self, record, *key):
        if record.path == self.video:
            ctypes.PyDLL(None).pause()
        return self.read(record, *key)


HUNG = "not read within 3 s; its process was stopped"


def test_a_hung_decoder_costs_its_slots_and_nothing_else(records):
    whole = list(ClipLoader(records, clip_reader(clips=2), order(4, clips=2), Workers()))
    read = Hanging(clip_reader(clips=2), records[4].path)
    hung = list(ClipLoader(records, read, order(4, clips=2), Workers(2, time_limit=3)))
    for batch, sound, keys in zip(hung, whole, order(4, clips=2), strict=True):
        picks = [pick for _, pick in keys for _ in range(2)]
        lost = [(records[4].path, HUNG)] * picks.count(4)
        assert sorted(batch.failures) == sorted([*sound.failures, *lost])
        stay = [pick != 4 for pick in picks if pick != 2]
        assert torch.equal(batch.clips, sound.clips[stay])
        assert torch.equal(batch.labels, sound.labels[stay])
        assert batch.size == 4


@pytest.mark.parametrize(
    ("url", "more"),
    [
        ("http://host/a.mp4", ", fetching included, which goes on where it stopped"),
        ("attic://a.mp4", ", fetching included"),
    ],
)
def test_what_hung_on_a_url_may_have_been_the_fetch(url, more):
    record = VideoRecord(url, (0,), None, None, "a")
    view_reader = ViewReader(preprocessing(), VideoSource())
    [item] = ViewLoader([record], Hanging(view_reader, url), Partition(), Workers(1, time_limit=3))
    assert item.error == HUNG + more


def test_a_hung_decoder_is_a_failed_test_video(records):
    read = Hanging(ViewReader(preprocessing(), VideoSource()), records[4].path)
    items = list(ViewLoader(records, read, Partition(), Workers(1, time_limit=3)))
    assert [item.index for item in items] == list(range(6))
    assert [item.error is None for item in items] == [True, True, False, True, False, True]
    assert (items[4].id, items[4].video, items[4].labels, items[4].error) == (
        records[4].id,
        records[4].path,
        (1,),
        HUNG,
    )


def preprocessing():
    return Preprocessing(clip_spec(4, 2), 2, eval_transform(24, 16, 3), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def test_global_generators_are_left_alone(records):
    before = torch.get_rng_state()
    others = random.getstate(), np.random.get_state()[1].tolist()
    for workers in (0, 1):
        assert len(list(ClipLoader(records, clip_reader(), order(2, last=2), Workers(workers)))) == 2
        assert (
            len(list(ViewLoader(records, ViewReader(preprocessing(), VideoSource()), Partition(), Workers(workers))))
            == 6
        )
    assert torch.equal(torch.get_rng_state(), before)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == others


def number(record, index):
    """Says which record it is."""
    return VideoViews(index, record, f"{record}.mp4", ())


@pytest.mark.parametrize("world", [1, 2, 3, 8])
@pytest.mark.parametrize("count", [0, 1, 5, 6, 17])
def test_views_are_shared_out_without_duplicates_or_drops(world, count):
    names = [str(i) for i in range(count)]
    loaders = [ViewLoader(names, number, Partition(rank, world), Workers()) for rank in range(world)]
    shares = [[item.index for item in loader] for loader in loaders]
    assert [len(loader) for loader in loaders] == [len(share) for share in shares]
    assert sorted(index for share in shares for index in share) == list(range(count))
    assert all(share == sorted(share) for share in shares)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize("workers", [0, 2])
def test_views_arrive_in_order_as_their_reader_made_them(records, workers):
    read = ViewReader(preprocessing(), VideoSource())
    items = list(ViewLoader(records, read, Partition(), Workers(workers)))
    assert [item.index for item in items] == list(range(6))
    assert [item.error is None for item in items] == [True, True, False, True, True, True]
    for item in items:
        assert isinstance(item, VideoViews)
        assert (item.video, item.labels) == (records[item.index].path, (item.index % 3,))
        if item.error is None:
            views = torch.cat(list(item.views(4)))
            assert views.shape == (6, 3, 4, 16, 16)  # 3 crops x 2 clips
            assert torch.equal(views, torch.cat(list(read(records[item.index], item.index).views(100))))
