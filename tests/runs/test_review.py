"""Reviewing a list: which videos are shown, what the page may ask for, and the list that is written."""

import json
import shutil

import av
import pytest
import torch

from helpers.pages import ask, post, served
from helpers.runs import tiny_run
from video_rs.engine.metrics import VideoResult
from video_rs.inference.predictions import About, Predictions
from video_rs.lists.records import VideoRecord, read_records
from video_rs.lists.revised_list import RevisedList
from video_rs.runs.review.choosing import choose
from video_rs.runs.review.session import Session
from video_rs.runtime.errors import InputError

NAMES = ("dark", "light")


def predictions(records, scores, names=NAMES, **about):
    """Predictions of records; None for a video that could not be read."""
    results = []
    for index, (record, row) in enumerate(zip(records, scores, strict=True)):
        result = VideoResult(index, record.path, record.labels, error="truncated file", id=record.id)
        if row is not None:
            result = VideoResult(index, record.path, record.labels, torch.tensor(row), id=record.id)
        results.append(result)
    return Predictions(names, tuple(records), tuple(results), About(**about))


def unseen(labels):
    return [VideoRecord(f"/gone/{number}.mp4", label, None, None, f"v{number}") for number, label in enumerate(labels)]


def test_the_surest_mistakes_come_first_then_the_least_sure_then_the_unreadable():
    records = unseen([(0,), (0,), (1,), (1,), (), (0,)])
    scores = [(0.9, 0.1), (0.2, 0.8), (0.4, 0.6), (0.55, 0.45), (0.52, 0.48), None]
    items = choose(predictions(records, scores), most=9)
    assert [(item.record.id, item.group) for item in items] == [
        ("v1", "mistake"),
        ("v3", "mistake"),
        ("v4", "least sure"),
        ("v2", "least sure"),
        ("v0", "least sure"),
        ("v5", "unreadable"),
    ]
    assert items[0].top == [(1, pytest.approx(0.8)), (0, pytest.approx(0.2))]
    assert (items[-1].top, items[-1].error) == ([], "truncated file")
    assert [item.record.id for item in choose(predictions(records, scores), most=1)] == ["v1", "v4", "v5"]


@pytest.fixture
def listed(videos, tmp_path):
    """Predictions of a copy of the list with 12 videos, all of which are taken for light ones."""
    for name in ("train", "val"):
        shutil.copytree(videos.parent / name, tmp_path / name)
    shutil.copy(videos, tmp_path / "list.csv")
    records = read_records(str(tmp_path / "list.csv")).records
    scores = [(0.3 - 0.01 * number, 0.7 + 0.01 * number) for number in range(len(records) - 1)]
    made = predictions(records, [*scores, None], list=str(tmp_path / "list.csv"))
    made.write(tmp_path / "predictions.parquet")
    return tmp_path


def session(folder, **about):
    made = Predictions.read(folder)
    if about:
        made = predictions(made.records, [(0.3, 0.7)] * len(made), **about)
    return Session(made, RevisedList.open(str(folder / "list.csv"), "", folder / "new.csv", NAMES), most=200)


def test_decisions_are_counted_and_can_be_taken_back(listed):
    review = session(listed)
    assert [item["name"] for item in review.content()["items"]][:2] == ["val/dark/1.mp4", "val/dark/0.mp4"]
    answer = review.decide({"item": 0, "do": "label", "labels": [1]})
    assert answer["decision"] == {"broken": False, "labels": [1]}
    assert answer["labels"] == [0]
    review.decide({"item": 1, "do": "label", "labels": [0]})
    review.decide({"item": 2, "do": "broken"})
    assert review.decided() == (1, 1, 1)
    assert review.decide({"item": 0, "do": "undo"})["decision"] is None
    assert review.decided() == (1, 0, 1)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ([], "a decision is an object with item and do"),
        ({}, "item is None; allowed: 0 to 11"),
        ({"item": 12, "do": "undo"}, "item is 12; allowed: 0 to 11"),
        ({"item": -1, "do": "undo"}, "item is -1"),
        ({"item": True, "do": "undo"}, "item is True"),
        ({"item": "../0", "do": "undo"}, r"item is '\.\./0'"),
        ({"item": 0}, "do is None; allowed: label, broken, undo"),
        ({"item": 0, "do": "label"}, r"labels is None; allowed: one of the class numbers 0 to 1, in a list"),
        ({"item": 0, "do": "label", "labels": []}, r"labels is \[\]"),
        ({"item": 0, "do": "label", "labels": [0, 1]}, r"labels is \[0, 1\]"),
        ({"item": 0, "do": "label", "labels": [2]}, r"labels is \[2\]"),
        ({"item": 0, "do": "label", "labels": ["dark"]}, r"labels is \['dark'\]"),
    ],
)
def test_what_is_no_decision_is_refused(listed, request_, message):
    review = session(listed)
    with pytest.raises(InputError, match=message):
        review.decide(request_)
    assert not (listed / "new.csv").exists()


