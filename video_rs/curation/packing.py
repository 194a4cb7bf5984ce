"""Pack the files of a list into shards: tar archives in WebDataset's layout, which our list reads in place."""

import csv
import hashlib
import json
import math
import os
import re
import shlex
import tarfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from video_rs.curation.work_folder import UNFINISHED, refuse_foreign, taken
from video_rs.lists.listing import Row, read_listing
from video_rs.lists.records import VideoRecord, records_of
from video_rs.lists.trees import is_video
from video_rs.runtime.atomic import write_csv, write_json
from video_rs.runtime.errors import InputError
from video_rs.runtime.progress import say, say_notes, videos_with_progress
from video_rs.runtime.wording import counted
from video_rs.video import DecodeError
from video_rs.video.fetching import absolute_path, is_url, register_handlers
from video_rs.video.location import Location, Stamp, check_file

PLAN = "shards.json"
_LISTS = ("list.csv", "failures.csv")
_NO_SPLIT = "all"  # what the shards of rows without a split are called
_SPLIT = re.compile(r"[A-Za-z0-9_-]+")
_LARGEST = 8 * 2**30 - 1  # bytes: what the header of a tar archive can state


@dataclass(frozen=True)
class Outcome:
    """Files, each counted once: packed now, in finished shards already, and left out."""

    done: int
    skipped: int
    failed: int


class File(NamedTuple):
    """A video file, and the rows that name it as WebDataset's JSON has them."""

    key: str  # its number among the list's files: unique over all shards, without dots
    path: str
    size: int  # bytes
    rows: list[dict]

    @property
    def split(self) -> str:
        """Whose shards hold it: of its first row."""
        return self.rows[0]["split"] or _NO_SPLIT

    @property
    def video(self) -> str:
        """Name of the member: it ends like the file, where that ends like a video."""
        ending = os.path.splitext(self.path)[1].lower()
        return self.key + (ending if is_video(self.path) else ".mp4")

    @property
    def json(self) -> str:
        """Name of the member with the rows."""
        return f"{self.key}.json"


class Shard(NamedTuple):
    """What one archive is to hold, in its order."""

    name: str
    files: list[File]


@dataclass(frozen=True)
class Plan:
    """What the shards of a folder follow from, kept there.

    Attributes:
        list: where the rows came from; for people.
        shard_size: in MB.
        seed: of the order.
        rows: hash of the list's rows.
        files: hash of the size and time of change of each file that they name.
        shards: how many each split has.
    """

    list: str
    shard_size: float
    seed: int
    rows: str
    files: str
    shards: dict[str, int]


def run_packing(
    source: str,
    output: str,
    *,
    root: str = "",
    shard_size: float = 1000.0,
    seed: int = 0,
    overwrite: bool = False,
    path_handlers: Sequence[str] = (),
) -> Outcome:
    """Writes shards, ``list.csv`` and ``failures.csv`` into a folder; a run that was killed is gone on with.

    Args:
        source: list file, or folder of class folders.
        output: the folder.
        root: as DATA.ROOT.
        shard_size: MB of video in one shard; only a file that is larger makes a larger one.
        seed: of the order within each split.
        overwrite: packs all again where the folder holds shards of another plan, or of this one.
        path_handlers: as :class:`video_rs.data.dataset.VideoSource` has them; the list may be behind them.

    Raises:
        InputError: webdataset is not installed, a value out of range, a list that cannot be read, a folder that holds
            something else or shards of another plan, that another run is at work in, or that cannot be written.
    """
    writer = _tar_writer()
    if not 0 < shard_size < math.inf:
        raise InputError(f"--shard-size: got {shard_size}, allowed: above 0 (MB)")
    register_handlers(path_handlers)
    rows, records = _read(source, root)
    files, failures = _files(rows, records)
    shards = _divide(files, shard_size, seed)
    plan = _plan(source, shard_size, seed, rows, records, shards)
    folder = Path(os.path.abspath(output))
    sources = [plan.list, *(Location.parse(file.path).file for file in files)]
    refuse_foreign(folder, [*_LISTS, *(shard.name for shard in shards)], PLAN, sources)
    try:
        with taken(folder, "packing into", lambda: _settle(folder, plan, overwrite)):
            packed = _pack(shards, folder, writer, failures)
            _write_lists(folder, rows, records, packed, failures)
    except OSError as error:
        raise InputError(f"cannot write to {folder} ({error.strerror or error}); mend that and run again") from error
    done = sum(place.fresh for place in packed.values())
    outcome = Outcome(done, len(packed) - done, len(failures))
    _summarize(outcome, files, shards, folder, labelled=any(row.label for row in rows))
    return outcome


