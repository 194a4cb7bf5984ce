"""Configurations of the defaults with changes."""

import pytest
import torch

from helpers.videos import make_videos
from video_rs.config import load_config
from video_rs.runs.train import Run, RunFolder


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Two training and four validation videos."""
    return make_videos(tmp_path_factory.mktemp("two"), per_class=1)


def build(two, overrides):
    keys = {
        "DATA.TRAIN_LIST": two,
        "DATA.VAL_LIST": two,
        "MODEL.ARCH": "r3d_rs_tiny",
        "TRAIN.BATCH_SIZE": 4,
        "DEVICE": "cpu",
    }
    config = load_config("", {**keys, **overrides})
    return Run(config, RunFolder(two.parent / config.OUTPUT_DIR), torch.device("cpu"))
