"""Activation checkpointing that leaves batch-norm statistics alone the second time."""

import contextlib
from collections.abc import Callable, Iterator

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


def recomputed(module: nn.Module, part: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """``part(x)``, a step of ``module``; the backward pass keeps nothing of it but ``x`` and computes the rest again.

    Random numbers are drawn the same again; batch norm takes in its statistics the first time only.
    """

    owner = part if isinstance(part, nn.Module) else module  # a block's own batch norms are few, a network's are many

    def contexts():
        return contextlib.nullcontext(), _statistics_kept(owner)

    return checkpoint(part, x, use_reentrant=False, context_fn=contexts)


@contextlib.contextmanager
def _statistics_kept(module: nn.Module) -> Iterator[None]:
    """Batch norm in training takes nothing into its running statistics and does not count the batch."""
    training = [m for m in module.modules() if isinstance(m, _BatchNorm) and m.training]
    norms = [(m, m.momentum) for m in training if m.num_batches_tracked is not None]  # others keep no statistics
    counts = [norm.num_batches_tracked.clone() for norm, _ in norms]
    for norm, _ in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for (norm, momentum), count in zip(norms, counts, strict=True):
            norm.momentum = momentum
            norm.num_batches_tracked.copy_(count)
