"""Exponential moving average of weights and batch-norm statistics."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class Ema:
    """Average of a model's state with Model Garden's warm decay ``min(decay, (1 + t) / (10 + t))`` after ``t`` steps.

    The average starts from zeros as published, so the first decay is 2/11; the warm decay forgets the zeros within tens
    of steps. A run that starts from trained weights starts its average there (:meth:`start_at`).

    Batch-norm statistics are averaged like weights: where the momentum keeps the last batch only, evaluation needs
    their average. Integer buffers are copied.

    Args:
        model: whose state is averaged.
        decay: the largest decay, in [0, 1].
    """

    def __init__(self, model: nn.Module, decay: float):
        self.decay = decay
        self.average: dict[str, Tensor] = {}
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                self.average[name] = torch.zeros_like(value)
            else:
                self.average[name] = value.clone()

    def start_at(self, model: nn.Module) -> None:
        """Make the state of a model the average: what is never trained then stays the same in it, to the bit."""
        self.load_state_dict(model.state_dict())

    @torch.no_grad()
    def update(self, model: nn.Module, steps: int) -> None:
        """Take in the model after its ``steps``-th step, counted from 1."""
        decay = min(self.decay, (1 + steps) / (10 + steps))

        # All floating-point tensors in one call: hundreds of small ones would each start a kernel.
        averages = []
        values = []
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                averages.append(self.average[name])
                values.append(value)
            else:
                self.average[name].copy_(value)
        torch._foreach_lerp_(averages, values, 1 - decay)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the averaged state, under the names of the model's own."""
        return self.average

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue from a saved average."""
        for name, value in self.average.items():
            value.copy_(state[name])
