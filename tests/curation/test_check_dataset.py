"""The dataset doctor as its user calls it, on real files: every kind of trouble in one list."""

import builtins
import csv
import functools
import http.server
import io
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from helpers.runs import tiny_run
from helpers.tools import ROOT
from helpers.videos import make_videos, moving_square
from video_rs.config import load_config
from video_rs.curation import file_workers
from video_rs.curation.doctor.check import run_check
from video_rs.curation.doctor.data_set import read_data_set, split_in_name
from video_rs.curation.doctor.options import CheckOptions
from video_rs.curation.doctor.probing import probe_all
from video_rs.curation.file_workers import FileWorkers
from video_rs.lists.records import read_records
from video_rs.runs.train import run_training
from video_rs.runtime.errors import InputError
from video_rs.video import DecodeError
from video_rs.video.encoding import write_video
from video_rs.video.probing.cache import ProbeCache, stills_with_cache
from video_rs.video.probing.probe import probe
from video_rs.video.probing.stills import stills
from video_rs.video.readers.images import ImageFolderReader, numbering_gap

ONE = FileWorkers(processes=1, time_limit=30.0)
EDGE = Path(__file__).parents[3] / "shared" / "videos"


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
        (";dark", "row", "line 6: label ';dark', expected a label, or several with ; between them; fill it in"),
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
    run_check(CheckOptions((str(videos),), str(tmp_path)))
    monkeypatch.setattr("video_rs.video.index.scan_cache.scan", None)
    monkeypatch.setattr("video_rs.video.index.packet_scan.scan", None)
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


def test_the_names_of_lists_tell_their_splits(tool, videos, tmp_path):
    """One video in both of them is a leak, and what is left can be trained on."""
    source = videos.parent / "train" / "dark"
    for name, numbers in (("kinetics_Training-1", (0, 1)), ("kinetics_validate_val", (1, 2)), ("more-train", (3,))):
        (tmp_path / f"{name}.csv").write_text("path,label\n" + "".join(f"{source}/{i}.mp4,dark\n" for i in numbers))
    lists = [tmp_path / f"{name}.csv" for name in ("kinetics_validate_val", "kinetics_Training-1", "more-train")]
    told = tool("check_dataset", *lists, "--out", tmp_path / "out", "--processes", 1, "--min-frames", 1)
    assert told.code == 1
    assert [(r["path"], r["split"], r["reason"]) for r in table(tmp_path / "out" / "quarantine.csv")] == [
        (f"{source}/1.mp4", "train", f"as {source}/1.mp4 in val")
    ]
    kept = tmp_path / "out" / "clean.csv"
    assert [len(read_records(kept, split=split)) for split in ("train", "val")] == [2, 2]


@pytest.mark.parametrize("name", ["kinetics", "train_val", "trainings"])
def test_a_name_that_tells_no_split_is_refused(tool, videos, tmp_path, name):
    other = tmp_path / f"{name}.csv"
    other.write_text("path,label\na.mp4,dark\n")
    told = tool("check_dataset", videos, other, "--out", tmp_path / "out")
    assert told.code == 2
    assert told.err == (
        f"error: list {other} has rows without a split, and its name does not tell one; give it a split column, or a "
        "name with one of the words train, val and test, such as videos_train.csv\n"
    )
    assert read_data_set([str(other)], "", "").rows[0].split == ""  # a list alone needs none


def test_train_rows_name_the_classes_in_any_order_of_lists(tmp_path):
    """So the verdict is the same, and the rows are in the order given."""
    (tmp_path / "test.txt").write_text("c.mp4\n")
    (tmp_path / "val.csv").write_text("path,label\nb.mp4,dog\nb.mp4,cow\n")
    (tmp_path / "train.csv").write_text("path,label\na.mp4,dog\na.mp4,cat\n")
    (tmp_path / "train2.csv").write_text("path,label\na.mp4,ant\n")
    lists = [str(tmp_path / name) for name in ("test.txt", "val.csv", "train.csv", "train2.csv")]
    for given in (lists, lists[::-1]):
        data_set = read_data_set(given, "", "")
        assert data_set.names == ("ant", "cat", "dog")
        assert list(dict.fromkeys(row.split for row in data_set.rows)) == list(
            dict.fromkeys(split_in_name(source) for source in given)
        )
        told = {(row.split, data_set.label_of(row, ";"), bool(row.fault)) for row in data_set.rows}
        assert told == {
            ("test", "", False),
            ("val", "dog", False),
            ("val", "cow", True),
            ("train", "dog", False),
            ("train", "cat", False),
            ("train", "ant", False),
        }
    assert read_data_set(lists[:2], "", "").names == ("cow", "dog")  # no train rows at all
    assert read_data_set(lists[:1], "", "").names == ()