def _tar_writer() -> Callable:
    """The library's class, imported here and nowhere before."""
    try:
        from webdataset import TarWriter
    except ImportError as error:
        raise InputError("packing needs the package webdataset: pip install 'video_rs[shards]'") from error
    return TarWriter


# Which files, and into which shards


def _read(source: str, root: str) -> tuple[list[Row], list[VideoRecord]]:
    """The rows as written, and each row's record, whose path is made absolute."""
    listing = read_listing(source, root, require_labels=False)
    for row in listing.rows:
        if row.split and not _SPLIT.fullmatch(row.split):
            raise InputError(
                f"{source}, line {row.line}: split {row.split!r} cannot name a shard, allowed: letters, digits, - and "
                "_; rename it"
            )
    found = records_of(listing, source)
    say_notes(found.notes)
    return listing.rows, list(found.records)


def _files(rows: Sequence[Row], records: Sequence[VideoRecord]) -> tuple[list[File], dict[str, str]]:
    """The files that can be packed, in the list's order, and path and reason of the others."""
    named = defaultdict(list)
    for row, record in zip(rows, records, strict=True):
        about = {"label": row.label, "split": row.split, "start": record.start, "end": record.end, "id": record.id}
        named[absolute_path(record.path)].append(about)
    reasons = {path: _why_not(path) for path in named}
    files = [
        File(f"{number:08}", path, Location.parse(path).bytes(), about)
        for number, (path, about) in enumerate(named.items())
        if not reasons[path]
    ]
    return files, {path: reason for path, reason in reasons.items() if reason}


def _why_not(path: str) -> str:
    """Why a file cannot be packed, or ""."""
    if is_url(path) or os.path.isdir(path):
        return f"a {'URL' if is_url(path) else 'folder of frames'}; datasets/prepare_videos.py makes it a file"
    try:
        check_file(path)
    except DecodeError as error:
        return error.reason
    return "larger than the 8 GiB that a shard can hold of one file" if Location.parse(path).bytes() > _LARGEST else ""


def _divide(files: Iterable[File], shard_size: float, seed: int) -> list[Shard]:
    """The shards of all splits; within a split in random order, each as full as the next file lets it be."""
    splits = defaultdict(list)
    for file in sorted(files, key=lambda file: _hash([seed, file.key])):
        splits[file.split].append(file)
    shards = []
    for split, chosen in sorted(splits.items()):
        for number, part in enumerate(_filled(chosen, shard_size * 1e6)):
            shards.append(Shard(f"{split}-{number:06}.tar", part))
    return shards


def _filled(files: Iterable[File], limit: float) -> Iterator[list[File]]:
    part, size = [], 0
    for file in files:
        if part and size + file.size > limit:
            yield part
            part, size = [], 0
        part.append(file)
        size += file.size
    yield part


