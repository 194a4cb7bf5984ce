"""The page of a study: what it says, its pictures, its tables."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure

from video_rs.reports import plots
from video_rs.reports.page import data_uri, template
from video_rs.runtime.atomic import replace_text


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
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class StudyPage:
    """What the page shows.

    Attributes:
        title: headline.
        sentences: what the study says.
        done, runs: how many of how many runs are finished.
        failed: (run, reason) of those that failed just now.
        pictures: in their order.
        tables: in their order.
        what: of what ``done`` and ``runs`` are numbers, and what has been done with them.
    """

    title: str
    sentences: Sequence[str]
    done: int
    runs: int
    failed: Sequence[tuple[str, str]]
    pictures: Sequence[Picture]
    tables: Sequence[Table]
    what: str = "runs are finished"


def write_study_page(path: str | Path, page: StudyPage) -> None:
    """Write the page, whole or not at all."""
    pictures = [
        (picture.title, data_uri(plots.png(picture.figure, crop=True)), picture.caption) for picture in page.pictures
    ]
    text = template("study.html.j2").render(page=page, pictures=pictures, written=time.strftime("%Y-%m-%d %H:%M"))
    replace_text(path, text)
