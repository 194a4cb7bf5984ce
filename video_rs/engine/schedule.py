"""The learning rate as a function of the step, and the steps at which something else is due."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """Linear warm-up into a half cosine, as published (Model Garden's ``CosineDecayWithOffset`` and ``LinearWarmup``).

    Attributes:
        base_lr: the learning rate at the top of the cosine.
        total_steps: optimizer steps of the run.
        warmup_steps: optimizer steps of the warm-up, from a rate of 0.
    """

    base_lr: float
    total_steps: int
    warmup_steps: int = 0

    def __call__(self, step: int) -> float:
        """Return the learning rate of optimizer step ``step``, counted from 0.

        The cosine is over all steps and not offset by the warm-up, and the warm-up rises to the cosine's value at its
        own end, as published.
        """
        if step < self.warmup_steps:
            return self._cosine(self.warmup_steps) * step / self.warmup_steps
        return self._cosine(step)

    def _cosine(self, step: int) -> float:
        share = min(step, self.total_steps) / self.total_steps
        return self.base_lr * 0.5 * (1 + math.cos(math.pi * share))


@dataclass(frozen=True)
class Plan:
    """How long a run is, and how often it logs, validates and saves. Steps are optimizer steps.

    Attributes:
        total_steps: steps of the run.
        batch_size: clips of a step, over all processes and micro-batches.
        num_samples: clips of an epoch.
        micro_batches: forward and backward passes of a step in each process.
        log_steps: steps between two log lines.
        validation_epochs: epochs between two validations; the end of the run is always validated.
        checkpoint_steps: steps between two checkpoints; 0 saves at the end of each epoch.
        checkpoint_minutes: minutes after which a checkpoint is saved at the latest; 0 counts steps only.
        further_clips: clips of a step that are of another list than the one whose passes are the epochs.
    """

    total_steps: int
    batch_size: int
    num_samples: int
    micro_batches: int = 1
    log_steps: int = 10
    validation_epochs: int = 1
    checkpoint_steps: int = 0
    checkpoint_minutes: float = 0.0
    further_clips: int = 0

    @property
    def epoch_steps(self) -> float:
        """How many steps a pass over the data takes."""
        return self.num_samples / (self.batch_size - self.further_clips)

    def epoch(self, step: int) -> float:
        """Return the number of passes over the data after ``step`` steps."""
        return step * (self.batch_size - self.further_clips) / self.num_samples

    def ends_epochs(self, step: int, epochs: int = 1) -> bool:
        """Return whether step number ``step``, counted from 1, completes a multiple of ``epochs`` epochs."""
        before = int(self.epoch(step - 1) // epochs)
        after = int(self.epoch(step) // epochs)
        return after > before

    def logs(self, step: int) -> bool:
        """Return whether step number ``step``, counted from 1, is followed by a log line."""
        return step == self.total_steps or step % self.log_steps == 0

    def validates(self, step: int) -> bool:
        """Return whether step number ``step``, counted from 1, is followed by a validation."""
        return step == self.total_steps or self.ends_epochs(step, self.validation_epochs)

    def saves(self, step: int) -> bool:
        """Return whether step number ``step``, counted from 1, is followed by a checkpoint because of its number.

        ``checkpoint_minutes`` are not counted here, but by the loop.
        """
        if self.checkpoint_steps:
            return step % self.checkpoint_steps == 0
        return self.ends_epochs(step)
