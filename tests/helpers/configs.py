"""Trainings built from the defaults with changes."""

import torch

from video_rs.builders import build_training
from video_rs.config import load_config
from video_rs.inference.teachers import load_teacher


def build(videos, overrides):
    """A training on a list of videos; ``overrides`` are config keys."""
    keys = {
        "DATA.TRAIN_LIST": videos,
        "DATA.VAL_LIST": videos,
        "MODEL.ARCH": "r3d_rs_tiny",
        "TRAIN.BATCH_SIZE": 4,
        "DEVICE": "cpu",
    }
    return build_training(load_config("", {**keys, **overrides}), torch.device("cpu"), load_teacher)
