"""What happens when in a video, as a visitor reads it off the page in a real browser."""

import shutil

import numpy as np
import pytest
import torch

from helpers.browser import browser_page, picture, until
from helpers.pages import served
from video_rs import Predictor
from video_rs.engine.checkpoint import load_checkpoint, save_checkpoint
from video_rs.inference.timeline.making import make_timeline
from video_rs.inference.timeline.settings import TimelineSettings
from video_rs.reports.timeline_page import clock
from video_rs.video.encoding import write_video

pytest.importorskip("gradio", reason="Gradio is not installed: pip install 'video_rs[demo]'")

# As a list may name its classes; none of it is markup, nor one of Gradio's templates.
LABELS = (
    "<img src=x onerror=\"document.title='bad'\">",
    "${document.title = 'bad'} {{value}}",
    *(f"pouring something from a jug into a cup, variation {number}" for number in range(6)),
)


def kind(number, kinds, frames=30):
    """uint8 ``[frames, 48, 48, 3]``: noise, the brighter the higher the number."""
    level = 10 + 200 * number // kinds
    return np.random.default_rng(number).integers(level, level + 20, (frames, 48, 48, 3), dtype=np.uint8)


def write_kinds(path, numbers, kinds):
    """Write a film that shows some of so many kinds, 3 s of each."""
    write_video(path, np.concatenate([kind(number, kinds) for number in numbers]), fps=10)
    return path


def knowing(run, folder, label_names):
    """A copy of a run that tells as many kinds as there are names by the features of one clip of each."""
    shutil.copytree(run, folder)
    file = folder / "checkpoints" / "last.pth"
    checkpoint = load_checkpoint(file)
    predictor = Predictor.from_checkpoint(file, "cpu")
    network = predictor.scorer.model

    clips = [kind(number, len(label_names), 4)[:, :32, :32] for number in range(len(label_names))]
    views = torch.from_numpy(np.stack(clips)).permute(0, 4, 1, 2, 3)
    with torch.inference_mode():
        maps = network.forward_features(predictor.preprocessing.prepare(views, torch.device("cpu")))
        features = network.forward_head(maps, pre_logits=True)

    # The nearest of these is the answer: its logit is the highest one by 8 at least where a clip is as its kind.
    nearest = torch.pdist(features).min() ** 2
    for part in ("model", "ema"):
        checkpoint[part]["fc.weight"] = 16 * features / nearest
        checkpoint[part]["fc.bias"] = -8 * (features**2).sum(1) / nearest
    save_checkpoint(file, {**checkpoint, "num_classes": len(label_names), "label_names": label_names})
    return folder


def choose(page, path):
    page.wait_for_selector("#upload input[type=file]", state="attached")
    page.set_input_files("#upload input[type=file]", str(path))
    page.wait_for_selector("#answer [data-testid=label-output-value]")


def ask_when(page):
    page.click("#when")
    page.wait_for_selector("#timeline .board")


def pictures(page, name):
    """Keep a picture of the page on a screen and one on a telephone."""
    for width in (500, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        picture(page, f"{name}_{width}")


def rows_of(page):
    """The cells of the table of segments."""
    rows = page.locator("#timeline table tbody tr").all()
    return [row.locator("td").all_inner_texts() for row in rows]


def expected_rows(run, film):
    """The same cells, of the timeline that the command makes."""
    timeline = make_timeline(Predictor.from_checkpoint(run, "cpu"), film, TimelineSettings())
    rows = []
    for segment in timeline.segments:
        time = f"{clock(segment.start)} - {clock(segment.end)}"
        label = timeline.label_names[segment.label]
        rows.append([time, label, f"{segment.seconds:.1f}", f"{100 * segment.score:.0f} %"])
    return rows


def test_a_visitor_reads_the_segments_off_the_page(trained, videos, tmp_path):
    run = knowing(trained, tmp_path / "run", ("dark", "light"))
    film = write_kinds(tmp_path / "film.mp4", (0, 1, 0, 1), kinds=2)
    expected = expected_rows(run, film)
    assert [label for _, label, *_ in expected] == ["dark", "light", "dark", "light"]

    with (
        served(tmp_path / "job", "demo_app", "--checkpoint", run, "--device", "cpu", "--examples", 1) as demo,
        browser_page() as page,
    ):
        page.goto(demo.url)
        page.click("#when")
        note = page.wait_for_selector("#note textarea")
        until(lambda: note.input_value() == "Choose a video first.")

        choose(page, film)
        ask_when(page)
        assert rows_of(page) == expected
        bars = page.locator("#timeline .bar").evaluate_all("bars => bars.map(bar => bar.title)")
        said = [f"{time}  {label}  {score.replace(' ', '')}" for time, label, _, score in expected]
        assert sorted(bars) == sorted(said)
        until(lambda: not page.is_visible("#note"))
        pictures(page, "demo_timeline_2_classes")

        # Another video has its own timeline, which nobody has asked for yet.
        page.click("#examples button")
        until(lambda: not page.is_visible("#timeline .board"))
        ask_when(page)
        assert rows_of(page) == expected_rows(run, videos.parent / "val/dark/0.mp4")


def test_labels_of_a_list_are_text_whatever_they_say(trained, tmp_path):
    run = knowing(trained, tmp_path / "run", LABELS)
    film = write_kinds(tmp_path / "film.mp4", range(len(LABELS)), kinds=len(LABELS))
    expected = expected_rows(run, film)
    assert {label for _, label, *_ in expected} >= set(LABELS[:2])

    with (
        served(tmp_path / "job", "demo_app", "--checkpoint", run, "--device", "cpu", "--examples", 0) as demo,
        browser_page() as page,
    ):
        page.goto(demo.url)
        choose(page, film)
        ask_when(page)
        assert rows_of(page) == expected
        assert page.title() == "Video classification"
        assert page.query_selector("#timeline img") is None
        pictures(page, "demo_timeline_8_classes")


WAITING = """
import os, time
from video_rs.runs.demo_app.answering import VideoAnswers

made = VideoAnswers.timeline

def waits(*given):
    open({began!r}, "a").write("x")
    while not os.path.exists({go!r}):
        time.sleep(0.01)
    return made(*given)

VideoAnswers.timeline = waits
"""


def test_no_timeline_is_shown_beside_another_video(trained, videos, tmp_path):
    """The first timeline is still being made when the visitor takes an example and asks for its timeline."""
    run = knowing(trained, tmp_path / "run", ("dark", "light"))
    film = write_kinds(tmp_path / "film.mp4", (0, 1), kinds=2)
    began, go = tmp_path / "began", tmp_path / "go"
    before = WAITING.format(began=str(began), go=str(go))

    with (
        served(tmp_path / "job", "demo_app", "--checkpoint", run, "--examples", 1, before=before) as demo,
        browser_page() as page,
    ):
        page.goto(demo.url)
        choose(page, film)
        page.click("#when")
        until(began.exists)
        note = "The network goes through the whole video, which may take a while."
        until(lambda: page.input_value("#note textarea") == note)
        picture(page, "demo_timeline_at_work")

        page.click("#examples button")
        until(lambda: not page.is_visible("#upload button[aria-label=Clear]"))
        page.click("#when")
        go.touch()
        page.wait_for_selector("#timeline .board")
        assert rows_of(page) == expected_rows(run, videos.parent / "val/dark/0.mp4")