def _hash(value: list) -> str:
    """Of plain data; the same in every version of Python, which random's shuffle need not be."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def _plan(
    source: str,
    shard_size: float,
    seed: int,
    rows: Sequence[Row],
    records: Sequence[VideoRecord],
    shards: Iterable[Shard],
) -> Plan:
    stamps = [Stamp.of_file(path) for path in dict.fromkeys(absolute_path(record.path) for record in records)]
    numbers = Counter(shard.name.rpartition("-")[0] for shard in shards)
    # Neither lines nor folders: a list and its files may move between two runs.
    written = [row[1:] for row in rows]
    return Plan(absolute_path(source), shard_size, seed, _hash(written), _hash(stamps), dict(numbers))


# The folder


def _settle(folder: Path, plan: Plan, overwrite: bool) -> None:
    """Compares the plan with the folder's, or makes it the folder's."""
    before = _plan_of(folder)
    if before is not None and not overwrite:
        _refuse_another(folder, before, plan)
        return
    if before is not None:
        # The old shards go before the old plan: whenever this stops, shards and plan belong together.
        for name in (*_LISTS, *_names(before.shards)):
            (folder / name).unlink(missing_ok=True)
    write_json(folder / PLAN, asdict(plan))


def _plan_of(folder: Path) -> Plan | None:
    path = folder / PLAN
    if not path.exists():
        return None
    try:
        plan = Plan(**json.loads(path.read_text(encoding="utf-8")))
        list(_names(plan.shards))
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{path} does not hold a plan of shards ({error}); choose another folder") from error
    return plan


def _names(shards: Mapping[str, int]) -> Iterator[str]:
    for split, count in shards.items():
        yield from (f"{split}-{number:06}.tar" for number in range(count))


def _refuse_another(folder: Path, before: Plan, now: Plan) -> None:
    changed = [
        f"{name} {getattr(before, field)}, now {getattr(now, field)}"
        for name, field in (("shard size", "shard_size"), ("seed", "seed"))
        if getattr(before, field) != getattr(now, field)
    ]
    if before.rows != now.rows:
        changed.append(f"other rows, of {before.list}")
    elif before.files != now.files:
        changed.append("files that have changed, come or gone since")
    if changed:
        raise InputError(
            f"{folder} was packed with {'; '.join(changed)}: give what it was, another folder, or --overwrite to pack "
            "all again"
        )


# The work


class Packed(NamedTuple):
    """Where a file's bytes are now, as a list writes it, and whether this run put them there."""

    place: str
    fresh: bool


def _pack(shards: Sequence[Shard], folder: Path, writer: Callable, failures: dict[str, str]) -> dict[str, Packed]:
    """Each packed file by its path; adds to ``failures`` what could not be read."""
    known = _failures_of(folder)
    work = _packed(shards, folder, writer, known, failures)
    files = videos_with_progress(work, sum(len(shard.files) for shard in shards), "packing")
    return {path: packed for path, packed in files if packed}


def _packed(
    shards: Iterable[Shard], folder: Path, writer: Callable, known: Mapping[str, str], failures: dict[str, str]
) -> Iterator[tuple[str, Packed | None]]:
    for shard in shards:
        members = _members(folder / shard.name)
        lost = {file.path: known[file.path] for file in shard.files if file.path in known}
        fresh = not _is_whole(shard, members, lost)
        if fresh:
            lost = _write_shard(shard, folder, writer, failures)
            members = _members(folder / shard.name)
        failures |= lost
        for file in shard.files:
            if file.path in lost:
                yield file.path, None
            else:
                start, size = members[file.video]
                yield file.path, Packed(f"{shard.name}#{start}+{size}", fresh)


def _members(path: Path) -> dict[str, tuple[int, int]]:
    """First byte and size of each member; nothing where there is no whole archive."""
    try:
        with tarfile.open(path, "r:") as archive:
            return {member.name: (member.offset_data, member.size) for member in archive}
    except (OSError, tarfile.TarError):
        return {}


def _is_whole(shard: Shard, members: Mapping[str, tuple[int, int]], lost: Mapping[str, str]) -> bool:
    """Whether a shard is there with all its files but those that an earlier run could not read."""
    kept = [file for file in shard.files if file.path not in lost]
    wanted = {file.video: file.size for file in kept}
    sizes = {name: size for name, (_, size) in members.items() if not name.endswith(".json")}
    return bool(kept) and sizes == wanted and all(file.json in members for file in kept)


