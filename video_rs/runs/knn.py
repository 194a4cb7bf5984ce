"""Test a checkpoint's features by weighted k nearest neighbours: transfer to a data set with nothing trained on it."""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from video_rs import builders
from video_rs.config import Config, config_from_text
from video_rs.video.fetching import handler_names, register_handlers
from video_rs.lists.label_map import read_label_map
from video_rs.lists.reading import read_listing
from video_rs.data.preprocessing import Preprocessing
from video_rs.lists.records import RecordList, read_records
from video_rs.runtime import distributed
from video_rs.runtime.devices import pick_device
from video_rs.engine.checkpoint import load_checkpoint
from video_rs.models.convolution_check import require_right_convolutions
from video_rs.engine.evaluator import gather_results, over_videos
from video_rs.engine.metrics import VideoResult
from video_rs.engine.neighbours import TEMPERATURE, VideoFeatures, view_features, vote
from video_rs.runtime.errors import InputError
from video_rs.inference.predictor import load_classifier
from video_rs.runtime.progress import print_line, print_notes, videos_with_progress
from video_rs.runs.test import finish, folder_name, metrics_of, output_folder, records_to_test
from video_rs.models import VideoClassifier
from video_rs.runtime.torch_files import find_checkpoint
from video_rs.runtime.wording import pluralize

# One centre view of each video: as published, and a training list with all of TEST's views would take days.
ONE_VIEW = ("TEST.NUM_ENSEMBLE_VIEWS", "TEST.NUM_SPATIAL_CROPS")


