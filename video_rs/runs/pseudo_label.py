"""Label a list of videos by a teacher: in shards, by any number of processes."""

import json
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from video_rs.data.counted_videos import note_counted_videos
from video_rs.inference.pseudo_labels.labelling import Labeller
from video_rs.inference.pseudo_labels.shards import FORMAT, LabelShards
from video_rs.inference.shard_folder import SETTINGS
from video_rs.lists.checks import list_facts, require_files
from video_rs.lists.chosen_videos import chosen_videos
from video_rs.lists.class_folders import read_class_folders
from video_rs.lists.records import RecordList, VideoRecord, read_records
from video_rs.runs.extraction_place import require_same
from video_rs.runs.labelling_on_ray import label_on_ray
from video_rs.runs.labelling_work import Labelling, load_labeller, read_videos, rows_of_shard
from video_rs.runs.shard_work import fill_shards, records_of_shards, unfinished_shards
from video_rs.runtime import distributed
from video_rs.runtime.devices import pick_device
from video_rs.runtime.errors import InputError
from video_rs.runtime.folders import make_writable
from video_rs.runtime.progress import print_line, print_notes
from video_rs.runtime.version import __version__
from video_rs.runtime.wording import pluralize
from video_rs.runtime.workers import check_limits, share_of_cores


def run_pseudo_label(asked: Labelling) -> dict[str, int]:
    """Label all videos, go on where that was stopped, or find it done.

    Returns:
        The numbers of ``videos`` and of ``failed`` ones.

    Raises:
        InputError: bad input, something else is there already, or not one video could be read.
    """
    _refuse(asked)
    # On Ray this process judges nothing, and may be on a machine without a GPU.
    device = "cpu" if asked.engine == "ray" else asked.device
    distributed.join_process_group(pick_device(device))
    records = _read_list(asked)
    print_notes(records.notes)

    labeller = load_labeller(asked, device)
    shards = LabelShards(Path(asked.out), len(records), asked.shard_videos, labeller.classes.label_names)
    prepare_folder(shards, _settings(asked, records, labeller), asked.overwrite)

    missing = unfinished_shards(shards, records.records)
    if missing and asked.engine == "ray":
        label_on_ray(asked, labeller.teacher.sha256, records.records, shards, missing)
    elif missing:
        _label_here(asked, labeller, records.records, shards, missing)
    distributed.barrier()
    found = _report(shards)
    # No process ends before the others have read the shards.
    distributed.barrier()
    return found


def _refuse(asked: Labelling) -> None:
    """Raise InputError for what cannot be asked."""
    for option in ("clips", "stride", "top"):
        if getattr(asked, option) < 0:
            raise InputError(f"--{option} is {getattr(asked, option)}; allowed: a whole number from 0 on")
    if asked.crops not in (0, 1, 3):
        raise InputError(f"--crops is {asked.crops}; allowed: 1 or 3, or 0 for as many as the teacher has")
    for option in ("batch", "shard_videos"):
        if getattr(asked, option) < 1:
            name = option.replace("_", "-")
            raise InputError(f"--{name} is {getattr(asked, option)}; allowed: a whole number, at least 1")
    if asked.only_common and not asked.labels:
        raise InputError("--only-common says nothing without --labels; name the student's label map")
    if asked.actors < 0:
        raise InputError(f"--actors is {asked.actors}; allowed: a whole number from 0 on")
    if asked.actors and asked.engine != "ray":
        raise InputError("--actors says nothing without --engine ray")
    if asked.engine == "ray" and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError("--engine ray starts its processes itself; give the command once, without torchrun")
    check_limits(asked.processes or 1, asked.time_limit)


def _read_list(asked: Labelling) -> RecordList:
    """Return the videos of a list, of class folders, or of a folder of videos without classes."""
    source = asked.list
    if os.path.isdir(source) and not read_class_folders(source).rows and not asked.split:
        return RecordList(tuple(chosen_videos([source])), (), source)
    records = read_records(source, split=asked.split or None, root=asked.root, require_labels=False)
    if asked.split and not records.has_splits:
        raise InputError(f"{source} has no splits, and so no rows of the split {asked.split!r}; leave --split out")
    require_files(records, "--root")
    return records


def _settings(asked: Labelling, records: RecordList, labeller: Labeller) -> dict[str, Any]:
    """Return what decides about the answers, and where it lies, as plain data."""
    teacher = labeller.teacher
    classes = labeller.classes
    settings = {
        "format": FORMAT,
        "teacher": asked.teacher,
        "teacher_sha256": teacher.sha256,
        **list_facts(records),
        "label_names": list(classes.label_names),
        "columns": list(classes.columns),
        "top": asked.top,
        "shard_videos": asked.shard_videos,
        "batch": asked.batch,
        "decoder": asked.decoder,
        "preprocessing": teacher.preprocessing.to_dict(),
        "video_rs": __version__,
    }
    # As they are read back: tuples become lists.
    return json.loads(json.dumps(settings))


def prepare_folder(shards: LabelShards, settings: dict[str, Any], overwrite: bool) -> None:
    """Make the folder of the shards; every process calls this.

    Raises:
        InputError: something else is there, or the folder cannot be written.
    """
    make_writable(shards.folder, "--out")
    # All processes look before one of them changes what is there: all find the same.
    found = shards.settings()
    is_unexplained = shards.is_unexplained()
    distributed.barrier()
    if overwrite:
        if distributed.rank() == 0:
            shards.remove()
    elif found is not None:
        require_same(settings, found, shards.folder, "holds the answers of other work")
    elif is_unexplained:
        raise InputError(
            f"nothing in {shards.folder} says what its shards or its {SETTINGS} are of; give another --out, or add "
            "--overwrite to replace them"
        )
    if distributed.rank() == 0 and (overwrite or found is None):
        shards.start(settings)
    distributed.barrier()


def _label_here(
    asked: Labelling, labeller: Labeller, records: Sequence[VideoRecord], shards: LabelShards, missing: Sequence[int]
) -> None:
    """Label shards in this process."""
    processes = asked.processes or share_of_cores()
    loader = read_videos(asked, labeller, records_of_shards(shards, missing, records), processes)
    work = partial(rows_of_shard, labeller, records)
    fill_shards(shards, missing, note_counted_videos(loader), "pseudo-labels", work)


def _report(shards: LabelShards) -> dict[str, int]:
    """Print what came out, and return it."""
    failed = sum(len(shards.failed_videos(number)) for number in range(len(shards)))
    videos = pluralize(shards.videos, "video")
    print_line(f"{videos} labelled, {failed} failed, in {pluralize(len(shards), 'shard')}: {shards.folder}")
    if failed == shards.videos:
        raise InputError(f"none of {videos} could be read; the shards in {shards.folder} say why of each")
    return {"videos": shards.videos, "failed": failed}
