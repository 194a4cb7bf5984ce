"""Rows of the frontier: a network or a run with its accuracy and what a whole video costs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from video_rs.reports.frontier_plot import OURS, PEER, PUBLISHED
from video_rs.studies.frontier import published
from video_rs.studies.frontier.dominance import Point, frontier
from video_rs.studies.frontier.measured import Cost, View
from video_rs.studies.frontier.own_runs import OwnRun
from video_rs.studies.frontier.published import Published

BOTH = "both"
MEASURED = "measured"


@dataclass(frozen=True)
class Row:
    """A network or a run.

    Attributes:
        name: by which it is asked for, or the run's.
        title: what people call it.
        side: of :mod:`video_rs.reports.frontier_plot`.
        mark: whether its numbers are "published", "measured", or "both": accuracy published and cost measured.
        frames, size, views, crops: of the evaluation.
        top1: in per cent.
        gflops: of one view; multiply-adds mostly, see :class:`Published`.
        params_m: parameters in millions, where they are known.
        cost: of one view as measured here, or None.
        other_data: what it was trained on beside; "" for nothing.
        more: further columns of the table.
    """

    name: str
    title: str
    side: str
    mark: str
    frames: int
    size: int
    views: int
    crops: int
    top1: float
    gflops: float
    params_m: float | None
    cost: Cost | None
    other_data: str = ""
    more: Mapping[str, str] = field(default_factory=dict)

    @property
    def total_views(self) -> int:
        """How often the network runs for a video."""
        return self.views * self.crops

    @property
    def video_seconds(self) -> float | None:
        """Seconds of a whole video, view after view; None where nothing is measured."""
        if self.cost is None:
            return None
        return self.total_views * self.cost.seconds

    @property
    def video_gflops(self) -> float:
        """GFLOPs of a whole video."""
        return self.total_views * self.gflops


def view_of(network: Published) -> View:
    """Return what is measured of a published network."""
    return View(network.name, network.library == published.OURS, network.network, network.frames, network.size)


def published_row(network: Published, cost: Cost | None) -> Row:
    """Return the row of a published network, measured or not."""
    # Ours stay ours where they are not measured: they could be.
    side = PUBLISHED
    if cost is not None:
        side = OURS if network.library == published.OURS else PEER
    elif network.library == published.OURS:
        side = OURS

    how = "counted" if network.is_counted else "source"
    return Row(
        name=network.name,
        title=network.title,
        side=side,
        mark="published" if cost is None else BOTH,
        frames=network.frames,
        size=network.size,
        views=network.views,
        crops=network.crops,
        top1=network.top1,
        gflops=network.gflops,
        params_m=network.params_m,
        cost=cost,
        other_data=network.other_data,
        more={"library": network.library, "gflops_by": how, "source": network.source},
    )


def run_row(run: OwnRun, cost: Cost | None) -> Row:
    """Return the row of a run of one's own."""
    metrics = run.metrics
    return Row(
        name=run.name,
        title=run.name,
        side=OURS,
        mark=MEASURED,
        frames=run.view.frames,
        size=run.view.size,
        views=metrics["clips"],
        crops=metrics["crops"],
        top1=run.top1,
        gflops=run.gmac,
        params_m=run.parameters / 1e6,
        cost=cost,
        more={name: str(metrics.get(name, "")) for name in ("videos", "failed", "list")},
    )


def points_by_time(rows: Sequence[Row]) -> list[Point]:
    """Return the measured rows as points of seconds of a whole video."""
    return [Point(row.name, row.video_seconds, row.top1) for row in rows if row.video_seconds is not None]


def points_by_work(rows: Sequence[Row]) -> list[Point]:
    """Return rows as points of GFLOPs of a whole video."""
    return [Point(row.name, row.video_gflops, row.top1) for row in rows]


def frontier_names(points: Sequence[Point]) -> list[str]:
    """Return the names on the frontier, the cheapest first."""
    return [point.name for point in frontier(points)]
