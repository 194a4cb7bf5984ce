"""What a training run has found out so far, beside the weights; checkpoints keep it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from video_rs.engine.metrics import VideoResult


@dataclass
class RunState:
    """Results of a run.

    Attributes:
        best: the best score of a validation so far, in [0, 1]; None before the first.
        validated_step: the step of the last validation; 0 before the first.
        metrics: of the last validation, as in metrics.json.
        failures: path and reason of each training video that could not be read.
        results: of the last validation of this process; no checkpoint keeps them.
    """

    best: float | None = None
    validated_step: int = 0
    metrics: dict[str, Any] | None = None
    failures: dict[str, str] = field(default_factory=dict)
    results: list[VideoResult] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {
            "best": self.best,
            "validated_step": self.validated_step,
            "metrics": self.metrics,
            "failures": self.failures,
        }

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> "RunState":
        """Return the state that a checkpoint keeps."""
        return cls(saved["best"], saved["validated_step"], saved["metrics"], dict(saved["failures"]))
