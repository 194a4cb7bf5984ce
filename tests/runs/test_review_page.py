"""The page of a review in a real browser: videos are played, and keys decide."""

import csv

import pytest
import torch

from helpers.browser import browser_page, picture, until
from helpers.pages import served
from video_rs.engine.metrics import VideoResult
from video_rs.inference.predictions import About, Predictions
from video_rs.lists.records import read_records

KINETICS = [f"class {number} of many" for number in range(398)]


def write_predictions(folder, list_path, names, multi_label=False):
    """Predictions of a list by which each video is of the last class, and the first video could not be read."""
    records = read_records(str(list_path), label_names=names, split="val").records
    results = []
    for index, record in enumerate(records):
        scores = torch.full((len(names),), 0.2 / (len(names) - 1))
        scores[-1] = 0.8 - 0.01 * index
        results.append(VideoResult(index, record.path, record.labels, scores, id=record.id))
    results[0] = VideoResult(0, records[0].path, records[0].labels, error="truncated file", id=records[0].id)
    folder.mkdir(exist_ok=True)
    about = About(list=str(list_path), multi_label=multi_label)
    Predictions(tuple(names), records, tuple(results), about).write(folder / "predictions.parquet")
    return folder


def rows(path):
    with open(path) as file:
        return {row["id"] or row["path"]: row for row in csv.DictReader(file)}


def decided(page, text):
    """Wait until the page says how many are decided."""
    until(lambda: page.inner_text("#progress").endswith(text))


def playing(page):
    until(lambda: page.evaluate("() => { const v = document.querySelector('video'); return v.currentTime > 0; }"))


def test_three_clips_are_relabelled_and_one_is_broken(videos, tmp_path):
    folder = write_predictions(tmp_path / "run", videos, ("dark", "light"))
    with served(tmp_path / "job", "review", folder) as served_page, browser_page() as page:
        page.goto(served_page.url)
        # One mistake, two that are right, one that could not be read.
        until(lambda: page.inner_text("#groups") == "Mistakes (1)\nLeast sure (2)\nUnreadable (1)")
        assert page.inner_text("#name") == "val/dark/1.mp4"
        assert page.inner_text("#state") == "In the list: dark"
        assert page.inner_text("#top").split("\n") == ["1", "light", "79.0 %", "2", "dark", "20.0 %"]
        playing(page)
        picture(page, "review_2_classes")

        page.keyboard.press("1")
        decided(page, "1 of 1, 1 decided")
        assert page.inner_text("#message") == "All videos of this kind are decided."
        assert page.inner_text("#state") == "In the list: dark now light"

        page.click("#groups button:has-text('Least sure')")
        assert page.inner_text("#name") == "val/light/1.mp4"
        page.keyboard.press("2")
        decided(page, "2 of 2, 1 decided")
        # By a part of its name; the last video of a kind stays.
        page.keyboard.press("/")
        page.keyboard.type("ark")
        assert page.inner_text("#found") == "dark"
        picture(page, "review_search")
        page.keyboard.press("Enter")
        decided(page, "2 of 2, 2 decided")

        page.click("#groups button:has-text('Unreadable')")
        assert page.inner_text("#state") == "In the list: dark. The test could not read it: truncated file"
        playing(page)  # the file is sound in this test
        page.keyboard.press("b")
        decided(page, "1 of 1, 1 decided")
        picture(page, "review_broken")

        found = rows(folder / "reviewed.csv")
        assert {name: row["review"] for name, row in found.items() if row["review"]} == {
            "val/dark/1.mp4": "was dark",
            "val/light/0.mp4": "was light",
            "val/light/1.mp4": "was light",
        }
        assert found["val/light/0.mp4"]["label"] == "dark"
        assert list(rows(folder / "reviewed_broken.csv")) == ["val/dark/0.mp4"]

    # A second review shows what was decided, and takes it back.
    with served(tmp_path / "job2", "review", folder) as served_page, browser_page() as page:
        page.goto(served_page.url)
        until(lambda: page.inner_text("#state") == "In the list: dark now light")
        page.keyboard.press("u")
        until(lambda: page.inner_text("#state") == "In the list: dark")
        page.click("#groups button:has-text('Unreadable')")
        until(lambda: page.inner_text("#state").endswith("broken"))
        page.keyboard.press("Enter")
        until(lambda: page.inner_text("#state").endswith("right"))
    assert rows(folder / "reviewed_broken.csv") == {}
    assert rows(folder / "reviewed.csv")["val/dark/1.mp4"]["review"] == ""
    assert rows(folder / "reviewed.csv")["val/dark/0.mp4"]["review"] == "right"


