"""Of what the rows of a file of features are, in words."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from video_rs.inference.features.rows import ALL

COLUMNS = ("id", "video", "label", "clip", "crop", "error")
"""Names of the columns of a table of rows."""


@dataclass(frozen=True)
class RowTexts:
    """All of the rows but the features.

    Attributes:
        ids, paths: of the videos.
        labels: names of the classes, several with ``;`` between; "" where there is none.
        clips, crops: int64 ``[R]``, or -1 for all of them.
        errors: why a video could not be read, or "".
    """

    ids: Sequence[str]
    paths: Sequence[str]
    labels: Sequence[str]
    clips: np.ndarray
    crops: np.ndarray
    errors: Sequence[str]

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def of_columns(cls, columns: Mapping[str, Sequence]) -> "RowTexts":
        """Return the rows of the columns of a table, in which None or "" stands for nothing."""
        texts = {}
        for name in ("id", "video", "label", "error"):
            texts[name] = [value or "" for value in columns[name]]

        places = {}
        for name in ("clip", "crop"):
            numbers = np.full(len(columns[name]), ALL, np.int64)
            for row, value in enumerate(columns[name]):
                if value not in (None, ""):
                    numbers[row] = int(value)
            places[name] = numbers

        return cls(texts["id"], texts["video"], texts["label"], places["clip"], places["crop"], texts["error"])

    def lines(self) -> Iterator[tuple[str, ...]]:
        """Yield the text of each row, in the order of :data:`COLUMNS`; "" where there is nothing."""
        columns = (self.ids, self.paths, self.labels, self.clips, self.crops, self.errors)
        for identifier, video, label, clip, crop, error in zip(*columns, strict=True):
            yield identifier, video, label, place_text(clip), place_text(crop), error


def place_text(place: int) -> str:
    """Return the number of a clip or crop as text, "" for all of them."""
    if place == ALL:
        return ""
    return str(place)