def run_knn(
    checkpoint_path: str, k: int, list_path: str = "", overrides: Sequence[str] = (), split: str = ""
) -> dict[str, Any]:
    """Tests the features and writes metrics.json, predictions.jsonl and report.html, by default in ``<run>/knn``.

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
    checkpoint = load_checkpoint(checkpoint_path)
    _refuse(checkpoint_path, k, overrides)
    # Whatever the classifier was trained for, a neighbour's vote is for one class.
    config = config_from_text(checkpoint["config"], overrides)
    config = config_from_text(config.dump(), {"DATA.MULTI_LABEL": False})
    device = pick_device(config.DEVICE)
    distributed.join_process_group(device)
    memory, records = _records(config, list_path, checkpoint["label_names"], overrides, split)
    own = _same_videos(memory, records)
    _require_neighbours(k, memory, own, range(len(memory)))
    folder = output_folder(Path(checkpoint_path), config, overrides, folder_name("knn", split), list_path)
    preprocessing = builders.single_view(builders.build_preprocessing(config))
    model = load_classifier(checkpoint, device)
    require_right_convolutions(model, preprocessing.clip_shape(config.TEST.BATCH_SIZE))

    remembered, failures = _remember(config, model, memory, preprocessing)
    _require_neighbours(k, memory, own, [v.index for v in remembered])

    queries = _features(config, model, records, preprocessing, "test")
    probabilities = iter(_vote(queries, remembered, memory, own, k, device))
    results = gather_results([_result(q, records, next(probabilities) if q.error is None else None) for q in queries])
    names = memory.label_names
    metrics = {
        **metrics_of(config, [_without_luck(r) for r in results], len(names), preprocessing, checkpoint_path),
        "neighbours": k,
        "memory": len(memory),
        "memory_failed": len(failures),
        "list": records.source,
        "memory_list": memory.source,
    }
    notes = _notes(metrics, memory, own)
    for note in notes[1:]:
        print_line(note)
    finish(
        folder,
        config,
        checkpoint["step"],
        metrics,
        records,
        results,
        names,
        preprocessing,
        title=f"Test of the features of {checkpoint_path}",
        notes=notes,
        how=f"{k} nearest of {pluralize(len(remembered), 'video')} of {memory.source}, one centre view each",
        failures=[(video, f"of the memory: {reason}") for video, reason in failures],
    )
    return metrics


def _remember(
    config: Config, model: VideoClassifier, memory: RecordList, preprocessing: Preprocessing
) -> tuple[list[VideoFeatures], list[tuple[str, str]]]:
    """Features of the memory's readable videos, on every process, and (video, reason) of the others, each said.

    Raises:
        InputError: not one could be read.
    """
    found = gather_results(_features(config, model, memory, preprocessing, "memory"))
    failures = [(memory.records[v.index].path, v.error) for v in found if v.error is not None]
    for video, reason in failures:
        print_line(f"cannot read {video} of the memory: {reason}")
    if len(failures) == len(found):
        video, reason = failures[0]
        raise InputError(
            f"none of {pluralize(len(memory), 'video')} of the memory could be read; first: {video}: {reason}"
        )
    return [v for v in found if v.error is None], failures


def _refuse(checkpoint_path: str, k: int, overrides: Sequence[str]) -> None:
    """InputError for what cannot be asked."""
    if k < 1:
        raise InputError(f"--knn is {k}; allowed: a whole number, at least 1, such as 20")
    for key in overrides[::2]:
        if key.startswith("MODEL.") or key == "DATA.MULTI_LABEL":
            raise InputError(f"{key} is fixed by the checkpoint {checkpoint_path}; test without it, or train anew")
        if key in ONE_VIEW:
            raise InputError(f"{key} has no effect with --knn, which takes one centre view of each video; leave it out")


def _records(
    config: Config, list_path: str, names: Sequence[str], overrides: Sequence[str], split: str
) -> tuple[RecordList, RecordList]:
    """The memory and the videos to test, with one set of class names; see :func:`run_knn`."""
    given = overrides[::2]
    register_handlers(handler_names(config.DATA.PATH_HANDLERS))  # lists may be behind them too
    source, root, own_names = config.DATA.TRAIN_LIST, config.DATA.ROOT, names
    if "DATA.TRAIN_LIST" in given:
        own_names = None
    elif list_path:
        # The run's DATA.ROOT goes with its own lists, not with another.
        list_root = root if "DATA.ROOT" in given else ""
        if any(row.split == "train" for row in read_listing(list_path, list_root, require_labels=False).rows):
            source, root, own_names = list_path, list_root, None
    if not source:
        raise InputError(
            "DATA.TRAIN_LIST is empty, and --knn takes neighbours from it; set it, or give a --list with train rows"
        )
    if config.DATA.LABEL_MAP and "DATA.LABEL_MAP" in given:
        own_names = read_label_map(config.DATA.LABEL_MAP)
    classes = len(own_names) if own_names else None
    memory = read_records(source, split="train", root=root, label_names=own_names, num_classes=classes)
    builders.require_files(memory)
    try:
        records = records_to_test(config, list_path, memory.label_names, "DATA.ROOT" in given, split)
    except InputError as error:
        if not list_path or own_names is None or not Path(list_path).exists():
            raise
        raise InputError(
            f"{error} ({list_path} has no train rows, so that neighbours and classes are those of {source})"
        ) from error
    print_notes((*memory.notes, *records.notes))
    for part in (memory, records):
        builders.require_labels(part, multi_label=False, for_several="leave out --knn")
    return memory, records


@dataclasses.dataclass(frozen=True)
class _SameVideos:
    """Which rows of the two lists are one video, or one segment of it: int64 ids, equal where they are."""

    memory: Tensor
    queries: Tensor

    def with_itself(self) -> int:
        """How many videos to test are in the memory."""
        return int(torch.isin(self.queries, self.memory).sum())


def _same_videos(memory: RecordList, records: RecordList) -> _SameVideos:
    """Numbers the (path, start, end) of both lists."""
    numbers: dict[tuple, int] = {}
    ids = [
        torch.tensor([numbers.setdefault((r.path, r.start or 0.0, r.end), len(numbers)) for r in part.records])
        for part in (memory, records)
    ]
    return _SameVideos(*ids)


def _require_neighbours(k: int, memory: RecordList, own: _SameVideos, readable: Sequence[int]) -> None:
    """InputError where some video to test has fewer than ``k`` others among the ``readable`` ones of the memory."""
    ids = own.memory[torch.as_tensor(readable)]
    copies = Counter(ids.tolist())
    fewest = len(ids) - max(copies[i] for i in own.queries.tolist())
    if k <= fewest:
        return
    unread = f" ({len(memory) - len(ids)} of them could not be read)" if len(ids) < len(memory) else ""
    itself = ", and a video to test that is among them does not count" if fewest < len(ids) else ""
    raise InputError(
        f"--knn is {k}, but {memory.source} has {pluralize(len(memory), 'training video')}{unread}{itself}; "
        + (f"give at most {fewest}, or a longer list" if fewest else "give a longer list")
    )


def _features(
    config: Config, model: VideoClassifier, records: RecordList, preprocessing: Preprocessing, name: str
) -> list[VideoFeatures]:
    """Features of this process's share of ``records``, in their order."""
    prepare = partial(preprocessing.prepare, device=next(model.parameters()).device)
    loader = builders.build_view_loader(config, records, preprocessing)
    videos = over_videos(model, loader, prepare, config.TEST.BATCH_SIZE, view_features)
    return [
        VideoFeatures(item.index, features, item.error)
        for item, features in videos_with_progress(videos, len(loader), name)
    ]


