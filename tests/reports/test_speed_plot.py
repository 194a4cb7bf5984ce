"""The plot of speed over arithmetic: every network once, and numbers that can be read."""

import itertools

import pytest
from matplotlib.text import Text

from video_rs.reports.speed_plot import speed_plot


def row(name, side, speed, gflop, rate):
    """A row of a benchmark's JSON."""
    numbers = {"clips_per_s": speed, "gflop_per_clip": gflop, "gflops_per_s": rate}
    return {"name": name, **numbers, "subject": {"side": side, "frames": 8, "size": 224}}


ROWS = [
    row("net eager", "ours", 4.0, 40.0, 160.0),
    row("net plain", "ours", 2.0, 40.0, 80.0),
    row("net checkpointed", "ours", 3.0, 40.0, 120.0),
    row("net accelerate openvino", "ours", 4.5, 40.0, 180.0),
    row("best single layer", "limit", None, None, 200.0),
    row("pytorchvideo slow_r50", "peer", 1.25, 80.0, 100.0),
]


def test_the_plot_shows_every_network_once_the_fastest_first():
    axes, listing = speed_plot(ROWS, 200.0).axes
    *points, line = [*axes.lines[1:], axes.lines[0]]
    shown = sorted((row for row in ROWS if row["clips_per_s"]), key=lambda row: -row["clips_per_s"])
    assert [(p.get_xdata()[0], p.get_ydata()[0]) for p in points] == [
        (row["gflop_per_clip"], row["clips_per_s"]) for row in shown
    ]
    assert len({p.get_color() for p in points}) == 2
    assert line.get_xdata() * line.get_ydata() == pytest.approx([200.0, 200.0])
    assert line.get_label() == "best single layer, 200 GFLOP/s"
    texts = [text.get_text() for text in listing.texts]
    assert texts[5:10] == ["1", "net accelerate openvino", "4.50", "180", "8 x 224"]
    assert [text for text in texts if text in {row["name"] for row in ROWS}] == [row["name"] for row in shown]
    assert speed_plot(ROWS[:1], None).axes[0].get_legend() is None


@pytest.mark.parametrize("aside", [1.0, 1.05, 1.15], ids=["above", "slanted", "beside"])
def test_numbers_touch_neither_one_another_nor_a_point(aside):
    rows = [{**ROWS[0], "clips_per_s": 4.0 - 0.01 * i, "gflop_per_clip": 40.0 / aside**i} for i in range(6)]
    axes = speed_plot(rows, None).axes[0]
    axes.figure.draw_without_rendering()
    boxes = [Text.get_window_extent(number) for number in axes.texts]  # without its line
    assert len(boxes) == 6
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
    centres = [axes.transData.transform((row["gflop_per_clip"], row["clips_per_s"])) for row in rows]
    assert not any(box.contains(*centre) for box in boxes for centre in centres)
