"""The page of a timeline: where its bars, curves and texts are."""

import re

import numpy as np
import pytest

from video_rs.reports.timeline_page import (
    MOST_POINTS,
    Curve,
    Part,
    TimelinePage,
    clock,
    timeline_panel,
    write_timeline_page,
)

PARTS = [Part(10, 20, "walk", 0.9), Part(25, 30, "fall & <lie>", 0.41, unsure=True), Part(35, 50, "walk", 0.8)]


def page_of(tmp_path, **changes):
    """The text of a page from 10 to 60 s."""
    write_timeline_page(tmp_path / "report.html", page_with(**changes))
    return (tmp_path / "report.html").read_text()


def page_with(**changes):
    """What a page from 10 to 60 s shows."""
    values = {
        "title": "Timeline of x",
        "film": "films/x%20y.mp4",
        "start": 10.0,
        "end": 60.0,
        "parts": PARTS,
        "truth": [],
        "times": np.arange(10.5, 60),
        "curves": [Curve("walk", np.linspace(0, 1, 50)), Curve("stand", np.full(50, 0.25))],
        "levels": (0.5, 0.3),
        "facts": [("Video", "x y.mp4")],
        "notes": ["2 windows could not be read"],
    }
    return TimelinePage(**{**values, **changes})


def bars(text, kind="bar"):
    """(left, width, what is said) of the bars of a kind."""
    found = re.findall(rf'<button type="button" class="{kind}".*?left:([\d.]+)%;width:([\d.]+)%.*?title="(.*?)"', text)
    return [(float(left), float(width), said) for left, width, said in found]


def test_bars_are_where_their_segments_are(tmp_path):
    text = page_of(tmp_path)
    assert bars(text) == [(0, 20, "0:10.0 - 0:20.0  walk  90%"), (50, 30, "0:35.0 - 0:50.0  walk  80%")]
    assert bars(text, "bar unsure") == [(30, 10, "0:25.0 - 0:30.0  fall &amp; &lt;lie&gt;  41%  (unsure)")]
    # The class that is shown longest comes first, and a class without a segment has a curve only.
    rows = re.findall(r'<div class="row" title="(.*?)">', text)
    assert rows == ["walk", "fall &amp; &lt;lie&gt;"]
    assert "Striped: unsure." in text
    assert "Outlined" not in text


def test_annotated_segments_are_beside_the_found_ones(tmp_path):
    text = page_of(tmp_path, truth=[Part(12, 22, "walk"), Part(50, 60, "sit")])
    assert bars(text, "bar true") == [
        (4, 20, "annotated 0:12.0 - 0:22.0  walk"),
        (80, 20, "annotated 0:50.0 - 1:00.0  sit"),
    ]
    assert "Outlined: annotated. Filled: found." in text


def test_curves_go_through_their_values_and_break_where_there_is_none(tmp_path):
    values = np.array([0.0, 0.5, np.nan, 1.0, 0.25])
    text = page_of(tmp_path, times=np.array([10.0, 20, 30, 40, 60]), curves=[Curve("walk", values)])
    (path,) = re.findall(r'<path d="(.*?)"', text)
    assert path == "M0.000 100.00L20.000 50.00M60.000 0.00L100.000 75.00"
    assert re.findall(r'<line .*?y1="([\d.]+)"', text) == ["50.00", "70.00"]


