"""CONTRAST -> what a pre-training run may not be asked for, and its lists."""

import dataclasses
from dataclasses import dataclass
from functools import partial
from typing import Any

from video_rs.builders.data import build_mixing
from video_rs.builders.lists import Lists, require_train_list
from video_rs.config import Config
from video_rs.data.clip_pairs import CLIPS_OF_A_PAIR
from video_rs.lists.checks import refuse_several_labels, require_apart, require_labels
from video_rs.lists.label_map import read_label_map
from video_rs.lists.records import RecordList, read_records
from video_rs.runtime.errors import InputError
from video_rs.runtime.wording import pluralize

ANOTHER_LIST = "name another list as CONTRAST.KNN_LIST"


@dataclass(frozen=True)
class Unfit:
    """A key that a pre-training run takes at one value alone.

    Attributes:
        key: of the configuration.
        allowed: its value.
        why: no other one fits.
    """

    key: str
    allowed: Any
    why: str


UNFIT = (
    Unfit("DISTILL.TEACHER", "", "it learns no teacher's answers"),
    Unfit("DATA.PSEUDO_LIST", "", "it looks at no label; list these videos in DATA.TRAIN_LIST, too"),
    Unfit("DATA.MULTI_LABEL", False, "it looks at no label, and in its validation neighbours vote for one class"),
    Unfit("DATA.CLASS_BALANCE", 0.0, "it looks at no label"),
    Unfit("SOLVER.CLASS_WEIGHTS", 0.0, "it looks at no label"),
    Unfit("DATA.CLIPS_PER_VIDEO", 1, "it takes two clips of each video by itself"),
    Unfit("DATA.CLIP_SAMPLER", "frames", "it draws how many frames two clips are apart"),
    Unfit("MODEL.PRETRAINED", "", "it starts from fresh weights"),
    Unfit("TRAIN.AUTO_BATCH", False, "fewer clips at a time are compared with each other: another task"),
)


def require_pretraining(config: Config) -> None:
    """Raise InputError for what a pre-training run cannot be asked."""
    values = config.flat()
    for unfit in UNFIT:
        value = values[unfit.key]
        if value != unfit.allowed:
            raise InputError(
                f"{unfit.key} {_text(value)} does not go with pre-training: {unfit.why}; set {unfit.key} "
                f"{_text(unfit.allowed)}"
            )

    if build_mixing(config) is not None:
        raise InputError(
            "mixing clips does not go with pre-training: a mixed clip is of two videos; set AUG.MIXUP_ALPHA 0 and "
            "AUG.CUTMIX_ALPHA 0"
        )
    _require_other_videos(config)


def _require_other_videos(config: Config) -> None:
    """Raise InputError where a clip would be compared with its partner alone."""
    train = config.TRAIN
    videos = train.BATCH_SIZE // train.ACCUMULATION_STEPS // CLIPS_OF_A_PAIR
    if videos < 2:
        raise InputError(
            f"TRAIN.BATCH_SIZE {train.BATCH_SIZE} in {pluralize(train.ACCUMULATION_STEPS, 'accumulation step')} is "
            f"{pluralize(videos, 'video')} of two clips at a time, and pre-training tells the clips of several videos "
            f"apart; take at least {4 * train.ACCUMULATION_STEPS}"
        )


def _text(value: Any) -> str:
    """Return a value as it is written behind its key."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    return repr(value) if value == "" else str(value)


def build_pretraining_lists(config: Config) -> Lists:
    """Read the lists of a pre-training run, whose training videos need no labels.

    Validation takes the features of labelled videos: those of CONTRAST.KNN_LIST, else those of DATA.TRAIN_LIST that
    have a label. Where there are none, there is no validation, and a note of the training list says so.

    Raises:
        InputError: a list cannot be read, holds validation videos, or has too few for CONTRAST.KNN_K.
    """
    require_train_list(config)
    data = config.DATA
    num_classes = config.MODEL.NUM_CLASSES
    names = read_label_map(data.LABEL_MAP) if data.LABEL_MAP else None
    read = partial(read_records, root=data.ROOT, num_classes=num_classes or None)
    train = read(data.TRAIN_LIST, split="train", label_names=names, require_labels=False)
    if len(train) < 2:
        raise InputError(
            f"{train.source} has {pluralize(len(train), 'video')} to train on, and pre-training tells the clips of "
            "several videos apart; give a longer list"
        )
    if not data.VAL_LIST:
        return Lists(train, None, ())

    memory = _labelled(train)
    if config.CONTRAST.KNN_LIST:
        memory = read(config.CONTRAST.KNN_LIST, split="train", label_names=names)
    if memory is not None:
        names = names or memory.label_names
    val = read(data.VAL_LIST, split="val", label_names=names, require_labels=memory is not None)
    require_apart(train, val)
    if memory is None:
        note = (
            f"{train.source} has no labels, and no CONTRAST.KNN_LIST is named: there is no validation on "
            f"{val.source}, and the loss is all that is measured"
        )
        return Lists(dataclasses.replace(train, notes=(*train.notes, note)), None, ())

    require_apart(memory, val)
    refuse_several_labels(memory, ANOTHER_LIST)
    require_labels(val, multi_label=False, for_several="leave it out: neighbours vote for one class")
    _require_neighbours(config, memory)
    return Lists(train, val, memory.label_names, memory=memory)


def _labelled(train: RecordList) -> RecordList | None:
    """Return the rows that have a label; None where none has."""
    labelled = tuple(record for record in train.records if record.labels)
    if not labelled:
        return None
    return dataclasses.replace(train, records=labelled)


def _require_neighbours(config: Config, memory: RecordList) -> None:
    """Raise InputError where there are fewer labelled videos than are to vote on each."""
    asked = config.CONTRAST.KNN_K
    if asked > len(memory):
        raise InputError(
            f"CONTRAST.KNN_K is {asked}, but {memory.source} has {pluralize(len(memory), 'labelled video')} to vote in "
            f"validation; set at most {len(memory)}, or {ANOTHER_LIST}"
        )
