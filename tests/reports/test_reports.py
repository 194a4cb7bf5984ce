"""Plots and report page: what was written is read back by somebody else's parser and compared."""

import ast
import base64
import io
import math
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.image import imread

from video_rs.reports import Example, Report, check_page, curves, plots, write_report
from video_rs.reports.confusion import checked, class_accuracies, most_confused
from video_rs.reports.matrix_plot import confusion_matrix
from video_rs.runtime.atomic import replace_text
from video_rs.runtime.errors import InputError

VOID = {"meta", "img", "br", "hr"}


class Page(HTMLParser):
    """A report taken apart: text by section, table rows, pictures, classes of elements; fails on unbalanced tags."""

    def __init__(self, html):
        super().__init__()
        self.html, self.open, self.tags, self.images, self.rows = html, [], [], [], []
        self.section, self.text, self.links = None, {}, []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append((tag, attributes.get("class")))
        self.links += [attributes[name] for name in ("src", "href") if name in attributes]
        if tag == "section":
            self.section = attributes["id"]
        if tag == "img":
            self.images.append((self.section, attributes))
        if tag == "tr":
            self.rows.append((self.section, []))
        if tag in ("td", "th"):
            self.rows[-1][1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text[self.section] = " ".join((self.text.get(self.section, "") + " " + data).split())
        if {"td", "th"} & set(self.open):
            self.rows[-1][1][-1] += data

    def table(self, section):
        return [[" ".join(cell.split()) for cell in cells] for where, cells in self.rows if where == section]

    def pictures(self, section):
        return [decoded(image["src"]) for where, image in self.images if where == section]


def decoded(source):
    """data URI -> uint8 [H,W,3]"""
    kind, data = source.split(",", 1)
    assert kind == "data:image/png;base64"
    return pixels(base64.b64decode(data, validate=True))


def pixels(png):
    return (imread(io.BytesIO(png))[:, :, :3] * 255).round().astype(np.uint8)


def report(folder, **parts):
    given = {
        "title": "run",
        "summary": {},
        "log": [],
        "confusion": None,
        "precisions": None,
        "label_names": [],
        "examples": [],
        "failures": [],
        "config_text": "",
        "notes": [],
    }
    assert parts.keys() <= given.keys()
    write_report(folder / "report.html", Report(**{**given, **parts}))
    return Page((folder / "report.html").read_text(encoding="utf-8"))


def clip(length, height, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (length, height, width, 3), generator=generator, dtype=torch.uint8)


# ---- numbers


CONFUSION = np.array([[8, 2, 0, 0], [1, 1, 2, 0], [0, 0, 3, 0], [0, 0, 0, 0]])
NAMES = ["run", "walk", "jump", "absent"]


def test_class_accuracies_are_worst_first_and_skip_classes_without_videos():
    rows = class_accuracies(CONFUSION, NAMES)
    assert rows == [(1, "walk", 1, 4, 0.25), (0, "run", 8, 10, 0.8), (2, "jump", 3, 3, 1.0)]


def test_most_confused_pairs_by_videos_then_share():
    pairs = most_confused(CONFUSION, NAMES, limit=5)
    assert pairs == [("walk", "jump", 2, 0.5), ("run", "walk", 2, 0.2), ("walk", "run", 1, 0.25)]
    assert most_confused(CONFUSION, NAMES, limit=1) == pairs[:1]
    assert most_confused(np.array([[4]]), ["only"], limit=5) == []


def test_a_matrix_that_does_not_fit_the_names_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"got shape \[4, 4\], expected \[2, 2\] for 2 label names"):
        report(tmp_path, confusion=torch.from_numpy(CONFUSION), label_names=["a", "b"])
    assert list(tmp_path.iterdir()) == []
    assert checked(torch.ones(1, 1), ["a"]).dtype == np.int64


