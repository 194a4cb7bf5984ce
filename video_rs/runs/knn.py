"""Test a checkpoint's features by weighted k nearest neighbours: transfer to a data set with nothing trained on it."""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from video_rs.builders import build_preprocessing
from video_rs.config import Config, config_from_text
from video_rs.engine.checkpoint import load_checkpoint
from video_rs.engine.evaluation import gather_results
from video_rs.engine.neighbours import TEMPERATURE
from video_rs.lists.checks import require_files, require_labels
from video_rs.lists.label_map import read_label_map
from video_rs.lists.reading import read_listing
from video_rs.lists.records import RecordList, read_records
from video_rs.models.convolution_check import require_right_convolutions
from video_rs.models.stored import load_network
from video_rs.runs.feature_memory import (
    FeatureExtractor,
    VideoIds,
    number_videos,
    remember,
    results_of_votes,
    votes_of_neighbours,
    without_luck,
)
from video_rs.runs.results import Evaluation
from video_rs.runs.test import TestOutcome, finish, folder_name, output_folder, records_to_test, refuse_fixed_keys
from video_rs.runtime import distributed
from video_rs.runtime.devices import pick_device
from video_rs.runtime.errors import InputError
from video_rs.runtime.progress import print_line, print_notes
from video_rs.runtime.torch_files import find_checkpoint
from video_rs.runtime.wording import pluralize
from video_rs.video.fetching import absolute_path, handler_names, register_handlers

# One centre view of each video: as published, and a training list with all of TEST's views would take days.
ONE_VIEW = ("TEST.NUM_ENSEMBLE_VIEWS", "TEST.NUM_SPATIAL_CROPS")


def run_knn(
    checkpoint_path: str, k: int, list_path: str = "", overrides: Sequence[str] = (), split: str = ""
) -> dict[str, Any]:
    """Test the features and write metrics.json, predictions.parquet and report.html, by default in ``<run>/knn``.

    A video takes the classes of its ``k`` nearest in the memory (:mod:`video_rs.engine.neighbours`), by the features
    of one centre view of each. A video that is in the memory itself, by path and segment, does not vote for itself.

    Args:
        checkpoint_path: a .pth file of a run, with its EMA weights, or the run's folder.
        k: how many neighbours vote, at least 1.
        list_path: a list of the same or another data set, as for testing. Its train rows, if it has any, are the
            memory unless DATA.TRAIN_LIST is overridden. Empty: DATA.VAL_LIST.
        overrides: KEY VALUE pairs over the stored config. DATA.TRAIN_LIST is the memory of a list without train rows.
            The class names are those of DATA.LABEL_MAP if it is overridden; else the checkpoint's, if its own
            TRAIN_LIST is the memory; else the memory's.
        split: as for testing.

    Returns:
        The contents of metrics.json: the keys of testing, ``neighbours`` (``k``), ``memory`` (videos in it),
        ``memory_failed`` (those of them that could not be read, and so have no vote), ``list`` and ``memory_list``.

    Raises:
        InputError: bad input, ``k`` is more than there are neighbours, or no video of the memory, or of those to
            test, could be read.
    """
    checkpoint_path = str(find_checkpoint(checkpoint_path))
    checkpoint = load_checkpoint(checkpoint_path, needs_classes=False)
    _refuse(checkpoint_path, k, overrides)
    # Whatever the classifier was trained for, a neighbour's vote is for one class.
    config = config_from_text(checkpoint["config"], overrides)
    config = config_from_text(config.dump(), {"DATA.MULTI_LABEL": False})

    device = pick_device(config.DEVICE)
    distributed.join_process_group(device)
    memory, records = _read_lists(config, list_path, checkpoint["label_names"], overrides, split)
    require_neighbours(k, memory, number_videos(memory, records), range(len(memory)))
    folder = output_folder(Path(checkpoint_path), config, overrides, folder_name("knn", split), list_path)

    preprocessing = build_preprocessing(config).single_view()
    model = load_network(checkpoint, device)
    require_right_convolutions(model, preprocessing.clip_shape(config.TEST.BATCH_SIZE))
    extractor = FeatureExtractor(config, model, preprocessing)
    outcome = _vote(extractor, memory, records, k, checkpoint_path, checkpoint["step"])
    finish(folder, outcome)
    return outcome.metrics


def _vote(
    extractor: FeatureExtractor, memory: RecordList, records: RecordList, k: int, checkpoint_path: str, step: int
) -> TestOutcome:
    """Let the ``k`` nearest videos of the memory vote on each video to test; ``step`` is the checkpoint's."""
    ids = number_videos(memory, records)
    remembered, failures = remember(extractor, memory)
    require_neighbours(k, memory, ids, [video.index for video in remembered])

    queries = extractor.features(records, "test")
    probabilities = votes_of_neighbours(queries, remembered, memory, ids, k, extractor.device)
    results = gather_results(results_of_votes(queries, records, probabilities))
    evaluation = Evaluation(extractor.config, records.records, memory.label_names, extractor.preprocessing, results)

    judged = dataclasses.replace(evaluation, results=without_luck(results))
    metrics = {
        **judged.metrics(checkpoint_path),
        "neighbours": k,
        "memory": len(memory),
        "memory_failed": len(failures),
        "list": absolute_path(records.source),
        "memory_list": absolute_path(memory.source),
    }
    notes = _notes(metrics, memory, ids)
    # The first says what was done, which the last line says, too.
    for note in notes[1:]:
        print_line(note)

    voters = f"{k} nearest of {pluralize(len(remembered), 'video')} of {memory.source}"
    return TestOutcome(
        evaluation,
        metrics,
        step,
        title=f"Test of the features of {checkpoint_path}",
        description=f"{voters}, one centre view each",
        notes=notes,
        failures=[(video, f"of the memory: {reason}") for video, reason in failures],
    )


