"""Exponential moving average of weights and batch-norm statistics."""

import torch
from torch import Tensor, nn


class Ema:
    """Average of a model's state with Model Garden's warm decay ``min(decay, (1 + t) / (10 + t))``.

    ``t`` counts the steps taken, so the first decay is 2/11. The average starts from zeros as published; the warm
    decay forgets that within tens of steps. What starts from trained weights starts its average there:
    :meth:`start_at`. Batch-norm statistics are averaged like weights: with a momentum that
    keeps the last batch only, the average is what evaluation needs. Integer buffers are copied.
    """

    def __init__(self, model: nn.Module, decay: float):
        self.decay = decay
        self.average = {
            name: torch.zeros_like(value) if value.is_floating_point() else value.clone()
            for name, value in model.state_dict().items()
        }

    def start_at(self, model: nn.Module) -> None:
        """Makes the model's state the average, so that what never changes stays so in the average, to the bit."""
        self.load_state_dict(model.state_dict())

    @torch.no_grad()
    def update(self, model: nn.Module, steps: int) -> None:
        """Takes in the model after its ``steps``-th step (from 1)."""
        weight = 1 - min(self.decay, (1 + steps) / (10 + steps))
        floats: list[tuple[Tensor, Tensor]] = []
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                floats.append((self.average[name], value))
            else:
                self.average[name].copy_(value)
        averages, values = zip(*floats, strict=True)
        torch._foreach_lerp_(averages, values, weight)

    def state_dict(self) -> dict[str, Tensor]:
        """The averaged state, under the model's own names."""
        return self.average

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Continues from a saved average."""
        for name, value in self.average.items():
            value.copy_(state[name])
