"""The protocols: ways to use a trained network for another data set."""

from collections.abc import Mapping
from typing import NamedTuple

from video_rs.studies.study import TRAINING, StudyRun


class Protocol(NamedTuple):
    """A way to use a trained network.

    Attributes:
        title: in tables.
        work: what its runs do, see :class:`video_rs.studies.study.StudyRun`.
        frozen: parts of the network that are not trained, for MODEL.FROZEN_STAGES.
    """

    title: str
    work: str
    frozen: int = 0

    @property
    def trains(self) -> bool:
        """Whether the training loop runs, whose order and augmentation depend on the seed."""
        return self.work == TRAINING


PROTOCOLS: Mapping[str, Protocol] = {
    "finetune": Protocol("fine-tuning", TRAINING),
    "last_stages": Protocol("last stages", TRAINING, frozen=3),
    "linear": Protocol("linear, trained", TRAINING, frozen=5),
    "linear_features": Protocol("linear, fitted", "linear_features"),
    "knn": Protocol("k-NN", "knn"),
}
"""In the order of tables."""


class Place(NamedTuple):
    """What a row of a transfer study measures: names of a source, a target and a protocol."""

    source: str
    target: str
    protocol: str

    @property
    def row(self) -> str:
        """The name of the row; the three names have no dots in them."""
        return ".".join(self)


def place_of(row: str) -> Place:
    """Return what a row measures."""
    return Place(*row.split("."))


def features_name(run: StudyRun) -> str:
    """Return the name of the features that a run without training reads: those of a source, a target and a seed."""
    place = place_of(run.row)
    return f"{place.source}.{place.target}-seed{run.seed}"