def test_videos_of_several_classes_have_any_number_of_them(listed):
    review = session(listed, multi_label=True)
    assert review.decide({"item": 0, "do": "label", "labels": [1, 0, 1]})["decision"]["labels"] == [1, 0]
    assert review.decide({"item": 0, "do": "label", "labels": []})["decision"]["labels"] == []
    with pytest.raises(InputError, match="allowed: any number of the class numbers"):
        review.decide({"item": 0, "do": "label", "labels": [2]})


def test_the_page_of_a_command(listed):
    with served(listed / "job", "review", listed, "--most", 5, "--out", listed / "new.csv") as page:
        assert "11 videos to look at: http://127.0.0.1:" in page.out
        assert "note:" not in page.out
        status, html, headers = ask(page.url)
        assert status == 200
        assert b"<title>Review</title>" in html
        nonce = headers["Content-Security-Policy"].split("'nonce-")[1].split("'")[0]
        assert f'<script nonce="{nonce}">'.encode() in html
        # Nothing is fetched from elsewhere, and no data of the list is in the page itself.
        assert b"http" not in html
        content = json.loads(ask(page.url, "content")[1])
        assert content["labels"] == ["dark", "light"]
        assert [item["group"] for item in content["items"]] == ["mistake"] * 5 + ["least sure"] * 5 + ["unreadable"]

        status, film, headers = ask(page.url, "preview/0")
        assert (status, headers["Content-Type"]) == (200, "video/mp4")
        (listed / "film.mp4").write_bytes(film)
        with av.open(str(listed / "film.mp4")) as container:
            assert sum(1 for _ in container.decode(video=0)) == 12

        assert post(page.url, "decide", {"item": 0, "do": "label", "labels": [1]})[0] == 200
        assert post(page.url, "decide", {"item": 1, "do": "broken"})[0] == 200
        status, answer = post(page.url, "decide", {"item": 99, "do": "broken"})
        assert (status, answer) == (400, {"error": "item is 99; allowed: 0 to 10"})
        # It is there before the page is closed.
        assert "val/dark/1.mp4,light,val,was dark\n" in (listed / "new.csv").read_text()
    assert page.out.endswith(f"0 right, 1 relabelled, 1 broken, of 11 videos\nnew list: {listed / 'new.csv'}\n")
    found = read_records(str(listed / "new.csv"))
    assert len(found) == 11
    assert (listed / "list.csv").read_text().startswith("path,label,split\n")