def test_of_many_windows_the_highest_are_drawn(tmp_path):
    times = np.linspace(10, 60, 3 * MOST_POINTS)
    values = np.zeros(len(times))
    values[4000] = 0.9
    text = page_of(tmp_path, times=times, curves=[Curve("walk", values)])
    (path,) = re.findall(r'<path d="(.*?)"', text)
    heights = [float(height) for height in re.findall(r"[ML][\d.]+ ([\d.]+)", path)]
    assert len(heights) == MOST_POINTS
    assert [number for number, height in enumerate(heights) if height < 100] == [4000 // 3]


@pytest.mark.parametrize(
    ("start", "end", "texts"),
    [
        (0, 9.5, ["0:00", "0:01", "0:02", "0:03", "0:04", "0:05", "0:06", "0:07", "0:08", "0:09"]),
        (10, 60, ["0:10", "0:15", "0:20", "0:25", "0:30", "0:35", "0:40", "0:45", "0:50", "0:55"]),
        (0, 10800, ["0:00", "30:00", "1:00:00", "1:30:00", "2:00:00", "2:30:00"]),
    ],
)
def test_the_axis_has_round_times(start, end, texts, tmp_path):
    text = page_of(tmp_path, start=start, end=end, parts=[])
    assert re.findall(r"<span style=\"left:[\d.]+%\">(.*?)</span>", text) == texts


def test_the_table_of_segments(tmp_path):
    text = page_of(tmp_path)
    rows = re.findall(r'<tr><td><a href="#timeline" data-start="(.*?)">(.*?)</a></td><td>.*?</span>(.*?)</td>', text)
    assert rows == [
        ("10", "0:10.0 - 0:20.0", "walk"),
        ("25", "0:25.0 - 0:30.0", 'fall &amp; &lt;lie&gt; <span class="soft">(unsure)</span>'),
        ("35", "0:35.0 - 0:50.0", "walk"),
    ]
    many = page_of(tmp_path, parts=[Part(10, 11, "walk", 0.5)] * 1000)
    assert "The first 300 of 1000; all are in segments.csv." in many
    assert many.count('href="#timeline"') == 300


def test_of_many_classes_the_longest_have_rows(tmp_path):
    parts = [Part(10, 10 + number, f"class {number}", 0.5) for number in range(1, 20)]
    text = page_of(tmp_path, parts=parts)
    assert re.findall(r'<div class="row" title="(.*?)">', text) == [f"class {number}" for number in range(19, 7, -1)]
    assert "7 more classes have segments, in the table below only." in text


def test_without_segments_and_without_a_film(tmp_path):
    text = page_of(tmp_path, parts=[], film="")
    assert "No segment was found" in text
    assert "<video" not in text
    assert "A click goes there" not in text
    assert '<video id="film" src="films/x%20y.mp4"' in page_of(tmp_path)


def test_a_part_of_another_page_has_bars_curves_and_a_table_and_nothing_to_click(tmp_path):
    page, panel = page_of(tmp_path), timeline_panel(page_with())
    drawn = r'class="bar( unsure)?".*?left:([\d.]+)%;width:([\d.]+)%;background-color:(.*?)" title="(.*?)"'
    assert re.findall(drawn, panel) == re.findall(drawn, page)
    assert len(re.findall(drawn, panel)) == 3
    assert re.findall(r'<path d=".*?"', panel) == re.findall(r'<path d=".*?"', page)
    rows = re.findall(r"<tr><td>(.*?)</td><td>.*?</span>(.*?)</td>", panel)
    assert rows[1] == ("0:25.0 - 0:30.0", 'fall &amp; &lt;lie&gt; <span class="soft">(unsure)</span>')
    assert not re.findall(r"<(button|a|script|video|h1)\b", panel)
    # Neither where the video is nor what is its own page's.
    assert "x y.mp4" not in panel
    assert "could not be read" not in panel
    # Its style is for nothing else of the other page.
    (style,) = re.findall(r"<style>(.*?)</style>", panel, re.DOTALL)
    selectors = [one for rule in re.findall(r"^ *(.*?) \{", style, re.MULTILINE) for one in rule.split(",")]
    assert [one for one in selectors if not one.strip().startswith(".timeline")] == []


def test_a_part_of_another_page_names_the_first_of_many_segments():
    many = timeline_panel(page_with(parts=[Part(10, 11, "walk", 0.5)] * 1000))
    assert "The first 300 of 1000 segments:" in many
    assert "segments.csv" not in many
    assert "<table" not in timeline_panel(page_with(parts=[]))


def test_times_for_people():
    assert [clock(seconds) for seconds in (0, 59.96, 3599.9, 3600, 86399.96)] == [
        "0:00.0",
        "1:00.0",
        "59:59.9",
        "1:00:00.0",
        "24:00:00.0",
    ]
