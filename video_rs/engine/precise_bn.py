"""Batch-norm statistics of fixed weights over many clips ("precise BN").

While training, the statistics are those of weights that change from batch to batch. Wu & Johnson 2021, "Rethinking
'Batch' in BatchNorm" (arXiv 2105.07576), section 3: computed anew with the weights that are to be used.
"""

import contextlib
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from video_rs.engine.batch_norm import absent, is_synchronized, union
from video_rs.runtime import distributed


class _Moments:
    """Count, mean and sum of squared deviations of each channel, float64 on the CPU."""

    def __init__(self, channels: int):
        self.values = torch.zeros(2 * channels + 1, dtype=torch.float64)

    def add(self, _: nn.Module, inputs: tuple[Tensor]) -> None:
        """A forward pre-hook: takes in maps ``[B, C, T, H, W]``."""
        (x,) = inputs
        count = x.numel() // x.shape[1]
        variance, mean = torch.var_mean(x.float(), (0, 2, 3, 4), correction=0)
        mine = torch.cat([mean.cpu().double(), variance.cpu().double() * count, torch.tensor([count]).double()])
        mean, deviation, total = union(torch.stack([self.values, mine]))
        self.values = torch.cat([mean, deviation, total[None]])


@torch.no_grad()
def recompute_statistics(model: nn.Module, batches: Iterable[Any], prepare: Callable[[Tensor], Tensor]) -> int:
    """Replaces batch norm's running statistics by the mean and variance over all clips of all processes.

    Each layer normalises by its batch, as in training; dropout and stochastic depth are off, as in what the statistics
    are for. Frozen parts keep theirs. Without any clip, all stay as they were. ``model`` is in evaluation mode then.

    Args:
        model: with batch norm.
        batches: with uint8 ``clips``, as many in each process; a batch may have none.
        prepare: uint8 clips on the CPU -> float clips on the model's device.

    Returns:
        How many clips there were, in all processes.
    """
    model.train()
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm3d) and module.training]
    model.eval()
    if not norms:  # all of them are frozen
        return 0
    clips = 0
    moments = [_Moments(norm.num_features) for norm in norms]
    before = [buffer.clone() for norm in norms for buffer in norm.buffers()]
    for norm in norms:
        norm.train()
    for batch in batches:
        if len(batch.clips) == 0:
            if is_synchronized(model):  # the others wait for this process
                with absent(model):
                    model(prepare(batch.clips.new_zeros(2, *batch.clips.shape[1:])))
            continue
        clips += len(batch.clips)
        with contextlib.ExitStack() as hooks:
            for norm, own in zip(norms, moments, strict=True):
                handle = norm.register_forward_pre_hook(own.add)
                hooks.callback(handle.remove)
            model(prepare(batch.clips))
    for buffer, value in zip((b for norm in norms for b in norm.buffers()), before, strict=True):
        buffer.copy_(value)
    _take_over(norms, moments)
    model.eval()
    return sum(distributed.gather(clips))


def _take_over(norms: list[nn.BatchNorm3d], moments: list[_Moments]) -> None:
    mine = torch.cat([own.values for own in moments])
    if distributed.world_size() > 1:
        mine = mine.to(norms[0].running_mean.device)  # what processes exchange from
    everyone = distributed.stack_over_ranks(mine).cpu()
    for norm, parts in zip(norms, everyone.split([len(own.values) for own in moments], dim=1), strict=True):
        mean, deviation, count = union(parts)
        if count > 0:
            norm.running_mean.copy_(mean)
            norm.running_var.copy_(deviation / count)
