"""Label a list of videos by a teacher: in shards, by any number of processes."""

import dataclasses
import itertools
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from video_rs.data.counted_videos import note_counted_videos
from video_rs.data.dataset import VideoSource, ViewReader
from video_rs.data.loader import ViewLoader, Workers
from video_rs.data.order import Partition
from video_rs.data.preprocessing import Preprocessing
from video_rs.data.teacher import Teacher
from video_rs.inference.pseudo_labels.labelling import Labeller, LabelRow, label_shard
from video_rs.inference.pseudo_labels.shards import LabelShards
from video_rs.inference.teachers import ClassMatch, load_teacher, match_classes
from video_rs.lists.checks import fingerprint, require_files
from video_rs.lists.chosen_videos import chosen_videos
from video_rs.lists.class_folders import read_class_folders
from video_rs.lists.label_map import read_label_map
from video_rs.lists.records import RecordList, read_records
from video_rs.runs.extraction_place import fingerprint_of_files, require_same
from video_rs.runs.shard_work import fill_shards, records_of_shards, unfinished_shards
from video_rs.runtime import distributed
from video_rs.runtime.devices import pick_device
from video_rs.runtime.errors import InputError
from video_rs.runtime.folders import make_writable
from video_rs.runtime.progress import print_line, print_notes
from video_rs.runtime.version import __version__
from video_rs.runtime.wording import first_names, pluralize
from video_rs.runtime.workers import check_limits, usable_cores
from video_rs.video.fetching import absolute_path

FORMAT = 1


@dataclass(frozen=True)
class Labelling:
    """What is asked for.

    Attributes:
        teacher: as :func:`video_rs.inference.teachers.load_teacher` takes it.
        trusted: whether a .pt2 file, which can run code as it is read, is taken as a teacher.
        list: of the videos, or a folder of them; labels do not matter.
        out: folder for the shards.
        split: train, val or test: rows of the list; "": all.
        labels: label map of the student's classes; "": the teacher's classes.
        only_common: whether classes that only one of the two has are left out.
        top: classes of a video that are kept; 0: all.
        clips, crops, stride: of a video; 0: as the teacher has them.
        batch: views per forward pass.
        shard_videos: videos of a shard.
        device, decoder: as for prediction.
        processes: that read videos; 0: one for each core.
        time_limit: seconds for reading one video.
        overwrite: whether what is there already goes.
    """

    teacher: str
    list: str
    out: str
    trusted: bool = False
    split: str = ""
    labels: str = ""
    only_common: bool = False
    top: int = 0
    clips: int = 0
    crops: int = 0
    stride: int = 0
    batch: int = 8
    shard_videos: int = 64
    device: str = "auto"
    decoder: str = "auto"
    processes: int = 0
    time_limit: float = 60.0
    overwrite: bool = False


def run_pseudo_label(asked: Labelling) -> dict[str, int]:
    """Label all videos, go on where that was stopped, or find it done.

    Returns:
        The numbers of ``videos`` and of ``failed`` ones.

    Raises:
        InputError: bad input, something else is there already, or not one video could be read.
    """
    _refuse(asked)
    distributed.join_process_group(pick_device(asked.device))
    records = _read_list(asked)
    print_notes(records.notes)

    teacher = load_teacher(asked.teacher, asked.device, asked.trusted)
    teacher = dataclasses.replace(teacher, preprocessing=_views(asked, teacher.preprocessing))
    classes = _match(asked, teacher)
    shards = LabelShards(Path(asked.out), len(records), asked.shard_videos, classes.label_names)
    prepare_folder(shards, _settings(asked, records, teacher, classes), asked.overwrite)

    labeller = Labeller(teacher, classes, asked.top, asked.batch)
    _label_missing(asked, labeller, records, shards)
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
    check_limits(asked.processes or 1, asked.time_limit)


def _read_list(asked: Labelling) -> RecordList:
    """Return the videos of a list, of class folders, or of a folder of videos without classes."""
    source = asked.list
    if os.path.isdir(source) and not read_class_folders(source).rows and not asked.split:
        return RecordList(tuple(chosen_videos([source])), (), source)
    records = read_records(source, split=asked.split or None, require_labels=False)
    if asked.split and not records.has_splits:
        raise InputError(f"{source} has no splits, and so no rows of the split {asked.split!r}; leave --split out")
    require_files(records)
    return records


