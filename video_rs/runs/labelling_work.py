"""What labelling is asked for, and the work itself: the same on one process, under torchrun and on Ray."""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from video_rs.data.dataset import VideoSource, ViewReader
from video_rs.data.loader import ViewLoader, Workers
from video_rs.data.order import Partition
from video_rs.data.preprocessing import Preprocessing
from video_rs.data.teacher import Teacher
from video_rs.inference.pseudo_labels.labelling import Labeller, LabelRow, label_shard
from video_rs.inference.teachers import ClassMatch, load_teacher, match_classes
from video_rs.lists.label_map import read_label_map
from video_rs.lists.records import VideoRecord
from video_rs.runtime.errors import InputError
from video_rs.runtime.progress import print_line
from video_rs.runtime.wording import first_names


@dataclass(frozen=True)
class Labelling:
    """What is asked for.

    Attributes:
        teacher: as :func:`video_rs.inference.teachers.load_teacher` takes it.
        trusted: whether a .pt2 file, which can run code as it is read, is taken as a teacher.
        list: of the videos, or a folder of them; labels do not matter.
        out: folder for the shards.
        split: train, val or test: rows of the list; "": all.
        root: what relative paths of the list start from; "": its folder.
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
        engine: "local", which is this process and those beside it under torchrun, or "ray".
        actors: processes on Ray that have a teacher; 0: one for each GPU, or without GPUs one for each machine.
    """

    teacher: str
    list: str
    out: str
    trusted: bool = False
    split: str = ""
    root: str = ""
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
    engine: str = "local"
    actors: int = 0


def load_labeller(asked: Labelling, device: str) -> Labeller:
    """Return the teacher with the views and the classes that are asked for, and print what is left out.

    Raises:
        InputError: there is no such teacher, or its classes are others.
    """
    teacher = load_teacher(asked.teacher, device, asked.trusted)
    teacher = dataclasses.replace(teacher, preprocessing=_views(asked, teacher.preprocessing))
    return Labeller(teacher, _match(asked, teacher), asked.top, asked.batch)


def _views(asked: Labelling, stored: Preprocessing) -> Preprocessing:
    """Return the teacher's preprocessing with the views that are asked for."""
    clip = dataclasses.replace(stored.clip, sampling_rate=asked.stride or stored.clip.sampling_rate)
    transform = dataclasses.replace(stored.transform, num_crops=asked.crops or stored.transform.num_crops)
    num_clips = asked.clips or stored.num_clips
    return dataclasses.replace(stored.published_views(), clip=clip, transform=transform, num_clips=num_clips)


def _match(asked: Labelling, teacher: Teacher) -> ClassMatch:
    """Return the student's classes among the teacher's, and print which are left out."""
    if teacher.multi_label:
        raise InputError(
            f"{asked.teacher} judges each class by itself; pseudo-labels need a teacher of one class a video: train "
            "one without DATA.MULTI_LABEL, or learn from this one by DISTILL.TEACHER"
        )
    names = read_label_map(asked.labels) if asked.labels else ()
    classes = match_classes(teacher.label_names, names, asked.only_common, asked.teacher)
    _require_names_for_lists(asked, classes.label_names)
    if classes.unknown:
        print_line(f"note: no pseudo-labels of {first_names(classes.unknown)}, which the teacher does not know")
    if classes.others:
        print_line(f"note: left out of the teacher's classes: {first_names(classes.others)}")
    return classes


def _require_names_for_lists(asked: Labelling, names: Sequence[str]) -> None:
    """Raise InputError for a name that a list would take for several."""
    for name in names:
        if ";" in name:
            raise InputError(
                f"{asked.teacher} has a class {name!r}, and in a list ';' stands between the labels of a video; leave "
                "the class out: name the others in --labels, with --only-common"
            )


def read_videos(asked: Labelling, labeller: Labeller, records: Sequence[VideoRecord], processes: int) -> ViewLoader:
    """Return the views of videos, read by so many processes."""
    read = ViewReader(labeller.teacher.preprocessing, VideoSource(asked.decoder))
    return ViewLoader(records, read, Partition(), Workers(processes, asked.time_limit))


def rows_of_shard(
    labeller: Labeller,
    records: Sequence[VideoRecord] | Mapping[int, VideoRecord],
    places: range,
    videos: Iterator[Any],
) -> list[LabelRow]:
    """Return the rows of the next videos, which are those at ``places`` of the list."""
    of_shard = [records[place] for place in places]
    # Batches end with the shard: its answers do not depend on which shards were finished before.
    return label_shard(labeller, of_shard, itertools.islice(videos, len(of_shard)))