def test_running_mean_against_its_definition():
    values, keep = [4.0, 0.0, 8.0], 1 - 1 / 2
    expected = [4.0, (4 * keep + 0) / (keep + 1), (4 * keep**2 + 0 + 8) / (keep**2 + keep + 1)]
    assert curves.running_mean(values, span=2) == pytest.approx(expected, rel=1e-12)  # float64 rounding
    assert curves.running_mean([3.0] * 50, span=7) == pytest.approx([3.0] * 50, rel=1e-12)


def test_series_passes_over_what_is_missing_or_not_a_number():
    values = [0.5, None, math.nan, math.inf, "0.5", 2]
    log = [{"kind": "train", "step": step, "loss": value} for step, value in enumerate(values)]
    log += [
        {"kind": "train", "loss": 1.0},
        {"kind": "train", "step": 9},
        {"kind": "validation", "step": 9, "loss": 1.0},
    ]
    assert curves.series(log, "train", "loss") == ([0, 5], [0.5, 2.0])


# ---- pictures


def test_montage_shows_evenly_spaced_frames_pixel_for_pixel():
    frames = clip(16, 20, 30)
    strip = pixels(plots.montage(frames))
    white = torch.full((20, 4, 3), 255, dtype=torch.uint8)
    pieces = [piece for index in (0, 2, 4, 6, 9, 11, 13, 15) for piece in (frames[index], white)]
    assert np.array_equal(strip, torch.cat(pieces[:-1], dim=1).numpy())
    assert np.array_equal(pixels(plots.montage(frames[:1].numpy())), frames[0].numpy())


def test_montage_shrinks_tall_frames_by_block_means():
    frames = clip(2, 257, 301)
    strip = pixels(plots.montage(frames)).astype(int)
    pooled = torch.nn.functional.avg_pool2d(frames.permute(0, 3, 1, 2).double(), 3).round()
    left, right = pooled.permute(0, 2, 3, 1).numpy().astype(int)
    assert strip.shape == (85, 100 + 4 + 100, 3)
    # One unit: a mean of nine bytes may fall on either side of a half, depending on the order of the sum.
    assert np.abs(strip[:, :100] - left).max() <= 1
    assert np.abs(strip[:, 104:] - right).max() <= 1


@pytest.mark.parametrize("bad", [np.zeros((2, 4, 4, 3), np.float32), np.zeros((4, 4, 3), np.uint8), clip(0, 4, 4)])
def test_montage_refuses_what_is_not_a_clip(bad):
    with pytest.raises(InputError, match=r"expected uint8 \[T,H,W,3\]"):
        plots.montage(bad)


@pytest.mark.parametrize(
    ("record", "draw", "color"),
    [
        ({"kind": "train", "step": 7, "loss": 2.0}, curves.loss_curve, plots.BLUE),
        ({"kind": "validation", "step": 7, "loss": 2.0}, curves.loss_curve, plots.ORANGE),
        ({"kind": "validation", "step": 7, "top1": 0.0}, curves.accuracy_curve, plots.ORANGE),
        ({"kind": "train", "step": 0, "lr": 0.0}, curves.learning_rate_curve, plots.BLUE),
        ({"kind": "train", "step": 7, "grad_norm": 1.0}, curves.gradient_norm_curve, plots.BLUE),
        ({"kind": "train", "step": 7, "update_ratio": 1e-3}, curves.update_ratio_curve, plots.BLUE),
        ({"kind": "train", "step": 7, "clips_per_s": 9.0}, curves.throughput_curve, plots.BLUE),
        ({"kind": "train", "step": 7, "data_wait": 1.0}, curves.data_wait_curve, plots.BLUE),
    ],
)
def test_a_single_point_is_visible(record, draw, color):
    picture = pixels(plots.png(draw([record])))
    wanted = [int(color[start : start + 2], 16) for start in (1, 3, 5)]
    # A marker of 4 points at 170 dots per inch has a diameter of 9 pixels, so about 70 of them are of its colour.
    assert (picture == wanted).all(axis=2).sum() >= 40
    assert draw([{"kind": "event", "step": 7}]) is None


