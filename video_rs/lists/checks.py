"""What a run asks of a list before it starts: labels that fit, files that are there; and what tells two lists apart."""

import hashlib
import math
import os
from typing import Any

from video_rs.lists.records import RecordList, VideoRecord
from video_rs.runtime.errors import InputError
from video_rs.runtime.wording import pluralize
from video_rs.video.fetching import absolute_path, is_url
from video_rs.video.location import Location

# So many files of a list are looked for before a run starts.
FILES_LOOKED_FOR = 20


def require_labels(
    records: RecordList, multi_label: bool, for_several: str = "train with DATA.MULTI_LABEL true"
) -> None:
    """Raise InputError unless each record has one label; with ``multi_label``, unless some record has any.

    Args:
        records: a list as read.
        multi_label: whether videos may have any number of labels.
        for_several: what somebody can do whose videos have several labels.
    """
    if not multi_label:
        refuse_several_labels(records, for_several)
        for record in records.records:
            if not record.labels:
                raise InputError(f"{records.source}: {record.path} has no label; give it one, or remove its row")

    if not any(record.labels for record in records.records):
        raise InputError(f"{records.source}: no video has a label; give some of them labels")


def refuse_several_labels(records: RecordList, for_several: str = "train with DATA.MULTI_LABEL true") -> None:
    """Raise InputError where a record has several labels; the arguments are those of :func:`require_labels`."""
    for record in records.records:
        if len(record.labels) > 1:
            raise InputError(
                f"{records.source}: {record.path} has {len(record.labels)} labels; give it one, or {for_several}"
            )


def require_apart(records: RecordList, val: RecordList) -> None:
    """Raise InputError where a record shows something of a validation video, or of its segment.

    A file of one name is the same by whatever links it is reached.
    """
    names = set()
    held_out: dict[str, list[tuple[float, float]]] = {}
    for record in val.records:
        names.add(os.path.basename(record.path))
        held_out.setdefault(os.path.realpath(record.path), []).append(_times(record))

    shared = []
    for record in records.records:
        # The disk is asked about the few that may be the same.
        if os.path.basename(record.path) not in names:
            continue
        start, end = _times(record)
        for other_start, other_end in held_out.get(os.path.realpath(record.path), ()):
            if start < other_end and other_start < end:
                shared.append(record)
                break
    if shared:
        raise InputError(
            f"{records.source} shares {pluralize(len(shared), 'video')} with the validation rows of {val.source}, such "
            f"as {shared[0].path}; remove their rows: what a run has trained on says nothing about new videos"
        )


def segments(records: RecordList | None) -> set[tuple[str, float | None, float | None]]:
    """Return (path, start, end) of every record, or nothing where there is no list."""
    if records is None:
        return set()
    return {(record.path, record.start, record.end) for record in records.records}


def _times(record: VideoRecord) -> tuple[float, float]:
    """Return start and end of a record in seconds; a video ends at infinity."""
    return record.start or 0.0, math.inf if record.end is None else record.end


def require_files(records: RecordList, root_option: str = "DATA.ROOT") -> None:
    """Raise InputError where none of some files of a list is there.

    The folder is another one then, and every clip would fail.

    Args:
        records: a list as read.
        root_option: by which somebody gives the folder that relative paths start from.
    """
    distance = max(1, len(records) // FILES_LOOKED_FOR)
    some = records.records[::distance]
    for record in some:
        if is_url(record.path) or os.path.exists(Location.parse(record.path).file):
            return
    raise InputError(
        f"{records.source}: none of {pluralize(len(some), 'file')} looked at is there, such as {some[0].path}; "
        f"give the folder that relative paths start from as {root_option}, or correct the list"
    )


def fingerprint(records: RecordList | None, soft_labels: bytes = b"") -> str:
    """Return a hash over every video's id, labels and segment in their order, or "" where there is no list.

    Args:
        records: a list as read.
        soft_labels: of its records, where there are such.
    """
    if records is None:
        return ""
    digest = hashlib.sha256()
    for record in records.records:
        digest.update(repr((record.id, record.labels, record.start, record.end)).encode())
    digest.update(soft_labels)
    return digest.hexdigest()


def fingerprint_of_files(records: RecordList) -> str:
    """Return a hash over the names of the files, without their folders: the ids of a list may say nothing of them."""
    digest = hashlib.sha256()
    for record in records.records:
        digest.update(repr(os.path.basename(record.path)).encode())
    return digest.hexdigest()


def list_facts(records: RecordList) -> dict[str, Any]:
    """Return what work on a list keeps of it, as plain data: where it lies, and what tells it from other lists."""
    return {
        "list": absolute_path(records.source),
        "rows_sha256": fingerprint(records),
        "files_sha256": fingerprint_of_files(records),
        "videos": len(records),
    }
