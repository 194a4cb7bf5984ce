"""The walk through a folder: what is a video, what is not, and what is said of it."""

import os
import re

import av
import numpy as np
import pytest

from helpers.source_trees import touch
from video_rs.lists.records import read_records
from video_rs.lists.video_search import find_videos, left_out_notes, search_videos
from video_rs.runtime.errors import InputError
from video_rs.video import open_video


def test_walk(tmp_path):
    root = touch(tmp_path, "b/x y/2.MP4", "b/1.webm", "a.avi", "b/notes.txt", ".git/3.mp4", "b/.4.mp4", "b/mp4")
    assert find_videos(root) == ["a.avi", "b/1.webm", "b/x y/2.MP4"]


def test_walk_takes_folders_of_pictures_but_not_thumbnails(tmp_path):
    root = touch(
        tmp_path, "run/v_1/img_1.jpg", "run/v_1/img_2.JPG", "run/v_2/flow/1.png", "jump/3.mp4", "jump/small/3.jpg",
        "hop/4.mp4", "hop/5.jpg", "0.mp4",
        "0.png",
    )  # fmt: skip
    assert find_videos(root) == ["0.mp4", "hop/4.mp4", "jump/3.mp4", "run/v_1", "run/v_2/flow"]


@pytest.mark.parametrize(
    ("files", "found"),
    [
        (["walk/a.mp4", "walk/thumbs/a/1.jpg"], ["walk/a.mp4"]),
        (["walk/s/cover.jpg", "walk/s/clips/a.mp4"], ["walk/s/clips/a.mp4"]),
        (["walk/v/img_1.jpg", "walk/v/flow/1.jpg", "walk/v/deep/er/1.jpg"], ["walk/v"]),
        (
            ["walk/v/rgb/1.jpg", "walk/v/flow_x/1.jpg", "walk/v/flow_y/1.jpg", "walk/v/depth/1.jpg"],
            ["walk/v/depth", "walk/v/rgb"],
        ),
        (["water/flow/1.jpg", "water/rain/1.jpg"], ["water/flow", "water/rain"]),
        (["1.jpg", "a/1.mp4", "b/2.jpg"], ["a/1.mp4", "b"]),
    ],
)
def test_walk_tells_videos_from_the_pictures_around_them(tmp_path, files, found):
    assert find_videos(touch(tmp_path, *files)) == found


def test_what_a_walk_leaves_out_is_counted(tmp_path):
    root = touch(
        tmp_path, "cat/1.mp4", "cat/1.srt", "cat/2.srt", "cat/README", "cat/empty/more/1.txt", "dog/a.xyz",
        "frames/v/img_1.jpg", "frames/v/times.txt", "frames/v/flow_x/1.jpg", "owl/.hidden.mp4", ".git/x", "eel/1.H264",
    )  # fmt: skip
    found = search_videos(root)
    assert found.videos == ["cat/1.mp4", "eel/1.H264", "frames/v"]
    assert found.left_out == {".srt": 2, "": 1, ".txt": 1, ".xyz": 1}
    assert found.empty == ["cat/empty", "dog", "owl"]
    assert left_out_notes(found) == [
        "left out: 5 files without a video's ending (.srt 2, no ending 1, .txt 1, .xyz 1)",
        "left out: 2 class folders without a video (dog, owl)",
    ]


def test_of_many_left_out_things_the_first_are_named(tmp_path):
    endings = [f"cat/1.{letter}" for letter in "abcdefg"]
    found = search_videos(touch(tmp_path, "cat/1.mp4", *endings, *(f"train/none{i}/x.a" for i in range(6))))
    assert left_out_notes(found) == [
        "left out: 13 files without a video's ending (.a 7, .b 1, .c 1, .d 1, .e 1, and 2 more)",
        "left out: 1 class folder without a video (train)",
    ]
    found = search_videos(touch(tmp_path, "train/cat/1.mp4", "val/cat/1.mp4"))
    assert left_out_notes(found, class_depth=1)[1:] == [
        "left out: 6 class folders without a video (train/none0, train/none1, train/none2, train/none3, train/none4, "
        "and 1 more)",
    ]