@pytest.mark.parametrize(
    ("parts", "labels"),
    [
        ({"labelled_loss": 1.0, "pseudo_loss": 3.0}, ["train", "train, labelled", "train, pseudo-labelled"]),
        ({"label_loss": 1.0, "distill_loss": 3.0}, ["train", "train, labels", "train, teacher"]),
        ({}, ["train"]),
    ],
)
def test_the_parts_of_a_loss_are_drawn_beside_it(parts, labels):
    log = [{"kind": "train", "step": step, "loss": 2.0, "agreement": 0.5, **parts} for step in (1, 2)]
    axes = curves.loss_curve(log).axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == labels
    assert [list(line.get_ydata()) for line in axes.lines] == [[2, 2], *([value] * 2 for value in parts.values())]
    agreement = curves.accuracy_curve(log).axes[0]
    assert [text.get_text() for text in agreement.get_legend().get_texts()] == ["agreement with the teacher"]
    assert [list(line.get_ydata()) for line in agreement.lines] == [[0.5, 0.5]]


def test_many_training_points_are_drawn_faintly_under_their_running_mean():
    log = [{"kind": "train", "step": step, "loss": float(step % 2)} for step in range(100)]
    raw, smooth = curves.loss_curve(log).axes[0].lines
    assert list(raw.get_ydata()) == [0.0, 1.0] * 50
    assert list(smooth.get_ydata()) == curves.running_mean([0.0, 1.0] * 50, span=4)
    assert raw.get_alpha() == 0.25
    assert smooth.get_label() == "train"


@pytest.mark.parametrize(("k", "labels"), [(1, ["validation top-1"]), (5, ["validation top-1", "validation top-5"])])
def test_accuracy_curve_names_its_k(k, labels):
    log = [{"kind": "validation", "step": 1, "top1": 0.5, "topk": 0.5, "k": k}]
    assert [line.get_label() for line in curves.accuracy_curve(log).axes[0].lines] == labels


def test_confusion_picture_holds_row_shares_and_counts():
    axes = confusion_matrix(CONFUSION, NAMES).axes[0]
    shares = [[0.8, 0.2, 0, 0], [0.25, 0.25, 0.5, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    assert np.array_equal(axes.images[0].get_array(), shares)
    assert [text.get_text() for text in axes.texts] == [str(count) for count in CONFUSION.ravel()]
    assert [label.get_text() for label in axes.get_yticklabels()] == NAMES


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (["only"], ["only"]),
        (["$a and b$", "x_1^2"], ["$a and b$", "x_1^2"]),
        (["跑步", "walk"], ["0 □", "walk"]),
        (["🏂", "jump 🏂", "jump 🏂🏂", "walk"], ["0 □", "1 jump □", "2 jump □", "walk"]),
        (["opening a bottle that is not wine"], ["opening a bo…is not wine"]),
        (["a" * 40, "a" * 39], ["0 " + "a" * 12 + "…" + "a" * 12, "1 " + "a" * 12 + "…" + "a" * 12]),
    ],
)
def test_names_on_the_axes_of_the_matrix(names, shown, recwarn):
    figure = confusion_matrix(np.eye(len(names), dtype=np.int64), names)
    plots.png(figure)
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == shown
    assert [label.get_text() for label in axes.get_yticklabels()] == shown
    assert not any(label.get_parse_math() for label in axes.get_xticklabels())
    assert [str(warning.message) for warning in recwarn] == []


def test_hundreds_of_classes_get_neither_names_nor_numbers():
    axes = confusion_matrix(np.eye(400, dtype=np.int64), [f"name {index}" for index in range(400)]).axes[0]
    assert len(axes.texts) == 0
    assert not any("name" in label.get_text() for label in axes.get_xticklabels())
    assert axes.get_xlabel() == "predicted (label number)"


