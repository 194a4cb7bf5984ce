"""What runs the runs of a study: this machine, a SLURM cluster or a Ray cluster.

An engine is called with a study and the names of runs, and returns which of them failed, and why. Whatever it is, a run
is a process of its own that does ``video-rs study FOLDER --only NAME``.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from video_rs.studies.progress import StudyProgress
from video_rs.studies.study import Study


class Engine(Protocol):
    """Runs runs."""

    def __call__(self, study: Study, names: Sequence[str], progress: StudyProgress) -> Mapping[str, str]:
        """Do the runs of these names, in this order, and return ``{name: reason}`` of those that failed."""