def test_a_folder_says_what_its_list_leaves_out(tmp_path):
    records = read_records(touch(tmp_path, "cat/1.mp4", "dog/1.xyz"))
    assert records.notes == (
        "left out: 1 file without a video's ending (.xyz 1)",
        "left out: 1 class folder without a video (dog)",
    )
    with pytest.raises(InputError, match=r"left out: 2 files without a video's ending \(.xyz 2\); left out: 1 class"):
        read_records(touch(tmp_path / "dog", "a/1.xyz"))


# How FFmpeg's muxers are called, by the endings that other tools give such files.
MUXERS = {
    ".264": "h264", ".h264": "h264", ".265": "hevc", ".hevc": "hevc", ".divx": "avi", ".xvid": "avi", ".3g2": "3g2",
    ".qt": "mov", ".m2v": "mpeg2video", ".mpe": "mpeg", ".m2t": "mpegts", ".mjpeg": "mjpeg", ".y4m": "yuv4mpegpipe",
    ".nut": "nut", ".ivf": "ivf", ".rm": "rm", ".mod": "vob", ".avif": "avif", ".apng": "apng", ".wtv": "wtv",
}  # fmt: skip
CODECS = {
    "hevc": "libx265", "mpeg": "mpeg1video", "vob": "mpeg2video", "mpeg2video": "mpeg2video", "mjpeg": "mjpeg",
    "yuv4mpegpipe": "wrapped_avframe", "ivf": "libvpx", "rm": "rv20", "avif": "libsvtav1", "apng": "apng",
    "avi": "mpeg4", "3g2": "mpeg4", "wtv": "mpeg2video",
}  # fmt: skip
FORMATS = {"mjpeg": "yuvj420p", "apng": "rgb24"}


@pytest.mark.parametrize("ending", MUXERS)
def test_endings_that_are_taken_are_read(tmp_path, ending):
    path, muxer = tmp_path / f"clip{ending.upper()}", MUXERS[ending]
    with av.open(str(path), "w", format=muxer) as container:
        stream = container.add_stream(CODECS.get(muxer, "libx264"), rate=25)
        stream.width, stream.height, stream.pix_fmt = 176, 144, FORMATS.get(muxer, "yuv420p")
        for i in range(5):
            picture = np.full((144, 176, 3), 40 * i, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode())
    assert find_videos(str(tmp_path)) == [path.name]
    with open_video(path) as reader:
        brightness = reader.frames(range(reader.num_frames)).float().mean((1, 2, 3))
    assert reader.num_frames == 5
    # Codecs that lose much stay within a few levels of the 40 between two frames.
    assert brightness.tolist() == pytest.approx([0, 40, 80, 120, 160], abs=12)


def test_walk_follows_links_but_not_in_circles(tmp_path):
    touch(tmp_path, "far/c/1.mp4", "v/a/2.mp4")
    (tmp_path / "v" / "linked").symlink_to(tmp_path / "far")
    (tmp_path / "v" / "twice").symlink_to(tmp_path / "far")
    (tmp_path / "v" / "a" / "up").symlink_to(tmp_path / "v")
    (tmp_path / "v" / "3.mp4").symlink_to(tmp_path / "far" / "c" / "1.mp4")
    assert find_videos(str(tmp_path / "v")) == ["3.mp4", "a/2.mp4", "linked/c/1.mp4", "twice/c/1.mp4"]


def test_walk_calls_stat_for_no_file(tmp_path, monkeypatch):
    root = touch(tmp_path, *(f"c/{i}.mp4" for i in range(50)))
    calls = []
    for name in ("stat", "lstat"):
        original = getattr(os, name)
        monkeypatch.setattr(
            os, name, lambda path, *a, original=original, **k: calls.append(path) or original(path, **k)
        )
    assert len(find_videos(root)) == 50
    assert not [path for path in calls if str(path).endswith(".mp4")]


def test_walk_refusals(tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"/none is not a folder; give the folder that holds the videos"):
        find_videos(str(tmp_path / "none"))

    def denied(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(InputError, match=re.escape(f"cannot read {tmp_path}/ (Permission denied); make it readable")):
        find_videos(str(tmp_path))
