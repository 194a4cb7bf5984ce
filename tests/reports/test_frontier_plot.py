"""The plot of accuracy over cost: every point once, numbers that can be read, frontiers and marks."""

import itertools
import random

import pytest
from matplotlib.text import Text

from video_rs.reports.frontier_plot import OURS, PEER, PUBLISHED, Dot, Panel, frontier_plot, three_digits
from video_rs.reports.label_places import POINT, Box, label_places

TIME = Panel("s/video", "By time", "seconds", [("frontier", ["small", "large"])])
WORK = Panel("GFLOPs", "By work", "GFLOPs", [("alone", ["small", "large"]), ("of all", ["small", "more data"])])
DOTS = [
    Dot("large", 80.0, OURS, True, False, {"s/video": 100.0, "GFLOPs": 900.0}),
    Dot("small", 60.0, PEER, True, False, {"s/video": 1.0, "GFLOPs": 9.0}),
    Dot("more data", 85.0, PUBLISHED, False, True, {"GFLOPs": 800.0}),
]


def points_of(axes):
    """The points of a panel, without its frontiers."""
    return [line for line in axes.lines if line.get_linestyle() == "None"]


def boxes_of(points, sizes):
    return [Box(x - w / 2, y - h / 2, x + w / 2, y + h / 2) for (x, y), (w, h) in zip(points, sizes, strict=True)]


@pytest.mark.parametrize("seed", range(5))
def test_labels_cover_neither_points_nor_one_another(seed):
    draw = random.Random(seed)
    points = [(draw.gauss(200, 60), draw.gauss(150, 40)) for _ in range(60)]
    sizes = [(10.0, 7.0)] * len(points)
    frame = Box(-50, -50, 450, 350)
    labels = boxes_of(label_places(points, sizes, frame), sizes)
    assert not any(one.overlaps(other) for one, other in itertools.combinations(labels, 2))
    dots = boxes_of(points, [(2 * POINT, 2 * POINT)] * len(points))
    assert not any(label.overlaps(dot) for label in labels for dot in dots)
    assert all(label.lies_in(frame) for label in labels)


def test_a_label_keeps_off_a_curve_and_stands_close_by():
    # By itself the label stands above; a curve that rises through there moves it.
    frame = Box(-100, -100, 100, 100)
    (free,) = label_places([(0.0, 0.0)], [(8.0, 7.0)], frame)
    assert free[1] > 0
    (moved,) = label_places([(0.0, 0.0)], [(8.0, 7.0)], frame, [[(-40.0, 0.0), (0.0, 0.0), (-8.0, 60.0)]])
    assert moved != free
    assert max(map(abs, (*free, *moved))) < 13


def test_a_label_without_room_is_there_all_the_same():
    (place,) = label_places([(0.0, 0.0)], [(8.0, 7.0)], Box(-5, -5, 5, 5))
    assert abs(place[0]) + abs(place[1]) > 50


def test_every_point_is_in_its_panels_and_once_in_the_list():
    figure = frontier_plot(DOTS, [TIME, WORK])
    by_time, by_work, listing = figure.axes
    assert [len(points_of(axes)) for axes in (by_time, by_work)] == [2, 3]
    # The most accurate is number 1, wherever it is drawn.
    assert [text.get_text() for text in by_time.texts] == ["2", "3"]
    assert [text.get_text() for text in by_work.texts] == ["1", "2", "3"]
    texts = [text.get_text() for text in listing.texts]
    assert texts == [
        *("", "bold: on a frontier", "top-1", "s/video", "GFLOPs"),
        *("1", "more data *", "85.0", "", "800"),
        *("2", "large", "80.0", "100", "900"),
        *("3", "small", "60.0", "1.00", "9.00"),
    ]
    bold = {text.get_text() for text in listing.texts if text.get_weight() == "bold"}
    assert bold >= {"large", "small", "more data *"}


def test_frontiers_are_lines_through_their_points():
    by_time, by_work, _ = frontier_plot(DOTS, [TIME, WORK]).axes
    lines = [line for line in by_work.lines if line.get_linestyle() != "None"]
    assert [(line.get_linestyle(), *map(list, line.get_data())) for line in lines] == [
        ("-", [9.0, 900.0], [60.0, 80.0]),
        ("--", [9.0, 800.0], [60.0, 85.0]),
    ]
    assert [text.get_text() for text in by_time.get_legend().get_texts()] == ["ours", "other libraries", "frontier"]
    assert [text.get_text() for text in by_work.get_legend().get_texts()] == [
        *("ours", "other libraries", "published only", "trained on other data, too"),
        *("filled: measured here, too", "alone", "of all"),
    ]


def test_marks_say_what_is_measured_and_what_had_other_data():
    _, axes, _ = frontier_plot(DOTS, [TIME, WORK]).axes
    looks = {line.get_ydata()[0]: line for line in points_of(axes)}
    assert [looks[top1].get_marker() for top1 in (85.0, 80.0, 60.0)] == ["D", "o", "o"]
    assert [looks[top1].get_markerfacecolor() == "white" for top1 in (85.0, 80.0, 60.0)] == [True, False, False]
    assert len({line.get_color() for line in looks.values()}) == 3


def test_numbers_of_a_crowd_can_be_read():
    dots = [Dot(f"net {i}", 70 + 0.3 * (i % 7), OURS, True, False, {"s/video": 10.0 * 1.05**i}) for i in range(24)]
    figure = frontier_plot(dots, [Panel("s/video", "", "", [])])
    figure.draw_without_rendering()
    boxes = [Text.get_window_extent(number) for number in figure.axes[0].texts]  # without its line
    assert len(boxes) == 24
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))


def test_three_digits():
    assert [three_digits(value) for value in (None, 0.0412, 1.0, 42.04, 183.2, 999.7, 18342.0)] == [
        *("", "0.0412", "1.00", "42.0", "183", "1,000", "18,342")
    ]


@pytest.mark.parametrize("count", [1, 2])
def test_names_of_any_letters_and_length_are_drawn_beside_their_numbers(count):
    """Runs are called as their folders: with dollars, bytes that are no UTF-8, and long paths."""
    names = ["lr$_{$", "a\udcffb", "名前", "two\nlines", "studies/mine/runs/d1-1-1-1_w0.125_s32_f4_e350-seed12"]
    panels = [TIME, WORK][:count]
    costs = {"s/video": 3.0, "GFLOPs": 3.0}
    dots = [Dot(name, 60.0 + place, OURS, True, False, costs) for place, name in enumerate(names)]
    figure = frontier_plot(dots, [Panel(panel.name, "", "", [("frontier", [names[-1]])]) for panel in panels])
    figure.draw_without_rendering()
    texts = figure.axes[-1].texts
    shown = [text.get_text() for text in texts]
    assert [shown[shown.index(str(place)) + 1] for place in (2, 3, 4, 5)] == ["two□lines", "□", "a□b", "lr$_{$"]
    # Of a long one the middle goes.
    long = shown[shown.index("1") + 1]
    assert long.startswith("studies/min")
    assert long.endswith("-seed12")
    boxes = [text.get_window_extent() for text in texts if text.get_text()]
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
