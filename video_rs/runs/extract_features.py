"""Extract the features of a list of videos: in shards, by any number of processes, and joined into one file."""

import dataclasses
import itertools
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from video_rs.builders import build_preprocessing, build_view_loader
from video_rs.config import Config, config_from_text
from video_rs.data.counted_videos import note_counted_videos
from video_rs.data.order import Partition
from video_rs.data.preprocessing import Preprocessing
from video_rs.engine.checkpoint import load_checkpoint
from video_rs.inference.features import FORMATS, StageFeatures, features_of_views
from video_rs.inference.features.row_texts import RowTexts
from video_rs.inference.features.rows import FeatureRows, joined, row_of_failure, rows_of_video
from video_rs.inference.features.shards import Shards
from video_rs.inference.features.writing import beside
from video_rs.inference.predictions import joined_labels
from video_rs.inference.shard_folder import read_settings
from video_rs.lists.checks import require_files
from video_rs.lists.chosen_videos import chosen_videos
from video_rs.lists.class_folders import read_class_folders
from video_rs.lists.records import RecordList, read_records
from video_rs.models.convolution_check import require_right_convolutions
from video_rs.models.stored import load_network
from video_rs.runs.extraction_place import Extraction, checkpoint_facts, extraction_settings, prepare_place
from video_rs.runs.shard_work import fill_shards, records_of_shards, unfinished_shards
from video_rs.runs.test import refuse_fixed_keys
from video_rs.runtime import distributed
from video_rs.runtime.atomic import write_json
from video_rs.runtime.devices import pick_device
from video_rs.runtime.errors import InputError
from video_rs.runtime.progress import print_line, print_notes
from video_rs.runtime.torch_files import find_checkpoint
from video_rs.runtime.wording import pluralize
from video_rs.video.fetching import handler_names, register_handlers


@dataclass(frozen=True)
class Work:
    """Everything of an extraction that its processes share.

    Attributes:
        network: views -> features.
        config: of the run, with overrides.
        records: the videos.
        preprocessing: the views of each video.
        shards: where finished work lies.
        per: what a row is of.
    """

    network: StageFeatures
    config: Config
    records: RecordList
    preprocessing: Preprocessing
    shards: Shards
    per: str


def run_extraction(asked: Extraction) -> dict[str, Any]:
    """Extract features, go on with an extraction that was stopped, or find it done; write the file on rank 0.

    Returns:
        The contents of the JSON beside the file: the settings, ``rows``, ``channels`` and ``failed``.

    Raises:
        InputError: bad input, something else is there already, or not one video could be read.
    """
    out = Path(asked.out)
    _refuse(asked, out)
    checkpoint_path = find_checkpoint(asked.checkpoint)
    checkpoint = load_checkpoint(checkpoint_path, needs_classes=False)
    config = config_from_text(checkpoint["config"], asked.overrides)
    refuse_fixed_keys(asked.overrides, str(checkpoint_path), ("DATA.LABEL_MAP", "DATA.MULTI_LABEL"))

    # All input is read and checked before the network is built, which takes longest.
    device = pick_device(config.DEVICE)
    distributed.join_process_group(device)
    records = _read_list(asked, config, checkpoint["label_names"])
    print_notes(records.notes)
    preprocessing = build_preprocessing(config).published_views()
    settings = extraction_settings(asked, config, records, preprocessing, checkpoint_facts(checkpoint_path))

    shards = Shards(beside(out, ".parts"), len(records), asked.shard_videos)
    is_finished = prepare_place(out, shards, settings, asked.overwrite)
    if not is_finished:
        model = load_network(checkpoint, device)
        require_right_convolutions(model, preprocessing.clip_shape(config.TEST.BATCH_SIZE))
        network = StageFeatures(model, partial(preprocessing.prepare, device=device), asked.stage)
        extract_shards(Work(network, config, records, preprocessing, shards, asked.per))
        distributed.barrier()
        if distributed.rank() == 0:
            _join(out, shards, records, settings, network.channels)
        # No process goes on, or ends, before the file is there.
        distributed.barrier()
    return _report(out, is_finished)


def _refuse(asked: Extraction, out: Path) -> None:
    """Raise InputError for what cannot be asked."""
    if out.suffix not in FORMATS:
        raise InputError(f"--out is {asked.out}; allowed: a file whose name ends with {', '.join(FORMATS)}")
    if asked.shard_videos < 1:
        raise InputError(f"--shard-videos is {asked.shard_videos}; allowed: a whole number, at least 1, such as 64")


