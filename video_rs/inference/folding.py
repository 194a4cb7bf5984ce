"""Batch norm as part of the convolution before it, where it has its stored statistics."""

import itertools

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold_batch_norm(model: nn.Module) -> None:
    """Replace, in every Sequential of ``model``, a convolution and the batch norm behind it by one convolution."""
    sequences = [module for module in model.modules() if isinstance(module, nn.Sequential)]
    for sequence in sequences:
        children = list(sequence.named_children())
        for (name, conv), (norm_name, norm) in itertools.pairwise(children):
            if isinstance(conv, nn.Conv3d) and isinstance(norm, nn.BatchNorm3d):
                sequence.set_submodule(name, fuse_conv_bn_eval(conv, norm))
                sequence.set_submodule(norm_name, nn.Identity())
