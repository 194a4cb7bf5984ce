"""The dataset doctor as its user calls it, on real files: every kind of trouble in one list."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, make_videos, tiny_run

from video_rs.config import load_config
from video_rs.data.records import read_records
from video_rs.errors import InputError
from video_rs.jobs.checking import run_check
from video_rs.jobs.training import run_training

EDGE = Path(__file__).parents[2] / "shared" / "videos"


@pytest.fixture
def folder(tmp_path):
    """8 training and 4 validation videos; one is cut, one no video, one gone, one a copy of a validation video."""
    make_videos(tmp_path)
    dark, light = tmp_path / "train" / "dark", tmp_path / "train" / "light"
    data = (dark / "0.mp4").read_bytes()
    (dark / "0.mp4").write_bytes(data[: len(data) // 2])
    (dark / "1.mp4").write_text("no video")
    (dark / "2.mp4").unlink()
    (light / "0.mp4").write_bytes((tmp_path / "val" / "light" / "0.mp4").read_bytes())
    return tmp_path


def table(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_a_broken_data_set_is_told_what_is_wrong_and_trained_without_it(tool, folder):
    out = folder / "out"
    told = tool("check_dataset", folder / "list.csv", "--out", out, "--processes", 1, "--min-frames", 12)
    assert told.code == 1
    assert told.err == ""
    lines = told.out.splitlines()
    assert lines[0].startswith("12 rows, 12 files, 11 of them now, ")
    assert [" ".join(line.split()) for line in lines[1:4]] == [
        "problems: 1 missing there is no such file",
        "problems: 2 unreadable it does not open as a video",
        "problems: 1 leak the same video is in the validation or test rows too",
    ]
    assert lines[-1] == (f"not clean: 8 rows in {out}/clean.csv, 4 in {out}/quarantine.csv; page: {out}/check.html")
    lost = table(out / "quarantine.csv")
    assert [(Path(r["path"]).relative_to(folder).as_posix(), r["problem"]) for r in lost] == [
        ("train/dark/0.mp4", "unreadable"),
        ("train/dark/1.mp4", "unreadable"),
        ("train/dark/2.mp4", "missing"),
        ("train/light/0.mp4", "leak"),
    ]
    assert lost[2]["reason"] == "no such file"
    kept = read_records(out / "clean.csv", split="train")
    assert [Path(r.path).relative_to(folder).as_posix() for r in kept.records] == [
        "train/dark/3.mp4",
        "train/light/1.mp4",
        "train/light/2.mp4",
        "train/light/3.mp4",
    ]
    assert kept.label_names == ("dark", "light")
    assert kept.records[0].id == "train/dark/3.mp4"
    assert len(read_records(out / "clean.csv", split="val")) == 4


def test_rows_that_cannot_be_used_are_quarantined_one_by_one(tool, videos, tmp_path):
    (tmp_path / "labels.txt").write_text("dark\nlight\n")
    good = f"{videos.parent}/train/dark/0.mp4"
    rows = [f"{good},dark,0,0.3", f"{good},lihgt,,", "../../secret.mp4,dark,,", f"{good},light,3,1", f"{good},;dark,,"]
    (tmp_path / "list.csv").write_text("\n".join(["path,label,start,end", *rows, ""]))
    out = tmp_path / "out"
    told = tool("check_dataset", tmp_path / "list.csv", "--label-map", tmp_path / "labels.txt", "--out", out)
    assert (told.code, told.err) == (1, "")
    assert "problems: 4 row its label, path or times cannot be used" in " ".join(told.out.split())
    lost = [
        (row["label"], row["problem"], row["reason"].split("list.csv, ")[1]) for row in table(out / "quarantine.csv")
    ]
    expected = (
        "expected one of the 2 known names, nearest 'light'; correct it, or add it to the label map or the train rows"
    )
    instead = "write it as an absolute path, or choose a root that holds all videos"
    assert lost == [
        ("lihgt", "row", f"line 3: label 'lihgt', {expected}"),
        ("dark", "row", f"line 4: path '../../secret.mp4' leaves its root {tmp_path}; {instead}"),
        ("light", "row", "line 5: end 1 is not after start 3; give both in seconds"),
        (";dark", "row", "line 6: label ';dark', expected a label, or several joined by ;; fill it in"),
    ]
    assert [(row["path"], row["label"]) for row in table(out / "clean.csv")] == [(good, "dark")]
    page = (out / "check.html").read_text()
    assert "its label, path or times cannot be used" in page
    assert "lihgt" in page


def test_json_and_page_say_the_same(tool, folder):
    out = folder / "out"
    tool("check_dataset", folder / "list.csv", "--out", out, "--processes", 1, "--min-frames", 13)
    data = json.loads((out / "check.json").read_text())
    assert (data["clean"], data["rows"], data["quarantined"]) == (False, 12, 4)
    assert data["kinds"] == {"unreadable": 2, "missing": 1, "leak": 1, "short": 9}
    assert data["classes"] == {"train": {"dark": 4, "light": 4}, "val": {"dark": 2, "light": 2}}
    assert len(data["files"]) == 12
    page = (out / "check.html").read_text()
    assert "✗ not clean" in page
    assert page.count("no frame can be shown") == 3
    assert page.count("<img") == 1 + 6 + 5  # leak, the first six short ones, and the charts
    assert "http" not in page
    assert "<script" not in page
    for word in ("leak: 1 row", "unreadable: 2 rows", "short: 9 rows", "train/dark/1.mp4"):
        assert word in page


def test_a_clean_data_set_exits_0_and_needs_no_second_probe(tool, videos, tmp_path):
    first = tool("check_dataset", videos, "--out", tmp_path, "--processes", 2, "--min-frames", 1)
    assert first.code == 0
    assert ", 12 of them now, " in first.out
    again = tool("check_dataset", videos, "--out", tmp_path, "--min-frames", 1)
    assert again.code == 0
    assert again.out.splitlines()[0] == "12 rows, 12 files, none of them anew"
    deeper = tool("check_dataset", videos, "--out", tmp_path, "--all-frames", "--min-frames", 1)
    assert ", 12 of them now, " in deeper.out
    assert tool("check_dataset", videos, "--out", tmp_path).out.splitlines()[0].endswith("none of them anew")
    os.utime(videos.parent / "val" / "dark" / "0.mp4", (1, 1))
    assert ", 1 of them now, " in tool("check_dataset", videos, "--out", tmp_path).out


def test_training_takes_the_cache(videos, tmp_path, monkeypatch):
    """With the cache, training scans nothing: the scan is taken away."""
    run_check([str(videos)], str(tmp_path))
    monkeypatch.setattr("video_rs.data.decoding.packets.scan", None)
    keys = tiny_run(videos, tmp_path / "run", DATA__CACHE=tmp_path / "probes.sqlite", DATA__VAL_LIST="")
    run_training(load_config("", keys))
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert {line["failed"] for line in lines if line["kind"] == "train"} == {0}


def test_two_lists_are_two_splits(tool, folder):
    lines = (folder / "list.csv").read_text().splitlines()
    for split in ("train", "val"):
        rows = [line.rsplit(",", 1)[0] for line in lines[1:] if line.endswith(split)]
        (folder / f"{split}.csv").write_text("path,label\n" + "\n".join(rows) + "\n")
    out = folder / "out"
    told = tool("check_dataset", folder / "train.csv", folder / "val.csv", "--out", out, "--min-frames", 1)
    assert told.code == 1
    assert [r["problem"] for r in table(out / "quarantine.csv")] == ["unreadable", "unreadable", "missing", "leak"]
    assert {r["split"] for r in table(out / "clean.csv")} == {"train", "val"}


def test_a_file_that_hangs_costs_its_time_and_nothing_else(folder):
    """A decoder that never returns, even to Python's signal handlers, in the workers of a process of its own."""
    (folder / "sitecustomize.py").write_text(
        "import ctypes\n"
        "import video_rs.data.decoding.pyav as pyav\n"
        "init = pyav.PyAVReader.__init__\n"
        "def hang(self, path, index):\n"
        "    if path.endswith('train/light/1.mp4'): ctypes.PyDLL(None).pause()\n"
        "    init(self, path, index)\n"
        "pyav.PyAVReader.__init__ = hang\n"
    )
    out = folder / "out"
    tool = [sys.executable, str(ROOT / "tools" / "check_dataset.py"), str(folder / "list.csv"), "--out", str(out)]
    environment = {**os.environ, "PYTHONPATH": f"{folder}:{ROOT}"}
    for _ in range(2):  # what hung is tried again: the cache does not keep it
        done = subprocess.run([*tool, "--time-limit", "4"], env=environment, capture_output=True, text=True)
        assert done.returncode == 1, done.stderr
        lost = {
            row["path"].removeprefix(f"{folder}/"): (row["problem"], row["reason"])
            for row in table(out / "quarantine.csv")
        }
        assert lost["train/light/1.mp4"] == ("hung", "not read within 4 s; its process was stopped")
        assert len(lost) == 5
        assert len(table(out / "clean.csv")) == 7


