"""What makes probabilities mean something: a temperature, and a threshold below which a network is unsure."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from video_rs.runtime.errors import InputError

KEY = "calibration"
"""Of a checkpoint that has one."""


class StoppingRule(NamedTuple):
    """When adaptive views have answered.

    Attributes:
        stop_at: the decidedness (:func:`video_rs.engine.stopping.decidedness`) from which on no more views are taken.
        clips, crops: of each video, the views that it was made for.
    """

    stop_at: float
    clips: int
    crops: int


@dataclass(frozen=True)
class Calibration:
    """How probabilities are made, and when the best one is too low to be an answer.

    Attributes:
        temperature: divides the logits of each view.
        threshold: a video is "unsure" whose best probability, the mean over its views, is below this one; None: no
            video is.
        stopping: for adaptive views; None: no rule has been made.
    """

    temperature: float = 1.0
    threshold: float | None = None
    stopping: StoppingRule | None = None

    @classmethod
    def of_checkpoint(cls, checkpoint: Mapping[str, Any]) -> "Calibration":
        """Return the calibration of a checkpoint, which changes nothing where it has none.

        Raises:
            InputError: what it has is none.
        """
        stored = checkpoint.get(KEY)
        if stored is None:
            return cls()
        try:
            calibration = cls(stored["temperature"], stored["threshold"], stored_rule(stored))
            calibration.require_sound()
            return calibration
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"the checkpoint's calibration cannot be read ({error!r}); make it anew with video-rs calibrate"
            ) from error

    def require_sound(self) -> None:
        """Raise TypeError or ValueError unless there is a temperature, and a threshold in [0, 1] or None, and a rule
        to stop by of at least 0 or None.
        """
        if not 0 < self.temperature < math.inf:
            raise ValueError(f"temperature is {self.temperature}")
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise ValueError(f"threshold is {self.threshold}")
        if self.stopping is not None and not 0 <= self.stopping.stop_at < math.inf:
            raise ValueError(f"stopping is {self.stopping}")


def stored_rule(stored: Mapping[str, Any]) -> StoppingRule | None:
    """Return the rule of a calibration's plain data, which may be older than rules."""
    rule = stored.get("stopping")
    return None if rule is None else StoppingRule(**rule)


NOT_CALIBRATED = Calibration()
