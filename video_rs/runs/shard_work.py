"""Work on a list in shards: which of them are this process's and not finished, and one pass over their videos."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from video_rs.inference.shard_folder import ShardFolder
from video_rs.lists.records import VideoRecord
from video_rs.runtime import distributed
from video_rs.runtime.progress import print_line, videos_with_progress
from video_rs.runtime.wording import pluralize


def unfinished_shards(shards: ShardFolder, records: Sequence[VideoRecord]) -> list[int]:
    """Return the shards of this process that are missing, or in which a broken video has been mended since."""
    mine = range(distributed.rank(), len(shards), distributed.world_size())
    missing = []
    for number in mine:
        paths = [records[index].path for index in shards.videos_of(number)]
        if not shards.has(number) or shards.has_mended(number, paths):
            missing.append(number)

    if len(missing) < len(mine):
        print_line(f"going on after {len(mine) - len(missing)} of {pluralize(len(mine), 'shard')}")
    return missing


def records_of_shards(
    shards: ShardFolder, numbers: Sequence[int], records: Sequence[VideoRecord]
) -> tuple[VideoRecord, ...]:
    """Return the records of some shards, one shard after the other."""
    return tuple(records[index] for number in numbers for index in shards.videos_of(number))


def fill_shards(
    shards: ShardFolder,
    numbers: Sequence[int],
    videos: Iterable[Any],
    name: str,
    work: Callable[[range, Iterator[Any]], Any],
) -> None:
    """Write shards, one after the other.

    Args:
        shards: whose ``write`` takes what ``work`` returns.
        numbers: of the shards.
        videos: those of all these shards, in order: the reading processes never wait for the end of a shard.
        name: of the work, for the progress.
        work: from places in the list, and an iterator whose next videos are at these places, to a shard's content.
    """
    count = sum(len(shards.videos_of(number)) for number in numbers)
    items = videos_with_progress(videos, count, name)
    for _ in write_shards(shards, numbers, items, work):
        pass


def write_shards(
    shards: ShardFolder, numbers: Iterable[int], videos: Iterator[Any], work: Callable[[range, Iterator[Any]], Any]
) -> Iterator[int]:
    """Write shards as :func:`fill_shards` does, and yield the number of each when it is finished."""
    for number in numbers:
        shards.write(number, work(shards.videos_of(number), videos))
        yield number
    # Ends the progress bar and the reading processes.
    next(videos, None)
