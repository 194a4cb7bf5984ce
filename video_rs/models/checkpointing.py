"""Activation checkpointing that leaves batch-norm statistics alone the second time."""

import contextlib
from collections.abc import Callable, Iterator

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


def recomputed(module: nn.Module, part: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return ``part(x)``, of which the backward pass keeps nothing but ``x``, and computes the rest again.

    Random numbers are drawn the same again; batch norm takes in its statistics the first time only.

    Args:
        module: what ``part`` is a step of.
        part: a submodule of ``module``, or a function that calls some of its submodules.
        x: ``part``'s input.
    """
    # A block's own batch norms are few, and a network's are many.
    owner = part if isinstance(part, nn.Module) else module

    def contexts() -> tuple[contextlib.AbstractContextManager, contextlib.AbstractContextManager]:
        return contextlib.nullcontext(), _statistics_kept(owner)

    return checkpoint(part, x, use_reentrant=False, context_fn=contexts)


@contextlib.contextmanager
def _statistics_kept(module: nn.Module) -> Iterator[None]:
    """Let batch norm in training take nothing into its running statistics, and not count the batch."""
    kept = []
    for norm in module.modules():
        # A batch norm without a counter keeps no statistics at all.
        if isinstance(norm, _BatchNorm) and norm.training and norm.num_batches_tracked is not None:
            kept.append((norm, norm.momentum, norm.num_batches_tracked.clone()))

    # A momentum of 0 leaves the running statistics as they are.
    for norm, _, _ in kept:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum, count in kept:
            norm.momentum = momentum
            norm.num_batches_tracked.copy_(count)
