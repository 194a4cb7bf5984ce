"""Answers as files: a JSON array, JSON lines, CSV. Each answer is in its file as soon as it is there."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, Self

from video_rs.inference.prediction import Prediction
from video_rs.runtime.atomic import JsonArray, csv_line
from video_rs.runtime.errors import InputError
from video_rs.runtime.line_file import LineFile

MOST_LABELS = 5


class AnswerFile(Protocol):
    """A file that takes one answer after the other."""

    def add(self, answer: Prediction) -> None:
        """Add an answer."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc_info) -> None: ...


class JsonAnswers(JsonArray):
    """An array with one object for each answer."""

    def add(self, answer: Prediction) -> None:
        """Add an answer."""
        self.append(answer.to_dict())


class JsonLines(LineFile):
    """An object a line."""

    def add(self, answer: Prediction) -> None:
        """Add an answer."""
        self.append(json.dumps(answer.to_dict(), ensure_ascii=False) + "\n")


class CsvAnswers(LineFile):
    """A row an answer: the video, why there is no answer, whether it is unsure, and the best labels with scores."""

    def __init__(self, path: Path):
        super().__init__(path)
        columns = ["video", "id", "error", "unsure"]
        for place in range(1, MOST_LABELS + 1):
            columns += [f"label{place}", f"score{place}"]
        self._columns = len(columns)
        self.append(csv_line(columns))

    def add(self, answer: Prediction) -> None:
        """Add an answer."""
        unsure = "" if answer.unsure is None else str(answer.unsure).lower()
        row = [answer.video, answer.id, answer.error or "", unsure]
        for label, score in answer.top:
            row += [label, f"{score:.7g}"]
        row += [""] * (self._columns - len(row))
        self.append(csv_line(row))


FORMATS = {"json": JsonAnswers, "jsonl": JsonLines, "csv": CsvAnswers}
"""Option of a command -> what writes its file."""


@contextmanager
def answer_files(paths: Mapping[str, str]) -> Iterator[list[AnswerFile]]:
    """Open the files for answers before the work starts.

    Args:
        paths: one of :data:`FORMATS` -> path, or "" for none.

    Raises:
        InputError: a file cannot be written.
    """
    with contextlib.ExitStack() as stack:
        files = []
        for name, path in paths.items():
            if not path:
                continue
            try:
                files.append(stack.enter_context(FORMATS[name](Path(path))))
            except OSError as error:
                raise InputError(f"--{name} {path} cannot be written ({error.strerror}); take another file") from error
        yield files
