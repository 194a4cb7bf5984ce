"""DATA.TRAIN_LIST and DATA.VAL_LIST -> records and class names."""

from dataclasses import dataclass
from functools import partial

from video_rs.config import Config
from video_rs.lists.checks import fingerprint, require_labels
from video_rs.lists.label_map import read_label_map
from video_rs.lists.records import RecordList, read_records
from video_rs.runtime.errors import InputError
from video_rs.video.fetching import handler_names, register_handlers


@dataclass(frozen=True)
class Lists:
    """What a run trains and validates on.

    Attributes:
        train: training records.
        val: validation records; None without a list of them.
        label_names: one name for each class of the network.
    """

    train: RecordList
    val: RecordList | None
    label_names: tuple[str, ...]

    def all(self) -> list[RecordList]:
        """Return the lists that there are."""
        return [self.train] if self.val is None else [self.train, self.val]

    def fingerprints(self) -> dict[str, str]:
        """Return a hash of each list: the same data set gives the same text."""
        return {"train": fingerprint(self.train), "val": fingerprint(self.val)}


def build_lists(config: Config) -> Lists:
    """Read both lists; classes beyond the named ones are called by their number."""
    data = config.DATA
    num_classes = config.MODEL.NUM_CLASSES
    if not data.TRAIN_LIST:
        raise InputError(
            "DATA.TRAIN_LIST is empty; give a CSV (path,label), a 'path label' list or a folder of class folders; "
            "datasets/README.md says how to prepare Kinetics and your own videos"
        )

    # Lists may lie behind a handler, too.
    register_handlers(handler_names(data.PATH_HANDLERS))
    names = read_label_map(data.LABEL_MAP) if data.LABEL_MAP else None
    read = partial(read_records, root=data.ROOT, num_classes=num_classes or None, require_labels=not data.MULTI_LABEL)
    train = read(data.TRAIN_LIST, split="train", label_names=names)
    val = None
    if data.VAL_LIST:
        val = read(data.VAL_LIST, split="val", label_names=names or train.label_names)

    lists = Lists(train, val, class_names(train.label_names, num_classes))
    for records in lists.all():
        require_labels(records, data.MULTI_LABEL)
    return lists


def class_names(names: tuple[str, ...], num_classes: int) -> tuple[str, ...]:
    """Return names filled up to ``num_classes``, 0 for as many as there are; reading has refused more names."""
    numbers = range(len(names), num_classes)
    return (*names, *map(str, numbers))