def _refuse(checkpoint_path: str, k: int, overrides: Sequence[str]) -> None:
    """Raise InputError for what cannot be asked."""
    if k < 1:
        raise InputError(f"--k is {k}; allowed: a whole number, at least 1, such as 20")
    refuse_fixed_keys(overrides, checkpoint_path, ("DATA.MULTI_LABEL",))
    for key in overrides[::2]:
        if key in ONE_VIEW:
            raise InputError(f"{key} has no effect on knn, which takes one centre view of each video; leave it out")


def _read_lists(
    config: Config, list_path: str, names: Sequence[str], overrides: Sequence[str], split: str
) -> tuple[RecordList, RecordList]:
    """Return the memory and the videos to test, with one set of class names; see :func:`run_knn`."""
    given = overrides[::2]
    # Lists may lie behind a handler, too.
    register_handlers(handler_names(config.DATA.PATH_HANDLERS))
    # A pre-training run may name labelled videos beside those that it was trained on, and has no classes.
    source = config.CONTRAST.KNN_LIST or config.DATA.TRAIN_LIST
    root = config.DATA.ROOT
    memory_names: Sequence[str] | None = names or None
    if "DATA.TRAIN_LIST" in given:
        source = config.DATA.TRAIN_LIST
        memory_names = None
    elif list_path:
        # The run's DATA.ROOT goes with its own lists, not with another.
        list_root = root if "DATA.ROOT" in given else ""
        rows = read_listing(list_path, list_root, require_labels=False).rows
        if any(row.split == "train" for row in rows):
            source = list_path
            root = list_root
            memory_names = None

    if not source:
        raise InputError(
            "DATA.TRAIN_LIST is empty, and knn takes neighbours from it; set it, or give a --list with train rows"
        )
    if config.DATA.LABEL_MAP and "DATA.LABEL_MAP" in given:
        memory_names = read_label_map(config.DATA.LABEL_MAP)

    num_classes = len(memory_names) if memory_names else None
    try:
        memory = read_records(source, split="train", root=root, label_names=memory_names, num_classes=num_classes)
    except InputError as error:
        if names or source != config.DATA.TRAIN_LIST:
            raise
        raise InputError(
            f"{error} (the run was trained without labels; name labelled videos that vote: DATA.TRAIN_LIST LIST)"
        ) from error
    require_files(memory)
    try:
        records = records_to_test(config, list_path, memory.label_names, "DATA.ROOT" in given, split)
    except InputError as error:
        if not list_path or memory_names is None or not Path(list_path).exists():
            raise
        raise InputError(
            f"{error} ({list_path} has no train rows, so that neighbours and classes are those of {source})"
        ) from error

    print_notes((*memory.notes, *records.notes))
    for part in (memory, records):
        require_labels(part, multi_label=False, for_several="test with the classifier")
    return memory, records


def require_neighbours(k: int, memory: RecordList, ids: VideoIds, readable: Sequence[int]) -> None:
    """Raise InputError where some video to test has fewer than ``k`` others among the readable ones of the memory."""
    voters = ids.memory[torch.as_tensor(readable)]
    # A video that is in the memory itself does not vote on itself, however often it is listed.
    copies = Counter(voters.tolist())
    fewest = len(voters) - max(copies[query] for query in ids.queries.tolist())
    if k <= fewest:
        return

    unread = ""
    if len(voters) < len(memory):
        unread = f" ({len(memory) - len(voters)} of them could not be read)"
    itself = ""
    if fewest < len(voters):
        itself = ", and a video to test that is among them does not count"
    advice = f"give at most {fewest}, or a longer list" if fewest else "give a longer list"
    raise InputError(
        f"--k is {k}, but {memory.source} has {pluralize(len(memory), 'training video')}{unread}{itself}; {advice}"
    )


def _notes(metrics: dict[str, Any], memory: RecordList, ids: VideoIds) -> list[str]:
    """Return how it was done; then, where there are any, videos that vote less than one would think."""
    notes = [
        f"no classifier: the {metrics['neighbours']} nearest of {pluralize(len(memory), 'video')} of {memory.source} "
        f"vote, by the cosine similarity s of the features of one centre view, with weight exp(s / {TEMPERATURE})"
    ]
    in_memory = ids.queries_in_memory()
    if in_memory:
        notes.append(f"{in_memory} of {metrics['videos']} videos are in the memory too, and do not vote for themselves")
    if metrics["memory_failed"]:
        notes.append(
            f"{metrics['memory_failed']} of {pluralize(len(memory), 'video')} of the memory could not be read: no votes"
        )
    return notes
