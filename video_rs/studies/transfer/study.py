"""The transfer study (Bello et al. 2021, arXiv 2103.07579): sources on targets by protocols, with several seeds."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from video_rs.config import Config, load_config
from video_rs.runs.feature_memory import number_videos
from video_rs.runs.knn import require_neighbours
from video_rs.runtime.errors import InputError
from video_rs.runtime.wording import nearest
from video_rs.studies.study import SOURCES, Study, StudyRun, keys_of
from video_rs.studies.transfer.protocols import PROTOCOLS, Place
from video_rs.studies.transfer.sources import Source, find_sources
from video_rs.studies.transfer.targets import Target, find_targets
from video_rs.studies.transfer.trained_on import TrainingVideos

SET_KEYS = ("DATA.TRAIN_LIST", "DATA.VAL_LIST", "MODEL.PRETRAINED", "MODEL.FROZEN_STAGES")
"""What the study sets for each run, beside what all studies set."""


@dataclass(frozen=True)
class TransferRequest:
    """What a transfer study is asked for.

    Attributes:
        sources: as :func:`video_rs.studies.transfer.sources.find_sources` takes them.
        targets: as :func:`video_rs.studies.transfer.targets.find_targets` takes them.
        protocols: names of :data:`video_rs.studies.transfer.protocols.PROTOCOLS`; none for all.
        seeds: runs of each row that depends on its seed.
        k: how many neighbours vote.
    """

    sources: Sequence[str]
    targets: Sequence[str]
    protocols: Sequence[str] = ()
    seeds: int = 1
    k: int = 20


def transfer_study(folder: str | Path, base: Config, request: TransferRequest, threads: int) -> tuple[Study, list[str]]:
    """Return a study, and sentences on what is not known of its sources.

    Args:
        folder: of the study.
        base: configuration of all runs.
        request: which rows.
        threads: of each run.

    Raises:
        InputError: a protocol, source or target that cannot be used; weights of another network; a source that has
            been trained on validation videos of a target; or nothing that can be measured.
    """
    protocols = _known_protocols(request.protocols)
    if request.seeds < 1:
        raise InputError(f"--seeds {request.seeds}: give 1 or more")
    targets = find_targets(request.targets, base)
    if "knn" in protocols:
        _require_neighbours(request.k, targets)
    sources = find_sources(request.sources, base, request.seeds)
    doubts = _refuse_leaks(sources, targets)

    not_measured = {source.name: source.missing for source in sources if source.missing}
    measured = [source for source in sources if not source.missing]
    if not measured:
        name, reason = next(iter(not_measured.items()))
        raise InputError(f"nothing can be measured: --source {name}: {reason}")

    settings: dict[str, Any] = {
        "k": request.k,
        "targets": [target.name for target in targets],
        "protocols": protocols,
        "not_measured": not_measured,
        SOURCES: {source.name: source.hashes() for source in measured if not source.is_random},
    }
    rows = [(source, target, protocol) for source in measured for target in targets for protocol in protocols]
    return Study(Path(folder), "transfer", settings, threads, _runs(base, rows, request.seeds)), doubts


def _refuse_leaks(sources: Sequence[Source], targets: Sequence[Target]) -> list[str]:
    """Raise InputError where a source has seen validation videos of a target; return what cannot be known, once."""
    doubts = []
    for source in sources:
        videos = TrainingVideos(source)
        doubts += videos.doubts
        for target in targets:
            videos.require_apart_from(target)
    return list(dict.fromkeys(doubts))


def _runs(base: Config, rows: Sequence[tuple[Source, Target, str]], seeds: int) -> tuple[StudyRun, ...]:
    """Return the runs of rows: the first seed of all rows, then the second of all, so that an early look is fair.

    Args:
        base: configuration of all runs.
        rows: source, target and protocol of each.
        seeds: runs of each row that depends on its seed.
    """
    runs = []
    for seed in range(seeds):
        for source, target, protocol in rows:
            if seed < _runs_of(source, protocol, seeds):
                runs.append(_run(base, source, target, protocol, seed))
    return tuple(runs)


def refuse_set_keys(overrides: Sequence[str]) -> None:
    """Raise InputError where KEY VALUE pairs set what the study sets for each run."""
    for key in overrides[::2]:
        if key in SET_KEYS:
            raise InputError(
                f"{key} is set for each run by the study; give --source, --target and --protocols, and leave it away"
            )


def _known_protocols(names: Sequence[str]) -> list[str]:
    """Return the names of protocols in the order of tables; all where none is given."""
    for name in names:
        if name not in PROTOCOLS:
            near = nearest(name, PROTOCOLS)
            hint = f"; did you mean {near}?" if near else ""
            raise InputError(f"--protocols {name}: allowed are {', '.join(PROTOCOLS)}{hint}")
    return [name for name in PROTOCOLS if name in names or not names]


def _require_neighbours(k: int, targets: Sequence[Target]) -> None:
    """Raise InputError where a target has fewer training videos than are to vote."""
    if k < 1:
        raise InputError(f"--k is {k}; allowed: a whole number, at least 1, such as 20")
    for target in targets:
        lists = target.lists
        require_neighbours(k, lists.train, number_videos(lists.train, lists.val), range(len(lists.train)))


def _runs_of(source: Source, protocol: str, seeds: int) -> int:
    """Return how many runs a row has: features of given weights are the same with every seed."""
    if PROTOCOLS[protocol].trains or source.is_random:
        return seeds
    return len(source.weights)


def _run(base: Config, source: Source, target: Target, protocol: str, seed: int) -> StudyRun:
    """Return a run of a row."""
    way = PROTOCOLS[protocol]
    config = load_config(
        "",
        {
            **base.flat(),
            **target.keys,
            "MODEL.PRETRAINED": source.weights_of(seed),
            "MODEL.FROZEN_STAGES": way.frozen,
        },
    )
    return StudyRun(Place(source.name, target.name, protocol).row, seed, keys_of(config), way.work)
