"""Packing lists of all kinds as its user does it."""

import json
import os
import sys

import pytest
import torch

from helpers.clips import clip_spec, train_transform
from helpers.shards import SMALL, contents, samples
from helpers.tables import table
from helpers.videos import moving_square
from video_rs.curation.shards.options import PackOptions
from video_rs.curation.shards.packing import run_packing
from video_rs.data.dataset import ClipReader, VideoSource
from video_rs.lists.records import read_records
from video_rs.video import open_video
from video_rs.video.encoding import write_video

pytest.importorskip("webdataset")


@pytest.fixture
def mixed_list(tmp_path):
    """Segments of one file in two splits, other endings, labels of several kinds, and files that cannot be packed."""
    folder = tmp_path / "mine"
    folder.mkdir()
    write_video(folder / "long.name.mp4", moving_square(0, frames=30), fps=10)
    write_video(folder / "b.MKV", moving_square(1), fps=10)
    write_video(folder / "c.mp4", moving_square(2), fps=10)
    (folder / "c.mp4").rename(folder / "c")
    (folder / "empty.mp4").touch()
    (folder / "frames").mkdir()
    (folder / "list.csv").write_text(
        "path,label,split,start,end,id,note\n"
        "long.name.mp4,wave;jump,train,0,1.0,first,x\n"
        "b.MKV,jüngst,train,,,,x\n"
        "gone.mp4,wave,train,,,,x\n"
        "long.name.mp4,jump,val,1.5,,,x\n"
        "empty.mp4,wave,val,,,,x\n"
        "frames,wave,val,,,,x\n"
        "http://a.b/c.mp4,wave,val,,,,x\n"
        "./c,jüngst,,,,third,x\n"
    )
    return folder


def test_a_list_of_all_kinds(pack, mixed_list, tmp_path):
    out = tmp_path / "out"
    told = pack(mixed_list / "list.csv", "--out", out)
    size = sum(path.stat().st_size for path in out.glob("*.tar")) / 1e6
    assert (told.code, told.err) == (2, f"error: 4 of 7 files could not be packed; {out}/failures.csv says why\n")
    assert told.out == (
        f"3 files packed, 0 skipped (packed before), 4 failed; 2 shards, {size:.1f} MB\n"
        "files with rows in several splits: 1, each in the shards of its first row's split\n"
        f"failed, and left out of the list: {out}/failures.csv; when mended, run again with --overwrite\n"
        f"list: {out}/list.csv\n"
        "train with your config, or a first one such as small_scratch.yaml:\n"
        f"  video-rs train --cfg CONFIG DATA.TRAIN_LIST {out}/list.csv\n"
    )
    loose = "; video-rs prepare_videos makes it a file"
    assert [(row["path"], row["reason"]) for row in table(out / "failures.csv")] == [
        (f"{mixed_list}/gone.mp4", "no such file"),
        (f"{mixed_list}/empty.mp4", "empty file"),
        (f"{mixed_list}/frames", f"a folder of frames{loose}"),
        ("http://a.b/c.mp4", f"a URL{loose}"),
    ]
    rows = table(out / "list.csv")
    assert list(rows[0]) == ["path", "label", "split", "start", "end", "id"]
    assert [list(row.values())[1:] for row in rows] == [
        ["wave;jump", "train", "0", "1.0", "first"],
        ["jüngst", "train", "", "", "b.MKV"],
        ["jump", "val", "1.5", "", "long.name.mp4:1.5-end"],
        ["jüngst", "", "", "", "third"],
    ]
    assert rows[0]["path"] == rows[2]["path"]
    assert [row["path"].partition("#")[0] for row in rows] == ["train-000000.tar"] * 3 + ["all-000000.tar"]
    by_key = {sample["__key__"]: sample for sample in samples(*sorted(out.glob("*.tar")))}
    assert {
        key: sorted(sample.keys() - {"__key__", "__url__", "__local_path__"}) for key, sample in by_key.items()
    } == {
        "00000000": ["json", "mp4"],
        "00000001": ["json", "mkv"],
        "00000006": ["json", "mp4"],
    }
    assert json.loads(by_key["00000000"]["json"]) == {
        "label": "wave;jump",
        "split": "train",
        "start": 0.0,
        "end": 1.0,
        "id": "first",
        "more": [{"label": "jump", "split": "val", "start": 1.5, "end": None, "id": "long.name.mp4:1.5-end"}],
    }
    assert json.loads(by_key["00000006"]["json"])["label"] == "jüngst"
    clip = ClipReader(clip_spec(4, 1), train_transform(crop_size=16), VideoSource(), seed=0)
    names = ["wave", "jump", "jüngst"]
    inside = read_records(out / "list.csv", label_names=names).records
    outside = [
        record
        for record in read_records(mixed_list / "list.csv", label_names=names).records
        if record.id in {row["id"] for row in rows}
    ]
    for a, b in zip(outside, inside, strict=True):
        assert (a.labels, a.start, a.end, a.id) == (b.labels, b.start, b.end, b.id)
        assert torch.equal(clip(a, 0, 0)[0].clip, clip(b, 0, 0)[0].clip)


