"""Test a checkpoint: its stored VAL_LIST, its EMA weights, all views; results in ``<run>/test``."""

import itertools
import json
import os
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from video_rs import builders
from video_rs.runtime.atomic import write_json
from video_rs.config import Config, config_from_text
from video_rs.video.fetching import absolute_path
from video_rs.data.counted_videos import note_counted_videos
from video_rs.data.preprocessing import Preprocessing
from video_rs.lists.records import RecordList, read_records
from video_rs.runtime import distributed
from video_rs.runtime.devices import pick_device
from video_rs.engine.checkpoint import load_checkpoint
from video_rs.models.convolution_check import require_right_convolutions
from video_rs.engine.evaluator import evaluate, gather_results
from video_rs.engine.metrics import VideoResult, probability_of_so_few, summarize
from video_rs.runtime.errors import InputError
from video_rs.inference.predictor import load_classifier
from video_rs.runs.results import write_outcome_report, write_predictions
from video_rs.runtime.progress import print_line, print_notes, videos_with_progress
from video_rs.runs.run_folder import RunFolder
from video_rs.runtime.torch_files import find_checkpoint
from video_rs.runtime.wording import pluralize

# Guessing gets so few right once in a thousand tests: less often is no bad luck.
HARDLY_EVER = 0.001
# What the classes are is the checkpoint's; so is every key of the model.
FIXED = ("DATA.LABEL_MAP", "DATA.MULTI_LABEL")


def run_test(
    checkpoint_path: str, list_path: str = "", overrides: Sequence[str] = (), split: str = ""
) -> dict[str, Any]:
    """Tests a checkpoint and writes metrics.json, predictions.jsonl and report.html.

    Args:
        checkpoint_path: a .pth file of a run, or the run's folder.
        list_path: list to test on; empty takes the VAL_LIST that the run was trained with.
        overrides: KEY VALUE pairs over the stored config; the model and its classes are the checkpoint's and take
            none.
        split: train, val or test: the rows to test on; "": val, or all rows of a list without splits.

    Returns:
        The contents of metrics.json.

    Raises:
        InputError: bad input, or not one video could be read.
    """
    checkpoint_path = str(find_checkpoint(checkpoint_path))
    checkpoint = load_checkpoint(checkpoint_path)
    config = config_from_text(checkpoint["config"], overrides)
    if changed := [key for key in overrides[::2] if key.startswith("MODEL.") or key in FIXED]:
        raise InputError(f"{changed[0]} is fixed by the checkpoint {checkpoint_path}; test without it, or train anew")
    device = pick_device(config.DEVICE)
    distributed.join_process_group(device)
    names = checkpoint["label_names"]
    records = records_to_test(config, list_path, names, "DATA.ROOT" in overrides[::2], split)
    print_notes(records.notes)
    builders.require_labels(records, config.DATA.MULTI_LABEL)
    folder = output_folder(Path(checkpoint_path), config, overrides, folder_name("test", split), list_path)
    preprocessing = builders.build_preprocessing(config)
    model = load_classifier(checkpoint, device)
    require_right_convolutions(model, preprocessing.clip_shape(config.TEST.BATCH_SIZE))
    results = score_videos(config, model, records, preprocessing, "test")
    metrics = metrics_of(config, results, len(names), preprocessing, checkpoint_path)
    metrics["list"] = absolute_path(records.source)
    how = f"{pluralize(metrics['clips'], 'clip')} x {pluralize(metrics['crops'], 'crop')}"
    doubts = list(filter(None, [] if config.DATA.MULTI_LABEL else [far_under_chance(metrics, names)]))
    print_notes(doubts)
    finish(
        folder,
        config,
        checkpoint["step"],
        metrics,
        records,
        results,
        names,
        preprocessing,
        title=f"Test of {checkpoint_path}",
        notes=[f"{how} per video, mean of their probabilities", *doubts],
        how=how,
    )
    return metrics


def records_to_test(
    config: Config, list_path: str, names: Sequence[str], root_given: bool, split: str = ""
) -> RecordList:
    """The videos to test on; the run's DATA.ROOT goes with its own list, not with another. ``split`` as in testing."""
    source = list_path or config.DATA.VAL_LIST
    if not source:
        raise InputError("the run had no DATA.VAL_LIST; name the videos to test on with --list")
    root = config.DATA.ROOT if root_given or not list_path else ""
    required = not config.DATA.MULTI_LABEL
    records = read_records(
        source, split=split or "val", root=root, label_names=names, num_classes=len(names), require_labels=required
    )
    if split and not records.has_splits:
        raise InputError(
            f"{source} has no splits, and so no rows of the split {split!r}; test on all its rows without --split, or "
            "give another --list"
        )
    return records


