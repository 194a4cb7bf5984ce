"""What the shards of a folder follow from, kept in the folder: shards of two plans never mix."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from video_rs.curation.copied_list import FAILURES, LIST, SourceList
from video_rs.curation.shards.contents import Shard, shard_name, stable_hash
from video_rs.curation.shards.options import PackOptions
from video_rs.runtime.atomic import write_json
from video_rs.runtime.errors import InputError
from video_rs.video.fetching import absolute_path
from video_rs.video.location import Stamp

PLAN = "shards.json"


@dataclass(frozen=True)
class ShardPlan:
    """The content of ``shards.json``.

    Attributes:
        list: where the rows came from; for people.
        shard_size: in MB.
        seed: of the order.
        rows: hash of the list's rows.
        files: hash of the size and time of change of each file that they name.
        shards: split -> number of shards.
    """

    list: str
    shard_size: float
    seed: int
    rows: str
    files: str
    shards: Mapping[str, int]


def make_plan(options: PackOptions, source: SourceList, shards: Iterable[Shard]) -> ShardPlan:
    """Return the plan of a run."""
    # Neither line numbers nor folders: a list and its files may move between two runs.
    written = [row[1:] for row in source.rows]
    stamps = [Stamp.of_file(path) for path in source.paths]
    count_of_split = Counter(shard.name.rpartition("-")[0] for shard in shards)
    return ShardPlan(
        list=absolute_path(options.source),
        shard_size=options.shard_size,
        seed=options.seed,
        rows=stable_hash(written),
        files=stable_hash(stamps),
        shards=dict(count_of_split),
    )


def settle_plan(folder: Path, plan: ShardPlan, overwrite: bool) -> None:
    """Compare the plan with the folder's, or make it the folder's.

    Raises:
        InputError: the folder has another plan and is not to be overwritten.
    """
    before = _read_plan(folder)
    if before is not None and not overwrite:
        _refuse_other_plan(folder, before, plan)
        return

    if before is not None:
        # The old shards go before the old plan: whenever this stops, shards and plan belong together.
        for name in (LIST, FAILURES, *_shard_names(before.shards)):
            (folder / name).unlink(missing_ok=True)
    write_json(folder / PLAN, asdict(plan))


def _read_plan(folder: Path) -> ShardPlan | None:
    """Return the plan of a folder, None where it has none."""
    path = folder / PLAN
    if not path.exists():
        return None

    try:
        plan = ShardPlan(**json.loads(path.read_text(encoding="utf-8")))
        list(_shard_names(plan.shards))  # fails for what is no mapping to numbers
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{path} does not hold a plan of shards ({error}); choose another folder") from error
    return plan


def _shard_names(count_of_split: Mapping[str, int]) -> Iterator[str]:
    """Give the names of all shards."""
    for split, count in count_of_split.items():
        for number in range(count):
            yield shard_name(split, number)


def _refuse_other_plan(folder: Path, before: ShardPlan, now: ShardPlan) -> None:
    """Raise InputError where a folder was packed with another plan."""
    changed = []
    if before.shard_size != now.shard_size:
        changed.append(f"shard size {before.shard_size}, now {now.shard_size}")
    if before.seed != now.seed:
        changed.append(f"seed {before.seed}, now {now.seed}")
    if before.rows != now.rows:
        changed.append(f"other rows, of {before.list}")
    elif before.files != now.files:
        changed.append("files that have changed, come or gone since")

    if changed:
        raise InputError(
            f"{folder} was packed with {'; '.join(changed)}: give what it was, another folder, or --overwrite to pack "
            "all again"
        )