def test_class_ids_are_named_by_their_digits(tmp_path):
    (tmp_path / "val.txt").write_text("b.mp4 12\n")
    (tmp_path / "train.txt").write_text("a.mp4 11\na.mp4 2\n")
    data_set = read_data_set([str(tmp_path / "val.txt"), str(tmp_path / "train.txt")], "", "")
    assert data_set.names == tuple(map(str, range(12)))
    assert [(row.record.labels, bool(row.fault)) for row in data_set.rows] == [
        ((), True),
        ((11,), False),
        ((2,), False),
    ]


def refused(*_, **__):
    raise PermissionError(13, "Permission denied")


def ffmpeg_refused(*_, **__):
    raise av.error.PermissionError(13, "Permission denied")


def test_what_the_system_refuses_is_a_verdict_and_not_kept(videos, tmp_path, monkeypatch):
    """Permissions change without the stamp. The worker processes are taken away: they would not see the patch."""
    monkeypatch.setattr(file_workers, "in_workers", lambda work, tasks, **_: (work(*task) for task in tasks))
    path = str(videos.parent / "train" / "dark" / "0.mp4")
    with ProbeCache(tmp_path / "probes.sqlite") as cache:
        with monkeypatch.context() as patch:
            patch.setattr("video_rs.video.probing.fingerprint.open", refused, raising=False)
            probes, _, fresh = probe_all([path], cache, "ends", ONE)
        assert (probes[path].kind, probes[path].reason, fresh) == ("unreadable", "permission denied", 1)
        with monkeypatch.context() as patch:
            patch.setattr("av.open", ffmpeg_refused)
            probes, _, fresh = probe_all([path], cache, "ends", ONE)
        assert (probes[path].kind, probes[path].reason, fresh) == ("unreadable", "permission denied", 1)
        probes, _, fresh = probe_all([path], cache, "ends", ONE)
        assert (probes[path].kind, fresh) == ("ok", 1)
        with monkeypatch.context() as patch:
            patch.setattr(os, "stat", refused)
            assert probe_all([path], cache, "ends", ONE)[0][path].reason == "permission denied"
        assert probe_all([path], cache, "ends", ONE)[2] == 0


def test_a_disk_that_fails_inside_a_file_is_a_verdict_and_not_kept(videos, tmp_path, monkeypatch):
    """FFmpeg takes what it could not read for the end of the file, and calls the file damaged."""
    monkeypatch.setattr(file_workers, "in_workers", lambda work, tasks, **_: (work(*task) for task in tasks))
    path = tmp_path / "cut.mp4"
    path.write_bytes((videos.parent / "train" / "dark" / "0.mp4").read_bytes()[:-300])
    read = builtins.open

    def failing(name, mode, buffering=-1):
        if buffering == 0:  # not the fingerprint's: the place that fails lies elsewhere
            raise OSError(5, "Input/output error")
        return read(name, mode)

    with ProbeCache(tmp_path / "probes.sqlite") as cache:
        with monkeypatch.context() as patch:
            patch.setattr("video_rs.video.probing.fingerprint.open", failing, raising=False)
            probes, _, _ = probe_all([str(path)], cache, "ends", ONE)
        assert (probes[str(path)].kind, probes[str(path)].reason) == ("unreadable", "input/output error")
        assert [probe_all([str(path)], cache, "ends", ONE)[2] for _ in range(2)] == [1, 0]


def frame_folder(folder):
    folder.mkdir()
    for i, frame in enumerate(moving_square(1, frames=3)):
        Image.fromarray(frame).save(folder / f"{i}.png")
    return str(folder)