def test_keys_move_and_pause(videos, tmp_path):
    folder = write_predictions(tmp_path / "run", videos, ("dark", "light"))
    with served(tmp_path / "job", "review", folder) as served_page, browser_page() as page:
        page.goto(served_page.url)
        until(lambda: page.inner_text("#groups"))
        page.click("#groups button:has-text('Least sure')")
        first = page.inner_text("#name")
        page.keyboard.press("ArrowLeft")
        assert page.inner_text("#name") == first
        page.keyboard.press("ArrowRight")
        assert page.inner_text("#name") != first
        playing(page)
        page.keyboard.press(" ")
        until(lambda: page.inner_text("#play") == "space play")
        page.keyboard.press("ArrowLeft")
        assert page.inner_text("#name") == first
        page.keyboard.press("9")
        page.keyboard.press("/")
        page.keyboard.type("nothing like it")
        page.keyboard.press("Enter")
        until(lambda: page.inner_text("#message") == "No class has that in its name.")
        page.keyboard.press("Escape")
        assert page.inner_text("#progress").endswith("0 decided")


def test_what_cannot_be_saved_or_shown_is_said(videos, tmp_path):
    folder = write_predictions(tmp_path / "run", videos, ("dark", "light"))
    with served(tmp_path / "job", "review", folder) as served_page, browser_page() as page:
        page.goto(served_page.url)
        until(lambda: page.inner_text("#groups"))
        (folder / "reviewed.csv").unlink()
        (folder / "reviewed.csv").mkdir()
        page.keyboard.press("1")
        until(lambda: page.inner_text("#message").startswith("Not saved: the list cannot be written"))
        assert page.inner_text("#progress").endswith("0 decided")
        page.route("**/preview/*", lambda route: route.fulfill(status=422, json={"error": "truncated file"}))
        page.click("#groups button:has-text('Unreadable')")
        until(lambda: page.inner_text("#notice") == "This video cannot be shown: truncated file")
        picture(page, "review_cannot_be_shown")


@pytest.mark.parametrize("width", [1280, 420])
def test_four_hundred_classes(videos, tmp_path, width):
    names = ("dark", "light", *KINETICS)
    folder = write_predictions(tmp_path / "run", videos, names, multi_label=True)
    with served(tmp_path / "job", "review", folder) as served_page, browser_page(width=width) as page:
        page.goto(served_page.url)
        until(lambda: page.inner_text("#groups").startswith("Mistakes (3)"))
        playing(page)
        page.keyboard.press("/")
        page.keyboard.type("class 39")
        until(lambda: page.inner_text("#found").startswith("class 39 of many\nclass 390 of many\n"))
        picture(page, f"review_400_classes_{width}")
        # Of several classes a key adds one, or takes it away.
        page.keyboard.press("Enter")
        until(lambda: "now dark, class 39 of many" in page.inner_text("#state"))
        page.keyboard.press("1")
        until(lambda: "now dark, class 39 of many, class 397 of many" in page.inner_text("#state"))
        page.keyboard.press("1")
        until(lambda: page.inner_text("#state") == "In the list: dark now dark, class 39 of many")
    label = next(row["label"] for row in rows(folder / "reviewed.csv").values() if row["review"])
    assert label == "dark;class 39 of many"
