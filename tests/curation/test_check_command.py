"""The dataset doctor as its user calls it, on real files: every kind of trouble in one list."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import av
import pytest

from helpers.runs import tiny_run
from helpers.tables import table
from helpers.tools import ROOT
from helpers.videos import make_videos, moving_square
from video_rs.config import load_config
from video_rs.curation import file_workers
from video_rs.curation.doctor.check import run_check
from video_rs.curation.doctor.options import CheckOptions
from video_rs.lists.records import read_records
from video_rs.lists.rows import COLUMNS
from video_rs.runs.train import run_training
from video_rs.runtime.errors import InputError
from video_rs.video.location import Stamp
from video_rs.video.probing.cache import ProbeCache, stills_with_cache


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


def test_rows_that_cannot_be_used_are_quarantined_one_by_one(in_this_process, tool, videos, tmp_path):
    (tmp_path / "labels.txt").write_text("dark\nlight\n")
    good = f"{videos.parent}/train/dark/0.mp4"
    rows = [
        f"{good},dark,0,0.3,",
        f"{good},lihgt,,,one",
        "../../secret.mp4,dark,,,",
        f"{good},light,3,1,two",
        f"{good},;dark,,,",
    ]
    (tmp_path / "list.csv").write_text("\n".join(["path,label,start,end,group", *rows, ""]))
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
        (";dark", "row", "line 6: label ';dark', expected a label, or several with ; between them; fill it in"),
    ]
    assert [(row["path"], row["label"]) for row in table(out / "clean.csv")] == [(good, "dark")]
    assert [(row["start"], row["end"], row["group"]) for row in table(out / "quarantine.csv")] == [
        ("", "", "one"),
        ("", "", ""),
        ("3", "1", "two"),
        ("", "", ""),
    ]
    page = (out / "check.html").read_text()
    assert "its label, path or times cannot be used" in page
    assert "lihgt" in page


def test_json_and_page_say_the_same(in_this_process, tool, folder):
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


def test_a_clean_data_set_exits_0_and_needs_no_second_probe(in_this_process, tool, videos, tmp_path):
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


def test_every_column_that_is_read_is_in_the_clean_list(in_this_process, tool, videos, tmp_path):
    row = {"path": str(videos.parent / "train" / "dark" / "0.mp4"), "label": "dark", "split": "train"}
    row.update(start="0.0", end="0.5", id="first", group="anna")
    assert tuple(row) == COLUMNS
    (tmp_path / "list.csv").write_text(",".join(row) + "\n" + ",".join(row.values()) + "\n")
    assert tool("check_dataset", tmp_path / "list.csv", "--out", tmp_path / "out", "--min-frames", 1).code == 0
    assert table(tmp_path / "out" / "clean.csv") == [row]


def test_training_takes_the_cache(in_this_process, videos, tmp_path, monkeypatch):
    """With the cache, training scans nothing: the scan is taken away."""
    run_check(CheckOptions((str(videos),), str(tmp_path)))
    monkeypatch.setattr("video_rs.video.index.scan_cache.scan", None)
    monkeypatch.setattr("video_rs.video.index.packet_scan.scan", None)
    keys = tiny_run(videos, tmp_path / "run", DATA__CACHE=tmp_path / "probes.sqlite", DATA__VAL_LIST="")
    run_training(load_config("", keys))
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert {line["failed"] for line in lines if line["kind"] == "train"} == {0}


def test_two_lists_are_two_splits(in_this_process, tool, folder):
    lines = (folder / "list.csv").read_text().splitlines()
    for split in ("train", "val"):
        rows = [line.rsplit(",", 1)[0] for line in lines[1:] if line.endswith(split)]
        (folder / f"{split}.csv").write_text("path,label\n" + "\n".join(rows) + "\n")
    out = folder / "out"
    told = tool("check_dataset", folder / "train.csv", folder / "val.csv", "--out", out, "--min-frames", 1)
    assert told.code == 1
    assert [r["problem"] for r in table(out / "quarantine.csv")] == ["unreadable", "unreadable", "missing", "leak"]
    assert {r["split"] for r in table(out / "clean.csv")} == {"train", "val"}


def test_segments_of_a_variable_rate_are_held_against_its_times(in_this_process, tmp_path, tool):
    """Frames at 0 to 1.9 s and 10 to 10.9 s: in the pause of eight seconds the one before it is on the screen."""
    frames = moving_square(1, frames=30)
    with av.open(str(tmp_path / "gap.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.height, stream.width = frames.shape[1:3]
        for number, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts = number + 80 * (number >= 20)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    rows = [(0, 1), (3, 9), (0, 0.4), (10, 11), (10, 13), (20, 21)]
    (tmp_path / "list.csv").write_text(
        "path,label,start,end\n" + "".join(f"gap.mp4,x,{start},{end}\n" for start, end in rows)
    )
    for _ in range(2):  # probed, then from the cache
        told = tool(
            "check_dataset", tmp_path / "list.csv", "--out", tmp_path / "out", "--processes", 1, "--min-frames", 8
        )
        assert told.code == 1
        found = json.loads((tmp_path / "out" / "check.json").read_text())["findings"]
        details = [(f["kind"], f["detail"]) for f in found if f["kind"] != "variable_rate"]
        assert [kind for kind, _ in details] == ["short", "short", "past_end", "segment"]
        assert details[0][1] == "1 frame, a clip reaches over 8"
        assert details[1][1] == "4 frames, a clip reaches over 8"
        assert details[2][1].startswith("to 13 s, the video is 11.")
        assert details[3][1].startswith(
            "segment 20.0..21.0 s holds no frame: the video has 30 frames at 2.66055 per second, 11.28 s;"
        )


def test_pictures_are_taken_ahead_for_every_process(videos, tmp_path, monkeypatch):
    asked = []

    def here(work, tasks, *, processes, ahead, **_):
        asked.append((work.args[-1], processes, ahead))
        return (work(*task) for task in tasks)

    monkeypatch.setattr(file_workers, "in_workers", here)
    run_check(CheckOptions((str(videos),), str(tmp_path), processes=20))
    assert (stills_with_cache, 20, 20) in asked


def test_urls_are_fetched_and_not_kept(in_this_process, videos, tmp_path, server, tool):
    shutil.copytree(videos.parent / "val" / "dark", tmp_path / "web", dirs_exist_ok=True)
    url = f"http://{server}"
    (tmp_path / "list.csv").write_text(f"path,label\n{url}/0.mp4,x\n{url}/gone.mp4,x\ncellar://0.mp4,x\n")
    for _ in range(2):
        told = tool("check_dataset", tmp_path / "list.csv", "--out", tmp_path / "out", "--processes", 1)
        assert told.code == 1
        assert told.out.startswith("3 rows, 3 files, 3 of them now")
    assert [(r["path"], r["problem"], r["reason"]) for r in table(tmp_path / "out" / "quarantine.csv")] == [
        (f"{url}/gone.mp4", "missing", "cannot be fetched: HTTP Error 404: File not found"),
        (
            "cellar://0.mp4",
            "missing",
            "no handler knows cellar://; name one (--path-handlers, DATA.PATH_HANDLERS)",
        ),
    ]
    assert [r["path"] for r in table(tmp_path / "out" / "clean.csv")] == [f"{url}/0.mp4"]


def test_a_handler_of_ones_own_fetches_for_the_check(videos, tmp_path, monkeypatch, tool):
    monkeypatch.setenv("ATTIC", str(videos.parent / "val" / "dark"))
    (tmp_path / "list.csv").write_text("path,label\nattic://0.mp4,x\nattic://gone.mp4,x\n")
    told = tool(
        "check_dataset", tmp_path / "list.csv", "--out", tmp_path, "--processes", 1, "--path-handlers",
        " helpers.attic:Attic,",
    )  # fmt: skip
    assert told.code == 1
    assert [r["path"] for r in table(tmp_path / "clean.csv")] == ["attic://0.mp4"]
    assert [(r["path"], r["reason"]) for r in table(tmp_path / "quarantine.csv")] == [
        ("attic://gone.mp4", "no such file")
    ]
    assert 'alt="3 frames of attic://0.mp4"' in (tmp_path / "check.html").read_text()


def test_a_file_that_hangs_costs_its_time_and_nothing_else(folder):
    """A decoder that never returns, even to Python's signal handlers, in the workers of a process of its own."""
    (folder / "sitecustomize.py").write_text(
        "import ctypes\n"
        "import video_rs.video.readers.pyav as pyav\n"
        "init = pyav.PyAVReader.__init__\n"
        "def hang(self, path, index):\n"
        "    if path.endswith('train/light/1.mp4'): ctypes.PyDLL(None).pause()\n"
        "    init(self, path, index)\n"
        "pyav.PyAVReader.__init__ = hang\n"
    )
    out = folder / "out"
    hung = folder / "train" / "light" / "1.mp4"
    command = [sys.executable, str(ROOT / "tools" / "check_dataset.py"), str(folder / "list.csv"), "--out", str(out)]
    environment = {**os.environ, "PYTHONPATH": f"{folder}:{ROOT}"}
    done = subprocess.run([*command, "--time-limit", "4"], env=environment, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    lost = {row["path"]: (row["problem"], row["reason"]) for row in table(out / "quarantine.csv")}
    assert lost[str(hung)] == ("hung", "not read within 4 s; its process was stopped")
    assert len(lost) == 5
    assert len(table(out / "clean.csv")) == 7
    # The cache does not keep it: it is tried again by the next check.
    with ProbeCache(out / "probes.sqlite") as cache:
        assert cache.find(str(hung), Stamp.of_file(str(hung))) is None
        sound = str(folder / "train" / "light" / "2.mp4")
        assert cache.find(sound, Stamp.of_file(sound)).probe.kind == "ok"


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
        run_check(CheckOptions((str(videos),), str(tmp_path), depth="some"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--processes", "-1"], "--processes: got -1, allowed: from 1"),
        (["--processes", "0"], "--processes: got 0, allowed: from 1"),
        (["--min-frames", "0"], "--min-frames: got 0, allowed: from 1 (frames)"),
        *(
            (["--time-limit", limit], f"--time-limit: got {told}, allowed: above 0, to 1000000 (seconds for one file)")
            for limit, told in (("0", "0.0"), ("-1", "-1.0"), ("nan", "nan"), ("inf", "inf"), ("2e6", "2000000.0"))
        ),
    ],
)
def test_values_out_of_range_are_one_line(tool, videos, tmp_path, arguments, message):
    told = tool("check_dataset", videos, "--out", tmp_path / "out", *arguments)
    assert (told.code, told.err) == (2, f"error: {message}\n")
    assert not (tmp_path / "out").exists()


def test_agreement_with_the_edge_files(edge_list, tmp_path):
    """Against what ffprobe counted: status, frames, and the traits that its table names."""
    run_check(CheckOptions((str(edge_list),), str(tmp_path), depth="all", processes=2))
    files = json.loads((tmp_path / "check.json").read_text())["files"]
    rows = {str(edge_list.parent / r["file"]): r for r in table(edge_list)}
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