def test_a_list_behind_a_handler_of_ones_own_is_packed(pack, mixed_list, tmp_path, monkeypatch):
    monkeypatch.setenv("ATTIC", str(mixed_list))
    options = ("--out", tmp_path / "out", "--root", mixed_list)
    told = pack("attic://list.csv", *options, "--path-handlers", "helpers.attic:Attic")
    assert told.code == 2
    assert told.out.startswith("3 files packed, 0 skipped (packed before), 4 failed; ")


def test_class_folders_and_lists_without_labels(pack, videos, tmp_path):
    told = pack(videos.parent, "--out", tmp_path / "a b", "--shard-size", 5)
    assert told.code == 0
    listed = f"'{tmp_path}/a b/list.csv'"
    assert told.out.endswith(
        "train with your config, or a first one such as small_scratch.yaml:\n"
        f"  video-rs train --cfg CONFIG DATA.TRAIN_LIST {listed} "
        f"DATA.VAL_LIST {listed}\n"
    )
    (tmp_path / "plain.txt").write_text("train/dark/0.mp4\nval/light/1.mp4\n")
    told = pack(tmp_path / "plain.txt", "--root", videos.parent, "--out", tmp_path / "out")
    assert told.code == 0
    assert told.out.endswith(f"\nlist: {tmp_path}/out/list.csv\n")
    assert [path.name for path in (tmp_path / "out").glob("*.tar")] == ["all-000000.tar"]
    assert [row["id"] for row in table(tmp_path / "out" / "list.csv")] == ["train/dark/0.mp4", "val/light/1.mp4"]


def test_shards_can_be_packed_again(videos, packed, tmp_path):
    run_packing(PackOptions(str(packed / "list.csv"), str(tmp_path / "again"), shard_size=SMALL))
    for shard in packed.glob("*.tar"):
        assert (tmp_path / "again" / shard.name).read_bytes() == shard.read_bytes()
    assert (tmp_path / "again" / "list.csv").read_bytes() == (packed / "list.csv").read_bytes()


def test_no_link_hides_that_shards_would_be_removed(pack, videos, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    out = tmp_path / "real" / "out"
    assert pack(videos, "--out", out, "--shard-size", SMALL).code == 0
    before = contents(out)
    told = pack(tmp_path / "link" / "out" / "list.csv", "--out", out, "--overwrite")
    assert told.code == 2
    inside = f"{tmp_path}/link/out/list.csv"
    assert told.err == f"error: {inside} lies in {out}, which is written to; choose another folder\n"
    assert contents(out) == before


def test_nothing_to_pack(pack, tmp_path):
    (tmp_path / "list.csv").write_text("path,label\ngone.mp4,a\n")
    told = pack(tmp_path / "list.csv", "--out", tmp_path / "out")
    assert told.code == 2
    assert told.out.startswith("0 files packed, 0 skipped (packed before), 1 failed; 0 shards, 0.0 MB\n")
    assert "train with" not in told.out
    assert (tmp_path / "out" / "list.csv").read_text() == "path,label,id\n"


def test_names_that_are_no_text(tmp_path):
    folder = tmp_path / "mine" / "cat"
    folder.mkdir(parents=True)
    write_video(folder / "a.mp4", moving_square(0), fps=10)
    os.rename(folder / "a.mp4", os.fsencode(folder) + b"/\xff.mp4")
    assert run_packing(PackOptions(str(tmp_path / "mine"), str(tmp_path / "out"))).done == 1
    [sample] = samples(tmp_path / "out" / "all-000000.tar")
    assert json.loads(sample["json"])["id"] == "cat/\udcff.mp4"
    [record] = read_records(tmp_path / "out" / "list.csv").records
    with open_video(record.path) as video:
        assert video.num_frames == 12


def test_a_file_that_a_shard_cannot_hold(tmp_path):
    with open(tmp_path / "huge.mp4", "wb") as file:
        file.truncate(8 * 2**30)  # a hole: it takes no room
    (tmp_path / "list.csv").write_text("path,label\nhuge.mp4,a\n")
    assert run_packing(PackOptions(str(tmp_path / "list.csv"), str(tmp_path / "out"))).failed == 1
    [row] = table(tmp_path / "out" / "failures.csv")
    assert row["reason"] == "larger than the 8 GiB that a shard can hold of one file"


def test_a_split_that_cannot_name_a_shard(pack, tmp_path):
    (tmp_path / "list.csv").write_text("path,label,split\na.mp4,0,train\nb.mp4,0,val/1\n")
    told = pack(tmp_path / "list.csv", "--out", tmp_path / "out")
    message = "split 'val/1' cannot name a shard, allowed: letters, digits, - and _; rename it"
    assert (told.code, told.err) == (2, f"error: {tmp_path}/list.csv, line 3: {message}\n")


def test_without_webdataset(pack, videos, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "webdataset", None)
    told = pack(videos, "--out", tmp_path / "out")
    message = "packing needs the package webdataset: pip install 'video_rs[shards]'"
    assert (told.code, told.err) == (2, f"error: {message}\n")
    assert not (tmp_path / "out").exists()
