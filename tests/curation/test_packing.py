"""Packing into shards as its user does it; what is inside is read back by our readers, by tarfile and by WebDataset."""

import csv
import fcntl
import hashlib
import json
import os
import runpy
import subprocess
import sys
import tarfile
import time
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
import torch

from helpers.tools import ROOT, ToolResult
from helpers.videos import make_videos, moving_square
from video_rs.curation.doctor.check import run_check
from video_rs.curation.doctor.options import CheckOptions
from video_rs.curation.shards import archive
from video_rs.curation.shards.options import PackOptions
from video_rs.curation.shards.packing import run_packing
from video_rs.data.dataset import ClipReader, VideoSource, ViewReader
from video_rs.data.loader import ClipLoader, ViewLoader, Workers
from video_rs.data.order import ClipOrder, Partition, permutation
from video_rs.data.preprocessing import ClipSpec, Preprocessing
from video_rs.data.transforms import EvalTransform, TrainTransform
from video_rs.lists.records import read_records
from video_rs.runtime.errors import InputError
from video_rs.video import open_video
from video_rs.video.encoding import write_video

wds = pytest.importorskip("webdataset")

SMALL = 0.03  # MB: two of the clips
PREPROCESSING = Preprocessing(ClipSpec(4, 2), 2, EvalTransform(40, 32), (0.0,) * 3, (1.0,) * 3)


@pytest.fixture
def pack(monkeypatch, capfd):
    """``pack(*arguments)`` runs the script in this process."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["pack_shards.py", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as caught:
            runpy.run_path(str(ROOT / "datasets" / "pack_shards.py"), run_name="__main__")
        out, err = capfd.readouterr()
        return ToolResult(caught.value.code or 0, out, err)

    return call


@pytest.fixture(scope="module")
def packed(videos, tmp_path_factory):
    """The folder of the 8 training and 4 validation clips, packed."""
    out = tmp_path_factory.mktemp("packed") / "out"
    assert run_packing(PackOptions(str(videos), str(out), shard_size=SMALL)).done == 12
    return out


@pytest.fixture
def data_set(tmp_path):
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


def table(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def contents(folder):
    """Name -> hash of every file in a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def samples(*shards, **settings):
    """What plain WebDataset reads, in its order."""
    return list(wds.WebDataset([str(shard) for shard in shards], shardshuffle=False, empty_check=False, **settings))


def records(source, split=None):
    return read_records(source, split=split).records


# -- The same videos


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
        ClipReader(ClipSpec(4, 2), TrainTransform(crop_size=32), VideoSource(), seed=3, clips=2),
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


def test_the_doctor_accepts_the_list(packed, tmp_path, capfd):
    diagnosis = run_check(CheckOptions((str(packed / "list.csv"),), str(tmp_path), depth="all"))
    assert diagnosis.clean
    assert not diagnosis.kinds()
    assert f"clean: 12 rows in {tmp_path}/clean.csv, 0 in" in capfd.readouterr().out
    assert [record.path for record in records(tmp_path / "clean.csv", "train")] == [
        record.path for record in records(packed / "list.csv", "train")
    ]


@pytest.mark.parametrize("workers", [0, 2])
def test_ranks_and_workers_take_each_video_once_an_epoch(videos, packed, workers):
    read = ClipReader(ClipSpec(4, 2), TrainTransform(crop_size=16), VideoSource(), seed=0)

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


# -- WebDataset


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


# -- Lists of all kinds


