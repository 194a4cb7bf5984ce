"""Batch-norm statistics of fixed weights over many clips ("precise BN").

During training the statistics are those of weights that change from batch to batch. Wu & Johnson 2021, "Rethinking
'Batch' in BatchNorm" (arXiv 2105.07576), section 3, compute them again with the weights that are to be used.
"""

import contextlib
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from video_rs.engine.batch_norm import is_synchronized, union, without_counting
from video_rs.runtime import distributed


class _Moments:
    """Count, mean and sum of squared deviations of each channel of a layer's inputs, float64 on the CPU."""

    def __init__(self, channels: int):
        self.values = torch.zeros(2 * channels + 1, dtype=torch.float64)

    def add(self, _: nn.Module, inputs: tuple[Tensor]) -> None:
        """Take in maps ``[B, C, T, H, W]``; a forward pre-hook."""
        (x,) = inputs
        count = x.numel() // x.shape[1]
        variance, mean = torch.var_mean(x.float(), (0, 2, 3, 4), correction=0)
        new = torch.cat([mean.cpu().double(), variance.cpu().double() * count, torch.tensor([count]).double()])

        mean, deviation, total = union(torch.stack([self.values, new]))
        self.values = torch.cat([mean, deviation, total[None]])


@torch.no_grad()
def recompute_statistics(model: nn.Module, batches: Iterable[Any], prepare: Callable[[Tensor], Tensor]) -> int:
    """Replace batch norm's running statistics by the mean and variance over all clips of all processes.

    Each layer normalises by its batch, as in training. Dropout and stochastic depth are off, as in the evaluation that
    the statistics are for. Frozen parts keep theirs. Without any clip, all stay as they were. The model is left in
    evaluation mode.

    Args:
        model: with batch norm.
        batches: with uint8 ``clips``, as many in each process; a batch may have no clip.
        prepare: uint8 clips on the CPU -> float clips on the model's device.

    Returns:
        How many clips there were, in all processes.
    """
    norms = _trained_norms(model)
    if not norms:
        return 0

    moments = [_Moments(norm.num_features) for norm in norms]
    buffers = [buffer for norm in norms for buffer in norm.buffers()]
    before = [buffer.clone() for buffer in buffers]
    for norm in norms:
        norm.train()

    clips = 0
    for batch in batches:
        if len(batch.clips):
            clips += len(batch.clips)
            _forward_with_hooks(model, prepare(batch.clips), norms, moments)
        elif is_synchronized(model):
            # The other processes wait for this one in their exchanges.
            stand_in = batch.clips.new_zeros(2, *batch.clips.shape[1:])
            with without_counting(model):
                model(prepare(stand_in))

    # The forward passes moved the running statistics, too.
    for buffer, value in zip(buffers, before, strict=True):
        buffer.copy_(value)
    _write_statistics(norms, moments)
    model.eval()
    return sum(distributed.gather(clips))


def _trained_norms(model: nn.Module) -> list[nn.BatchNorm3d]:
    """Return the batch norms that are not frozen, and leave the model in evaluation mode."""
    model.train()
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm3d) and module.training]
    model.eval()
    return norms


def _forward_with_hooks(model: nn.Module, clips: Tensor, norms: list[nn.BatchNorm3d], moments: list[_Moments]) -> None:
    """Run a forward pass in which each batch norm adds its inputs to its moments."""
    with contextlib.ExitStack() as hooks:
        for norm, own in zip(norms, moments, strict=True):
            handle = norm.register_forward_pre_hook(own.add)
            hooks.callback(handle.remove)
        model(clips)


def _write_statistics(norms: list[nn.BatchNorm3d], moments: list[_Moments]) -> None:
    """Write the statistics over all processes into the batch norms."""
    values = torch.cat([own.values for own in moments])
    if distributed.world_size() > 1:
        # NCCL exchanges what lies on a GPU only.
        values = values.to(norms[0].running_mean.device)
    everyone = distributed.stack_over_ranks(values).cpu()

    sizes = [len(own.values) for own in moments]
    for norm, parts in zip(norms, everyone.split(sizes, dim=1), strict=True):
        mean, deviation, count = union(parts)
        if count > 0:
            norm.running_mean.copy_(mean)
            norm.running_var.copy_(deviation / count)
