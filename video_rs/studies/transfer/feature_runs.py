"""Runs without training: features of a target's videos, and what a vote or a linear classifier makes of them."""

import dataclasses
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from video_rs.builders import build_lists, build_preprocessing
from video_rs.config import Config
from video_rs.engine.neighbours import VideoFeatures, unit_mean
from video_rs.evaluation.linear_probe import ITERATIONS, STRENGTHS, LinearProbe, fit_linear_probe
from video_rs.runs.feature_memory import number_videos, results_of_votes, votes_of_neighbours, without_luck
from video_rs.runs.knn import require_neighbours
from video_rs.runs.results import Evaluation
from video_rs.runs.test import TestOutcome, finish
from video_rs.runtime import distributed
from video_rs.runtime.devices import pick_device
from video_rs.runtime.wording import pluralize
from video_rs.studies.locks import only_process
from video_rs.studies.seconds import Seconds
from video_rs.studies.study import Study, StudyRun
from video_rs.studies.transfer.protocols import features_name
from video_rs.studies.transfer.stored_features import StoredFeatures, compute_features


@dataclass(frozen=True)
class FeatureTest:
    """What a run without training works on.

    Attributes:
        folder: where its test is written.
        config: of the run.
        label_names: of the target's classes.
        train, val: features of the target's videos.
        seconds: that they took.
    """

    folder: Path
    config: Config
    label_names: tuple[str, ...]
    train: StoredFeatures
    val: StoredFeatures
    seconds: float

    @property
    def weights(self) -> str:
        """Where the network's weights are from."""
        return self.config.MODEL.PRETRAINED or f"fresh weights of seed {self.config.RNG_SEED}"

    def queries(self) -> list[VideoFeatures]:
        """Return the videos to test, in their order, with features of length 1."""
        queries = []
        for index, error in enumerate(self.val.rows.errors.tolist()):
            if error:
                queries.append(VideoFeatures(index, error=error))
            else:
                queries.append(_unit_features(self.val, index))
        return queries

    def write(self, probabilities: Tensor, measured: Mapping[str, Any], notes: Sequence[str]) -> None:
        """Write the test as that of a trained run is written.

        Args:
            probabilities: float32 ``[n, K]`` of the test videos that could be read.
            measured: for metrics.json, beside what every test has.
            notes: how it was done, in sentences.
        """
        records = self.val.records
        results = results_of_votes(self.queries(), records, probabilities)
        preprocessing = build_preprocessing(self.config).single_view()
        evaluation = Evaluation(self.config, records.records, self.label_names, preprocessing, results)
        judged = dataclasses.replace(evaluation, results=without_luck(results))
        metrics = {
            **judged.metrics(self.weights),
            **measured,
            "train": len(self.train.records),
            "train_failed": len(self.train.failures),
        }

        self.folder.mkdir(parents=True, exist_ok=True)
        outcome = TestOutcome(
            evaluation,
            metrics,
            step=0,
            title=f"Test of the features of {self.weights}",
            description=notes[0],
            notes=notes,
            failures=[(video, f"of the training videos: {reason}") for video, reason in self.train.failures],
        )
        finish(self.folder, outcome)


def let_neighbours_vote(study: Study, run: StudyRun) -> Seconds:
    """Let the nearest training videos vote on each test video, as ``video-rs knn`` does.

    Raises:
        InputError: the weights are not there or do not fit, or fewer training videos than vote could be read.
    """
    test = _prepare(study, run)
    k = study.settings["k"]
    memory = test.train.records
    records = test.val.records
    ids = number_videos(memory, records)
    require_neighbours(k, memory, ids, test.train.readable)

    started = time.time()
    remembered = [_unit_features(test.train, index) for index in test.train.readable]
    probabilities = votes_of_neighbours(test.queries(), remembered, memory, ids, k, torch.device("cpu"))
    voters = pluralize(len(remembered), "training video")
    test.write(probabilities, {"neighbours": k}, [f"{k} nearest of {voters}, one centre view each"])
    return Seconds(test.seconds, time.time() - started)


def fit_and_test(study: Study, run: StudyRun) -> Seconds:
    """Fit a linear classifier to the features of the training videos, and test it.

    Raises:
        InputError: the weights are not there or do not fit, or the training videos that could be read are of one class.
    """
    test = _prepare(study, run)
    started = time.time()
    probe = fit_linear_probe(test.train.of_readable(), test.train.labels(), test.train.groups())
    fitted = time.time()

    found = probe.probabilities(test.val.of_readable(), len(test.label_names))
    measured = {"C": probe.c, "folds": probe.folds, "right_in_folds": probe.right.get(probe.c)}
    test.write(torch.from_numpy(found), measured, notes_on(probe))
    return Seconds(test.seconds + fitted - started, time.time() - fitted)


def _prepare(study: Study, run: StudyRun) -> FeatureTest:
    """Return the features of a run's videos, which another run may have computed."""
    config = study.config(run)
    distributed.join_process_group(pick_device(config.DEVICE))
    lists = build_lists(config)
    folder = study.folder / "features" / features_name(run)
    folder.mkdir(parents=True, exist_ok=True)

    started = time.time()
    # Whoever comes second waits for the first, however long that takes.
    with only_process(folder / "lock", seconds=math.inf):
        train, val = compute_features(config, lists, folder)
    seconds = time.time() - started
    return FeatureTest(study.run_folder(run) / "test", config, lists.label_names, train, val, seconds)


def _unit_features(stored: StoredFeatures, index: int) -> VideoFeatures:
    """Return a readable video with its features at length 1."""
    view = torch.from_numpy(stored.rows.features[index])
    return VideoFeatures(index, unit_mean(view[None]))


def notes_on(probe: LinearProbe) -> list[str]:
    """Return how a linear classifier came about, in sentences."""
    notes = [_choice_of(probe)]
    if probe.folds and probe.c in (STRENGTHS[0], STRENGTHS[-1]):
        notes.append(f"no C beyond {probe.c:g} was tried")
    if probe.unconverged:
        values = ", ".join(f"{c:g}" for c in probe.unconverged)
        notes.append(
            f"fits with C {values} had not converged after {ITERATIONS:,} iterations, and were taken as they were"
        )
    return notes


def _choice_of(probe: LinearProbe) -> str:
    """Return how the strength of a linear classifier was chosen."""
    how = f"logistic regression on standardised features, C {probe.c:g}"
    if not probe.folds:
        return f"{how}: the training videos are too few to choose it"
    share = 100 * probe.right[probe.c]
    folds = pluralize(probe.folds, "fold")
    return f"{how}, chosen by {folds} of the training videos: {share:.1f} % of them right where held out"
