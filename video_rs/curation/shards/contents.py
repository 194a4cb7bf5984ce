"""Which files of a list can be packed, and which shard holds which of them."""

import hashlib
import json
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from video_rs.curation.copied_list import SourceList
from video_rs.lists.rows import ListRow
from video_rs.lists.video_search import is_video
from video_rs.runtime.errors import InputError
from video_rs.video import DecodeError
from video_rs.video.fetching import absolute_path, is_url
from video_rs.video.location import Location, check_file

_NO_SPLIT = "all"  # what the shards of rows without a split are called
_SPLIT_NAME = re.compile(r"[A-Za-z0-9_-]+")
_LARGEST = 8 * 2**30 - 1  # bytes: what the header of a tar archive can state


class ShardFile(NamedTuple):
    """A video file that is to be packed.

    Attributes:
        key: number of the file among the list's files: unique over all shards, without dots.
        path: absolute.
        size: in bytes.
        rows: the rows that name the file, as WebDataset's JSON has them.
    """

    key: str
    path: str
    size: int
    rows: list[dict[str, Any]]

    @property
    def split(self) -> str:
        """Name of the split whose shards hold the file: that of its first row."""
        return self.rows[0]["split"] or _NO_SPLIT

    @property
    def video_name(self) -> str:
        """Name of the member with the video: it ends like the file, where that ends like a video."""
        ending = ".mp4"
        if is_video(self.path):
            ending = os.path.splitext(self.path)[1].lower()
        return self.key + ending

    @property
    def json_name(self) -> str:
        """Name of the member with the rows."""
        return f"{self.key}.json"

    def json_bytes(self) -> bytes:
        """Return the first row as JSON; further rows, such as other segments, are listed in it under "more"."""
        first, *more = self.rows
        value = dict(first)
        if more:
            value["more"] = more
        return json.dumps(value).encode()


class Shard(NamedTuple):
    """What one archive is to hold, in its order."""

    name: str
    files: list[ShardFile]


def refuse_split_names(source: str, rows: Iterable[ListRow]) -> None:
    """Raise InputError for a split that cannot be part of a file name."""
    for row in rows:
        if row.split and not _SPLIT_NAME.fullmatch(row.split):
            raise InputError(
                f"{source}, line {row.line}: split {row.split!r} cannot name a shard, allowed: letters, digits, - and "
                "_; rename it"
            )


def choose_files(source: SourceList) -> tuple[list[ShardFile], dict[str, str]]:
    """Return the files that can be packed, in the list's order, and path -> reason of the others."""
    rows_of_file: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row, record in zip(source.rows, source.records, strict=True):
        about = {"label": row.label, "split": row.split, "start": record.start, "end": record.end, "id": record.id}
        rows_of_file[absolute_path(record.path)].append(about)

    # Files that cannot be packed have numbers too: a file's key stays when another file is mended.
    files = []
    failures = {}
    for number, (path, rows) in enumerate(rows_of_file.items()):
        reason = _why_not(path)
        if reason:
            failures[path] = reason
        else:
            files.append(ShardFile(f"{number:08}", path, Location.parse(path).bytes(), rows))

    return files, failures


def _why_not(path: str) -> str:
    """Return why a file cannot be packed, or ""."""
    if is_url(path):
        return "a URL; video-rs prepare_videos makes it a file"
    if os.path.isdir(path):
        return "a folder of frames; video-rs prepare_videos makes it a file"

    try:
        check_file(path)
    except DecodeError as error:
        return error.reason

    if Location.parse(path).bytes() > _LARGEST:
        return "larger than the 8 GiB that a shard can hold of one file"
    return ""


def divide(files: Iterable[ShardFile], shard_size: float, seed: int) -> list[Shard]:
    """Return the shards of all splits; within a split in random order, each as full as the next file lets it be.

    Args:
        files: to pack.
        shard_size: in MB.
        seed: of the order.
    """
    # Sorting by hashes is a shuffle that is the same on every machine.
    shuffled = sorted(files, key=lambda file: stable_hash([seed, file.key]))
    files_of_split = defaultdict(list)
    for file in shuffled:
        files_of_split[file.split].append(file)

    shards = []
    for split, chosen in sorted(files_of_split.items()):
        for number, part in enumerate(_parts(chosen, shard_size * 1e6)):
            shards.append(Shard(shard_name(split, number), part))
    return shards


def shard_name(split: str, number: int) -> str:
    """Return the file name of a shard."""
    return f"{split}-{number:06}.tar"


def stable_hash(value: list) -> str:
    """Return a hash of plain data that is the same in every version of Python, as random's shuffle need not be."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def _parts(files: Iterable[ShardFile], limit: float) -> Iterator[list[ShardFile]]:
    """Give the files in lists of up to ``limit`` bytes; a file that is larger has a list of its own."""
    part: list[ShardFile] = []
    size = 0
    for file in files:
        if part and size + file.size > limit:
            yield part
            part = []
            size = 0
        part.append(file)
        size += file.size
    yield part