def test_a_list_of_all_kinds(pack, data_set, tmp_path):
    out = tmp_path / "out"
    told = pack(data_set / "list.csv", "--out", out)
    size = sum(path.stat().st_size for path in out.glob("*.tar")) / 1e6
    assert (told.code, told.err) == (2, f"error: 4 of 7 files could not be packed; {out}/failures.csv says why\n")
    assert told.out == (
        f"3 files packed, 0 skipped (packed before), 4 failed; 2 shards, {size:.1f} MB\n"
        "files with rows in several splits: 1, each in the shards of its first row's split\n"
        f"failed, and left out of the list: {out}/failures.csv; when mended, run again with --overwrite\n"
        f"list: {out}/list.csv\n"
        "train with your config, or a first one such as small_scratch.yaml:\n"
        f"  python tools/train_net.py --cfg CONFIG DATA.TRAIN_LIST {out}/list.csv\n"
    )
    loose = "; datasets/prepare_videos.py makes it a file"
    assert [(row["path"], row["reason"]) for row in table(out / "failures.csv")] == [
        (f"{data_set}/gone.mp4", "no such file"),
        (f"{data_set}/empty.mp4", "empty file"),
        (f"{data_set}/frames", f"a folder of frames{loose}"),
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
    clip = ClipReader(ClipSpec(4, 1), TrainTransform(crop_size=16), VideoSource(), seed=0)
    names = ["wave", "jump", "jüngst"]
    inside = read_records(out / "list.csv", label_names=names).records
    outside = [
        record
        for record in read_records(data_set / "list.csv", label_names=names).records
        if record.id in {row["id"] for row in rows}
    ]
    for a, b in zip(outside, inside, strict=True):
        assert (a.labels, a.start, a.end, a.id) == (b.labels, b.start, b.end, b.id)
        assert torch.equal(clip(a, 0, 0)[0].clip, clip(b, 0, 0)[0].clip)


def test_a_list_behind_a_handler_of_ones_own_is_packed(pack, data_set, tmp_path, monkeypatch):
    monkeypatch.setenv("ATTIC", str(data_set))
    options = ("--out", tmp_path / "out", "--root", data_set)
    told = pack("attic://list.csv", *options, "--path-handlers", "helpers.attic:Attic")
    assert told.code == 2
    assert told.out.startswith("3 files packed, 0 skipped (packed before), 4 failed; ")


def test_class_folders_and_lists_without_labels(pack, videos, tmp_path):
    told = pack(videos.parent, "--out", tmp_path / "a b", "--shard-size", 5)
    assert told.code == 0
    listed = f"'{tmp_path}/a b/list.csv'"
    assert told.out.endswith(
        "train with your config, or a first one such as small_scratch.yaml:\n"
        f"  python tools/train_net.py --cfg CONFIG DATA.TRAIN_LIST {listed} "
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
    [record] = records(tmp_path / "out" / "list.csv")
    with open_video(record.path) as video:
        assert video.num_frames == 12


# -- The plan


def test_the_same_twice_is_the_same_bytes(pack, videos, packed, tmp_path):
    times = {path: path.stat().st_mtime_ns for path in packed.glob("*.tar")}
    before = contents(packed)
    told = pack(videos, "--out", packed, "--shard-size", SMALL)
    assert told.code == 0
    assert told.out.startswith("0 files packed, 12 skipped (packed before), 0 failed; ")
    assert contents(packed) == before
    assert times == {path: path.stat().st_mtime_ns for path in packed.glob("*.tar")}
    assert pack(videos, "--out", tmp_path / "other", "--shard-size", SMALL).code == 0
    assert contents(tmp_path / "other") == before
    assert set(before) == {".lock", "failures.csv", "list.csv", "shards.json", *(path.name for path in times)}


def test_seeds_differ_in_order_alone(videos, packed, tmp_path):
    def keys(folder):
        return [sample["__key__"] for sample in samples(*sorted(folder.glob("train-*.tar")))]

    run_packing(PackOptions(str(videos), str(tmp_path), shard_size=SMALL, seed=1))
    assert keys(tmp_path) != keys(packed)
    assert sorted(keys(tmp_path)) == sorted(keys(packed))


def test_another_plan_is_refused_and_overwritten_when_asked(pack, tmp_path):
    source, out = make_videos(tmp_path / "videos"), tmp_path / "out"

    def refusal(*arguments):
        told = pack(source, "--out", out, *arguments)
        assert (told.code, told.out) == (2, "")
        assert contents(out) == before
        return told.err

    then = "give what it was, another folder, or --overwrite to pack all again\n"
    assert pack(source, "--out", out, "--shard-size", SMALL).code == 0
    before = contents(out)
    assert refusal() == f"error: {out} was packed with shard size {SMALL}, now 1000.0: {then}"
    seed = refusal("--shard-size", SMALL, "--seed", 7)
    assert seed == f"error: {out} was packed with seed 0, now 7: {then}"
    text = source.read_text()
    source.write_text(text.replace(",light,val", ",dark,val"))
    assert refusal("--shard-size", SMALL) == f"error: {out} was packed with other rows, of {source}: {then}"
    source.write_text(text)
    os.utime(source.parent / "val" / "dark" / "0.mp4", (1, 1))
    changed = refusal("--shard-size", SMALL)
    assert changed == f"error: {out} was packed with files that have changed, come or gone since: {then}"

    told = pack(source, "--out", out, "--shard-size", 5, "--overwrite")
    assert told.code == 0
    assert told.out.startswith("12 files packed, 0 skipped (packed before), 0 failed; 2 shards, ")
    assert sorted(path.name for path in out.glob("*.tar")) == ["train-000000.tar", "val-000000.tar"]
    plan = json.loads((out / "shards.json").read_text())
    assert plan.pop("rows") != plan.pop("files")
    assert plan == {"list": str(source), "shard_size": 5.0, "seed": 0, "shards": {"train": 1, "val": 1}}


def test_a_moved_data_set_is_the_same_plan(tmp_path):
    source = make_videos(tmp_path / "here", per_class=1)
    run_packing(PackOptions(str(source), str(tmp_path / "out")))
    (tmp_path / "here").rename(tmp_path / "there")
    assert run_packing(PackOptions(str(tmp_path / "there" / "list.csv"), str(tmp_path / "out"))).skipped == 6


@pytest.mark.parametrize(
    "text", ["[1]", "{", "{}", '{"list": "", "shard_size": 1, "seed": 0, "rows": "", "files": ""}']
)
def test_a_plan_that_is_none(videos, tmp_path, text):
    (tmp_path / "shards.json").write_text(text)
    with pytest.raises(InputError) as caught:
        run_packing(PackOptions(str(videos), str(tmp_path)))
    assert str(caught.value).startswith(f"{tmp_path}/shards.json does not hold a plan of shards (")
    assert str(caught.value).endswith("); choose another folder")


@pytest.mark.parametrize(
    ("size", "shown"), [("0", "0.0"), ("-1", "-1.0"), ("nan", "nan"), ("inf", "inf")], ids=lambda value: value
)
def test_bad_sizes_are_one_line(pack, videos, tmp_path, size, shown):
    told = pack(videos, "--out", tmp_path / "out", "--shard-size", size)
    assert (told.code, told.err) == (2, f"error: --shard-size: got {shown}, allowed: above 0 (MB)\n")
    assert not (tmp_path / "out").exists()


def test_a_split_that_cannot_name_a_shard(pack, tmp_path):
    (tmp_path / "list.csv").write_text("path,label,split\na.mp4,0,train\nb.mp4,0,val/1\n")
    told = pack(tmp_path / "list.csv", "--out", tmp_path / "out")
    message = "split 'val/1' cannot name a shard, allowed: letters, digits, - and _; rename it"
    assert (told.code, told.err) == (2, f"error: {tmp_path}/list.csv, line 3: {message}\n")


def test_folders_that_are_not_to_be_written_to(pack, videos, tmp_path):
    def refusal(*arguments):
        told = pack(*arguments)
        assert told.code == 2
        return told.err

    foreign = "is there, but not of this command; choose another folder\n"
    assert refusal(videos, "--out", videos.parent) == f"error: {videos} {foreign}"
    (tmp_path / "val-000000.tar").write_text("mine")
    assert refusal(videos, "--out", tmp_path) == f"error: {tmp_path}/val-000000.tar {foreign}"
    (tmp_path / "list.txt").write_text(f"{videos.parent}/val/dark/0.mp4 0\n")
    inside = f"error: {tmp_path}/list.txt lies in {tmp_path}, which is written to; choose another folder\n"
    assert refusal(tmp_path / "list.txt", "--out", tmp_path) == inside
    (tmp_path / "file").write_text("")
    error = f"error: cannot write to {tmp_path}/file (File exists); mend that and run again\n"
    assert refusal(tmp_path / "list.txt", "--out", tmp_path / "file") == error


def test_two_runs_do_not_share_a_folder(pack, videos, tmp_path):
    with open(tmp_path / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        told = pack(videos, "--out", tmp_path)
    assert told.code == 2
    assert told.err == f"error: another run is packing into {tmp_path}; wait for it, or choose another\n"


def test_without_webdataset(pack, videos, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "webdataset", None)
    told = pack(videos, "--out", tmp_path / "out")
    message = "packing needs the package webdataset: pip install 'video_rs[shards]'"
    assert (told.code, told.err) == (2, f"error: {message}\n")
    assert not (tmp_path / "out").exists()


# -- Trouble on the way


def script(folder, code, *arguments):
    """The command, in a process that runs ``code`` first."""
    (folder / "sitecustomize.py").write_text(code)
    command = [sys.executable, str(ROOT / "datasets" / "pack_shards.py"), *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": f"{folder}:{ROOT}"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("moment", ["within a shard", "before its rename"])
def test_a_killed_run_is_gone_on_with(pack, videos, packed, tmp_path, moment):
    """Killed in the third shard, at its second file; the reference is a run that nothing stopped."""
    code = "import time, video_rs.curation.shards.archive as p\n"
    if moment == "within a shard":
        code += "read, seen = p._read, []\n"
        code += "def slow(file):\n"
        code += "    seen.append(file)\n"
        code += "    time.sleep(100 * (len(seen) == 6))\n"
        code += "    return read(file)\n"
        code += "p._read = slow\n"
    else:
        code += "rename = p.os.replace\n"
        code += "def slow(old, new):\n"
        code += "    time.sleep(100 * str(new).endswith('train-000002.tar'))\n"
        code += "    rename(old, new)\n"
        code += "p.os.replace = slow\n"
    out = tmp_path / "out"
    arguments = (videos, "--out", out, "--shard-size", SMALL)
    process = script(tmp_path, code, *arguments)
    stop = time.monotonic() + 100
    unfinished = out / ".unfinished" / "train-000002.tar"
    while not (unfinished.exists() and unfinished.stat().st_size > 10000) and time.monotonic() < stop:
        time.sleep(0.002)
    process.kill()
    process.communicate()
    assert unfinished.exists()
    made = {path.name: path.stat().st_mtime_ns for path in out.glob("*.tar")}
    assert sorted(made) == ["train-000000.tar", "train-000001.tar"]
    assert all((out / name).read_bytes() == (packed / name).read_bytes() for name in made)
    assert not (out / "list.csv").exists()
    told = pack(*arguments)
    assert told.out.startswith("8 files packed, 4 skipped (packed before), 0 failed; ")
    assert contents(out) == contents(packed)
    assert all((out / name).stat().st_mtime_ns == time for name, time in made.items())


@pytest.mark.parametrize("damage", ["cut", "other", "gone"])
def test_a_shard_that_is_not_whole_is_packed_anew(videos, packed, tmp_path, damage):
    run_packing(PackOptions(str(videos), str(tmp_path), shard_size=SMALL))
    shard = tmp_path / "train-000001.tar"
    if damage == "cut":
        shard.write_bytes(shard.read_bytes()[:9000])
    elif damage == "other":
        shard.write_bytes((tmp_path / "train-000000.tar").read_bytes())
    else:
        shard.unlink()
    outcome = run_packing(PackOptions(str(videos), str(tmp_path), shard_size=SMALL))
    assert (outcome.done, outcome.skipped) == (2, 10)
    assert contents(tmp_path) == contents(packed)


def test_a_file_that_cannot_be_read_is_left_out_for_good(videos, tmp_path, monkeypatch):
    """One vanishes, and one changes its size, between the plan and their shards; a later run still knows why."""
    read = archive._read

    def trouble(file):
        if file.path.endswith("dark/0.mp4"):
            return read(file._replace(path="/gone.mp4"))
        return read(file._replace(size=file.size - file.path.endswith("val/light/1.mp4")))

    monkeypatch.setattr(archive, "_read", trouble)
    outcome = run_packing(PackOptions(str(videos), str(tmp_path), shard_size=SMALL))
    assert (outcome.done, outcome.failed) == (9, 3)
    first = contents(tmp_path)
    monkeypatch.undo()
    outcome = run_packing(PackOptions(str(videos), str(tmp_path), shard_size=SMALL))
    assert (outcome.skipped, outcome.failed) == (9, 3)
    assert contents(tmp_path) == first
    assert [(row["path"], row["reason"]) for row in table(tmp_path / "failures.csv")] == [
        (f"{videos.parent}/train/dark/0.mp4", "cannot be read: No such file or directory"),
        (f"{videos.parent}/val/dark/0.mp4", "cannot be read: No such file or directory"),
        (f"{videos.parent}/val/light/1.mp4", "changed while it was packed"),
    ]
    assert len(records(tmp_path / "list.csv")) == 9
    assert run_packing(PackOptions(str(videos), str(tmp_path), shard_size=SMALL, overwrite=True)).done == 12


def test_a_file_that_a_shard_cannot_hold(tmp_path):
    with open(tmp_path / "huge.mp4", "wb") as file:
        file.truncate(8 * 2**30)  # a hole: it takes no room
    (tmp_path / "list.csv").write_text("path,label\nhuge.mp4,a\n")
    assert run_packing(PackOptions(str(tmp_path / "list.csv"), str(tmp_path / "out"))).failed == 1
    [row] = table(tmp_path / "out" / "failures.csv")
    assert row["reason"] == "larger than the 8 GiB that a shard can hold of one file"


def test_a_full_disk_ends_the_run(pack, videos, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("video_rs.curation.shards.archive.os.fsync", full)
    told = pack(videos, "--out", tmp_path)
    assert told.code == 2
    assert told.err == f"error: cannot write to {tmp_path} (No space left on device); mend that and run again\n"
    monkeypatch.undo()
    assert not Path(tmp_path, ".unfinished").exists()
