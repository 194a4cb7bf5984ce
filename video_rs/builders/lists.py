"""DATA.TRAIN_LIST, DATA.VAL_LIST and DATA.PSEUDO_LIST -> records, class names and soft labels."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from video_rs.config import Config
from video_rs.lists.checks import fingerprint, refuse_several_labels, require_apart, require_labels
from video_rs.lists.label_map import read_label_map
from video_rs.lists.records import RecordList, read_records
from video_rs.lists.soft_labels import read_soft_labels, soft_labels_file
from video_rs.runtime.errors import InputError
from video_rs.runtime.wording import first_names, pluralize
from video_rs.video.fetching import handler_names, register_handlers


@dataclass(frozen=True)
class Lists:
    """What a run trains and validates on.

    Attributes:
        train: training records.
        val: validation records; None without a list of them.
        label_names: one name for each class of the network.
        pseudo: training records whose labels a network has given; None without a list of them.
        soft_labels: float32 ``[N, K]``, the probabilities of those records; None: they have hard labels.
        memory: labelled records whose features vote in the validation of a pre-training run; None: the network itself
            says the classes.
    """

    train: RecordList
    val: RecordList | None
    label_names: tuple[str, ...]
    pseudo: RecordList | None = None
    soft_labels: np.ndarray | None = field(default=None, compare=False)
    memory: RecordList | None = None

    def all(self) -> list[RecordList]:
        """Return the lists that there are."""
        return [records for records in (self.train, self.val, self.pseudo, self.memory) if records is not None]

    def trained(self) -> list[RecordList]:
        """Return the lists that are trained on."""
        return [self.train] if self.pseudo is None else [self.train, self.pseudo]

    def fingerprints(self) -> dict[str, str]:
        """Return a hash of each list: the same data set gives the same text."""
        found = {"train": fingerprint(self.train), "val": fingerprint(self.val)}
        if self.pseudo is not None:
            soft_labels = b"" if self.soft_labels is None else self.soft_labels.tobytes()
            found["pseudo"] = fingerprint(self.pseudo, soft_labels)
        if self.memory is not None:
            found["memory"] = fingerprint(self.memory)
        return found


def build_lists(config: Config, teacher_names: Sequence[str] = ()) -> Lists:
    """Read all lists; classes beyond the named ones are called by their number.

    Args:
        config: of the run.
        teacher_names: the classes of DISTILL.TEACHER. They are the run's where its answers are all that is learned, and
            DATA.LABEL_MAP names no others.
    """
    data = config.DATA
    learns_labels = not config.DISTILL.TEACHER or config.DISTILL.WEIGHT < 1
    num_classes = config.MODEL.NUM_CLASSES
    require_train_list(config)
    names = read_label_map(data.LABEL_MAP) if data.LABEL_MAP else None
    if names is None and not learns_labels:
        # Labels that nothing is learned from may name some of the classes, or none.
        names = tuple(teacher_names) or None
    read = partial(read_records, root=data.ROOT, num_classes=num_classes or None)
    required = not data.MULTI_LABEL
    train = read(data.TRAIN_LIST, split="train", label_names=names, require_labels=required and learns_labels)
    names = names or train.label_names

    val = None
    if data.VAL_LIST:
        val = read(data.VAL_LIST, split="val", label_names=names, require_labels=required)
    pseudo = None
    if data.PSEUDO_LIST:
        try:
            pseudo = read(data.PSEUDO_LIST, split="train", label_names=names, require_labels=required)
        except InputError:
            _refuse_other_classes(config, names)
            raise

    lists = Lists(train, val, class_names(train.label_names, num_classes), pseudo)
    for records in lists.all():
        if records is train and not learns_labels:
            if not data.MULTI_LABEL:
                refuse_several_labels(records)
        else:
            require_labels(records, data.MULTI_LABEL)
    return _with_soft_labels(config, lists)


def _refuse_other_classes(config: Config, names: Sequence[str]) -> None:
    """Raise InputError where DATA.PSEUDO_LIST cannot be read because its teacher had other classes."""
    data = config.DATA
    found = read_records(data.PSEUDO_LIST, split="train", root=data.ROOT, require_labels=False).label_names
    if found and set(found).isdisjoint(names):
        raise InputError(
            f"no label of DATA.PSEUDO_LIST {data.PSEUDO_LIST} is one of the "
            f"{pluralize(len(names), 'class', 'classes')} of this run: {first_names(list(map(repr, found)))}; take a "
            "teacher of these classes"
        )


def require_train_list(config: Config) -> None:
    """Raise InputError where there is no training list; what fetches lists and videos is ready afterwards."""
    if not config.DATA.TRAIN_LIST:
        raise InputError(
            "DATA.TRAIN_LIST is empty; give a CSV (path,label), a 'path label' list or a folder of class folders; "
            "datasets/README.md says how to prepare Kinetics and your own videos"
        )

    # Lists may lie behind a handler, too.
    register_handlers(handler_names(config.DATA.PATH_HANDLERS))


def _with_soft_labels(config: Config, lists: Lists) -> Lists:
    """Return lists with the soft labels that lie beside DATA.PSEUDO_LIST, which may hold no validation video."""
    if lists.pseudo is None:
        return lists
    if lists.val is not None:
        require_apart(lists.pseudo, lists.val)

    data = config.DATA
    file = soft_labels_file(data.PSEUDO_LIST)
    if file is None:
        return lists
    soft_labels = read_soft_labels(
        file, lists.pseudo, lists.label_names, root=data.ROOT, exclusive=not data.MULTI_LABEL
    )
    return dataclasses.replace(lists, soft_labels=soft_labels)


def class_names(names: tuple[str, ...], num_classes: int) -> tuple[str, ...]:
    """Return names filled up to ``num_classes``, 0 for as many as there are; reading has refused more names."""
    numbers = range(len(names), num_classes)
    return (*names, *map(str, numbers))
