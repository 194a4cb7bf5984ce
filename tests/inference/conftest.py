"""A checkpoint whose network tells clips apart, and the files that are exported of it, each made once."""

import pytest
import torch

from helpers.exports import export, spread_answers, telling_state
from video_rs import Predictor
from video_rs.engine.checkpoint import load_checkpoint


@pytest.fixture(scope="session")
def telling(trained, videos, tmp_path_factory):
    """A checkpoint of two classes, calibrated, whose network is sure of some clips and unsure of others."""
    path = tmp_path_factory.mktemp("telling") / "telling.pth"
    state = telling_state(load_checkpoint(trained))
    torch.save(state, path)
    answers = Predictor.from_checkpoint(path, "cpu").predict_many(sorted(videos.parent.glob("val/*/*.mp4")))
    spread_answers(state, torch.stack([answer.probabilities for answer in answers]))
    torch.save(state, path)
    return path


@pytest.fixture(scope="session")
def exported(telling, tmp_path_factory):
    """``exported("onnx")`` is the path of the file of that format."""
    folder = tmp_path_factory.mktemp("exported")
    made = {}

    def path_of(name):
        if name not in made:
            made[name] = export(telling, name, folder)
        return made[name]

    return path_of
