"""A packed folder: its plan, a second run in it, and runs in which something goes wrong."""

import fcntl
import json
import os
import time
from pathlib import Path

import pytest

from helpers.patched_scripts import start_patched
from helpers.shards import SMALL, contents, samples
from helpers.tables import table
from helpers.videos import make_videos
from video_rs.curation.shards import archive
from video_rs.curation.shards.options import PackOptions
from video_rs.curation.shards.packing import run_packing
from video_rs.lists.records import read_records
from video_rs.runtime.errors import InputError

pytest.importorskip("webdataset")


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
    process = start_patched("pack_shards", tmp_path, code, *arguments)
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
    assert len(read_records(tmp_path / "list.csv")) == 9
    assert run_packing(PackOptions(str(videos), str(tmp_path), shard_size=SMALL, overwrite=True)).done == 12


def test_a_full_disk_ends_the_run(pack, videos, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("video_rs.curation.shards.archive.os.fsync", full)
    told = pack(videos, "--out", tmp_path)
    assert told.code == 2
    assert told.err == f"error: cannot write to {tmp_path} (No space left on device); mend that and run again\n"
    monkeypatch.undo()
    assert not Path(tmp_path, ".unfinished").exists()


@pytest.mark.parametrize("content", [b"path,reason\n" + b"x" * 200_000, b"\xff\xfe", b"a,b\n1,2\n"])
def test_damaged_failures_are_tried_again(pack, videos, tmp_path, content):
    assert pack(videos, "--out", tmp_path, "--shard-size", SMALL).code == 0
    (tmp_path / "failures.csv").write_bytes(content)
    told = pack(videos, "--out", tmp_path, "--shard-size", SMALL)
    assert told.code == 0
    assert f"note: {tmp_path}/failures.csv cannot be read (" in told.out
    assert "; the files that failed before are tried again\n" in told.out
    assert table(tmp_path / "failures.csv") == []
