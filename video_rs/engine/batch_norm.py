"""Batch norm whose statistics are those of the clips of all processes; unlike PyTorch's, it also runs on CPUs (gloo).

Ioffe & Szegedy 2015 for the whole batch of a forward pass: the same clips on one process or on many give the same maps,
gradients and running statistics, to rounding, however many of them each process has, even none.
"""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from video_rs.runtime import distributed


class SyncBatchNorm3d(nn.BatchNorm3d):
    """In training, normalises by all processes' statistics; else what it is derived from.

    One process computes as many do, and not as PyTorch does on CPUs, which is less exact: for 8 maps of 4 x 40 x 40 of
    mean 3 and variance 1, 6e-6 of the result and 1e-3 of the weight's gradient, against 8e-8 and 1e-5 here.

    Attributes:
        absent: the input stands for no clip and does not count; this process still joins the exchange.
        alone: nothing is exchanged: the statistics are this process's own.
    """

    absent = alone = False

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.alone:
            return super().forward(x)
        count, mean, variance = _statistics_of_all(x, self.absent)
        if count == 0:  # no process has a clip
            return functional.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, training=False, eps=self.eps
            )
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, self.momentum)
        # PyTorch normalises by the variance of the batch and keeps an unbiased estimate.
        self.running_var.lerp_(variance * (count / max(1, count - 1)), self.momentum)
        return _Normalized.apply(x, self.weight, self.bias, mean, variance, self.eps, count, self.absent)


def _statistics_of_all(x: Tensor, absent: bool) -> tuple[int, Tensor, Tensor]:
    """Values a channel over all processes, their mean and their variance: float32 ``[C]``."""
    with torch.no_grad():
        channels = x.shape[1]
        # Each process's deviations from its own mean: sums of squares would cancel where means are large.
        exact = torch.float32 if x.device.type == "mps" else torch.float64  # which MPS does not have
        mine = x.new_zeros(2 * channels + 1, dtype=exact)
        if not absent:
            count = x.numel() // channels
            variance, mean = torch.var_mean(x.float(), (0, 2, 3, 4), correction=0)
            mine[:channels], mine[channels:-1], mine[-1] = mean, variance * count, count
        mean, deviation, total = union(distributed.stack_over_ranks(mine))
        return int(total), mean.float(), (deviation / total.clamp(min=1)).float()


def union(parts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Moments of all values together (Chan et al. 1983): their means, sums of squared deviations, and count.

    ``parts`` is ``[n, 2 C + 1]``: of each part the same three, ``[C]``, ``[C]`` and ``[1]``.
    """
    channels = parts.shape[1] // 2
    means, deviations, counts = parts.split([channels, channels, 1], dim=1)
    total = counts.sum()
    mean = (means * counts).sum(0) / total.clamp(min=1)
    return mean, (deviations + counts * (means - mean).square()).sum(0), total


class _Normalized(torch.autograd.Function):
    """``(x - mean) / sqrt(variance + eps) * weight + bias``, where mean and variance are of every process's ``x``."""

    @staticmethod
    def forward(ctx, x, weight, bias, mean, variance, eps, count, absent):
        ctx.save_for_backward(x, weight, mean, (variance + eps).rsqrt())
        ctx.count, ctx.absent = count, absent
        return functional.batch_norm(x, mean, variance, weight, bias, training=False, eps=eps)

    @staticmethod
    def backward(ctx, gradient):
        x, weight, mean, scale = ctx.saved_tensors
        mean, scale, factor = (values.view(1, -1, 1, 1, 1) for values in (mean, scale, scale * weight))
        gradient, normalized = gradient.float(), (x.float() - mean) * scale
        over = (0, 2, 3, 4)
        mine = torch.stack([gradient.sum(over), (gradient * normalized).sum(over)])
        bias_gradient, weight_gradient = mine.clone()
        by_mean, by_scale = (distributed.sum_over_ranks(mine) / ctx.count).view(2, 1, -1, 1, 1, 1)
        result = (gradient - by_mean - normalized * by_scale) * factor
        if ctx.absent:  # the others' statistics do not depend on it
            result = torch.zeros_like(result)
        return result.to(x.dtype), weight_gradient, bias_gradient, None, None, None, None, None


def synchronize(model: nn.Module) -> nn.Module:
    """``model`` with each ``BatchNorm3d`` replaced by a :class:`SyncBatchNorm3d` of the same state and names."""
    for owner in list(model.modules()):
        for name, norm in owner.named_children():
            if type(norm) is nn.BatchNorm3d:
                ours = SyncBatchNorm3d(norm.num_features, norm.eps, norm.momentum)
                # Parameters and buffers themselves: a frozen parameter stays frozen.
                ours._parameters, ours._buffers = norm._parameters, norm._buffers
                setattr(owner, name, ours.train(norm.training))
    return model


def is_synchronized(model: nn.Module) -> bool:
    """Whether a forward pass in training waits for the other processes."""
    return any(isinstance(module, SyncBatchNorm3d) for module in model.modules())


def absent(model: nn.Module) -> contextlib.AbstractContextManager:
    """Inside, what ``model`` is given counts for nothing, but its exchanges take place."""
    return _marked(model, "absent")


def alone(model: nn.Module) -> contextlib.AbstractContextManager:
    """Inside, ``model`` exchanges nothing: other processes need not do the same."""
    return _marked(model, "alone")


@contextlib.contextmanager
def _marked(model: nn.Module, mark: str) -> Iterator[None]:
    norms = [module for module in model.modules() if isinstance(module, SyncBatchNorm3d)]
    for norm in norms:
        setattr(norm, mark, True)
    try:
        yield
    finally:
        for norm in norms:
            setattr(norm, mark, False)
