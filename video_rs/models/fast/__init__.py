"""Faster ways to compute the networks: the same weights and results, to rounding, by other operators.

:func:`speed_up` swaps the classes of a model's parts for the ones below, and :func:`make_plain` swaps them back. The
parts stay the same objects: parameters, names in the state dict, hooks, copies and pickles are what they were.

What compilers, exporters and tracers record is the plain network, whichever class a part has.
"""

from typing import TypeVar

from torch import nn

from video_rs.models.block import Block
from video_rs.models.convolution import Conv3d
from video_rs.models.fast.backbone import FastResNet3d
from video_rs.models.fast.block import FastBlock
from video_rs.models.fast.convolution import FastConv3d
from video_rs.models.fast.pooling import FastAveragePool3d, FastMaxPool3d
from video_rs.models.layers import AveragePool3d, MaxPool3d
from video_rs.models.resnet3d import ResNet3d

__all__ = ["make_plain", "speed_up"]

FAST_CLASSES = {
    AveragePool3d: FastAveragePool3d,
    Block: FastBlock,
    Conv3d: FastConv3d,
    MaxPool3d: FastMaxPool3d,
    ResNet3d: FastResNet3d,
}
PLAIN_CLASSES = {fast: plain for plain, fast in FAST_CLASSES.items()}

Model = TypeVar("Model", bound=nn.Module)


def speed_up(model: Model) -> Model:
    """Let the parts of ``model`` compute in the fastest way known, and return the same model.

    Frames are seen as images where nothing reaches over time, maps lie in channels-last memory format, and on a CPU two
    backward passes are our own. Those have no second derivative, and functional transforms (``torch.func``) refuse
    them: such code takes a plain model.

    Args:
        model: a VideoClassifier, a ResNet3d, or any module with such parts inside; other parts stay as they are. Call
            this before ``fully_shard``, which changes classes, too.
    """
    _swap_classes(model, FAST_CLASSES)
    return model


def make_plain(model: Model) -> Model:
    """Undo :func:`speed_up`, and return the same model."""
    _swap_classes(model, PLAIN_CLASSES)
    return model


def _swap_classes(model: nn.Module, classes: dict[type, type]) -> None:
    """Give every module whose class is a key of ``classes`` the class behind it."""
    for module in model.modules():
        # The classes differ in methods alone, and a module of another class, derived ones included, stays as it is.
        if type(module) in classes:
            module.__class__ = classes[type(module)]
