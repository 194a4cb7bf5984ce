"""What all data set scripts share: the walk, matching by name, what is written, and what is said of it."""

import os
import re
from pathlib import Path

import av
import numpy as np
import pytest

from helpers.source_trees import touch
from video_rs.config import load_config
from video_rs.lists.listing import Row
from video_rs.lists.records import read_records
from video_rs.lists.sources.coverage import Listed, match, summary
from video_rs.lists.sources.names import VideoIndex, normalised, stem_of
from video_rs.lists.sources.prepare import prepare
from video_rs.lists.sources.writing import config_text, write_label_map, write_list, write_text
from video_rs.lists.trees import find_videos, notes_on, search
from video_rs.runtime.errors import InputError
from video_rs.video import open_video


def item(name, label="run", split="train", **more):
    return Listed(name, label, split, (name,), **more)


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
    tree = search(root)
    assert tree.videos == ["cat/1.mp4", "eel/1.H264", "frames/v"]
    assert tree.left_out == {".srt": 2, "": 1, ".txt": 1, ".xyz": 1}
    assert tree.empty == ["cat/empty", "dog", "owl"]
    assert notes_on(tree) == [
        "left out: 5 files without a video's ending (.srt 2, no ending 1, .txt 1, .xyz 1)",
        "left out: 2 class folders without a video (dog, owl)",
    ]