def _write_shard(shard: Shard, folder: Path, writer: Callable, failures: Mapping[str, str]) -> dict[str, str]:
    """Writes it whole or not at all; path and reason of each file that could not be read."""
    lost: dict[str, str] = {}
    temporary = folder / UNFINISHED / shard.name
    with open(temporary, "wb") as stream:
        with writer(stream, encoder=False, mtime=0) as archive:  # a fixed time: equal shards have equal bytes
            for file in shard.files:
                data, reason = _content(file)
                if reason:
                    lost[file.path] = reason
                else:
                    name, ending = file.video.split(".")
                    archive.write({"__key__": name, ending: data, "json": _about(file)})
        stream.flush()
        os.fsync(stream.fileno())
    if lost:  # kept before the shard is: a later run must know why it has not all its files
        write_csv(folder / "failures.csv", ["path", "reason"], (failures | lost).items())
    os.replace(temporary, folder / shard.name)
    return lost


def _content(file: File) -> tuple[bytes, str]:
    """The file's bytes, or why there are none."""
    location = Location.parse(file.path)
    try:
        with open(location.file, "rb") as stream:
            stream.seek(location.start)
            data = stream.read(file.size)
            longer = not location.is_part and stream.read(1)
    except OSError as error:
        return b"", f"cannot be read: {error.strerror}"
    return (b"", "changed while it was packed") if longer or len(data) != file.size else (data, "")


def _about(file: File) -> bytes:
    """The first row; further ones of the same file, such as other segments, are listed under "more"."""
    first, *more = file.rows
    return json.dumps({**first, "more": more} if more else first).encode()


# What is left


def _failures_of(folder: Path) -> dict[str, str]:
    path = folder / "failures.csv"
    if not path.exists():
        return {}
    with open(path, encoding="utf-8", newline="") as file:
        return {row["path"]: row["reason"] for row in csv.DictReader(file)}


def _write_lists(
    folder: Path,
    rows: Sequence[Row],
    records: Sequence[VideoRecord],
    packed: Mapping[str, Packed],
    failures: Mapping[str, str],
) -> None:
    """``list.csv``, in the order and with the columns of the source, and ``failures.csv``.

    The ids stay those of the source: what stands for an absent one is the path, and a place in a shard tells nobody
    which video it was.
    """
    used = [name for name in Row._fields[2:-1] if any(getattr(row, name) for row in rows)]
    columns = ["path", *used, "id"]
    kept = [
        row._replace(path=packed[absolute_path(record.path)].place, id=record.id)
        for row, record in zip(rows, records, strict=True)
        if absolute_path(record.path) in packed
    ]
    write_csv(folder / "list.csv", columns, ([getattr(row, name) for name in columns] for row in kept))
    paths = dict.fromkeys(absolute_path(record.path) for record in records)
    write_csv(folder / "failures.csv", ["path", "reason"], ((p, failures[p]) for p in paths if p in failures))


def _summarize(outcome: Outcome, files: Sequence[File], shards: Sequence[Shard], folder: Path, labelled: bool) -> None:
    """What a person reads at the end, with what to type next."""
    size = sum(os.path.getsize(folder / shard.name) for shard in shards) / 1e6
    say(
        f"{counted(outcome.done, 'file')} packed, {outcome.skipped} skipped (packed before), {outcome.failed} failed; "
        f"{counted(len(shards), 'shard')}, {size:.1f} MB"
    )
    mixed = sum(len({row["split"] for row in file.rows}) > 1 for file in files)
    if mixed:
        say(f"files with rows in several splits: {mixed}, each in the shards of its first row's split")
    if outcome.failed:
        say(f"failed, and left out of the list: {folder / 'failures.csv'}; when mended, run again with --overwrite")
    say(f"list: {folder / 'list.csv'}")
    if outcome.done + outcome.skipped and labelled:
        listed = shlex.quote(str(folder / "list.csv"))
        validation = f" DATA.VAL_LIST {listed}" if any(shard.name.startswith("val-") for shard in shards) else ""
        # Not a config of ours: the one that came with the list may turn mirroring off, or name a label map.
        say("train with your config, or a first one such as small_scratch.yaml:")
        say(f"  python tools/train_net.py --cfg CONFIG DATA.TRAIN_LIST {listed}{validation}")
