"""The network of a checkpoint, ready to answer."""

from typing import Any

import torch

from video_rs.models.classifier import VideoClassifier
from video_rs.models.contrastive import ContrastiveNetwork, ProjectionShape
from video_rs.models.fast import speed_up
from video_rs.models.network import VideoNetwork
from video_rs.models.weights.pretrained import stored_architecture
from video_rs.models.weights.strict import load_strictly


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
    return speed_up(model).to(device, memory_format=torch.channels_last_3d).eval()
