"""Sizes of the models: parameters, multiply-adds and strides, counted on networks without memory."""

import torch
from torch.utils.flop_counter import FlopCounterMode

from video_rs.models.classifier import VideoClassifier
from video_rs.models.zoo import create_model, list_models


def parameters(model: VideoClassifier) -> int:
    """Trainable numbers, without batch-norm statistics."""
    return sum(parameter.numel() for parameter in model.parameters())


def gmac(model: VideoClassifier, frames: int, size: int) -> float:
    """Multiply-adds of one clip's forward pass, in 10^9; ``model`` is on the meta device."""
    clip = torch.empty(1, model.backbone.architecture.in_channels, frames, size, size, device="meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.eval()(clip)
    return counter.get_total_flops() / 2e9


def model_table(pattern: str = "*", classes: int = 400, frames: int = 32, size: int = 224) -> str:
    """Markdown: name, parameters, GMAC of one clip of ``frames`` x ``size`` x ``size``, strides of res2 to res5."""
    columns = (
        f"parameters, {classes} classes",
        f"GMAC, {frames} x {size} x {size}",
        "stride in time",
        "in space, by stage",
    )
    lines = [f"| model | {' | '.join(columns)} |", "|---|---:|---:|---|---|"]
    for name in list_models(pattern):
        with torch.device("meta"):
            model = create_model(name, classes)
        shapes = model.backbone.output_shape().values()
        time = sorted({shape.temporal_stride for shape in shapes})
        space = ", ".join(str(shape.spatial_stride) for shape in shapes)
        work = f"{gmac(model, frames, size):.1f}"
        lines.append(f"| `{name}` | {parameters(model):,} | {work} | {', '.join(map(str, time))} | {space} |")
    return "\n".join(lines)
