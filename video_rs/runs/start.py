"""Where a training run starts: from fresh or trained weights, or from where it was stopped."""

from dataclasses import dataclass, field

from video_rs.builders import Training
from video_rs.runs.run_folder import RunFolder
from video_rs.runs.state import RunState


@dataclass(frozen=True)
class Start:
    """A run before its next step.

    Attributes:
        training: what is trained, with the weights that the run starts from.
        folder: of the run.
        state: results so far.
        is_resumed: whether the run goes on.
        changes: settings that differ from those that a resumed run was trained with.
    """

    training: Training
    folder: RunFolder
    state: RunState = field(default_factory=RunState)
    is_resumed: bool = False
    changes: tuple[str, ...] = ()

    @property
    def has_trained_weights(self) -> bool:
        """Whether the run starts from trained weights, or goes on."""
        return self.is_resumed or bool(self.training.started_from)
