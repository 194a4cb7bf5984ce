"""Probing files for the doctor: what is kept, what is tried again, and what a folder of frames is."""

import builtins
import io
import json
import os
import re
import shutil
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from helpers.videos import moving_square
from video_rs.curation.doctor.probing import probe_all
from video_rs.curation.file_workers import FileWorkers
from video_rs.video import DecodeError
from video_rs.video.encoding import write_video
from video_rs.video.probing.cache import ProbeCache
from video_rs.video.probing.probe import probe
from video_rs.video.probing.stills import stills
from video_rs.video.readers.images import ImageFolderReader, numbering_gap

ONE = FileWorkers(processes=1, time_limit=30.0)


def refused(*_, **__):
    raise PermissionError(13, "Permission denied")


def ffmpeg_refused(*_, **__):
    raise av.error.PermissionError(13, "Permission denied")


def test_what_the_system_refuses_is_a_verdict_and_not_kept(in_this_process, videos, tmp_path, monkeypatch):
    """Permissions change without the stamp."""
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


def test_a_disk_that_fails_inside_a_file_is_a_verdict_and_not_kept(in_this_process, videos, tmp_path, monkeypatch):
    """FFmpeg takes what it could not read for the end of the file, and calls the file damaged."""
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


def test_frame_folders_are_probed_each_time(in_this_process, tmp_path):
    """A picture written over changes nothing that a stamp of its folder shows."""
    path = frame_folder(tmp_path / "frames")
    with ProbeCache(tmp_path / "probes.sqlite") as cache:
        probes, _, _ = probe_all([path], cache, "all", ONE)
        assert (probes[path].kind, probes[path].frames) == ("ok", 3)
        (tmp_path / "frames" / "2.png").write_text("no picture")
        probes, _, fresh = probe_all([path], cache, "all", ONE)
        assert (probes[path].kind, fresh) == ("damaged", 1)


def test_frame_folders_are_known_by_their_content_and_numbers(in_this_process, tmp_path, tool):
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
