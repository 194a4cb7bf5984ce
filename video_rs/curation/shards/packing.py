"""Pack the files of a list into shards, in a folder that a later run can go on with."""

import csv
import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from video_rs.curation.copied_list import FAILURES, LIST, SourceList, read_source_list, write_copied_list
from video_rs.curation.job_folder import FileCounts, refuse_foreign, taken
from video_rs.curation.shards.archive import PackedFile, pack_shards, tar_writer
from video_rs.curation.shards.contents import Shard, ShardFile, choose_files, divide, refuse_split_names
from video_rs.curation.shards.options import PackOptions
from video_rs.curation.shards.plan import PLAN, make_plan, settle_plan
from video_rs.runtime.errors import InputError
from video_rs.runtime.progress import print_line, print_notes, videos_with_progress
from video_rs.runtime.wording import pluralize
from video_rs.video.fetching import register_handlers
from video_rs.video.location import Location


def run_packing(options: PackOptions) -> FileCounts:
    """Write shards, ``list.csv`` and ``failures.csv`` into a folder; a run that was killed is gone on with.

    Raises:
        InputError: WebDataset is not installed, a value is out of range, the list cannot be read, or the folder cannot
            be written, holds something else or shards of another plan, or is taken by another run.
    """
    writer = tar_writer()
    options.check()
    register_handlers(options.path_handlers)
    source = read_source_list(options.source, options.root)
    refuse_split_names(options.source, source.rows)
    print_notes(source.notes)

    files, failures = choose_files(source)
    shards = divide(files, options.shard_size, options.seed)
    plan = make_plan(options, source, shards)

    # What is written must not lie among what is read, nor over what somebody else has written.
    folder = Path(os.path.abspath(options.output))
    written = [LIST, FAILURES, *(shard.name for shard in shards)]
    refuse_foreign(folder, written, PLAN, [plan.list, *(Location.parse(file.path).file for file in files)])

    try:
        with taken(folder, "packing into", lambda: settle_plan(folder, plan, options.overwrite)):
            known = _earlier_failures(folder)
            work = pack_shards(shards, folder, writer, known, failures)
            packed = list(videos_with_progress(work, len(files), "packing"))
            places = {file.path: file.place for file in packed if file.place}
            write_copied_list(folder, source, places, failures)
    except OSError as error:
        raise InputError(f"cannot write to {folder} ({error.strerror or error}); mend that and run again") from error

    counts = _count(packed, len(failures))
    _summarize(counts, folder, shards)
    _tell_next_steps(counts, folder, source, files, shards)
    return counts


def _earlier_failures(folder: Path) -> dict[str, str]:
    """Return path -> reason of the files that an earlier run could not read."""
    path = folder / FAILURES
    if not path.exists():
        return {}
    try:
        with open(path, encoding="utf-8", newline="") as file:
            return {row["path"]: row["reason"] for row in csv.DictReader(file)}
    except (csv.Error, KeyError, UnicodeDecodeError) as error:
        print_line(f"note: {path} cannot be read ({error!r}); the files that failed before are tried again")
        return {}


def _count(packed: Sequence[PackedFile], failed: int) -> FileCounts:
    """Return how many files were packed by this run, packed before, and left out."""
    done = 0
    skipped = 0
    for file in packed:
        if file.place and file.is_fresh:
            done += 1
        elif file.place:
            skipped += 1
    return FileCounts(done, skipped, failed)


def _summarize(counts: FileCounts, folder: Path, shards: Sequence[Shard]) -> None:
    """Print how many files and shards there are."""
    size = sum(os.path.getsize(folder / shard.name) for shard in shards) / 1e6
    print_line(
        f"{pluralize(counts.done, 'file')} packed, {counts.skipped} skipped (packed before), {counts.failed} failed; "
        f"{pluralize(len(shards), 'shard')}, {size:.1f} MB"
    )


def _tell_next_steps(
    counts: FileCounts, folder: Path, source: SourceList, files: Sequence[ShardFile], shards: Sequence[Shard]
) -> None:
    """Print what a person should know of the list, and what to type next."""
    in_several_splits = 0
    for file in files:
        if len({row["split"] for row in file.rows}) > 1:
            in_several_splits += 1
    if in_several_splits:
        print_line(
            f"files with rows in several splits: {in_several_splits}, each in the shards of its first row's split"
        )
    if counts.failed:
        print_line(f"failed, and left out of the list: {folder / FAILURES}; when mended, run again with --overwrite")
    print_line(f"list: {folder / LIST}")

    has_labels = any(row.label for row in source.rows)
    has_videos = counts.done + counts.skipped > 0
    if not has_labels or not has_videos:
        return
    listed = shlex.quote(str(folder / LIST))
    validation = ""
    if any(shard.name.startswith("val-") for shard in shards):
        validation = f" DATA.VAL_LIST {listed}"
    # The config that came with the list may turn mirroring off, or name a label map: any config of ours would be wrong.
    print_line("train with your config, or a first one such as small_scratch.yaml:")
    print_line(f"  video-rs train --cfg CONFIG DATA.TRAIN_LIST {listed}{validation}")
