"""What is inside packed shards, read back by our readers, by tarfile and by WebDataset."""

import json
import tarfile
from collections import Counter
from functools import partial

import pytest
import torch

from helpers.clips import clip_spec, eval_transform, train_transform
from helpers.shards import SMALL, samples
from helpers.tables import table
from video_rs.curation.doctor.check import run_check
from video_rs.curation.doctor.options import CheckOptions
from video_rs.data.dataset import ClipReader, VideoSource, ViewReader
from video_rs.data.loader import ClipLoader, ViewLoader, Workers
from video_rs.data.order import ClipOrder, Partition, permutation
from video_rs.data.preprocessing import Preprocessing
from video_rs.lists.records import read_records
from video_rs.video import open_video

wds = pytest.importorskip("webdataset")

PREPROCESSING = Preprocessing(clip_spec(4, 2), 2, eval_transform(40, 32), (0.0,) * 3, (1.0,) * 3)


def records(source, split=None):
    return read_records(source, split=split).records


def test_shards_hold_the_files_in_the_list_of_parts(videos, packed):
    assert sorted(path.name for path in packed.glob("*.tar")) == [
        *(f"train-{number:06}.tar" for number in range(4)),
        *(f"val-{number:06}.tar" for number in range(2)),
    ]
    before, after = table(videos), table(packed / "list.csv")
    assert [list(row) for row in after] == [["path", "label", "split", "id"]] * 12  # the source has no id
    assert [(row["label"], row["split"], row["path"]) for row in before] == [
        (row["label"], row["split"], row["id"]) for row in after
    ]
    for old, new in zip(before, after, strict=True):
        shard, _, part = new["path"].partition("#")
        start, size = map(int, part.split("+"))
        assert shard.startswith(f"{new['split']}-")
        assert (packed / shard).read_bytes()[start : start + size] == (videos.parent / old["path"]).read_bytes()
    for shard in packed.glob("*.tar"):
        with tarfile.open(shard) as archive:
            sizes = [member.size for member in archive if member.name.endswith(".mp4")]
            assert {member.mtime for member in archive} == {0}
        assert len(sizes) == 2
        assert sum(sizes) <= SMALL * 1e6


def test_clips_and_views_are_those_of_the_loose_files(videos, packed):
    clip, view = (
        ClipReader(clip_spec(4, 2), train_transform(crop_size=32), VideoSource(), seed=3, clips=2),
        ViewReader(PREPROCESSING, VideoSource()),
    )
    for split in ("train", "val"):
        loose, inside = records(videos, split), records(packed / "list.csv", split)
        assert [(r.labels, r.id) for r in loose] == [(r.labels, r.id) for r in inside]
        for pick, (old, new) in enumerate(zip(loose, inside, strict=True)):
            for a, b in zip(clip(old, 1, pick), clip(new, 1, pick), strict=True):
                assert a.error is b.error is None
                assert torch.equal(a.clip, b.clip)
            assert torch.equal(view(old, pick).frames, view(new, pick).frames)
            with open_video(old.path) as a, open_video(new.path) as b:
                assert torch.equal(a.frames(range(12)), b.frames(range(12)))


def test_the_doctor_accepts_the_list(in_this_process, packed, tmp_path, capfd):
    diagnosis = run_check(CheckOptions((str(packed / "list.csv"),), str(tmp_path), depth="all"))
    assert diagnosis.clean
    assert not diagnosis.kinds()
    assert f"clean: 12 rows in {tmp_path}/clean.csv, 0 in" in capfd.readouterr().out
    assert [record.path for record in records(tmp_path / "clean.csv", "train")] == [
        record.path for record in records(packed / "list.csv", "train")
    ]


@pytest.mark.parametrize("workers", [0, 2])
def test_ranks_and_workers_take_each_video_once_an_epoch(videos, packed, workers):
    read = ClipReader(clip_spec(4, 2), train_transform(crop_size=16), VideoSource(), seed=0)

    loose, inside = records(videos, "train"), records(packed / "list.csv", "train")
    taken = Counter()
    for rank in range(2):
        order = ClipOrder(partial(permutation, seed=0, num_samples=8), 8, 4, 1, Partition(rank, 2), 0, 4)
        taken.update((epoch, inside[pick].path) for micro in order for epoch, pick in micro)
        expected = ClipLoader(loose, read, order, Workers(0))
        for a, b in zip(expected, ClipLoader(inside, read, order, Workers(workers)), strict=True):
            assert torch.equal(a.clips, b.clips)
            assert torch.equal(a.labels, b.labels)
            assert (len(b.clips), b.failures) == (2, [])
    assert taken == Counter((epoch, record.path) for epoch in range(2) for record in inside)


def test_ranks_share_out_the_test_videos(packed):
    read = ViewReader(PREPROCESSING, VideoSource())
    listed = records(packed / "list.csv", "val")
    seen = [views for rank in range(2) for views in ViewLoader(listed, read, Partition(rank, 2), Workers(2))]
    assert all(views.error is None for views in seen)
    assert sorted(views.id for views in seen) == sorted(record.id for record in listed)


def test_webdataset_reads_keys_bytes_and_json(videos, packed):
    by_id = {row["path"]: row for row in table(videos)}
    numbers = {row["path"]: f"{number:08}" for number, row in enumerate(table(videos))}
    seen = []
    for split in ("train", "val"):
        for sample in samples(*sorted(packed.glob(f"{split}-*.tar"))):
            about = json.loads(sample["json"])
            row = by_id[about["id"]]
            assert about == {"label": row["label"], "split": split, "start": None, "end": None, "id": row["path"]}
            assert row["split"] == split
            assert sample["mp4"] == (videos.parent / row["path"]).read_bytes()
            assert sample["__key__"] == numbers[row["path"]]
            seen.append(about["id"])
    assert sorted(seen) == sorted(by_id)
    assert seen != list(by_id)  # a random order


def test_webdataset_divides_shards_among_nodes_and_workers(videos, packed, monkeypatch):
    shards = sorted(packed.glob("*.tar"))
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("NUM_WORKERS", "2")
    seen = []
    for rank in "01":
        for worker in "01":
            monkeypatch.setenv("RANK", rank)
            monkeypatch.setenv("WORKER", worker)
            part = samples(*shards, nodesplitter=wds.split_by_node, workersplitter=wds.split_by_worker)
            assert len({sample["__url__"] for sample in part}) in (1, 2)  # of 6 shards
            seen += [json.loads(sample["json"])["id"] for sample in part]
    assert sorted(seen) == sorted(row["path"] for row in table(videos))


def test_webdataset_in_worker_processes(videos, packed):
    shards = [str(path) for path in sorted(packed.glob("*.tar"))]
    data = wds.WebDataset(shards, shardshuffle=False).to_tuple("__key__")
    loader = torch.utils.data.DataLoader(data, num_workers=2, batch_size=None)
    assert sorted(key for (key,) in loader) == [f"{number:08}" for number in range(12)]
