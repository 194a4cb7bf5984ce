"""The additive study (Bello et al. 2021, arXiv 2103.07579): the recipe is built up step by step, each step measured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from video_rs.config import Config, find_config, load_config
from video_rs.runtime.errors import InputError
from video_rs.runtime.wording import nearest, pluralize
from video_rs.studies.intervals import Interval, bootstrap_interval, detectable_difference, mean_interval
from video_rs.studies.results import RunResult, read_result
from video_rs.studies.study import Study, keys_of, with_seeds
from video_rs.studies.study_lists import StudyLists

LADDERS = {"kinetics": "kinetics/additive", "small": "small/additive"}
"""Folders under configs/ with a configuration for each row, each its predecessor and one change."""


class Step(NamedTuple):
    """A row of the published study.

    Attributes:
        title: what it adds.
        published: top-1 of R3D-50 on Kinetics-400 with all steps up to it, in per cent.
        source: where that number is from.
    """

    title: str
    published: float
    source: str

    @property
    def is_remembered(self) -> bool:
        """Whether nobody here has read the number off anything."""
        return self.source == _MEMORY


_MEMORY = "from memory, not read off the paper"
_REVIEW = "as a published review of the paper has it"
STEPS = {
    "00_r3d50": Step("3D ResNet-50", 73.4, _REVIEW),
    "01_dropout": Step("+ dropout before the classifier", 74.4, _MEMORY),
    "02_label_smoothing": Step("+ label smoothing", 74.9, _MEMORY),
    "03_stochastic_depth": Step("+ stochastic depth", 76.1, _MEMORY),
    "04_ema": Step("+ average of the weights", 76.1, _MEMORY),
    "05_weight_decay": Step("+ less weight decay", 76.3, _MEMORY),
    "06_more_epochs": Step("+ more epochs", 76.4, _MEMORY),
    "07_scale_jittering": Step("+ scale jittering", 77.4, _REVIEW),
    "08_squeeze_excitation": Step("+ squeeze-and-excitation", 77.9, _MEMORY),
    "09_resnet_d": Step("+ ResNet-D stem", 78.2, "Model Garden"),
}
"""The rows, in their order."""


@dataclass(frozen=True)
class Ladder:
    """Rows of a ladder.

    Attributes:
        name: one of :data:`LADDERS`, or a folder with a configuration for each row.
        rows: names of rows; empty for all.
        overrides: configuration keys over those of every row, as :func:`video_rs.config.load_config` takes them.
    """

    name: str
    rows: Sequence[str] = ()
    overrides: Sequence[str] | Mapping[str, Any] = ()


class Seeds(NamedTuple):
    """Seeds of each row, and of the first and the last, whose difference is that of the whole recipe."""

    all_rows: int
    ends: int


def additive_study(folder: str | Path, ladder: Ladder, seeds: Seeds, threads: int) -> Study:
    """Return the study of a ladder.

    Args:
        folder: of the study.
        ladder: whose rows.
        seeds: of the rows.
        threads: of each run.

    Raises:
        InputError: an unknown ladder, row or key.
    """
    configs = row_configs(ladder)
    asked = {known_row(name, configs) for name in ladder.rows or configs}
    # In the order of the ladder, however they were typed.
    chosen = {name: keys_of(config) for name, config in configs.items() if name in asked}

    names = list(chosen)
    counts = dict.fromkeys(names, seeds.all_rows)
    counts.update({names[0]: seeds.ends, names[-1]: seeds.ends})
    # Those of the whole ladder: the report says where some are left out.
    settings = {"ladder": ladder.name, "rows": list(configs)}
    return Study(Path(folder), "additive", settings, threads, with_seeds(chosen, counts))


def row_configs(ladder: Ladder) -> dict[str, Config]:
    """Return the configuration of each row of a whole ladder, in the order of the file names.

    Raises:
        InputError: there is no such ladder, or a configuration is refused.
    """
    folder = Path(ladder.name)
    if ladder.name in LADDERS:
        folder = find_config(f"{LADDERS[ladder.name]}/00_r3d50.yaml").parent
    paths = sorted(folder.glob("*.yaml"))
    if not paths:
        raise InputError(
            f"no ladder {ladder.name!r}; allowed: {', '.join(LADDERS)}, or a folder of one .yaml file a row"
        )
    return {path.stem: load_config(path, ladder.overrides) for path in paths}


def known_row(name: str, rows: Mapping[str, Any]) -> str:
    """Return a row's name.

    Raises:
        InputError: there is no such row; the nearest is named.
    """
    if name not in rows:
        near = nearest(name, rows)
        hint = f"did you mean {near!r}?" if near else f"it has {', '.join(rows)}"
        raise InputError(f"the ladder has no row {name!r}; {hint}")
    return name


@dataclass(frozen=True)
class TableRow:
    """A row of the study as measured.

    Attributes:
        name: of the row.
        title: what it adds to the row before, which are several steps where the study leaves out rows between them.
        published: of a row of the paper, its step; None for a row of one's own ladder.
        top1: of each seed, in [0, 1], by seed.
        log_loss: mean cross-entropy of each seed, in nats.
        step: top-1 minus that of the row before with the same seed, mean and interval; None without two seeds of both.
        loss_step: the same of the cross-entropy of each video, over seeds and groups of videos.
        step_by_seed: the differences of top-1 that ``step`` is the mean of.
    """

    name: str
    title: str
    published: Step | None
    top1: Mapping[int, float]
    log_loss: Mapping[int, float]
    step: Interval | None = None
    loss_step: Interval | None = None
    step_by_seed: tuple[float, ...] = ()

    @property
    def mean(self) -> float:
        """Mean top-1 over the seeds."""
        return float(np.mean(list(self.top1.values())))

    @property
    def spread(self) -> float:
        """Standard deviation of top-1 over the seeds, 0 of one."""
        return float(np.std(list(self.top1.values()), ddof=1)) if len(self.top1) > 1 else 0.0


@dataclass(frozen=True)
class AdditiveTable:
    """What an additive study has found up to now.

    Attributes:
        rows: those of which a run is finished, in order.
        whole: the last row minus the first, top-1.
        whole_loss: the same of the cross-entropy.
        detectable: the smallest true difference of top-1 from one row to the next that the study finds four times in
            five; None without two seeds.
        videos: of the test.
        groups: of these videos.
    """

    rows: tuple[TableRow, ...]
    whole: Interval | None
    whole_loss: Interval | None
    detectable: float | None
    videos: int
    groups: int


def read_table(study: Study) -> AdditiveTable:
    """Read the finished runs of a study, and compare each row with the one before."""
    lists = StudyLists(study)
    results: dict[str, dict[int, RunResult]] = {row: {} for row in study.rows()}
    groups: list[str] = []
    for run in study.runs:
        if study.is_finished(run):
            results[run.row][run.seed] = read_result(study, run, lists.of(run))
            groups = [record.group or record.path for record in lists.of(run).val.records]

    rows = []
    before: Mapping[int, RunResult] = {}
    left_out = 0
    ends = []
    for name in study.settings["rows"]:
        if name not in results:
            left_out += 1
            continue
        by_seed = results[name]
        if by_seed:
            title = _title(name, left_out if ends else 0)
            rows.append(_table_row(name, title, by_seed, before, groups))
        # Where nothing of a row is finished, the next one has nothing to be compared with.
        before = by_seed
        left_out = 0
        ends.append(by_seed)

    whole, _, whole_loss = _compared(ends[0], ends[-1], groups)
    detectable = detectable_difference([row.step_by_seed for row in rows])
    return AdditiveTable(tuple(rows), whole, whole_loss, detectable, len(groups), len(set(groups)))


def _title(name: str, left_out: int) -> str:
    """Return what a row adds to the row before in the study, between which so many rows of the ladder are left out."""
    title = STEPS[name].title if name in STEPS else name
    if left_out:
        return f"{title}, and {pluralize(left_out, 'step')} before it"
    return title


def _table_row(
    name: str,
    title: str,
    by_seed: Mapping[int, RunResult],
    before: Mapping[int, RunResult],
    groups: Sequence[str],
) -> TableRow:
    """Return a row with what it adds to the row before."""
    step, step_by_seed, loss_step = _compared(before, by_seed, groups)
    return TableRow(
        name,
        title,
        STEPS.get(name),
        top1={seed: result.top1 for seed, result in sorted(by_seed.items())},
        log_loss={seed: result.log_loss for seed, result in sorted(by_seed.items())},
        step=step,
        loss_step=loss_step,
        step_by_seed=step_by_seed,
    )


def _compared(
    before: Mapping[int, RunResult], now: Mapping[int, RunResult], groups: Sequence[str]
) -> tuple[Interval | None, tuple[float, ...], Interval | None]:
    """Return the difference of top-1 with its interval, by seed, and that of the cross-entropy with its interval."""
    seeds = sorted(before.keys() & now.keys())
    if not seeds:
        return None, (), None
    by_seed = tuple(now[seed].top1 - before[seed].top1 for seed in seeds)
    losses = np.stack([now[seed].log_losses - before[seed].log_losses for seed in seeds])
    return mean_interval(by_seed), by_seed, bootstrap_interval(losses, groups)
