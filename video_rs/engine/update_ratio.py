"""How far an optimizer step moves the weights."""

from collections.abc import Sequence

import torch
from torch import Tensor


@torch.no_grad()
def relative_change(before: Sequence[Tensor], after: Sequence[Tensor]) -> float:
    """Return the norm of the difference of all tensors together over the norm of ``before``, which is used up."""
    size = torch.stack(torch._foreach_norm(before)).norm()
    torch._foreach_sub_(before, after)
    change = torch.stack(torch._foreach_norm(before)).norm()
    return float(change / size)


class UpdateRatio:
    """Measures how far one optimizer step moves the weights, relative to their size.

    Use it as a context manager around the step. The weights are copied just before the optimizer changes them, when
    the maps of the forward pass are gone from memory.

    Args:
        optimizer: whose step is measured.
        enabled: False measures nothing.

    Attributes:
        value: the norm of the change of all weights over their norm; 0 where no step was taken.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, enabled: bool = True):
        self.optimizer = optimizer
        self.enabled = enabled
        self.value = 0.0
        self._before: list[Tensor] = []

    def __enter__(self) -> "UpdateRatio":
        self._hooks = []
        if self.enabled:
            self._hooks = [
                self.optimizer.register_step_pre_hook(self._copy_weights),
                self.optimizer.register_step_post_hook(self._compare_weights),
            ]
        return self

    def __exit__(self, *exc_info) -> None:
        for hook in self._hooks:
            hook.remove()

    def _weights(self) -> list[Tensor]:
        return [weight for group in self.optimizer.param_groups for weight in group["params"]]

    def _copy_weights(self, *_) -> None:
        self._before = [weight.detach().clone() for weight in self._weights()]

    def _compare_weights(self, *_) -> None:
        self.value = relative_change(self._before, self._weights())
        self._before = []
