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
    """Normalises by the statistics of all processes in training, and as its base class does in evaluation.

    One process computes as many do, and not as PyTorch does on CPUs, which is less exact: for 8 maps of 4 x 40 x 40 of
    mean 3 and variance 1, 6e-6 of the result and 1e-3 of the weight's gradient, against 8e-8 and 1e-5 here.

    Attributes:
        is_stand_in: the input stands in for no clip and does not count; this process still joins the exchange.
        is_local: nothing is exchanged, and the statistics are those of this process.
    """

    is_stand_in = False
    is_local = False

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.is_local:
            return super().forward(x)

        count, mean, variance = _statistics_of_all(x, self.is_stand_in)
        if count == 0:
            # No process has a clip.
            return functional.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, training=False, eps=self.eps
            )

        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, self.momentum)
        # PyTorch normalises by the variance of the batch and keeps an unbiased estimate.
        self.running_var.lerp_(variance * (count / max(1, count - 1)), self.momentum)
        return _Normalized.apply(x, self.weight, self.bias, mean, variance, self.eps, count, self.is_stand_in)


def _statistics_of_all(x: Tensor, is_stand_in: bool) -> tuple[int, Tensor, Tensor]:
    """Return the number of values a channel over all processes, their mean and their variance, float32 ``[C]``."""
    with torch.no_grad():
        channels = x.shape[1]
        # MPS has no float64.
        exact = torch.float32 if x.device.type == "mps" else torch.float64

        # Each process sends deviations from its own mean: sums of squares would cancel where means are large.
        moments = x.new_zeros(2 * channels + 1, dtype=exact)
        if not is_stand_in:
            count = x.numel() // channels
            variance, mean = torch.var_mean(x.float(), (0, 2, 3, 4), correction=0)
            moments[:channels] = mean
            moments[channels:-1] = variance * count
            moments[-1] = count

        mean, deviation, total = union(distributed.stack_over_ranks(moments))
        variance = deviation / total.clamp(min=1)
        return int(total), mean.float(), variance.float()


def union(parts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the moments of all values together (Chan et al. 1983).

    Args:
        parts: ``[n, 2 C + 1]``, of each part the means ``[C]``, the sums of squared deviations ``[C]`` and the count.

    Returns:
        The same three of all parts together: ``[C]``, ``[C]`` and a scalar.
    """
    channels = parts.shape[1] // 2
    means, deviations, counts = parts.split([channels, channels, 1], dim=1)
    total = counts.sum()
    mean = (means * counts).sum(0) / total.clamp(min=1)
    between = counts * (means - mean).square()
    return mean, (deviations + between).sum(0), total


class _Normalized(torch.autograd.Function):
    """``(x - mean) / sqrt(variance + eps) * weight + bias``, with mean and variance of the ``x`` of all processes."""

    @staticmethod
    def forward(ctx, x, weight, bias, mean, variance, eps, count, is_stand_in):
        ctx.save_for_backward(x, weight, mean, (variance + eps).rsqrt())
        ctx.count = count
        ctx.is_stand_in = is_stand_in
        return functional.batch_norm(x, mean, variance, weight, bias, training=False, eps=eps)

    @staticmethod
    def backward(ctx, gradient):
        x, weight, mean, scale = ctx.saved_tensors
        factor = (scale * weight).view(1, -1, 1, 1, 1)
        mean = mean.view(1, -1, 1, 1, 1)
        scale = scale.view(1, -1, 1, 1, 1)
        gradient = gradient.float()
        normalized = (x.float() - mean) * scale

        # Through its part in mean and variance, each value acts on the results of all processes.
        all_but_channels = (0, 2, 3, 4)
        sums = torch.stack([gradient.sum(all_but_channels), (gradient * normalized).sum(all_but_channels)])
        bias_gradient, weight_gradient = sums.clone()
        by_mean, by_scale = (distributed.sum_over_ranks(sums) / ctx.count).view(2, 1, -1, 1, 1, 1)
        result = (gradient - by_mean - normalized * by_scale) * factor
        if ctx.is_stand_in:
            # No statistics depend on it.
            result = torch.zeros_like(result)
        return result.to(x.dtype), weight_gradient, bias_gradient, None, None, None, None, None


def synchronize(model: nn.Module) -> nn.Module:
    """Replace each ``BatchNorm3d`` of a model by a :class:`SyncBatchNorm3d` of the same state, and return the model."""
    for owner in list(model.modules()):
        for name, norm in owner.named_children():
            if type(norm) is not nn.BatchNorm3d:
                continue
            synchronized = SyncBatchNorm3d(norm.num_features, norm.eps, norm.momentum)
            # The parameters and buffers stay the same objects, so a frozen parameter stays frozen.
            synchronized._parameters = norm._parameters
            synchronized._buffers = norm._buffers
            setattr(owner, name, synchronized.train(norm.training))
    return model


def is_synchronized(model: nn.Module) -> bool:
    """Return whether a forward pass in training waits for the other processes."""
    return any(isinstance(module, SyncBatchNorm3d) for module in model.modules())


def without_counting(model: nn.Module) -> contextlib.AbstractContextManager:
    """Inside, the inputs of ``model`` do not count in any statistics, but its exchanges take place."""
    return _marked(model, "is_stand_in")


def without_exchange(model: nn.Module) -> contextlib.AbstractContextManager:
    """Inside, ``model`` exchanges nothing, and other processes need not call it."""
    return _marked(model, "is_local")


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


def statistics_of_each_process(model: nn.Module) -> list[Tensor]:
    """Return the batch-norm statistics that differ from process to process.

    Those of frozen and of synchronized parts do not differ, and the mean of three equal numbers can be another number.
    """
    statistics = []
    for module in model.modules():
        if not module.training or isinstance(module, SyncBatchNorm3d):
            continue
        statistics += [buffer for buffer in module.buffers(recurse=False) if buffer.is_floating_point()]
    return statistics
