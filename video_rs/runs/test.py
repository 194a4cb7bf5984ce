"""Test a checkpoint on a list of videos: several views of each, and the mean of their probabilities."""

import itertools
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from video_rs.builders import build_preprocessing
from video_rs.builders.data import build_source
from video_rs.config import Config, config_from_text
from video_rs.data.dataset import ViewReader
from video_rs.engine.checkpoint import load_checkpoint
from video_rs.engine.metrics import probability_of_so_few
from video_rs.inference.calibration import Calibration
from video_rs.inference.video_scoring import largest_clips, require_views, video_scorer
from video_rs.lists.checks import require_labels
from video_rs.lists.records import RecordList, read_records
from video_rs.models.convolution_check import require_right_convolutions
from video_rs.models.stored import load_classifier
from video_rs.reports.predictions_page import write_predictions_page
from video_rs.runs.acceleration import PLAIN, EngineChoice, accelerated, facts_of
from video_rs.runs.report import page_of
from video_rs.runs.results import (
    Evaluation,
    describe,
    evaluate_records,
    network_scorer,
    write_predictions,
)
from video_rs.runs.run_folder import RunFolder
from video_rs.runtime import distributed
from video_rs.runtime.atomic import write_json
from video_rs.runtime.devices import pick_device
from video_rs.runtime.errors import InputError
from video_rs.runtime.progress import print_line, print_notes
from video_rs.runtime.torch_files import find_checkpoint
from video_rs.runtime.wording import pluralize
from video_rs.video.fetching import absolute_path, handler_names, register_handlers

# Guessing gets so few right once in a thousand tests: less often is no bad luck.
HARDLY_EVER = 0.001
# What the classes are is the checkpoint's; so is every key of the model.
FIXED = ("DATA.LABEL_MAP", "DATA.MULTI_LABEL")


@dataclass(frozen=True)
class TestOutcome:
    """What a test leaves.

    Attributes:
        evaluation: what was tested, and the results.
        metrics: what metrics.json holds.
        step: of the checkpoint.
        title: headline of the report.
        description: how it was tested, in some words.
        notes: sentences for the report.
        failures: (video, reason) of videos beside those of the evaluation, for the report.
    """

    # pytest collects classes of this name.
    __test__ = False

    evaluation: Evaluation
    metrics: dict[str, Any]
    step: int
    title: str
    description: str
    notes: Sequence[str]
    failures: Sequence[tuple[str, str]] = ()


def run_test(
    checkpoint_path: str,
    list_path: str = "",
    overrides: Sequence[str] = (),
    split: str = "",
    choice: EngineChoice = PLAIN,
) -> dict[str, Any]:
    """Test a checkpoint, and write metrics.json, predictions.parquet and report.html.

    Args:
        checkpoint_path: a .pth file of a run, or the run's folder.
        list_path: list to test on; empty takes the VAL_LIST that the run was trained with.
        overrides: KEY VALUE pairs over the stored config; the model and its classes are the checkpoint's and take
            none.
        split: train, val or test: the rows to test on; "": val, or all rows of a list without splits.
        choice: what computes the network.

    Returns:
        The contents of metrics.json.

    Raises:
        InputError: bad input, or not one video could be read.
    """
    checkpoint_path = str(find_checkpoint(checkpoint_path))
    checkpoint = load_checkpoint(checkpoint_path)
    config = config_from_text(checkpoint["config"], overrides)
    refuse_fixed_keys(overrides, checkpoint_path, FIXED)

    # All input is read and checked before the network is built, which takes longest.
    device = pick_device(config.DEVICE)
    distributed.join_process_group(device)
    names = checkpoint["label_names"]
    records = records_to_test(config, list_path, names, "DATA.ROOT" in overrides[::2], split)
    print_notes(records.notes)
    require_labels(records, config.DATA.MULTI_LABEL)
    folder = output_folder(Path(checkpoint_path), config, overrides, folder_name("test", split), list_path)

    preprocessing = build_preprocessing(config)
    calibration = Calibration.of_checkpoint(checkpoint)
    require_views(preprocessing, calibration.stopping, config.DATA.MULTI_LABEL)
    batch = config.TEST.BATCH_SIZE
    model = load_classifier(checkpoint, device)
    require_right_convolutions(model, largest_clips(model, preprocessing, batch))
    scorer = network_scorer(config, model, preprocessing, calibration.temperature)
    read = ViewReader(preprocessing, build_source(config))
    scorer = accelerated(scorer, choice, checkpoint, read, batch)
    of_videos = video_scorer(scorer, preprocessing, calibration.stopping, batch, config.DATA.MULTI_LABEL)
    results = evaluate_records(config, of_videos, records, preprocessing, "test")

    evaluation = Evaluation(config, records.records, names, preprocessing, results, calibration)
    metrics = evaluation.metrics(checkpoint_path)
    metrics["list"] = absolute_path(records.source)
    metrics.update(facts_of(scorer))
    finish(folder, _outcome(evaluation, metrics, checkpoint_path, checkpoint["step"]))
    return metrics


def _outcome(evaluation: Evaluation, metrics: dict[str, Any], checkpoint_path: str, step: int) -> TestOutcome:
    """Return what a test leaves, and print what is doubtful about it."""
    doubt = "" if evaluation.multi_label else far_under_chance(metrics, evaluation.label_names)
    doubts = [doubt] if doubt else []
    print_notes(doubts)
    views = evaluation.about(metrics, step).views_in_words
    return TestOutcome(
        evaluation,
        metrics,
        step,
        title=f"Test of {checkpoint_path}",
        description=views,
        notes=[f"{views} per video, mean of their probabilities", *doubts],
    )


