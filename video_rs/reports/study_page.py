"""The page of a study: what it says, its pictures, its tables."""

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure

from video_rs.reports import plots
from video_rs.reports.page import data_uri, template
from video_rs.runtime.atomic import replace_text

CSS_PIXELS = 98  # of an inch of a picture: the text of a figure is then as large as that of the page's notes
LEAST_CSS_PIXELS = 72  # of an inch on a narrow screen: a typographic point is a pixel


class Picture(NamedTuple):
    """A figure, its title, and a sentence or two below it."""

    title: str
    figure: Figure
    caption: str


class Table(NamedTuple):
    """A table of text.

    Attributes:
        title: above it.
        columns: heads; the first column is text, the others are aligned as numbers.
        rows: cells, as many as columns.
        notes: sentences below it.
        texts: heads of further columns of text.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()
    texts: Collection[str] = ()


class _Image(NamedTuple):
    """A picture as the page has it.

    Attributes:
        title, caption: of the picture.
        source: the PNG, as a URI.
        width: CSS pixels, where there is room for them.
        narrowest: CSS pixels at which its text can still be read; a narrow screen scrolls.
    """

    title: str
    caption: str
    source: str
    width: int
    narrowest: int


@dataclass(frozen=True)
class StudyPage:
    """What the page shows.

    Attributes:
        title: headline.
        sentences: what the study says.
        done, runs: how many of how many runs are finished.
        failed: (name, reason) of those that failed just now.
        pictures: in their order.
        tables: in their order.
        what: of what ``done`` and ``runs`` are numbers, and what has been done with them.
        failed_head: what those that failed are.
    """

    title: str
    sentences: Sequence[str]
    done: int
    runs: int
    failed: Sequence[tuple[str, str]]
    pictures: Sequence[Picture]
    tables: Sequence[Table]
    what: str = "runs are finished"
    failed_head: str = "Run"


def write_study_page(path: str | Path, page: StudyPage) -> None:
    """Write the page, whole or not at all."""
    images = [_image(picture) for picture in page.pictures]
    text = template("study.html.j2").render(page=page, images=images, written=time.strftime("%Y-%m-%d %H:%M"))
    replace_text(path, text)


def _image(picture: Picture) -> _Image:
    png = plots.png(picture.figure, crop=True)
    inches = plots.png_width(png) / plots.DPI
    width = round(CSS_PIXELS * inches)
    narrowest = round(LEAST_CSS_PIXELS * inches)
    return _Image(picture.title, picture.caption, data_uri(png), width, narrowest)