def test_bad_input_is_one_line(tool, videos, tmp_path):
    told = tool("check_dataset", tmp_path / "none.csv")
    assert told.code == 2
    assert told.err == (
        f"error: list {tmp_path}/none.csv does not exist; give a CSV with the columns path,label or a folder of class "
        "folders (datasets/README.md)\n"
    )
    (tmp_path / "file").write_text("")
    told = tool("check_dataset", videos, "--out", tmp_path / "file" / "out")
    assert told.code == 2
    assert told.err == f"error: cannot write to {tmp_path}/file/out: Not a directory; name another with --out\n"
    with pytest.raises(InputError, match=r"^depth: got 'some', allowed: ends, all$"):
        run_check([str(videos)], str(tmp_path), depth="some")


@pytest.mark.skipif(not (EDGE / "edge.csv").exists(), reason="the edge files are not there")
def test_agreement_with_the_edge_files(tmp_path):
    """Against what ffprobe counted: status, frames, and the traits that its table names."""
    run_check([str(EDGE / "edge.csv")], str(tmp_path), depth="all", processes=2)
    files = json.loads((tmp_path / "check.json").read_text())["files"]
    rows = {str(EDGE / r["file"]): r for r in table(EDGE / "edge.csv")}
    assert set(rows) == set(files)
    for path, row in rows.items():
        found = files[path]
        assert (found["kind"] == "ok") == (row["status"] == "ok"), path
        if row["status"] == "ok":
            assert found["frames"] == int(row["frames_decoded"]), path
            assert (found["quarter_turns"] != 0) == ("rotation" in row["traits"]), path
            assert found["header_frames"] == int(row["frames_in_header"] or 0) or not row["frames_in_header"], path
        if row["status"] == "decodes_with_errors":
            assert found["kind"] == "damaged", path
