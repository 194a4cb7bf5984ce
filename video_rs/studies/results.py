"""What the runs of a study have left: metrics, and how sure each test video was of its class."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from video_rs.builders.lists import Lists
from video_rs.inference.predictions import Predictions, joined_labels
from video_rs.runtime.errors import InputError
from video_rs.studies.study import Study, StudyRun

# A probability of nothing would be an infinite loss.
SMALLEST = 1e-7
_LIST_OF_BEFORE = "take the list of before, or start in another folder"


@dataclass(frozen=True)
class RunResult:
    """What a run has left.

    Attributes:
        run: of the study.
        metrics: what its test's metrics.json holds.
        log_losses: ``-log p(true class)`` of each test video in the order of the list, float64; NaN for a video that
            could not be read.
        right: 1.0 where the best class is the true one, 0.0 elsewhere, NaN for a video that could not be read.
        seconds: of training and testing.
    """

    run: StudyRun
    metrics: Mapping[str, Any]
    log_losses: np.ndarray
    right: np.ndarray
    seconds: float

    @property
    def top1(self) -> float:
        """Top-1 accuracy of the test, in [0, 1]."""
        return float(self.metrics["top1"])

    @property
    def log_loss(self) -> float:
        """Mean cross-entropy of the test videos, in nats."""
        return float(np.nanmean(self.log_losses))


def read_result(study: Study, run: StudyRun, lists: Lists) -> RunResult:
    """Read what a finished run has left.

    Args:
        study: of the run.
        run: a finished one.
        lists: what it was trained and tested on.

    Raises:
        InputError: its files lack, or are of another list.
    """
    folder = study.run_folder(run)
    try:
        metrics = json.loads((folder / "test" / "metrics.json").read_text(encoding="utf-8"))
        done = json.loads((folder / "done.json").read_text(encoding="utf-8"))
        predictions = Predictions.read(folder / "test")
    except (OSError, ValueError, InputError) as error:
        raise InputError(
            f"cannot read the results of {folder}: {error}; remove the folder to have it done anew"
        ) from error
    if len(predictions) != len(lists.val):
        raise InputError(
            f"{folder} was tested on {len(predictions)} videos, and the list has {len(lists.val)} now; "
            f"{_LIST_OF_BEFORE}"
        )

    log_losses = np.full(len(predictions), math.nan)
    right = np.full(len(predictions), math.nan)
    for result in predictions.read_results:
        record = lists.val.records[result.index]
        [place] = record.labels
        was = joined_labels(result.labels, predictions.label_names)
        now = lists.label_names[place]
        if was != now:
            raise InputError(
                f"{folder} was tested on a video of {was!r} where the list has {record.path} of {now!r} now; "
                f"{_LIST_OF_BEFORE}"
            )
        log_losses[result.index] = -math.log(max(float(result.probabilities[place]), SMALLEST))
        right[result.index] = float(int(result.probabilities.argmax()) == place)
    seconds = done["training_seconds"] + done["test_seconds"]
    return RunResult(run, metrics, log_losses, right, seconds)