def test_nothing_else_is_answered(listed):
    (listed / "secret.txt").write_text("secret")
    (listed / "val" / "dark" / "1.mp4").unlink()
    with served(listed / "job", "review", listed, "--host", "0.0.0.0", "--time-limit", 30) as page:
        assert (
            "note: the page listens on 0.0.0.0, not for this machine alone: whoever has its address sees the videos "
            "and changes the new list\n"
        ) in page.out
        url = page.url.replace("0.0.0.0", "127.0.0.1")
        for path in (
            "secret.txt",
            "../secret.txt",
            "preview/../secret.txt",
            f"preview/{listed}/secret.txt",
            f"{listed}/secret.txt",
            "preview/",
            "preview/-1",
            "preview/12",
            "preview/1e0",
            "preview/²",
            "preview/%30",
            "preview/99999999999",
        ):
            status, content, _ = ask(url, path.encode("ascii", "ignore").decode())
            assert status == 404, path
            assert b"secret" not in content
        assert post(url, "list.csv", {"item": 0})[0] == 404
        assert ask(url, "decide", method="PUT")[0] == 501
        # A video that is gone is said to be.
        status, content, _ = ask(url, "preview/0")
        assert (status, json.loads(content)) == (422, {"error": "no such file"})
    # What was served has changed nothing.
    assert (listed / "reviewed.csv").read_text().count("\n") == 13
    assert (listed / "secret.txt").read_text() == "secret"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--most", 0], "--most is 0; allowed: from 1"),
        (["--time-limit", 0], "--time-limit: got 0.0, allowed: above 0"),
        (["--port", -1], "--port is -1; allowed: 0 to 65535, 0 for any free one"),
        (["--out", "list.csv"], "is the old list or a folder, which stays; give another file"),
        (["--out", "predictions.parquet/new.csv"], "new.csv cannot be written (File exists); take another file"),
        (["--list", "gone.csv"], "gone.csv does not exist"),
        (["--root", "elsewhere"], "no video of the predictions is in the list that was given, such as "),
        (["--path-handlers", "nothing:Here"], "path handler 'nothing:Here' cannot be made"),
    ],
)
def test_refusals(tool, listed, monkeypatch, arguments, message):
    monkeypatch.chdir(listed)
    before = sorted(listed.rglob("*"))
    result = tool("review", listed, *arguments)
    assert result.code == 2
    assert message in result.err
    assert result.err.count("\n") == 1
    assert sorted(listed.rglob("*")) == before


def test_predictions_without_a_list_or_videos_are_refused(tool, tmp_path):
    predictions(unseen([(0,)]), [(0.9, 0.1)]).write(tmp_path / "predictions.parquet")
    result = tool("review", tmp_path)
    assert "does not say which list was tested; give it with --list" in result.err
    (tmp_path / "list.csv").write_text("path,label\na.mp4,dark\n")
    predictions([], [], list=str(tmp_path / "list.csv")).write(tmp_path / "predictions.parquet")
    assert "holds no whole predictions (ValueError: no video in it); test again" in tool("review", tmp_path).err
    of_another = predictions(unseen([(0,)]), [(0.9, 0.1)], list=str(tmp_path / "list.csv"))
    of_another.write(tmp_path / "predictions.parquet")
    assert "no video of the predictions is in the list that was given, such as " in tool("review", tmp_path).err


def test_a_run_knows_where_its_list_starts(tool, videos, config_file, tmp_path, monkeypatch):
    """The list of a run with DATA.ROOT, as its last validation left it."""
    from video_rs.runs.review import review

    (tmp_path / "lists").mkdir()
    shutil.copy(videos, tmp_path / "lists" / "list.csv")
    arguments = tiny_run(
        tmp_path / "lists" / "list.csv", tmp_path / "run", DATA__ROOT=videos.parent, SOLVER__MAX_EPOCH=1
    )
    assert tool("train_net", "--cfg", config_file, *arguments).code == 0
    opened = []
    monkeypatch.setattr(review, "_serve", lambda server, videos: opened.append(server.session))
    result = tool("review", tmp_path / "run", "--port", 0)
    assert result.code == 0, result.err
    assert len(opened[0].items) == 4
    assert (tmp_path / "run" / "reviewed.csv").read_text().count(str(videos.parent)) == 12


def test_videos_that_the_list_does_not_have_are_left_out_with_a_note(tool, listed, monkeypatch):
    from video_rs.runs.review import review

    lines = (listed / "list.csv").read_text().splitlines()
    (listed / "list.csv").write_text("\n".join(lines[:-1]) + "\n")
    monkeypatch.setattr(review, "_serve", lambda server, videos: None)
    result = tool("review", listed, "--port", 0)
    assert f"note: 1 video of the predictions not in {listed / 'list.csv'}, and left out" in result.out