def _vote(
    queries: Sequence[VideoFeatures],
    remembered: Sequence[VideoFeatures],
    memory: RecordList,
    own: _SameVideos,
    k: int,
    device: torch.device,
) -> Tensor:
    """Class probabilities float32 ``[n, K]`` on the CPU of the ``n`` queries that could be read, in their order."""
    read = [q for q in queries if q.error is None]
    if not read:
        return torch.empty(0, len(memory.label_names))
    labels = torch.tensor([record.labels[0] for record in memory.records])
    where, rows = ([v.index for v in part] for part in (remembered, read))
    tensors = (
        torch.stack([q.features for q in read]),
        own.queries[rows],
        torch.stack([v.features for v in remembered]),
        own.memory[where],
        labels[where],
    )
    return vote(*(tensor.to(device) for tensor in tensors), k, len(memory.label_names)).cpu()


def _result(query: VideoFeatures, records: RecordList, probabilities: Tensor | None) -> VideoResult:
    """``probabilities`` float32 ``[K]``, or None where the video could not be read."""
    record = records.records[query.index]
    if probabilities is None:
        return VideoResult(query.index, record.path, record.labels, error=query.error, id=record.id)
    # A copy: a row of a matrix would be sent to the other processes with the whole matrix.
    return VideoResult(query.index, record.path, record.labels, probabilities.clone(), views=1, id=record.id)


def _without_luck(result: VideoResult) -> VideoResult:
    """A true class without a vote comes last: among others without one, only their order would make it a hit."""
    if result.error is not None or result.probabilities[result.labels[0]] > 0:
        return result
    probabilities = result.probabilities.clone()
    probabilities[result.labels[0]] = -1
    return dataclasses.replace(result, probabilities=probabilities)


def _notes(metrics: dict[str, Any], memory: RecordList, own: _SameVideos) -> list[str]:
    """How it was done; then, where there are any, videos that vote less than one would think."""
    notes = [
        f"no classifier: the {metrics['neighbours']} nearest of {pluralize(len(memory), 'video')} of {memory.source} "
        f"vote, by the cosine similarity s of the features of one centre view, with weight exp(s / {TEMPERATURE})"
    ]
    if itself := own.with_itself():
        notes.append(f"{itself} of {metrics['videos']} videos are in the memory too, and do not vote for themselves")
    if metrics["memory_failed"]:
        notes.append(
            f"{metrics['memory_failed']} of {pluralize(len(memory), 'video')} of the memory could not be read: no votes"
        )
    return notes
