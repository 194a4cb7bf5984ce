"""What the runs of a scaling study have left: compute, parameters, latency and error of each point of the grid."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from video_rs.builders import build_architecture
from video_rs.runtime.progress import print_line
from video_rs.studies.latency import Latencies, Latency, measured_latencies
from video_rs.studies.results import read_result
from video_rs.studies.scaling import Point, point_of
from video_rs.studies.study import Study
from video_rs.studies.study_lists import StudyLists
from video_rs.studies.work import work_of


@dataclass(frozen=True)
class MeasuredPoint:
    """A point of the grid as measured.

    Attributes:
        point: of the grid.
        blocks: of the network, over all stages.
        gmac: multiply-adds of a training clip's forward pass, in 10^9.
        parameters: trainable numbers of the network.
        latency: None where it was not measured.
        top1: of each seed, in [0, 1].
        cross_entropy: mean of the test videos of each seed, in nats.
    """

    point: Point
    blocks: int
    gmac: float
    parameters: int
    latency: Latency | None
    top1: Mapping[int, float]
    cross_entropy: Mapping[int, float]

    @property
    def seeds(self) -> int:
        """How many runs are finished."""
        return len(self.top1)

    def values(self, measure: str) -> list[float]:
        """Return the error, 1 - top-1, or the cross-entropy of each seed."""
        if measure == "error":
            return [1 - top1 for top1 in self.top1.values()]
        return list(self.cross_entropy.values())

    def mean(self, measure: str) -> float:
        """Return the mean over the seeds."""
        return float(np.mean(self.values(measure)))

    def spread(self, measure: str) -> float | None:
        """Return the standard deviation over the seeds; None of one seed."""
        values = self.values(measure)
        return float(np.std(values, ddof=1)) if len(values) > 1 else None


@dataclass(frozen=True)
class ScalingResults:
    """What a scaling study has found up to now.

    Attributes:
        measure: "error" or "cross_entropy".
        points: those of which a run is finished, by epochs, then by compute.
        latencies: of the networks.
        train_videos, test_videos: of the lists.
    """

    measure: str
    points: tuple[MeasuredPoint, ...]
    latencies: Latencies
    train_videos: int
    test_videos: int

    @property
    def runs(self) -> int:
        """How many runs are finished."""
        return sum(point.seeds for point in self.points)

    def epochs(self) -> list[int]:
        """Return the lengths of training, the shortest first."""
        return sorted({point.point.epochs for point in self.points})

    def trained(self, epochs: int) -> list[MeasuredPoint]:
        """Return the points that were trained so long, by compute."""
        return [point for point in self.points if point.point.epochs == epochs]


def read_results(study: Study) -> ScalingResults:
    """Read the finished runs of a study, and measure the latency of its networks where it is not known."""
    lists = StudyLists(study)
    first = {row: next(run for run in study.runs if run.row == row) for row in study.rows()}
    configs = {row: study.config(run) for row, run in first.items()}
    latencies = measured_latencies(study.folder, configs, print_line)

    top1: dict[str, dict[int, float]] = {}
    losses: dict[str, dict[int, float]] = {}
    for run in study.runs:
        if study.is_finished(run):
            result = read_result(study, run, lists.of(run))
            top1.setdefault(run.row, {})[run.seed] = result.top1
            losses.setdefault(run.row, {})[run.seed] = result.log_loss

    points = []
    for row in top1:
        work = work_of(study, first[row], lists)
        blocks = sum(build_architecture(configs[row]).depths)
        measured = (latencies.rows.get(row), top1[row], losses[row])
        points.append(MeasuredPoint(point_of(configs[row]), blocks, work.gmac, work.parameters, *measured))
    points.sort(key=lambda point: (point.point.epochs, point.gmac, point.point.name))
    read = lists.of(study.runs[0])
    return ScalingResults(study.settings["measure"], tuple(points), latencies, len(read.train), len(read.val))


def pooled_spread(points: Sequence[MeasuredPoint], measure: str) -> tuple[float, int] | None:
    """Return the standard deviation between seeds, pooled over points, and its degrees of freedom.

    Returns:
        None where no point has two seeds.
    """
    squares = 0.0
    freedom = 0
    for point in points:
        values = np.asarray(point.values(measure))
        squares += float(((values - values.mean()) ** 2).sum())
        freedom += len(values) - 1
    return (float(np.sqrt(squares / freedom)), freedom) if freedom else None
