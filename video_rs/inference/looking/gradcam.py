"""Grad-CAM: how strongly each place of a feature map speaks for a class.

Selvaraju et al. 2017, "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", section 3,
with time as a third axis of the map.
"""

import math

import torch
from torch import Tensor

from video_rs.models import VideoClassifier
from video_rs.models.resnet3d import STAGES

# A map of fewer cells across says hardly where in the picture something is.
FEWEST_CELLS = 4


def grad_cam(model: VideoClassifier, clips: Tensor, label: int, stage: str) -> Tensor:
    """Return where a stage's map of each clip speaks for a class.

    A channel weighs as much as the class's logit rises with its values, on average over the map; the weighted channels
    are summed, and what speaks against the class (below 0) is left out. Behind "res5" there is nothing but a mean and a
    linear layer: there the weights are those of the layer over the number of cells, as in CAM.

    Args:
        model: in evaluation mode, where the clips are.
        clips: float ``[B, C, T, H, W]``.
        label: class id.
        stage: "stem", "res2", ... or "res5".

    Returns:
        float32 ``[B, T', H', W']``, at least 0; larger values speak more for the class, also between clips.
    """
    with torch.no_grad():
        maps = model.backbone.forward_until(stage, clips)

    # Of the whole network, only what lies behind the stage keeps what a backward pass needs.
    with torch.enable_grad():
        maps.requires_grad_()
        logits = model.forward_behind(stage, maps)
        # In evaluation mode no clip's logit depends on another clip: the gradient of their sum is that of each.
        (gradients,) = torch.autograd.grad(logits[:, label].sum(), maps)

    weights = gradients.mean((2, 3, 4), keepdim=True)
    return (weights * maps.detach()).sum(1).relu().float()


def deepest_clear_stage(model: VideoClassifier, crop_size: int) -> str:
    """Return the last stage whose map of a crop has at least 4 x 4 cells; the first stage where none has."""
    clearest = STAGES[0]
    for name, shape in model.backbone.output_shape().items():
        if math.ceil(crop_size / shape.spatial_stride) >= FEWEST_CELLS:
            clearest = name
    return clearest