def test_a_frame_folder_that_cannot_be_read_is_one_verdict(tmp_path, monkeypatch):
    path = frame_folder(tmp_path / "frames")
    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", refused)
        assert probe(path)[0].reason == "permission denied"
        assert stills(path)[0].shape == (0, 1, 1, 3)
        with pytest.raises(DecodeError, match=f"^cannot decode {path}: permission denied$"):
            ImageFolderReader(path)
    with monkeypatch.context() as patch:
        patch.setattr(np, "fromfile", refused)
        assert probe(path)[0].reason == "frame 0.png: Permission denied"


def test_frame_folders_are_probed_each_time(tmp_path):
    """A picture written over changes nothing that a stamp of its folder shows."""
    path = frame_folder(tmp_path / "frames")
    with ProbeCache(tmp_path / "probes.sqlite") as cache:
        probes, _, _ = probe_all([path], cache, "all", ONE)
        assert (probes[path].kind, probes[path].frames) == ("ok", 3)
        (tmp_path / "frames" / "2.png").write_text("no picture")
        probes, _, fresh = probe_all([path], cache, "all", ONE)
        assert (probes[path].kind, fresh) == ("damaged", 1)


def test_frame_folders_are_known_by_their_content_and_numbers(tmp_path, tool):
    """A copy in the validation rows is a leak; numbers that are left out are told."""
    frame_folder(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    shutil.copytree(tmp_path / "a", tmp_path / "c")
    (tmp_path / "c" / "2.png").rename(tmp_path / "c" / "7.png")
    (tmp_path / "c" / "0.png").write_bytes((tmp_path / "a" / "2.png").read_bytes())
    (tmp_path / "list.csv").write_text("path,label,split\na,x,train\nb,x,validation\nc,x,train\n")
    told = tool("check_dataset", tmp_path / "list.csv", "--out", tmp_path / "out", "--processes", 1, "--min-frames", 1)
    assert told.code == 1
    found = json.loads((tmp_path / "out" / "check.json").read_text())["findings"]
    assert [(Path(f["path"]).name, f["kind"], f["detail"].replace(str(tmp_path), "")) for f in found] == [
        ("a", "leak", "as /b in val"),
        ("c", "wrong_count", "stated 8, frames 3"),
    ]


def test_of_several_series_of_pictures_the_frames_are_read(tmp_path):
    """TSN's folders hold optical flow beside the frames."""
    folder = Path(frame_folder(tmp_path / "v"))
    expected = ImageFolderReader(str(folder)).frames([0, 1, 2])
    for number in range(3):
        (folder / f"{number}.png").rename(folder / f"img_{number + 9:05}.png")
        for flow in "xy":
            Image.fromarray(np.zeros((48, 64, 3), np.uint8)).save(folder / f"flow_{flow}_{number + 9:05}.png")
    reader = ImageFolderReader(str(folder))
    assert reader.num_frames == 3
    assert torch.equal(reader.frames([0, 1, 2]), expected)
    for path in folder.glob("img_*"):
        path.unlink()
    probed = probe(str(folder))[0]
    assert probed.kind == "unreadable"
    told = (
        r"2 series of pictures \('flow_[xy]_\d+\.png', 'flow_[xy]_\d+\.png'\); keep one: "
        "only flow_x_# and the like may lie beside img_#"
    )
    assert re.fullmatch(told, probed.reason)


def test_series_of_pictures_differ_by_more_than_capitals_and_none_is_dropped(tmp_path):
    folder = Path(frame_folder(tmp_path / "v"))
    (folder / "0.png").rename(folder / "img_0.png")
    (folder / "1.png").rename(folder / "Img_1.png")
    assert "2 series of pictures" in probe(str(folder))[0].reason
    (folder / "2.png").rename(folder / "IMG_2.png")
    assert probe(str(folder))[0].frames == 3


@pytest.mark.parametrize(
    ("names", "gap"),
    [
        (["1", "2", "5"], 2),
        (["v_9_1", "v_9_3"], 1),
        (["f_0.50", "f_0.75", "f_1.25"], 0),
        (["001_of_199", "100_of_100"], 0),
        (["1", "01"], 0),
        (["a", "b"], 0),
        (["7"], 0),
    ],
)
def test_numbers_left_out(names, gap):
    assert numbering_gap([f"/v.1/{name}.jpg" for name in names]) == gap


def test_frame_folders_that_differ_in_a_picture_that_is_not_sampled_are_no_copies(tmp_path):
    paths = [tmp_path / name for name in "ab"]
    for seed, path in enumerate(paths):
        path.mkdir()
        for i, frame in enumerate(moving_square(0, frames=5)):
            Image.fromarray(frame if i % 2 == 0 else frame // (2 + seed)).save(path / f"{i}.png")
    one, other = (probe(str(path))[0] for path in paths)
    assert one.kind == other.kind == "ok"
    assert one.fingerprint != other.fingerprint


def test_segments_of_a_variable_rate_are_held_against_its_times(tmp_path, tool):
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


def test_of_a_huge_file_that_is_no_video_little_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("video_rs.video.probing.fingerprint._READ_AGAIN", 2**20)
    path, read = tmp_path / "huge.mp4", []
    path.write_bytes(b"no video" * 2**19)

    class Counting(io.FileIO):
        def read(self, size):
            read.append(size)
            return super().read(size)

    def opened(name, mode, buffering=-1):
        return Counting(name) if buffering == 0 else builtins.open(name, mode)

    monkeypatch.setattr("video_rs.video.probing.fingerprint.open", opened, raising=False)
    assert probe(str(path))[0].kind == "unreadable"
    assert sum(read) == 2**20


def test_stills_are_no_larger_than_the_page_shows(tmp_path):
    frames = np.repeat(np.repeat(moving_square(1, frames=3, size=48), 6, axis=1), 8, axis=2)
    write_video(tmp_path / "large.mp4", frames, fps=10)  # 288 x 384
    (shown,) = stills(str(tmp_path / "large.mp4"))
    assert shown.shape == (3, 96, 128, 3)
    means = frames.reshape(3, 96, 3, 128, 3, 3).mean((2, 4))
    assert np.abs(shown - means).mean() < 4  # what the encoder loses


def test_pictures_are_taken_ahead_for_every_process(videos, tmp_path, monkeypatch):
    asked = []

    def here(work, tasks, *, processes, ahead, **_):
        asked.append((work.args[-1], processes, ahead))
        return (work(*task) for task in tasks)

    monkeypatch.setattr(file_workers, "in_workers", here)
    run_check(CheckOptions((str(videos),), str(tmp_path), processes=20))
    assert (stills_with_cache, 20, 20) in asked


def test_urls_are_fetched_and_not_kept(videos, tmp_path, monkeypatch, tool):
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path / "cache"))
    shutil.copytree(videos.parent / "val" / "dark", tmp_path / "web")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "web"))
    monkeypatch.setattr(http.server.SimpleHTTPRequestHandler, "log_message", lambda *_: None)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        (tmp_path / "list.csv").write_text(f"path,label\n{url}/0.mp4,x\n{url}/gone.mp4,x\nattic://0.mp4,x\n")
        for _ in range(2):
            told = tool("check_dataset", tmp_path / "list.csv", "--out", tmp_path / "out", "--processes", 1)
            assert told.code == 1
            assert told.out.startswith("3 rows, 3 files, 3 of them now")
        server.shutdown()
    assert [(r["path"], r["problem"], r["reason"]) for r in table(tmp_path / "out" / "quarantine.csv")] == [
        (f"{url}/gone.mp4", "missing", "cannot be fetched: HTTP Error 404: File not found"),
        (
            "attic://0.mp4",
            "missing",
            "no handler knows attic://; name one (--path-handlers, DATA.PATH_HANDLERS)",
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


@pytest.mark.skipif(not (EDGE / "edge.csv").exists(), reason="the edge files are not there")
def test_agreement_with_the_edge_files(tmp_path):
    """Against what ffprobe counted: status, frames, and the traits that its table names."""
    run_check(CheckOptions((str(EDGE / "edge.csv"),), str(tmp_path), depth="all", processes=2))
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
