"""MODEL -> an architecture and a network, with the weights that it starts from."""

import dataclasses
from collections.abc import Sequence

import torch

from video_rs.config import Config
from video_rs.engine.batch_norm import synchronize
from video_rs.models import (
    Architecture,
    ContrastiveNetwork,
    ProjectionShape,
    VideoClassifier,
    VideoNetwork,
    architecture,
    freeze_stages,
)
from video_rs.models.fast import speed_up
from video_rs.models.resnet3d import FEATURES
from video_rs.models.weights.pretrained import Weights, load_pretrained
from video_rs.runtime.errors import InputError


def build_architecture(config: Config) -> Architecture:
    """Return MODEL.ARCH with the MODEL keys that are set."""
    overrides = {}
    for field in dataclasses.fields(Architecture):
        value = config.MODEL.get(field.name.upper())
        if value is not None:
            overrides[field.name] = value

    found = architecture(config.MODEL.ARCH, **overrides)
    if found.norm_momentum == 1 and config.SOLVER.EMA_DECAY == 0:
        raise InputError(
            "MODEL.NORM_MOMENTUM 1.0 keeps the last batch's statistics only, which evaluation needs averaged; "
            "set SOLVER.EMA_DECAY above 0, or MODEL.NORM_MOMENTUM below 1, e.g. 0.1"
        )
    return found


def build_model(config: Config, arch: Architecture, num_classes: int, device: torch.device) -> VideoNetwork:
    """Return a network whose fresh weights depend on RNG_SEED alone; parts of it are frozen, or recomputed.

    Args:
        config: of the run. With CONTRAST.ENABLED, the network has a projection head in place of a classifier.
        arch: of the network.
        num_classes: of the classifier.
        device: of the weights.
    """
    # Global random numbers are left as they were.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.RNG_SEED)
        if config.CONTRAST.ENABLED:
            model = ContrastiveNetwork(arch, projection_shape(config))
        else:
            model = VideoClassifier(arch, num_classes)

    freeze_stages(model.backbone, config.MODEL.FROZEN_STAGES)
    model.backbone.checkpoint_activations(FEATURES[: config.TRAIN.ACTIVATION_CHECKPOINTING])
    if config.TRAIN.SYNC_BATCH_NORM:
        synchronize(model)
    return speed_up(model).to(device, memory_format=torch.channels_last_3d)


def projection_shape(config: Config) -> ProjectionShape:
    """Return the size of a pre-training run's projection head."""
    contrast = config.CONTRAST
    return ProjectionShape(contrast.HIDDEN_LAYERS, contrast.HIDDEN_DIM, contrast.PROJECTION_DIM)


def load_start_weights(config: Config, model: VideoClassifier, names: Sequence[str]) -> tuple[Weights, str]:
    """Load MODEL.PRETRAINED into a model whose classes have these names; return as :func:`load_pretrained`."""
    return load_pretrained(model, config.MODEL.PRETRAINED, config.MODEL.INFLATION, label_names=names)
