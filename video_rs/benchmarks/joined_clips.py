"""Clips of a list joined to one film with pauses between them: a long video of which it is known what happens when."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from video_rs.lists.records import RecordList, VideoRecord
from video_rs.lists.rows import COLUMNS, ListRow
from video_rs.runtime.atomic import write_csv
from video_rs.video import open_video
from video_rs.video.encoding import write_video


@dataclass(frozen=True)
class Pauses:
    """Between clips, before the first and after the last.

    Attributes:
        shortest, longest: seconds.
        seed: of the lengths between these.
    """

    shortest: float = 1.0
    longest: float = 4.0
    seed: int = 0

    def lengths(self, count: int, fps: float) -> list[int]:
        """Return the frames of so many pauses, at least one each."""
        seconds = np.random.default_rng(self.seed).uniform(self.shortest, self.longest, count)
        return [max(1, round(length * fps)) for length in seconds]


def join_clips(records: RecordList, picks: Sequence[int], film: Path, fps: float, pauses: Pauses) -> list[ListRow]:
    """Write a film of clips with pauses between them, and return its rows as a list of annotated segments.

    In a pause the film shows the last frame of the clip before, and before the first clip that clip's first frame. The
    row of a pause has no label: it is known that nothing happens there. All rows are val rows.

    Args:
        records: of clips of one size and one rate, each of one class.
        picks: numbers of the records, in the order of the film.
        film: path of the film (MP4).
        fps: frames per second of the clips.
        pauses: how long they are.
    """
    lengths = pauses.lengths(len(picks) + 1, fps)
    parts = _parts([records.records[pick] for pick in picks], lengths)
    rows: list[ListRow] = []
    write_video(film, _frames(parts, records.label_names, fps, film.name, rows), fps)
    return rows


def write_rows(path: Path, rows: Sequence[ListRow]) -> None:
    """Write rows as a list of annotated segments."""
    write_csv(path, COLUMNS, [row[1:] for row in rows])


def _parts(records: Sequence[VideoRecord], pauses: Sequence[int]) -> Iterator[tuple[np.ndarray, int | None]]:
    """Yield the parts of the film, uint8 ``[T, H, W, 3]``, with their classes; None for a pause."""
    for number, record in enumerate(records):
        with open_video(record.path) as reader:
            clip = reader.frames(range(reader.num_frames)).numpy()
        if number == 0:
            yield np.repeat(clip[:1], pauses[0], axis=0), None
        yield clip, record.labels[0]
        yield np.repeat(clip[-1:], pauses[number + 1], axis=0), None


def _frames(
    parts: Iterable[tuple[np.ndarray, int | None]], names: Sequence[str], fps: float, path: str, rows: list[ListRow]
) -> Iterator[np.ndarray]:
    """Yield the frames of the film, uint8 ``[H, W, 3]``, and add the rows of what they show."""
    position = 0
    for frames, label in parts:
        end = position + len(frames)
        name = "" if label is None else names[label]
        rows.append(ListRow(0, path, name, "val", start=f"{position / fps:.3f}", end=f"{end / fps:.3f}"))
        position = end
        yield from frames
