"""Answers as lines and as files."""

import csv
import json
import os

import pytest

from video_rs.inference.answer_files import answer_files
from video_rs.inference.answer_text import AnswerPrinter
from video_rs.inference.prediction import Prediction
from video_rs.runtime.errors import InputError
from video_rs.runtime.line_file import LineFile

SURE = Prediction("clips/a.mp4", (("run", 0.9), ("a very, very long name of a class", 0.07), ("sit", 0.03)))
UNSURE = Prediction("b.mp4", (("sit", 0.4), ("run", 0.35)), unsure=True, id="b, second half")
FAILED = Prediction("c.mp4", (), "no video stream")


def test_one_video_has_some_lines():
    names = ["run", "sit"]
    assert AnswerPrinter(["clips/a.mp4"], names).lines(SURE) == [
        "clips/a.mp4",
        "   90.00%  run",
        "    7.00%  a very, very long name of a class",
        "    3.00%  sit",
    ]
    assert AnswerPrinter(["b.mp4"], names).lines(UNSURE)[:3] == ["b, second half", "  unsure", "   40.00%  sit"]
    assert AnswerPrinter(["c.mp4"], names).lines(FAILED) == ["c.mp4", "  error: no video stream"]


def test_several_videos_are_a_table():
    printer = AnswerPrinter(
        ["clips/a.mp4", "b, second half", "c.mp4"], ["run", "sit", "a very, very long name of a class"]
    )
    lines = [line for answer in (SURE, UNSURE, FAILED) for line in printer.lines(answer)]
    assert lines == [
        "video           best                                   second",
        "clips/a.mp4      90.00%  run                             7.00%  a very, very long name of...",
        "b, second half   40.00%  sit                            35.00%  run                           unsure",
        "c.mp4           error: no video stream",
    ]


def test_long_paths_keep_their_end():
    long = "folder/" * 20 + "a.mp4"
    _, line = AnswerPrinter([long, "b"], ["run"]).lines(Prediction(long, (("run", 1.0),)))
    assert line.startswith("...")
    assert line[:60].endswith("/folder/a.mp4")
    assert line[60:] == "  100.00%  run"


def test_files_hold_the_answers_so_far(tmp_path):
    paths = {name: str(tmp_path / "deep" / f"a.{name}") for name in ("json", "jsonl", "csv")}
    with answer_files(paths) as files:
        assert len(files) == 3
        for count, answer in enumerate((SURE, UNSURE, FAILED), start=1):
            for file in files:
                file.add(answer)
            assert len(json.loads((tmp_path / "deep/a.json").read_text())) == count
            lines = (tmp_path / "deep/a.jsonl").read_text().splitlines()
            assert [json.loads(line) for line in lines] == json.loads((tmp_path / "deep/a.json").read_text())
            rows = list(csv.DictReader((tmp_path / "deep/a.csv").open()))
            assert len(rows) == count

    assert json.loads(lines[1])["unsure"] is True
    assert [row["video"] for row in rows] == ["clips/a.mp4", "b.mp4", "c.mp4"]
    assert [row["id"] for row in rows] == ["", "b, second half", ""]
    assert [row["unsure"] for row in rows] == ["", "true", ""]
    assert [row["error"] for row in rows] == ["", "", "no video stream"]
    assert (rows[0]["label1"], rows[0]["score1"], rows[0]["label3"], rows[0]["label4"]) == ("run", "0.9", "sit", "")


@pytest.mark.parametrize("name", ["json", "jsonl", "csv"])
def test_a_file_that_cannot_be_written_is_refused_before_the_work(tmp_path, name):
    with pytest.raises(InputError) as caught, answer_files({"json": "", name: str(tmp_path)}):
        pass
    assert str(caught.value) == f"--{name} {tmp_path} cannot be written (Is a directory); take another file"


def test_a_line_that_does_not_fit_leaves_whole_lines(tmp_path, monkeypatch):
    write = os.write
    with LineFile(tmp_path / "lines") as file:
        file.append("first\n")
        monkeypatch.setattr(os, "write", lambda handle, data: write(handle, data[:3]))
        with pytest.raises(OSError, match="No space left"):
            file.append("second\n")
        monkeypatch.setattr(os, "write", write)
        assert (tmp_path / "lines").read_text() == "first\n"
        file.append("third\n")
    assert (tmp_path / "lines").read_text() == "first\nthird\n"
