"""The page of a study, and the bars of an additive one."""

import re

import pytest
from matplotlib.figure import Figure

from video_rs.reports import plots
from video_rs.reports.additive_plot import Bar, additive_plot
from video_rs.reports.scaling_plot import Line, lines_plot
from video_rs.reports.study_page import Picture, StudyPage, Table, write_study_page


def page_of(folder, **changes):
    """The text of a page with one picture and one table."""
    figure = Figure(figsize=(8, 2))
    figure.subplots()
    page = {
        "title": "Study <1>",
        "sentences": ["It says."],
        "done": 1,
        "runs": 2,
        "failed": [("a", "no <memory>")],
        "pictures": [Picture("Bars", figure, "Below.")],
        "tables": [Table("Rows", ("Name", "Number", "Words"), [["a", "1", "of two"]], texts=("Words",))],
    }
    write_study_page(folder / "report.html", StudyPage(**{**page, **changes}))
    return (folder / "report.html").read_text()


def test_a_picture_is_as_large_as_it_was_drawn_and_scrolls_on_a_narrow_screen(tmp_path):
    """An inch of a figure is as many pixels in every picture: text is of one size."""
    page = page_of(tmp_path)
    [(width, narrowest)] = re.findall(r'<div class="wide"><img [^>]*width="(\d+)" style="min-width:(\d+)px"', page)
    # What is drawn is cut out: an 8-inch figure has a margin of up to an inch at each side.
    assert 6 * 98 < int(width) < 8 * 98
    # A point of the text is a pixel at least.
    assert int(narrowest) == pytest.approx(int(width) * 72 / 98, abs=1)


def test_columns_of_words_are_no_numbers(tmp_path):
    page = page_of(tmp_path)
    assert '<th>Name</th><th class="number">Number</th><th class="words">Words</th>' in page
    assert '<td>a</td><td class="number">1</td><td class="words">of two</td>' in page


def test_what_failed_is_called_what_it_is(tmp_path):
    assert "<th>Run</th><th>Reason</th>" in page_of(tmp_path)
    page = page_of(tmp_path, failed_head="Network")
    assert "<th>Network</th><th>Reason</th>" in page
    assert "no &lt;memory&gt;" in page
    assert "Failed" not in page_of(tmp_path, failed=[])


def test_rows_of_any_name_are_drawn():
    """A ladder of one's own has the names of its files."""
    bars = [Bar("a$b$_{c", None, [1.0, 2.0]), Bar("a\udcffb", None, [2.0]), Bar("x" * 90 + "end", None, [3.0])]
    figure = additive_plot(bars, "3 videos")
    assert plots.png(figure, crop=True).startswith(b"\x89PNG")
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert labels[:2] == ["a$b$_{c", "a□b"]
    assert labels[2].endswith("xend")
    assert len(labels[2]) < 60


def test_no_error_is_drawn_below_zero():
    nothing = Line("depth alone", ["1", "2"], [1.0, 2.0], [[0.0], [0.0]])
    bottom, top = lines_plot([("5 epochs", [nothing])], "error").axes[0].get_ylim()
    assert bottom == pytest.approx(-0.05 * top)
    some = Line("depth alone", ["1", "2"], [1.0, 2.0], [[0.5], [0.4]])
    assert lines_plot([("5 epochs", [some])], "error").axes[0].get_ylim()[0] > 0.3
