"""The network of a checkpoint, ready to answer."""

from typing import Any

import torch
from torch import nn

from video_rs.models.classifier import VideoClassifier
from video_rs.models.contrastive import ContrastiveNetwork, ProjectionShape
from video_rs.models.fast import speed_up
from video_rs.models.network import VideoNetwork
from video_rs.models.weights.pretrained import stored_architecture
from video_rs.models.weights.strict import load_strictly
from video_rs.runtime.errors import InputError


def load_classifier(checkpoint: dict[str, Any], device: torch.device) -> VideoClassifier:
    """Return the checkpoint's classifier; as :func:`load_network`, for a checkpoint that is of no pre-training run."""
    model = load_network(checkpoint, device)
    assert isinstance(model, VideoClassifier)
    return model


def load_network(checkpoint: dict[str, Any], device: torch.device) -> VideoNetwork:
    """Return the checkpoint's network with its EMA weights, sped up and in evaluation mode.

    The weights are the raw ones where the checkpoint kept no average.
    """
    architecture = stored_architecture(checkpoint["architecture"], "the checkpoint")
    # Without memory and without values: drawing weights that are replaced at once takes a second and more.
    with torch.device("meta"):
        if "projection" in checkpoint:
            model = ContrastiveNetwork(architecture, ProjectionShape(**checkpoint["projection"]))
        else:
            model = VideoClassifier(architecture, checkpoint["num_classes"])
    weights = checkpoint["ema"] or checkpoint["model"]
    load_strictly(model, weights, "the checkpoint")
    require_finite(model)
    return speed_up(model).to(device, memory_format=torch.channels_last_3d).eval()


def require_finite(model: nn.Module) -> None:
    """Raise InputError where a network has weights that are no numbers, with which every answer would be none."""
    for name, weights in model.state_dict().items():
        # The sum is finite where all weights are, and no copy of them is made.
        if weights.is_floating_point() and not torch.isfinite(weights.sum()):
            raise InputError(
                f"weights of the network are no finite numbers (first: {name}): its training diverged; take an earlier "
                "checkpoint, or train anew with a lower SOLVER.BASE_LR"
            )
