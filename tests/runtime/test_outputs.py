"""What a command may write over, and what it may not."""

import os

import pytest

from video_rs.runtime.atomic import replace_text
from video_rs.runtime.errors import InputError
from video_rs.runtime.outputs import check_outputs, keep_input, require_own


@pytest.fixture
def place(tmp_path):
    (tmp_path / "list.csv").write_text("path,label\n")
    (tmp_path / "film.mp4").write_bytes(b"\0\0\0\x20ftypisom")
    (tmp_path / "latin.csv").write_bytes(b"caf\xe9," * 9)
    (tmp_path / "folder").mkdir()
    os.symlink(tmp_path / "list.csv", tmp_path / "link.csv")
    return tmp_path


def test_text_is_written_over_and_nothing_is_made(place):
    before = sorted(place.rglob("*"))
    (place / "old.csv").write_text("é" * 4095)  # the letter at the end of what is looked at is cut
    outputs = {"--csv": place / "old.csv", "--json": place / "new/deep/a.json", "--jsonl": "", "--out": "/dev/null"}
    check_outputs(outputs, [place / "list.csv", place / "gone"])
    assert sorted(place.rglob("*")) == sorted([*before, place / "old.csv"])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("list.csv", "--csv {0}/list.csv is what is read, and would be lost; take another file"),
        ("link.csv", "--csv {0}/link.csv is what is read, and would be lost; take another file"),
        ("film.mp4", "--csv {0}/film.mp4 is there, and is no text; it stays: take another file"),
        ("latin.csv", "--csv {0}/latin.csv is there, and is no text; it stays: take another file"),
        ("folder", "--csv {0}/folder cannot be written (Is a directory); take another file"),
        ("film.mp4/a.csv", "--csv {0}/film.mp4/a.csv cannot be written (Not a directory); take another file"),
        ("folder/../b.json", "--json and --csv are both {0}/folder/../b.json; name a file for each"),
    ],
)
def test_what_is_read_and_what_is_no_text_stays(place, name, message):
    with pytest.raises(InputError) as caught:
        check_outputs({"--json": str(place / "b.json"), "--csv": f"{place}/{name}"}, [str(place / "list.csv")])
    assert str(caught.value) == message.format(place)


def test_a_folder_with_files_of_something_else_is_refused(place):
    require_own("--out", place / "none", ["report.html"], "mark.json")
    (place / "folder/report.html").write_text("of a training")
    with pytest.raises(InputError) as caught:
        require_own("--out", place / "folder", ["a.csv", "report.html"], "mark.json")
    assert str(caught.value) == (
        f"--out {place}/folder has a report.html of something else, which would be replaced; take another folder"
    )
    (place / "folder/mark.json").write_text("{}")
    require_own("--out", place / "folder", ["a.csv", "report.html"], "mark.json")
    (place / "folder/a.csv").mkdir()
    with pytest.raises(InputError, match=r"has a folder a.csv, where a file goes; take another folder"):
        require_own("--out", place / "folder", ["a.csv", "report.html"], "mark.json")


def test_a_file_that_is_read_is_not_what_is_made_of_it(place):
    keep_input("--out", place / "new.mp4", place / "film.mp4")
    with pytest.raises(InputError, match=r"^--out would replace .*/film.mp4, which is read; take another folder$"):
        keep_input("--out", place / "folder/../film.mp4", place / "film.mp4")


def test_a_pipe_is_written_to_and_not_replaced(tmp_path):
    """Renaming a file onto /dev/null would take it from everybody."""
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    replace_text(tmp_path / "pipe", "text")
    assert os.read(reader, 9) == b"text"
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]
    assert (tmp_path / "pipe").is_fifo()
    os.close(reader)