# ---- page


def full_report(folder, **parts):
    train = [{"kind": "train", "step": step, "loss": 1 / step, "top1": 0.5, "lr": 0.1} for step in (1, 2, 3)]
    validation = {"kind": "validation", "step": 3, "loss": 0.4, "top1": 12 / 17, "topk": 1.0, "k": 3}
    summary = {"top1": 12 / 17, "topk": 1.0, "k": 3, "videos": 19, "failed": 2, "top1_all": 12 / 19}
    given = {
        "summary": {**summary, "checkpoint": "runs/<a>/best.pth", "steps": 3, "seconds": 3723},
        "log": [*train, validation],
        "confusion": CONFUSION,
        "label_names": NAMES,
        "failures": [("<script>alert(1)</script>&.mp4", "no <video> stream"), ("b.mp4", "too short")],
        "config_text": "MODEL:\n  ARCH: <tiny> & co\n",
        "notes": ["Weights are the <EMA>."],
    }
    return report(folder, **{**given, **parts})


def test_the_page_is_one_file_without_scripts_or_links(tmp_path):
    page = full_report(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert len(page.links) == 4  # loss, accuracy, learning rate, confusion matrix
    assert all(link.startswith("data:image/png;base64,") for link in page.links)
    assert not {"script", "link", "iframe"} & {tag for tag, _ in page.tags}
    assert "http" not in page.html
    assert "url(" not in page.html
    assert all(image["alt"] for _, image in page.images)


def test_summary_gives_both_accuracies_where_videos_failed(tmp_path):
    page = full_report(tmp_path)
    expected = (
        "Summary Top-1, readable videos 70.59 % Top-1, failed count as wrong 63.16 % Top-3 accuracy 100.00 % "
        "Videos 19 Failed videos 2 Checkpoint runs/<a>/best.pth Steps 3 Time 1 h 2 min Weights are the <EMA>."
    )
    assert page.text["summary"] == expected


@pytest.mark.parametrize(
    ("summary", "text"),
    [
        (
            {"top1": 0.5, "topk": 0.5, "k": 1, "failed": 0, "top1_all": 0.5},
            "Top-1 accuracy 50.00 % Failed videos 0",
        ),
        ({"top1": None, "topk": math.nan, "k": 5}, "Top-1 accuracy not known Top-5 accuracy not known"),
        (
            {"top1": 1.0, "seconds": 59.96, "loss": 0.123456},
            "Top-1 accuracy 100.00 % Time 1 min 0 s Loss 0.1235",
        ),
        ({"seconds": 2.5, "clips": 10}, "No accuracy yet: no validation has run. Time 2.5 s Clips 10"),
    ],
)
def test_summary_at_its_edges(tmp_path, summary, text):
    assert report(tmp_path, summary=summary).text["summary"] == f"Summary {text}"


def test_accuracy_per_class_and_confused_pairs_are_literal(tmp_path):
    page = full_report(tmp_path)
    assert page.table("classes")[1:] == [
        ["walk #1", "", "25.00 %", "1 / 4"],
        ["run #0", "", "80.00 %", "8 / 10"],
        ["jump #2", "", "100.00 %", "3 / 3"],
    ]
    assert page.html.count('style="width:25.00%"') == 1
    assert page.text["classes"].endswith("Classes without videos here: 1 absent")
    assert page.table("pairs")[1:] == [
        ["walk", "jump", "2", "50.00 %"],
        ["run", "walk", "2", "20.00 %"],
        ["walk", "run", "1", "25.00 %"],
    ]
    assert "17 videos." in page.text["confusion"]


def test_four_hundred_classes_show_the_worst_and_the_best_twenty(tmp_path):
    counts = np.diag(np.arange(400))  # class i: i of 400 videos right, the others taken for the next class
    counts[np.arange(400), (np.arange(400) + 1) % 400] = 400 - np.arange(400)
    page = report(tmp_path, confusion=counts, label_names=[f"c{index}" for index in range(400)])
    rows = [cells for cells in page.table("classes") if cells[0] != "Class"]
    names = [cells[0].split()[0] for cells in rows]
    assert names[:20] == [f"c{index}" for index in range(20)]
    assert names[20:40] == [f"c{index}" for index in range(399, 379, -1)]
    assert names[40:] == [f"c{index}" for index in range(400)]
    assert rows[1][2:] == ["0.25 %", "1 / 400"]
    assert page.text["pairs"].startswith("Most confused pairs The 20 with the most videos, of 400 pairs.")
    assert len(page.table("pairs")) == 21


def test_forty_classes_are_all_listed_once(tmp_path):
    page = report(tmp_path, confusion=np.eye(40, dtype=int), label_names=[f"c{index}" for index in range(40)])
    assert [cells[0].split()[0] for cells in page.table("classes")[1:]] == [f"c{index}" for index in range(40)]
    assert "No class was taken for another." in page.text["pairs"]


def test_examples_say_right_or_wrong_in_words_beside_their_frames(tmp_path):
    frames = clip(3, 8, 10)
    top = [("run", 0.75), ("walk", 0.25)]
    examples = [
        Example(frames, "a <i>.mp4", "run", top),
        Example(frames, "b.mp4", "walk", top),
        Example(frames, "c.mp4", "walk;run", top),
        Example(frames, "d.mp4", None, top),
        Example(frames, "e.mp4", "run", []),
    ]
    page = report(tmp_path, examples=examples)
    scores = "run 75.00 % walk 25.00 %"
    assert page.text["examples"] == (
        f"Sample clips a <i>.mp4 ✓ right True label: run {scores} b.mp4 ✗ wrong True label: walk {scores} "
        f"c.mp4 ✓ right True labels: walk, run {scores} d.mp4 ? not judged No true label given {scores} "
        "e.mp4 ? not judged True label: run No prediction."
    )
    marks = [kind for _, kind in page.tags if kind and kind.startswith("mark")]
    assert marks == ["mark right", "mark wrong", "mark right", "mark unknown", "mark unknown"]
    assert len(page.pictures("examples")) == 5
    white = np.full((8, 4, 3), 255)
    expected = np.concatenate([frames[0], white, frames[1], white, frames[2]], axis=1)
    assert np.array_equal(page.pictures("examples")[0], expected)


def test_names_and_reasons_are_escaped(tmp_path):
    page = full_report(tmp_path)
    assert page.table("failures")[1] == ["<script>alert(1)</script>&.mp4", "no <video> stream"]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&amp;.mp4" in page.html
    assert page.text["config"].endswith("MODEL: ARCH: <tiny> & co")
    undecodable = report(tmp_path, failures=[("a\udcff.mp4", "gone")])
    assert undecodable.table("failures")[1] == ["a\\udcff.mp4", "gone"]


@pytest.mark.parametrize(("count", "folded"), [(20, False), (21, True)])
def test_many_failed_videos_fold_away_but_none_is_left_out(tmp_path, count, folded):
    page = report(tmp_path, failures=[(f"{index}.mp4", "gone") for index in range(count)])
    assert page.table("failures")[1:] == [[f"{index}.mp4", "gone"] for index in range(count)]
    assert (f"{count} videos could not be read" in page.text["failures"]) is folded


def test_empty_pieces_say_so_in_words(tmp_path):
    page = report(tmp_path, confusion=np.zeros((2, 2), int), label_names=["a", "b"])
    assert page.images == []
    del page.text[None]
    assert page.text == {
        "summary": "Summary No accuracy yet: no validation has run.",
        "confusion": "Confusion matrix No confusion matrix: no validation yet, or no video with one true label.",
        "pairs": "Most confused pairs No pairs: there is no confusion matrix.",
        "classes": "Accuracy per class No accuracy per class: there is no confusion matrix.",
        "examples": "Sample clips No sample clips.",
        "failures": "Failed videos No failed videos.",
        "config": "Config No config was given.",
    }


def test_a_run_of_one_step_shows_its_point_and_names_what_is_missing(tmp_path):
    page = report(tmp_path, log=[{"kind": "train", "step": 1, "loss": 2.0}])
    assert [image["alt"] for _, image in page.images] == ["Loss over steps"]
    assert page.text["curves"] == (
        "Curves No validation yet: the curves show training only. Loss Accuracy No accuracy was logged. "
        "Learning rate No learning rate was logged. Gradient norm No gradient norm was logged. "
        "Update ratio No update ratio was logged. "
        "Throughput No throughput was logged. Waiting for data No waiting time was logged."
    )


def test_a_loss_that_was_not_finite_is_told(tmp_path):
    losses = [1.0, math.nan, math.inf]
    page = report(tmp_path, log=[{"kind": "train", "step": step, "loss": loss} for step, loss in enumerate(losses)])
    told = "Loss or gradient were not finite 2 times, first at step 1; the curves leave that out."
    assert page.text["summary"].endswith(told)

    event = {"kind": "event", "event": "non_finite", "step": 7, "loss": "NaN"}
    skipped = report(tmp_path, log=[{"kind": "train", "step": 1, "loss": 2.0}, event])
    told = "Loss or gradient were not finite once, first at step 7; the curves leave that out."
    assert skipped.text["summary"].endswith(told)


def test_a_failed_write_leaves_the_older_file_alone(tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    replace_text(path, "old")

    def full_disk(descriptor):
        raise OSError("disk full")

    monkeypatch.setattr("video_rs.runtime.atomic.os.fsync", full_disk)
    with pytest.raises(OSError, match="disk full"):
        replace_text(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_reports_import_no_other_room_and_never_pyplot():
    folder = Path(plots.__file__).parent
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in folder.glob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    froms = [node for node in nodes if isinstance(node, ast.ImportFrom)]
    names |= {f"{node.module}.{alias.name}" for node in froms for alias in node.names}
    ours = {name for name in names if name.startswith("video_rs.") and not name.startswith("video_rs.reports")}
    assert ours == {"video_rs.runtime.errors.InputError", "video_rs.runtime.atomic.replace_text"}
    slow = {name for name in names if "pyplot" in name or name.startswith("torch")}
    assert slow == {"torch.utils.tensorboard.SummaryWriter"}
    at_import = {node.module for tree in trees for node in tree.body if isinstance(node, ast.ImportFrom)}
    assert "torch.utils.tensorboard" not in at_import


def bars_of(values):
    """(label, height) of each bar that is drawn, and how many videos they stand for in all."""
    figure = check_page._histogram(check_page.Spread("Length", "seconds", values))
    (axes,) = figure.axes
    labels = [label.get_text() for label in axes.get_xticklabels()]
    heights = [bar.get_height() for bar in axes.patches]
    places = [bar.get_x() for bar in axes.patches]
    assert len(set(places)) == len(places)
    return list(zip(labels, heights, strict=True)), sum(heights)


def test_values_that_look_alike_are_one_bar_and_every_video_is_in_one():
    lengths = [2.0, 3.003, 3.0033, 3.00333, 12.51, 12.512, 5.0, 5.0, 5.0, 60.0, 3600.0]
    drawn, videos = bars_of(lengths)
    assert videos == len(lengths) == 11
    assert drawn == [("2", 1), ("3.003", 3), ("5", 3), ("12.51", 2), ("60", 1), ("3600", 1)]
    assert len({label for label, _ in drawn}) == len(drawn)


def test_many_values_are_a_histogram_of_all():
    figure = check_page._histogram(check_page.Spread("Frames", "frames", list(range(100))))
    assert sum(bar.get_height() for bar in figure.axes[0].patches) == 100
