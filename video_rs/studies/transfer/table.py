"""What a transfer study has found: each source on each target by each protocol, and its distance to random."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from video_rs.evaluation.intervals import Interval
from video_rs.studies.intervals import bootstrap_interval, detectable_difference, mean_interval
from video_rs.studies.results import RunResult, read_result
from video_rs.studies.study import Study
from video_rs.studies.study_lists import StudyLists
from video_rs.studies.transfer.protocols import PROTOCOLS, Place, place_of
from video_rs.studies.transfer.sources import RANDOM


@dataclass(frozen=True)
class TransferRow:
    """A source on a target by a protocol.

    Attributes:
        place: which.
        runs: that the row has, finished or not.
        top1: of each finished run, in [0, 1], by seed.
        by_seed: top-1 minus that of random weights, one for each seed that both have.
        difference: the mean of ``by_seed`` with Student's interval; None of fewer than two seeds.
        over_videos: the same mean with its interval over seeds and groups of videos; None without two of each.
        reason: why nothing, or not all, is measured; "" where all is.
    """

    place: Place
    runs: int
    top1: Mapping[int, float]
    by_seed: tuple[float, ...] = ()
    difference: Interval | None = None
    over_videos: Interval | None = None
    reason: str = ""

    @property
    def mean(self) -> float:
        """Mean top-1 over the finished runs, of which there is one at least."""
        return float(np.mean(list(self.top1.values())))

    @property
    def spread(self) -> float | None:
        """Standard deviation of top-1 over the finished runs; None of fewer than two."""
        if len(self.top1) < 2:
            return None
        return float(np.std(list(self.top1.values()), ddof=1))

    @property
    def interval(self) -> Interval | None:
        """Mean top-1 with Student's interval over the finished runs, within [0, 1]; None of fewer than two."""
        found = mean_interval(list(self.top1.values()))
        if found is None:
            return None
        # Of few runs Student's reaches beyond what an accuracy can be.
        return Interval(found.mean, max(found.low, 0.0), min(found.high, 1.0))

    @property
    def is_one_answer(self) -> bool:
        """Whether the row has a single run because every seed would give the same: features of one checkpoint."""
        return self.runs == 1 and not PROTOCOLS[self.place.protocol].trains and self.place.source != RANDOM


@dataclass(frozen=True)
class TargetFacts:
    """What a target tests.

    Attributes:
        videos, groups: of its validation rows.
        chance: top-1 of guessing among its classes.
    """

    videos: int
    groups: int
    chance: float


@dataclass(frozen=True)
class TransferTable:
    """What a transfer study has found.

    Attributes:
        rows: all that were asked for, by target and protocol.
        targets: by name, in their order.
        detectable: the smallest true difference to random weights that the study finds four times in five, by target;
            None without two seeds.
    """

    rows: tuple[TransferRow, ...]
    targets: Mapping[str, TargetFacts]
    detectable: Mapping[str, float | None]

    def rows_of(self, target: str) -> list[TransferRow]:
        """Return the rows of a target."""
        return [row for row in self.rows if row.place.target == target]

    @property
    def has_random(self) -> bool:
        """Whether random weights are among the sources."""
        return any(row.place.source == RANDOM for row in self.rows)


@dataclass(frozen=True)
class _Found:
    """Results of a study: by row and seed; groups of the videos, and the facts, by target."""

    results: Mapping[str, Mapping[int, RunResult]]
    groups: Mapping[str, Sequence[str]]
    facts: Mapping[str, TargetFacts]


def read_transfer(study: Study, failed: Mapping[str, str]) -> TransferTable:
    """Read the finished runs of a study, and compare each source with random weights.

    Args:
        study: of transfer.
        failed: run -> why it failed just now.

    Raises:
        InputError: a list cannot be read, or the results of a finished run lack or are of another list.
    """
    found = _read_results(study)
    reasons = _reasons(study, failed)
    rows = []
    for place in _places(study):
        rows.append(_row(study, place, found, reasons.get(place.row, "")))

    detectable = {}
    for target in found.facts:
        compared = [row.by_seed for row in rows if row.place.target == target and row.place.source != RANDOM]
        detectable[target] = detectable_difference(compared)
    return TransferTable(tuple(rows), found.facts, detectable)


def _read_results(study: Study) -> _Found:
    """Read the finished runs, and the lists of all."""
    lists = StudyLists(study)
    results: dict[str, dict[int, RunResult]] = {}
    groups: dict[str, list[str]] = {}
    facts: dict[str, TargetFacts] = {}
    for run in study.runs:
        read = lists.of(run)
        target = place_of(run.row).target
        if target not in facts:
            groups[target] = [record.group_or_file for record in read.val.records]
            facts[target] = TargetFacts(len(read.val), len(set(groups[target])), 1 / len(read.label_names))
        if study.is_finished(run):
            results.setdefault(run.row, {})[run.seed] = read_result(study, run, read)
    return _Found(results, groups, facts)


def _places(study: Study) -> list[Place]:
    """Return all places by target and protocol, sources in their order; those that cannot be measured come last."""
    measured = [place_of(row) for row in study.rows()]
    places = list(measured)
    for source in study.settings["not_measured"]:
        for target in study.settings["targets"]:
            for protocol in study.settings["protocols"]:
                place = Place(source, target, protocol)
                if place not in places:
                    places.append(place)

    targets = list(dict.fromkeys(place.target for place in places))
    protocols = list(PROTOCOLS)
    return sorted(places, key=lambda place: (targets.index(place.target), protocols.index(place.protocol)))


def _reasons(study: Study, failed: Mapping[str, str]) -> dict[str, str]:
    """Return why rows are not, or not wholly, measured."""
    reasons = {}
    for run in study.unfinished():
        reasons.setdefault(run.row, "not all of its runs are finished")
    for name, reason in failed.items():
        reasons[study.run(name).row] = f"{name} failed: {reason}"
    return reasons


def _row(study: Study, place: Place, found: _Found, reason: str) -> TransferRow:
    """Return a row with its distance to random weights."""
    own = found.results.get(place.row, {})
    runs = sum(run.row == place.row for run in study.runs)
    top1 = {seed: result.top1 for seed, result in sorted(own.items())}
    if not runs:
        return TransferRow(place, 0, {}, reason=study.settings["not_measured"].get(place.source, ""))

    row = TransferRow(place, runs, top1, reason=reason)
    if place.source == RANDOM or not own:
        return row

    random = found.results.get(place._replace(source=RANDOM).row, {})
    pairs = []
    for seed, other in sorted(random.items()):
        # Features of one checkpoint are what they are with every seed of the random weights.
        result = own[0] if row.is_one_answer else own.get(seed)
        if result is not None:
            pairs.append((result, other))
    if not pairs:
        return row

    by_seed = tuple(result.top1 - other.top1 for result, other in pairs)
    right = np.stack([result.right - other.right for result, other in pairs])
    return TransferRow(
        place,
        runs,
        top1,
        by_seed,
        mean_interval(by_seed),
        bootstrap_interval(right, found.groups[place.target]),
        reason,
    )
