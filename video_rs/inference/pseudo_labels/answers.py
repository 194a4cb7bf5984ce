"""The answers of a finished labelling: the best class of each video at once, all probabilities of chosen ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from video_rs.inference.pseudo_labels.labelling import LabelRow
from video_rs.inference.pseudo_labels.shards import FORMAT, LabelShards
from video_rs.inference.shard_folder import SETTINGS, read_settings
from video_rs.runtime.errors import InputError
from video_rs.runtime.wording import pluralize


@dataclass(frozen=True)
class Answers:
    """What a teacher says of N videos.

    Attributes:
        shards: where all of it lies.
        rows: of each video, without its probabilities.
        labels: int64 ``[N]``, the best class; -1 of a video that could not be read, and of one that the teacher gives
            to none of the classes.
        confidences: float64 ``[N]``, the probability of that class; 0 where there is none.
    """

    shards: LabelShards
    rows: Sequence[LabelRow]
    labels: np.ndarray
    confidences: np.ndarray

    @property
    def label_names(self) -> tuple[str, ...]:
        """The names of the K classes."""
        return self.shards.label_names

    def soft_labels(self, places: Sequence[int]) -> np.ndarray:
        """Return probabilities float32 ``[len(places), K]`` that sum to 1.

        What a row says of the classes that are not kept is shared out among them evenly; what the teacher gives to
        classes that the student does not have is shared out in proportion.
        """
        found = np.zeros((len(places), len(self.label_names)), np.float32)
        wanted: dict[int, list[int]] = {}
        for target, place in enumerate(places):
            wanted.setdefault(place // self.shards.size, []).append(target)

        for number, targets in wanted.items():
            rows = self.shards.read(number)
            first = self.shards.videos_of(number).start
            for target in targets:
                found[target] = _dense(rows[places[target] - first], len(self.label_names))
        return found


def read_answers(folder: str | Path) -> Answers:
    """Return the answers in a folder that ``video-rs pseudo_label`` has written.

    Raises:
        InputError: there are none, they are not finished, or a shard or the settings are damaged.
    """
    folder = Path(folder)
    shards = _find_shards(folder)
    missing = [number for number in range(len(shards)) if not shards.has(number)]
    if missing:
        first = shards.file(missing[0]).name
        raise InputError(
            f"{folder} lacks {len(missing)} of {pluralize(len(shards), 'shard')}, first {first}; "
            "start the same video-rs pseudo_label again"
        )
    for number in range(len(shards)):
        # Their numbers would be those of other classes.
        if shards.names_in(number) != shards.label_names:
            raise InputError(
                f"{shards.file(number)} has answers for other classes than {folder / SETTINGS} names; take the "
                "settings from a copy, or label again"
            )
    return _gathered(shards)


def _find_shards(folder: Path) -> LabelShards:
    """Return the shards of a folder, as its settings describe them."""
    path = folder / SETTINGS
    settings = read_settings(path)
    if settings is None or "label_names" not in settings:
        raise InputError(f"{folder} holds no answers of a teacher; make them with video-rs pseudo_label")
    if settings.get("format") != FORMAT:
        raise InputError(
            f"{path} is of the format {settings.get('format')}, and this video_rs reads {FORMAT}; label again with "
            "--overwrite"
        )

    for name in ("videos", "shard_videos"):
        value = settings.get(name)
        if not isinstance(value, int) or value < 1:
            raise InputError(f"{path} is damaged: {name} is {value}; take it from a copy, or label again")
    return LabelShards(folder, settings["videos"], settings["shard_videos"], tuple(settings["label_names"]))


def _gathered(shards: LabelShards) -> Answers:
    """Return the best class of each video; the other probabilities are not kept in memory."""
    rows = []
    labels = []
    confidences = []
    for number in range(len(shards)):
        for row in shards.read(number):
            label, confidence = _best(row)
            labels.append(label)
            confidences.append(confidence)
            rows.append(row._replace(classes=(), probabilities=()))
    return Answers(shards, rows, np.array(labels, np.int64), np.array(confidences, np.float64))


def _best(row: LabelRow) -> tuple[int, float]:
    """Return the best class of a row, and its probability; the first of equal ones, and -1 where there is none."""
    # All zeros: the teacher is sure of a class that the student does not have.
    if row.error is not None or not any(row.probabilities):
        return -1, 0.0
    place = int(np.argmax(row.probabilities))
    return row.classes[place], row.probabilities[place]


def _dense(row: LabelRow, count: int) -> np.ndarray:
    """Return the probabilities of all classes, float64 ``[count]``."""
    left = count - len(row.classes)
    dense = np.full(count, row.rest / left if left else 0.0)
    dense[list(row.classes)] = row.probabilities
    return dense / dense.sum()