def folder_name(kind: str, split: str) -> str:
    """Return where results go beside the run's: ``test``, or ``test_train`` for other rows than usual."""
    return f"{kind}_{split}" if split not in ("", "val") else kind


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


def score_videos(
    config: Config, model: nn.Module, records: RecordList, preprocessing: Preprocessing, name: str
) -> list[VideoResult]:
    """Results of all records in their order; each process reads and scores its share."""
    device = next(model.parameters()).device
    loader = builders.build_view_loader(config, records, preprocessing)
    prepare = partial(preprocessing.prepare, device=device)
    results = evaluate(model, note_counted_videos(loader), prepare, config.TEST.BATCH_SIZE, config.DATA.MULTI_LABEL)
    return gather_results(list(videos_with_progress(results, len(loader), name)))


def metrics_of(
    config: Config, results: list[VideoResult], num_classes: int, preprocessing: Preprocessing, checkpoint: str
) -> dict[str, Any]:
    """What metrics.json holds."""
    views = {"clips": preprocessing.num_clips, "crops": preprocessing.transform.num_crops}
    return {**summarize(results, num_classes, config.DATA.MULTI_LABEL), **views, "checkpoint": str(checkpoint)}


def describe(metrics: dict[str, Any]) -> str:
    """mAP where there is one, both accuracies, and the failures in one line."""
    text = ""
    if "map" in metrics:
        judged, classes = metrics["map_classes"], metrics["classes"]
        over = f"{judged} classes" if judged == classes else f"{judged} of {classes} classes"
        text = f"mAP {metrics['map']:.4f} over {over}  "
    text += f"top1 {metrics['top1']:.4f}  top{metrics['k']} {metrics['topk']:.4f}  videos {metrics['videos']}"
    if metrics["failed"]:
        text += f"  failed {metrics['failed']}  top1 with failed videos counted as wrong {metrics['top1_all']:.4f}"
        text += f", mAP {metrics['map_all']:.4f}" if "map" in metrics else ""
    return text


def output_folder(
    checkpoint_path: Path, config: Config, overrides: Sequence[str], name: str, list_path: str = ""
) -> Path:
    """Return OUTPUT_DIR if it is overridden, else ``name`` beside the run's other files, in it a folder for each other
    list than the run's own; made now, before hours of work.
    """
    run = checkpoint_path.resolve().parent
    path = (run.parent if run.name == "checkpoints" else run) / name
    if list_path and not is_same_place(list_path, config.DATA.VAL_LIST):
        path = folder_of_list(path, list_path)
    folder = RunFolder(Path(config.OUTPUT_DIR) if "OUTPUT_DIR" in overrides[::2] else path)
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
    where = Path(absolute_path(list_path))
    name = re.sub(r"[^\w.-]+", "_", f"{where.parent.name}_{where.stem}").strip("_")
    for number in itertools.count(1):
        folder = parent / (name if number == 1 else f"{name}_{number}")
        if tested_list(folder) in (None, absolute_path(list_path)):
            return folder


def tested_list(folder: Path) -> str | None:
    """Return which list the results in a folder are of; None where there are none."""
    try:
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        return absolute_path(str(metrics.get("list", "")))
    except (OSError, ValueError, AttributeError):
        return None


def finish(
    folder: Path,
    config: Config,
    step: int,
    metrics: dict[str, Any],
    records: RecordList,
    results: Sequence[VideoResult],
    names: Sequence[str],
    preprocessing: Preprocessing,
    *,
    title: str,
    notes: list[str],
    how: str,
    failures: Sequence[tuple[str, str]] = (),
) -> None:
    """Writes a test's three files, on rank 0, and says in a line what came out and ``how``.

    Args:
        step: of the checkpoint.
        failures: (video, reason) of videos beside those of ``results``, for the report.

    Raises:
        InputError: not one of the videos could be read.
    """
    if distributed.rank() == 0:
        write_json(folder / "metrics.json", metrics)
        write_predictions(folder / "predictions.jsonl", results, names)
        write_outcome_report(
            folder / "report.html",
            title=title,
            summary={**metrics, "step": step, "model": config.MODEL.ARCH},
            log=[],
            records=records.records,
            results=results,
            names=names,
            clip=preprocessing.clip,
            decoder=config.DATA.DECODER,
            multi_label=config.DATA.MULTI_LABEL,
            failures=list(failures),
            config_text=config.dump(),
            notes=notes,
        )
    distributed.barrier()
    print_line(f"{describe(metrics)}  ({how})")
    print_line(f"results: {folder / 'metrics.json'}  {folder / 'predictions.jsonl'}  {folder / 'report.html'}")
    if metrics["failed"] == metrics["videos"]:
        raise InputError(
            f"none of {pluralize(metrics['videos'], 'video')} could be read; first: {results[0].video}: "
            f"{results[0].error}"
        )
