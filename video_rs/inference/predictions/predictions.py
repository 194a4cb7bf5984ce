"""Predictions as an object: the videos of a list, their probabilities, and what gave them."""

import dataclasses
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from video_rs.engine.metrics import VideoResult
from video_rs.inference.calibration import Calibration
from video_rs.inference.predictions.parquet import Content, damaged, predictions_file, read_content, write_content
from video_rs.lists.records import VideoRecord
from video_rs.runtime.wording import pluralize

# By what videos are no independent witnesses: a record -> its group.
GROUPINGS: dict[str, Callable[[VideoRecord], str]] = {
    "list": lambda record: record.group_or_file,
    "file": lambda record: record.path,
    "folder": lambda record: os.path.dirname(record.path),
}


@dataclass(frozen=True)
class About:
    """What gave the probabilities.

    Attributes:
        multi_label: whether a video may have several classes, each with a probability of its own.
        checkpoint: path of what was tested.
        step: of the checkpoint.
        model: name of the network.
        list: path of the list.
        clips, crops: of each video; a view is a crop of a clip, and the views of the first crop come first.
        views: how they answered, one of :data:`video_rs.data.preprocessing.VIEWS`.
        views_per_video: how many views, or windows of one pass, an answer is the mean of, in the mean.
        temperature: by which logits were divided.
        threshold: below which the best class counts as "unsure"; None without one.
    """

    multi_label: bool = False
    checkpoint: str = ""
    step: int = 0
    model: str = ""
    list: str = ""
    clips: int = 1
    crops: int = 1
    temperature: float = 1.0
    threshold: float | None = None
    views: str = "published"
    views_per_video: float = 1.0

    @property
    def views_in_words(self) -> str:
        """Which views of each video answered for it."""
        clips = pluralize(self.clips, "clip")
        crops = pluralize(self.crops, "crop")
        return {
            "published": f"{clips} x {crops}",
            "full": f"{clips} of whole frames",
            "dense": f"one pass, {self.views_per_video:.1f} windows",
            "adaptive": f"{self.views_per_video:.1f} of {clips} x {crops}",
        }[self.views]

    @classmethod
    def of_data(cls, data: Mapping[str, Any]) -> "About":
        """Return what a file says.

        Raises:
            TypeError, ValueError: it says something else.
        """
        about = cls(**data)
        for field in dataclasses.fields(cls):
            if field.name in ("temperature", "threshold"):
                continue
            value = getattr(about, field.name)
            if type(value) is not type(field.default):
                raise TypeError(f"{field.name} is {value!r}")
        Calibration(about.temperature, about.threshold).require_sound()
        return about


@dataclass(frozen=True)
class Predictions:
    """The videos of a list and what a network says of each.

    Attributes:
        label_names: of the K classes, in the order of the probabilities.
        records: the videos, in the order of their list.
        results: of each record.
        about: what gave them.
        grouping: by what the videos are grouped, of :data:`GROUPINGS`: the list's column ``group``, and without one
            the file; the file; or its folder.
    """

    label_names: tuple[str, ...]
    records: tuple[VideoRecord, ...]
    results: tuple[VideoResult, ...]
    about: About
    grouping: str = "list"

    def __len__(self) -> int:
        return len(self.results)

    @classmethod
    def read(cls, path: str | Path) -> "Predictions":
        """Return the predictions of a file, or of a run.

        Args:
            path: a Parquet file that testing has written, or a folder with ``predictions.parquet`` in its folder
                ``test`` or in itself. In the folder of a run the former are of its test, the latter of its last
                validation.

        Raises:
            InputError: there is none, or the file is damaged or another one.
        """
        content = read_content(path)
        try:
            about = About.of_data(content.about)
        except (TypeError, ValueError) as error:
            raise damaged(predictions_file(path), error) from error
        return cls(content.label_names, content.records, content.results, about)

    def write(self, path: str | Path) -> None:
        """Write the predictions as a Parquet file, whole or not at all."""
        write_content(Path(path), Content(self.label_names, self.records, self.results, dataclasses.asdict(self.about)))

    @cached_property
    def read_results(self) -> list[VideoResult]:
        """Results of the videos that could be read."""
        return [result for result in self.results if result.error is None]

    @cached_property
    def probabilities(self) -> np.ndarray:
        """Of the videos that could be read, float32 ``[R, K]``."""
        if not self.read_results:
            return np.zeros((0, len(self.label_names)), np.float32)
        return np.stack([result.probabilities.numpy() for result in self.read_results])

    @cached_property
    def truth(self) -> np.ndarray:
        """Which classes the videos have that could be read, bool ``[R, K]``."""
        truth = np.zeros((len(self.read_results), len(self.label_names)), bool)
        for row, result in zip(truth, self.read_results, strict=True):
            row[list(result.labels)] = True
        return truth

    @cached_property
    def groups(self) -> list[str]:
        """The group of each video that could be read."""
        group_of = GROUPINGS[self.grouping]
        return [group_of(self.records[result.index]) for result in self.read_results]

    @property
    def failures(self) -> list[VideoResult]:
        """Results of the videos that could not be read."""
        return [result for result in self.results if result.error is not None]