def _read_list(asked: Extraction, config: Config, names: list[str]) -> RecordList:
    """Return the videos of a list, of class folders, or of a folder of videos without classes.

    The run's DATA.ROOT and class names go with its own list, not with another.
    """
    source = asked.list or config.DATA.VAL_LIST
    if not source:
        raise InputError("the run had no DATA.VAL_LIST; name the videos with --list")

    # Lists may lie behind a handler, too.
    register_handlers(handler_names(config.DATA.PATH_HANDLERS))
    if os.path.isdir(source) and not read_class_folders(source).rows and not asked.split:
        return RecordList(tuple(chosen_videos([source])), (), source)

    is_own = not asked.list
    root = config.DATA.ROOT if is_own or "DATA.ROOT" in asked.overrides[::2] else ""
    records = read_records(
        source,
        split=asked.split or None,
        root=root,
        # A pre-training run has no classes of its own.
        label_names=names if is_own and names else None,
        num_classes=len(names) if is_own and names else None,
        require_labels=False,
    )
    if asked.split and not records.has_splits:
        raise InputError(f"{source} has no splits, and so no rows of the split {asked.split!r}; leave --split out")
    require_files(records)
    return records


def extract_shards(work: Work) -> None:
    """Extract the shards of this process that are not finished, one after the other."""
    missing = unfinished_shards(work.shards, work.records.records)
    left = dataclasses.replace(work.records, records=records_of_shards(work.shards, missing, work.records.records))
    loader = build_view_loader(work.config, left, work.preprocessing, Partition())
    fill_shards(work.shards, missing, note_counted_videos(loader), "features", partial(_rows_of_shard, work))


def _rows_of_shard(work: Work, indices: range, items: Iterator[Any]) -> FeatureRows:
    """Return the rows of the next videos, which are those at ``indices`` of the list."""
    # Batches end with the shard: its features do not depend on which shards were finished before.
    videos = itertools.islice(items, len(indices))
    found = features_of_views(work.network, videos, work.config.TEST.BATCH_SIZE)
    num_crops = work.preprocessing.transform.num_crops

    parts = []
    for index, (item, views) in zip(indices, found, strict=True):
        if views is None:
            parts.append(row_of_failure(index, item.error, work.network.channels))
        else:
            parts.append(rows_of_video(index, views, num_crops, work.per))
    return joined(parts)


def _join(out: Path, shards: Shards, records: RecordList, settings: Mapping[str, Any], channels: int) -> None:
    """Write the file from all shards, then the JSON that makes it a finished one, and remove the shards."""
    # Everything but the features, which may not fit into memory; a slice of them would hold them all.
    parts = []
    for number in range(len(shards)):
        part = shards.read(number)
        parts.append(dataclasses.replace(part, features=np.empty((len(part), 0), np.float32)))
    rows = joined(parts)

    texts = row_texts(rows, records)
    features = (shards.read(number).features for number in range(len(shards)))
    FORMATS[out.suffix](out, texts, channels, features)
    found = {
        "rows": len(rows),
        "channels": channels,
        "failed": int(np.count_nonzero(rows.errors != "")),
        "bytes": out.stat().st_size,
    }
    write_json(beside(out, ".json"), {**settings, **found})
    shards.remove()


def row_texts(rows: FeatureRows, records: RecordList) -> RowTexts:
    """Return of what rows are, in words."""
    ids = []
    paths = []
    labels = []
    for index in rows.videos.tolist():
        record = records.records[index]
        ids.append(record.id)
        paths.append(record.path)
        labels.append(joined_labels(record.labels, records.label_names) or "")
    return RowTexts(ids, paths, labels, rows.clips, rows.crops, rows.errors.tolist())


def _report(out: Path, was_finished: bool) -> dict[str, Any]:
    """Print what came out, and return it.

    Raises:
        InputError: not one of the videos could be read.
    """
    about = read_settings(beside(out, ".json"))
    if was_finished:
        print_line(f"{out} is finished; nothing to do")
    rows = pluralize(about["rows"], "row")
    videos = pluralize(about["videos"], "video")
    print_line(f"{rows} of {about['channels']} features of {videos}, {about['failed']} failed")
    print_line(f"results: {out}  {beside(out, '.json')}")
    if about["failed"] == about["videos"]:
        raise InputError(f"none of {videos} could be read; {out} says why of each")
    return about
