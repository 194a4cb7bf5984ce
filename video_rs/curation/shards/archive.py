"""One shard as a file: written whole or not at all, and looked at again by a later run."""

import os
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from video_rs.curation.copied_list import FAILURES
from video_rs.curation.job_folder import UNFINISHED
from video_rs.curation.shards.contents import Shard, ShardFile
from video_rs.runtime.atomic import write_csv
from video_rs.runtime.errors import InputError
from video_rs.video.location import Location


class Member(NamedTuple):
    """A file inside an archive: its first byte and its size."""

    start: int
    size: int


class PackedFile(NamedTuple):
    """What has become of one file.

    Attributes:
        path: of the file, absolute.
        place: where its bytes are now, as a list writes it; None for a file that could not be read.
        is_fresh: whether this run put them there.
    """

    path: str
    place: str | None
    is_fresh: bool = False


def tar_writer() -> Callable:
    """Return WebDataset's class, imported here and nowhere before.

    Raises:
        InputError: WebDataset is not installed.
    """
    try:
        from webdataset import TarWriter
    except ImportError as error:
        raise InputError("packing needs the package webdataset: pip install 'video_rs[shards]'") from error
    return TarWriter


def pack_shards(
    shards: Sequence[Shard], folder: Path, writer: Callable, known: Mapping[str, str], failures: dict[str, str]
) -> Iterator[PackedFile]:
    """Write the shards that are not there, and give every file of all shards.

    Args:
        shards: to write.
        folder: of the shards.
        writer: what :func:`tar_writer` returns.
        known: path -> reason of the files that an earlier run could not read.
        failures: path -> reason; the files of these shards that cannot be read are added.

    Raises:
        OSError: the folder cannot be written.
    """
    for shard in shards:
        path = folder / shard.name
        members = _members(path)
        unreadable = {file.path: known[file.path] for file in shard.files if file.path in known}

        is_fresh = not _is_whole(shard, members, unreadable)
        if is_fresh:
            unreadable = _write_shard(shard, folder, writer, failures)
            members = _members(path)

        failures.update(unreadable)
        for file in shard.files:
            if file.path in unreadable:
                yield PackedFile(file.path, None)
            else:
                member = members[file.video_name]
                yield PackedFile(file.path, f"{shard.name}#{member.start}+{member.size}", is_fresh)


def _members(path: Path) -> dict[str, Member]:
    """Return the members of an archive by name; nothing where there is no whole archive."""
    try:
        with tarfile.open(path, "r:") as archive:
            return {member.name: Member(member.offset_data, member.size) for member in archive}
    except (OSError, tarfile.TarError):
        return {}


def _is_whole(shard: Shard, members: Mapping[str, Member], unreadable: Mapping[str, str]) -> bool:
    """Return whether a shard is there with all its files but those that an earlier run could not read."""
    kept = [file for file in shard.files if file.path not in unreadable]
    if not kept:
        return False

    # A shard of an earlier list may hold other files, and then its sizes differ.
    sizes = {}
    for name, member in members.items():
        if not name.endswith(".json"):
            sizes[name] = member.size
    expected = {file.video_name: file.size for file in kept}
    return sizes == expected and all(file.json_name in members for file in kept)


def _write_shard(shard: Shard, folder: Path, writer: Callable, failures: Mapping[str, str]) -> dict[str, str]:
    """Write a shard; return path -> reason of each file that could not be read."""
    unreadable: dict[str, str] = {}
    temporary = folder / UNFINISHED / shard.name
    with open(temporary, "wb") as stream:
        # A fixed time: equal shards have equal bytes.
        with writer(stream, encoder=False, mtime=0) as archive:
            for file in shard.files:
                data, reason = _read(file)
                if reason:
                    unreadable[file.path] = reason
                    continue
                key, ending = file.video_name.split(".")
                archive.write({"__key__": key, ending: data, "json": file.json_bytes()})
        stream.flush()
        os.fsync(stream.fileno())

    if unreadable:
        # Kept before the shard is: a later run must know why the shard has not all its files.
        write_csv(folder / FAILURES, ["path", "reason"], (failures | unreadable).items())
    os.replace(temporary, folder / shard.name)
    return unreadable


def _read(file: ShardFile) -> tuple[bytes, str]:
    """Return the file's bytes and "", or nothing and the reason."""
    location = Location.parse(file.path)
    try:
        with open(location.file, "rb") as stream:
            stream.seek(location.start)
            data = stream.read(file.size)
            has_grown = not location.is_part and bool(stream.read(1))
    except OSError as error:
        return b"", f"cannot be read: {error.strerror}"

    if has_grown or len(data) != file.size:
        return b"", "changed while it was packed"
    return data, ""
