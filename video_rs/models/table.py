"""Sizes of the models: parameters, multiply-adds and strides, counted on networks without memory."""

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from video_rs.models.classifier import VideoClassifier
from video_rs.models.zoo import create_model, list_models

# To the counter their work is none, and to shape what goes through them takes most of the time.
_COUNTED_AS_NOTHING = (nn.BatchNorm3d, nn.ReLU, nn.Dropout)


def parameters(model: VideoClassifier) -> int:
    """Return how many trainable numbers a model has; batch-norm statistics are none."""
    return sum(parameter.numel() for parameter in model.parameters())


def gmac(model: VideoClassifier, frames: int, size: int) -> float:
    """Return the multiply-adds of one clip's forward pass, in 10^9; ``model`` is on the meta device."""
    clip = torch.empty(1, model.backbone.architecture.in_channels, frames, size, size, device="meta")
    passed_over = [module for module in model.modules() if isinstance(module, _COUNTED_AS_NOTHING)]
    try:
        for module in passed_over:
            module.forward = _same
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model.eval()(clip)
    finally:
        for module in passed_over:
            # The method of the class is there again.
            del module.forward

    # The counter takes a multiply-add for two.
    return counter.get_total_flops() / 2e9


def _same(maps: torch.Tensor) -> torch.Tensor:
    return maps


def model_table(pattern: str = "*", classes: int = 400, frames: int = 32, size: int = 224) -> str:
    """Return Markdown: name, parameters, GMAC of one clip of ``frames`` x ``size`` x ``size``, strides of the stages.

    Args:
        pattern: shell-style, for the names of the models.
        classes: of the last layer.
        frames: of the clip.
        size: pixels of a side of the clip.
    """
    columns = (
        f"parameters, {classes} classes",
        f"GMAC, {frames} x {size} x {size}",
        "stride in time",
        "in space, by stage",
    )
    lines = [f"| model | {' | '.join(columns)} |", "|---|---:|---:|---|---|"]
    for name in list_models(pattern):
        # The meta device gives every tensor a shape and no memory.
        with torch.device("meta"):
            model = create_model(name, classes)

        shapes = model.backbone.output_shape().values()
        temporal_strides = sorted({shape.temporal_stride for shape in shapes})
        spatial_strides = [shape.spatial_stride for shape in shapes]

        cells = (
            f"`{name}`",
            f"{parameters(model):,}",
            f"{gmac(model, frames, size):.1f}",
            ", ".join(map(str, temporal_strides)),
            ", ".join(map(str, spatial_strides)),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
