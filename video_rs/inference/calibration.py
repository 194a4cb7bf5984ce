"""What makes probabilities mean something: a temperature, and a threshold below which a network is unsure."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from video_rs.runtime.errors import InputError

KEY = "calibration"
"""Of a checkpoint that has one."""


@dataclass(frozen=True)
class Calibration:
    """How probabilities are made, and when the best one is too low to be an answer.

    Attributes:
        temperature: divides the logits of each view.
        threshold: a video is "unsure" whose best probability, the mean over its views, is below this one; None: no
            video is.
        stop_at: the decidedness (:func:`video_rs.engine.stopping.decidedness`) from which on no more views of a video
            are taken, where views are adaptive; None: no rule has been made.
    """

    temperature: float = 1.0
    threshold: float | None = None
    stop_at: float | None = None

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
            calibration = cls(stored["temperature"], stored["threshold"], stored["stop_at"])
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
        if self.stop_at is not None and not self.stop_at >= 0:
            raise ValueError(f"stop_at is {self.stop_at}")


NOT_CALIBRATED = Calibration()