def _views(asked: Labelling, stored: Preprocessing) -> Preprocessing:
    """Return the teacher's preprocessing with the views that are asked for."""
    clip = dataclasses.replace(stored.clip, sampling_rate=asked.stride or stored.clip.sampling_rate)
    transform = dataclasses.replace(stored.transform, num_crops=asked.crops or stored.transform.num_crops)
    return dataclasses.replace(stored, clip=clip, transform=transform, num_clips=asked.clips or stored.num_clips)


def _match(asked: Labelling, teacher: Teacher) -> ClassMatch:
    """Return the student's classes among the teacher's, and print which are left out."""
    if teacher.multi_label:
        raise InputError(
            f"{asked.teacher} judges each class by itself; pseudo-labels need a teacher of one class a video"
        )
    names = read_label_map(asked.labels) if asked.labels else ()
    classes = match_classes(teacher.label_names, names, asked.only_common, asked.teacher)
    if classes.unknown:
        print_line(f"note: no pseudo-labels of {first_names(classes.unknown)}, which the teacher does not know")
    if classes.others:
        print_line(f"note: left out of the teacher's classes: {first_names(classes.others)}")
    return classes


def _settings(asked: Labelling, records: RecordList, teacher: Teacher, classes: ClassMatch) -> dict[str, Any]:
    """Return what decides about the answers, and where it lies, as plain data."""
    settings = {
        "format": FORMAT,
        "teacher": asked.teacher,
        "teacher_sha256": teacher.sha256,
        "list": absolute_path(records.source),
        "rows_sha256": fingerprint(records),
        "files_sha256": fingerprint_of_files(records),
        "label_names": list(classes.label_names),
        "columns": list(classes.columns),
        "top": asked.top,
        "videos": len(records),
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
    has_foreign = found is None and any(shards.folder.glob(f"[0-9]*{shards.ending}"))
    distributed.barrier()
    if overwrite:
        if distributed.rank() == 0:
            shards.remove()
    elif found is not None:
        require_same(settings, found, shards.folder, "holds the answers of other work")
    elif has_foreign:
        raise InputError(
            f"nothing says what the shards in {shards.folder} are of; give another --out, or add --overwrite to "
            "replace them"
        )
    if distributed.rank() == 0 and (overwrite or found is None):
        shards.start(settings)
    distributed.barrier()


def _label_missing(asked: Labelling, labeller: Labeller, records: RecordList, shards: LabelShards) -> None:
    """Label the shards of this process that are not finished."""
    missing = unfinished_shards(shards, records.records)
    if not missing:
        return
    processes = asked.processes
    if not processes:
        processes = max(1, usable_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    read = ViewReader(labeller.teacher.preprocessing, VideoSource(asked.decoder))
    wanted = records_of_shards(shards, missing, records.records)
    loader = ViewLoader(wanted, read, Partition(), Workers(processes, asked.time_limit))
    fill_shards(
        shards, missing, note_counted_videos(loader), "pseudo-labels", partial(_rows_of_shard, labeller, records)
    )


def _rows_of_shard(labeller: Labeller, records: RecordList, places: range, videos: Iterator[Any]) -> list[LabelRow]:
    """Return the rows of the next videos, which are those at ``places`` of the list."""
    of_shard = [records.records[place] for place in places]
    # Batches end with the shard: its answers do not depend on which shards were finished before.
    return label_shard(labeller, of_shard, itertools.islice(videos, len(of_shard)))


def _report(shards: LabelShards) -> dict[str, int]:
    """Print what came out, and return it."""
    failed = sum(len(shards.failed_videos(number)) for number in range(len(shards)))
    videos = pluralize(shards.videos, "video")
    print_line(f"{videos} labelled, {failed} failed, in {pluralize(len(shards), 'shard')}: {shards.folder}")
    if failed == shards.videos:
        raise InputError(f"none of {videos} could be read; the shards in {shards.folder} say why of each")
    return {"videos": shards.videos, "failed": failed}
