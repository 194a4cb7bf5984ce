"""What the runs of a study have left: metrics, and how sure each test video was of its class."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from video_rs.builders.lists import Lists
from video_rs.runtime.errors import InputError
from video_rs.studies.study import Study, StudyRun

# Of a class that has no probability left in seven digits.
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
        lines = (folder / "test" / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines]
        done = json.loads((folder / "done.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"cannot read the results of {folder}: {error}; remove the folder to have it done anew"
        ) from error
    if len(rows) != len(lists.val):
        raise InputError(
            f"{folder} was tested on {len(rows)} videos, and the list has {len(lists.val)} now; {_LIST_OF_BEFORE}"
        )

    log_losses = np.full(len(rows), math.nan)
    right = np.full(len(rows), math.nan)
    for number, (row, record) in enumerate(zip(rows, lists.val.records, strict=True)):
        if row["error"] is None:
            [place] = record.labels
            label = lists.label_names[place]
            if row["label"] != label:
                raise InputError(
                    f"{folder} was tested on a video of {row['label']!r} where the list has {record.path} of {label!r} "
                    f"now; {_LIST_OF_BEFORE}"
                )
            probabilities = row["probabilities"]
            log_losses[number] = -math.log(max(probabilities[place], SMALLEST))
            right[number] = float(int(np.argmax(probabilities)) == place)
    seconds = done["training_seconds"] + done["test_seconds"]
    return RunResult(run, metrics, log_losses, right, seconds)
