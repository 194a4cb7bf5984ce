"""What protects a run from bad steps and bad data: statistics are put back, failures are counted, errors are typed.

The errors carry numbers. What to do about them is said where the options of a run are known.
"""

import math

from torch import nn

from video_rs.runtime.errors import InputError
from video_rs.runtime.wording import pluralize

# The share of failed samples is judged once so many have been seen, or one epoch, if that is shorter.
FAILURES_JUDGED_AFTER = 200
# So many steps in a row without a finite loss are no accident.
MOST_SKIPPED_STEPS = 10


class TooManyFailed(InputError):
    """Too large a share of the training samples could not be read."""

    def __init__(self, failed: int, seen: int, allowed: float):
        share = failed / max(1, seen)
        super().__init__(
            f"{failed} of {pluralize(seen, 'training sample')} could not be read ({share:.1%}), allowed: {allowed:.1%}"
        )


class NonFiniteStep(InputError):
    """Loss or gradient of a step are not finite.

    Attributes:
        skipped: how many steps in a row were left out, this one included.
    """

    def __init__(self, step: int, loss: float, grad_norm: float, skipped: int):
        super().__init__(f"the loss of step {step} is {loss:.4g}, its gradient's norm {grad_norm:.4g}")
        self.skipped = skipped


class FailureLimit:
    """Counts the samples that could not be read, and refuses a run in which their share is too large.

    Args:
        max_share: allowed share of failed samples, in [0, 1].
        num_samples: samples of an epoch.

    Attributes:
        accepted: whether the share was found small enough once; what was trained until then is worth saving.
    """

    def __init__(self, max_share: float, num_samples: int):
        self.max_share = max_share
        self.judged_after = min(FAILURES_JUDGED_AFTER, num_samples)
        self.seen = 0
        self.failed = 0
        self.accepted = False

    def add(self, seen: int, failed: int) -> None:
        """Count the samples of a step, of all processes.

        Raises:
            TooManyFailed: the share of failed samples since the start of this process is too large.
        """
        self.seen += seen
        self.failed += failed

        # A single failed video among the first would be too large a share.
        if self.seen < self.judged_after:
            return

        if self.failed > self.max_share * self.seen:
            raise TooManyFailed(self.failed, self.seen, self.max_share)
        self.accepted = True


class NonFiniteLimit:
    """Refuses a run whose steps are not finite: at the first such step, or after many in a row.

    Args:
        skip: go on without such a step, as long as there are fewer than ``MOST_SKIPPED_STEPS`` in a row.
    """

    def __init__(self, skip: bool = False):
        self.allowed = MOST_SKIPPED_STEPS - 1 if skip else 0
        self.skipped = 0

    def check(self, step: int, loss: float, grad_norm: float, is_finite: bool) -> None:
        """Take in a step.

        Raises:
            NonFiniteStep: loss or gradient are not finite, too often in a row.
        """
        if is_finite:
            self.skipped = 0
            return
        self.skipped += 1
        if self.skipped > self.allowed:
            raise NonFiniteStep(step, loss, grad_norm, self.skipped)


class BufferBackup:
    """The buffers of a model, such as batch-norm statistics, as they are now, to be put back."""

    def __init__(self, model: nn.Module):
        self._model = model
        self._values = [buffer.clone() for buffer in model.buffers()]

    def restore(self) -> None:
        """Put the buffers back as they were."""
        for buffer, value in zip(self._model.buffers(), self._values, strict=True):
            buffer.copy_(value)


def is_finite(loss: float, grad_norm: float, scales_loss: bool) -> bool:
    """Return whether a step may be taken.

    An overflow of the gradient is no fault where the loss is scaled (float16): the scaler leaves out the step itself
    and lowers the scale.
    """
    if not math.isfinite(loss):
        return False
    return scales_loss or math.isfinite(grad_norm)