def test_of_many_left_out_things_the_first_are_named(tmp_path):
    endings = [f"cat/1.{letter}" for letter in "abcdefg"]
    tree = search(touch(tmp_path, "cat/1.mp4", *endings, *(f"train/none{i}/x.a" for i in range(6))))
    assert notes_on(tree) == [
        "left out: 13 files without a video's ending (.a 7, .b 1, .c 1, .d 1, .e 1, and 2 more)",
        "left out: 1 class folder without a video (train)",
    ]
    tree = search(touch(tmp_path, "train/cat/1.mp4", "val/cat/1.mp4"))
    assert notes_on(tree, class_depth=1)[1:] == [
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


@pytest.mark.parametrize(
    ("path", "stem"),
    [("a/b.mp4", "b"), ("b.mp4.webm", "b"), ("b.c.AVI", "b.c"), ("a.mp4/b", "b"), ("-x_1.mkv", "-x_1"), ("b.", "b.")],
)
def test_stem(path, stem):
    assert stem_of(path) == stem


def test_normalised():
    assert normalised("passing American football (in game)") == normalised("passing_american_football_in_game")
    assert normalised("massaging person's head") == normalised("massaging_person's_head")
    assert normalised("a (b)") != normalised("a (not b)")


def test_match_counts_every_video_and_file_once():
    index = VideoIndex(["b/x.mp4", "run/x.mp4", "run/y.avi", "z.mp4", "old/q.mp4", "odd.mp4"])
    listed = [item("x"), item("y", "walk", "val"), item("gone"), item("q", split=""), item("also gone", split="")]
    got = match(listed, index)
    assert got.rows == [
        Row(0, "run/x.mp4", "run", "train", id="x"),  # of two, the one in a folder of its class
        Row(0, "run/y.avi", "walk", "val", id="y"),
    ]
    assert got.missing == [item("gone")]
    assert got.unlisted == ["z.mp4", "odd.mp4"]
    assert (got.copies, got.shared) == (1, 0)


def test_one_file_of_two_videos_is_neither():
    same = [Listed("x_0_9", "run", "train", ("x_0_9", "x")), Listed("x_9_18", "run", "train", ("x_9_18", "x"))]
    got = match(same, VideoIndex(["x.mp4"]))
    assert (got.rows, got.missing, got.shared, got.unlisted, got.copies) == ([], same, 2, [], 0)
    (row,) = match(same, VideoIndex(["x_0_9.mp4"])).rows
    assert row.path == "x_0_9.mp4"


def test_seconds_count_in_uncut_files_only():
    listed = [Listed(f"x_{s}", "run", "train", (f"x_{s}",), "x", str(s), str(s + 9)) for s in (0, 9)]
    got = match(listed, VideoIndex(["x_9.mp4", "x.mkv"]))
    assert got.rows == [Row(0, "x.mkv", "run", "train", "0", "9", "x_0"), Row(0, "x_9.mp4", "run", "train", id="x_9")]
    assert match(listed, VideoIndex(["x.mkv"])).missing == []


def test_loose_names_yield_to_exact_ones():
    index = VideoIndex(["a!b.avi", "C D.avi"])
    listed = [item("A_B"), item("a!b"), item("c_d")]
    assert [row.path for row in match(listed, index, loose=True).rows] == ["a!b.avi", "C D.avi"]
    assert match(listed, index, loose=True).missing == [item("A_B")]
    assert [row.path for row in match(listed, index).rows] == ["a!b.avi"]


def test_summary_literal():
    listed = [item(f"r{i}") for i in range(2000)] + [item(f"w{i}", "walk", "val") for i in range(3)]
    listed += [item("j", "jump", "val"), item("s", "sit"), item("u", split=""), item("t", "", "test")]
    files = [f"{i.id}.mp4" for i in listed if i.id not in ("r0", "w1", "w2", "j", "t")]
    got = match(listed, VideoIndex([*files, "copy/s.mp4", "n1.mp4", "n2.mp4", "n3.mp4", "n4.mp4"]))
    assert summary(got) == [
        "train: 2,000 of 2,001 listed videos found (99.9 %)",  # rounded down: 100.0 means all
        "val: 1 of 4 listed videos found (25.0 %)",
        "test: 0 of 1 listed videos found (0.0 %)",
        "missing most: jump (1 of 1), walk (2 of 3), run (1 of 2,000)",
        "not used by this split: 1 listed videos",
        "left out: 1 further files of listed videos",
        "found but not listed: 4 files (n1.mp4, n2.mp4, n3.mp4, …)",
    ]
    shared = summary(
        match([Listed("a", "run", "train", ("x",)), Listed("b", "run", "train", ("x",))], VideoIndex(["x"]))
    )
    assert shared[-1] == "left out: 2 listed videos whose only file is another one's too"
    assert summary(match([item("a")], VideoIndex(["a.mp4"]))) == ["train: 1 of 1 listed videos found (100.0 %)"]


def test_list_beside_above_and_away_from_its_videos(tmp_path):
    root = touch(tmp_path / "videos", "run/a, b.mp4")
    rows = [Row(0, "run/a, b.mp4", "x, y", "train")]
    expected = {"": "videos/run/a, b.mp4", "videos": "run/a, b.mp4", "lists": f"{root}/run/a, b.mp4"}
    for folder, path in expected.items():
        target = tmp_path / folder / "list.csv"
        write_list(target, rows, root)
        assert target.read_text() == f'path,label,split\n"{path}","x, y",train\n'
        (record,) = read_records(str(target)).records
        assert Path(record.path).is_file()


def test_list_has_the_columns_that_are_used(tmp_path):
    rows = [Row(0, "a.mp4", "x", "train", id="1"), Row(0, "b.mp4", "", "test", "0", "2.5")]
    write_list(tmp_path / "list.csv", rows, str(tmp_path))
    assert (tmp_path / "list.csv").read_text() == (
        "path,label,split,start,end,id\na.mp4,x,train,,,1\nb.mp4,,test,0,2.5,\n"
    )


@pytest.mark.parametrize("name", [" a.mp4", "a:/\N{SNOWMAN}://b.mp4", "a\udce9.mp4"])
def test_list_refuses_paths_that_would_be_read_as_others(tmp_path, name):
    with pytest.raises(InputError, match=r"path '.*mp4': a list file holds UTF-8 text without :// and .*; rename"):
        write_list(tmp_path / "list.csv", [Row(0, name, "x", "train")], str(tmp_path))
    assert not (tmp_path / "list.csv").exists()


@pytest.mark.parametrize("name", ["a;b", " a", "a\nb", "", "\udce9"])
def test_label_map_refuses_names_that_a_list_cannot_hold(tmp_path, name):
    with pytest.raises(InputError, match=r"class name '.*': allowed is UTF-8 text .*; rename the class"):
        write_label_map(tmp_path / "labels.txt", ["fine", name])


def test_writing_again_leaves_the_file_alone(tmp_path):
    path = tmp_path / "new" / "a.txt"
    assert write_text(path, "é\n") == f"wrote {path}"
    os.utime(path, ns=(1, 1))
    assert write_text(path, "é\n") == f"unchanged: {path}"
    assert path.stat().st_mtime_ns == 1
    assert write_text(path, "e\n") == f"wrote {path}"
    assert path.read_text() == "e\n"
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot write .*/file/a.txt \(.*\); choose another place"):
        write_text(tmp_path / "file" / "a.txt", "x")


def test_config_is_read_with_its_base(tmp_path):
    (tmp_path / "base.yaml").write_text("RNG_SEED: 7\nOUTPUT_DIR: x\n")
    values = {"OUTPUT_DIR": "runs/é: #1", "DATA": {"RANDOM_FLIP": False}}
    text = config_text(["What it is.", "", "More"], tmp_path / "base.yaml", values)
    assert text.startswith(f"# What it is.\n#\n# More\n_BASE_: {tmp_path}/base.yaml\n")
    (tmp_path / "c.yaml").write_text(text)
    config = load_config(tmp_path / "c.yaml")
    assert (config.RNG_SEED, config.OUTPUT_DIR, config.DATA.RANDOM_FLIP) == (7, "runs/é: #1", False)


def test_nothing_found_is_refused_and_writes_nothing(tmp_path):
    empty, other = touch(tmp_path / "empty", "a.txt"), touch(tmp_path / "other", "b/z.mp4")
    out = tmp_path / "out" / "list.csv"
    with pytest.raises(InputError, match=r"/empty holds no videos, .*; left out: 1 .* \(.txt 1\); give"):
        prepare([item("x")], ["run"], empty, out)
    with pytest.raises(
        InputError, match=r"^none of the 1 listed .* 1 files of .*/other \(such as b/z.mp4\); .*x\.mp4;"
    ):
        prepare([item("x")], ["run"], other, out)
    with pytest.raises(InputError, match="the official lists name no videos; give the complete files"):
        prepare([], ["run"], other, out)
    assert not out.parent.exists()
