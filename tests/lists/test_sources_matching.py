"""Official lists matched with files by name, and what is said of it."""

import pytest

from video_rs.lists.rows import ListRow
from video_rs.lists.sources.match_report import report_lines
from video_rs.lists.sources.matching import ListedVideo, match_files
from video_rs.lists.sources.video_index import VideoIndex, normalised, stem_of


def video(name, label="run", split="train", **more):
    return ListedVideo(name, label, split, (name,), **more)


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
    listed = [video("x"), video("y", "walk", "val"), video("gone"), video("q", split=""), video("also gone", split="")]
    got = match_files(listed, index)
    assert got.rows == [
        ListRow(0, "run/x.mp4", "run", "train", id="x"),  # of two, the one in a folder of its class
        ListRow(0, "run/y.avi", "walk", "val", id="y"),
    ]
    assert got.missing == [video("gone")]
    assert got.unlisted == ["z.mp4", "odd.mp4"]
    assert (got.copies, got.shared) == (1, 0)


def test_one_file_of_two_videos_is_neither():
    same = [
        ListedVideo("x_0_9", "run", "train", ("x_0_9", "x")),
        ListedVideo("x_9_18", "run", "train", ("x_9_18", "x")),
    ]
    got = match_files(same, VideoIndex(["x.mp4"]))
    assert (got.rows, got.missing, got.shared, got.unlisted, got.copies) == ([], same, 2, [], 0)
    (row,) = match_files(same, VideoIndex(["x_0_9.mp4"])).rows
    assert row.path == "x_0_9.mp4"


def test_seconds_count_in_uncut_files_only():
    listed = [ListedVideo(f"x_{s}", "run", "train", (f"x_{s}",), "x", str(s), str(s + 9)) for s in (0, 9)]
    got = match_files(listed, VideoIndex(["x_9.mp4", "x.mkv"]))
    assert got.rows == [
        ListRow(0, "x.mkv", "run", "train", "0", "9", "x_0"),
        ListRow(0, "x_9.mp4", "run", "train", id="x_9"),
    ]
    assert match_files(listed, VideoIndex(["x.mkv"])).missing == []


def test_similar_names_yield_to_exact_ones():
    index = VideoIndex(["a!b.avi", "C D.avi"])
    listed = [video("A_B"), video("a!b"), video("c_d")]
    assert [row.path for row in match_files(listed, index, similar_names=True).rows] == ["a!b.avi", "C D.avi"]
    assert match_files(listed, index, similar_names=True).missing == [video("A_B")]
    assert [row.path for row in match_files(listed, index).rows] == ["a!b.avi"]


def test_report_literal():
    listed = [video(f"r{i}") for i in range(2000)] + [video(f"w{i}", "walk", "val") for i in range(3)]
    listed += [video("j", "jump", "val"), video("s", "sit"), video("u", split=""), video("t", "", "test")]
    files = [f"{i.id}.mp4" for i in listed if i.id not in ("r0", "w1", "w2", "j", "t")]
    got = match_files(listed, VideoIndex([*files, "copy/s.mp4", "n1.mp4", "n2.mp4", "n3.mp4", "n4.mp4"]))
    assert report_lines(got) == [
        "train: 2,000 of 2,001 listed videos found (99.9 %)",  # rounded down: 100.0 means all
        "val: 1 of 4 listed videos found (25.0 %)",
        "test: 0 of 1 listed videos found (0.0 %)",
        "missing most: jump (1 of 1), walk (2 of 3), run (1 of 2,000)",
        "not used by this split: 1 listed videos",
        "left out: 1 further files of listed videos",
        "found but not listed: 4 files (n1.mp4, n2.mp4, n3.mp4, and 1 more)",
    ]
    shared = report_lines(
        match_files(
            [ListedVideo("a", "run", "train", ("x",)), ListedVideo("b", "run", "train", ("x",))], VideoIndex(["x"])
        )
    )
    assert shared[-1] == "left out: 2 listed videos whose only file is another one's too"
    assert report_lines(match_files([video("a")], VideoIndex(["a.mp4"]))) == [
        "train: 1 of 1 listed videos found (100.0 %)"
    ]
