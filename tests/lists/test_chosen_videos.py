"""What names on a command line stand for."""

import pytest

from video_rs.lists.chosen_videos import chosen_videos
from video_rs.runtime.errors import InputError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in ("a.mp4", "b/c.mkv", "b/d e.mp4", "b/notes.md"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def paths(*names, **times):
    return [record.path for record in chosen_videos(names, **times)]


def test_files_folders_patterns_and_urls_in_their_order(folder):
    assert paths("b", "a.mp4", "https://x.org/[1]/v.mp4") == [
        "b/c.mkv",
        "b/d e.mp4",
        "a.mp4",
        "https://x.org/[1]/v.mp4",
    ]
    assert paths("*.mp4") == ["a.mp4"]
    assert paths("**/*.m*4") == ["a.mp4", "b/d e.mp4"]
    # A folder that matches stands for what is in it.
    assert paths("[b]*") == ["b/c.mkv", "b/d e.mp4"]
    # What is there is no pattern.
    (folder / "e[1].mp4").touch()
    assert paths("e[1].mp4") == ["e[1].mp4"]
    # What is not there is said of that one, when it is opened.
    assert paths("gone.mp4") == ["gone.mp4"]


def test_a_part_is_of_each_video(folder):
    (record,) = chosen_videos(["a.mp4"], 1.5, 3)
    assert (record.start, record.end, record.id) == (1.5, 3, "a.mp4")


def test_all_rows_of_a_list(folder):
    (folder / "l.csv").write_text("path,label,split,start,end\na.mp4,x,train,1,2\nb/c.mkv,,val,,\n")
    records = chosen_videos(["l.csv"])
    assert [(record.path, record.start, record.end, record.id) for record in records] == [
        (str(folder / "a.mp4"), 1.0, 2.0, "a.mp4:1-2"),
        (str(folder / "b/c.mkv"), None, None, "b/c.mkv"),
    ]
    (folder / "l.txt").write_text("a.mp4 0\n")
    assert [(record.start, record.end) for record in chosen_videos(["l.txt"], end=4)] == [(None, 4)]


def test_what_stands_for_nothing_is_refused(folder):
    def refusal(*names, **times):
        with pytest.raises(InputError) as caught:
            chosen_videos(names, **times)
        return str(caught.value)

    assert refusal("b/*.avi") == ("nothing matches b/*.avi; give files, or a pattern of files that are there (in b)")
    assert refusal("a.mp4", start=-1) == "--start is -1; allowed: seconds from 0 on"
    assert refusal("a.mp4", start=2, end=2) == "--end is 2; allowed: seconds after the start, 2"
    assert refusal("a.mp4", end=0) == "--end is 0; allowed: seconds after the start, 0"
    (folder / "l.csv").write_text("path,start,end\na.mp4,1,2\n")
    assert refusal("l.csv", start=1) == "l.csv has rows with start and end of their own; leave --start and --end out"