def refuse_fixed_keys(overrides: Sequence[str], checkpoint_path: str, fixed: Sequence[str]) -> None:
    """Raise InputError where a key of the model, or one of ``fixed``, is overridden: they are the checkpoint's."""
    for key in overrides[::2]:
        if key.startswith("MODEL.") or key in fixed:
            raise InputError(f"{key} is fixed by the checkpoint {checkpoint_path}; leave it out, or train anew")


def records_to_test(
    config: Config, list_path: str, names: Sequence[str], root_given: bool, split: str = ""
) -> RecordList:
    """Return the videos to test on; the run's DATA.ROOT goes with its own list, not with another.

    Args:
        config: of the run, with overrides.
        list_path: another list than the run's, or "".
        names: of the classes.
        root_given: whether DATA.ROOT is overridden, and so meant for the list that is tested.
        split: as for :func:`run_test`.
    """
    source = list_path or config.DATA.VAL_LIST
    if not source:
        raise InputError("the run had no DATA.VAL_LIST; name the videos to test on with --list")

    # Lists may lie behind a handler, too.
    register_handlers(handler_names(config.DATA.PATH_HANDLERS))
    root = config.DATA.ROOT if root_given or not list_path else ""
    records = read_records(
        source,
        split=split or "val",
        root=root,
        label_names=names,
        num_classes=len(names),
        require_labels=not config.DATA.MULTI_LABEL,
    )
    if split and not records.has_splits:
        raise InputError(
            f"{source} has no splits, and so no rows of the split {split!r}; test on all its rows without --split, or "
            "give another --list"
        )
    return records


def folder_name(kind: str, split: str) -> str:
    """Return where results go beside the run's: ``test``, or ``test_train`` for other rows than usual."""
    if split in ("", "val"):
        return kind
    return f"{kind}_{split}"


def far_under_chance(metrics: dict[str, Any], names: Sequence[str]) -> str:
    """Return a sentence on an accuracy that guessing would hardly ever be so far under; nothing where it is not."""
    trials = metrics["videos"] - metrics["failed"]
    hits = round(metrics["top1"] * trials)
    if len(names) < 2 or probability_of_so_few(hits, trials, 1 / len(names)) > HARDLY_EVER:
        return ""
    return (
        f"top1 {metrics['top1']:.4f} is far under the {1 / len(names):.4f} of guessing: do the labels of the list mean "
        "the same classes, in the same order, as in training?"
    )


def output_folder(
    checkpoint_path: Path, config: Config, overrides: Sequence[str], name: str, list_path: str = ""
) -> Path:
    """Return the folder of the results, made now, before hours of work.

    It is OUTPUT_DIR if that is overridden, else ``name`` beside the run's other files. Each other list than the run's
    own has a folder in it.

    Raises:
        InputError: it cannot be written to, or holds a training run.
    """
    # checkpoints/last.pth lies in the run's folder; a file that was copied elsewhere is its own place.
    run = checkpoint_path.resolve().parent
    if run.name == "checkpoints":
        run = run.parent
    path = run / name
    if list_path and not is_same_place(list_path, config.DATA.VAL_LIST):
        path = folder_of_list(path, list_path)
    if "OUTPUT_DIR" in overrides[::2]:
        path = Path(config.OUTPUT_DIR)

    folder = RunFolder(path)
    if (folder.path / "log.jsonl").exists() or folder.last.exists():
        raise InputError(
            f"{folder.path} holds a training run, whose results a test would replace; set another OUTPUT_DIR"
        )
    folder.make()
    return folder.path


def is_same_place(path: str, other: str) -> bool:
    """Return whether two paths, or URLs, are of one file or folder."""
    return absolute_path(path) == absolute_path(other) or os.path.realpath(path) == os.path.realpath(other)


def folder_of_list(parent: Path, list_path: str) -> Path:
    """Return a folder in ``parent`` called after a list, in which there are no results of another one."""
    place = absolute_path(list_path)
    file = Path(place)
    name = re.sub(r"[^\w.-]+", "_", f"{file.parent.name}_{file.stem}").strip("_")
    for number in itertools.count(1):
        folder = parent / (name if number == 1 else f"{name}_{number}")
        if tested_list(folder) in (None, place):
            return folder


def tested_list(folder: Path) -> str | None:
    """Return which list the results in a folder are of; None where there are none."""
    try:
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        return absolute_path(str(metrics.get("list", "")))
    except (OSError, ValueError, AttributeError):
        return None


def finish(folder: Path, outcome: TestOutcome) -> None:
    """Write the three files of a test on rank 0, and say in a line what came out.

    Raises:
        InputError: not one of the videos could be read.
    """
    evaluation = outcome.evaluation
    metrics = outcome.metrics
    results = evaluation.results
    files: list[Path] = []
    if distributed.rank() == 0:
        write_json(folder / "metrics.json", metrics)
        predictions = evaluation.predictions(metrics, outcome.step)
        files = write_predictions(folder, predictions, evaluation.config.TEST.ALSO_AS)
        more = {
            "failures": outcome.failures,
            "notes": outcome.notes,
            "config_text": evaluation.config.dump().strip(),
        }
        write_predictions_page(folder / "report.html", page_of(predictions, outcome.title, more))
    # No process goes on, or ends, before the files are there.
    distributed.barrier()

    print_line(f"{describe(metrics)}  ({outcome.description})")
    written = [folder / "metrics.json", *files, folder / "report.html"]
    print_line(f"results: {'  '.join(map(str, written))}")
    if metrics["failed"] == metrics["videos"]:
        raise InputError(
            f"none of {pluralize(metrics['videos'], 'video')} could be read; first: {results[0].video}: "
            f"{results[0].error}"
        )
