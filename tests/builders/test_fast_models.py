"""Training and prediction run sped-up networks, whatever is frozen, recomputed or synchronized in them."""

import json

import torch

from helpers.networks import NARROW
from video_rs import builders
from video_rs.config import load_config
from video_rs.models.fast import FAST_CLASSES
from video_rs.models.stored import load_classifier

KEYS = {f"MODEL.{name.upper()}": json.dumps(value) for name, value in NARROW.items()}


def is_sped_up(model):
    kinds = {type(module) for module in model.modules()}
    return kinds.isdisjoint(FAST_CLASSES) and not kinds.isdisjoint(FAST_CLASSES.values())


def build(**changes):
    config = load_config("kinetics_rs", {**KEYS, **{key.replace("__", "."): value for key, value in changes.items()}})
    return builders.build_model(config, builders.build_architecture(config), 3, torch.device("cpu"))


def test_a_model_for_training_is_sped_up():
    assert is_sped_up(build())
    assert is_sped_up(
        build(MODEL__FROZEN_STAGES="2", TRAIN__SYNC_BATCH_NORM="true", TRAIN__ACTIVATION_CHECKPOINTING="5")
    )


def test_a_model_for_prediction_is_sped_up():
    trained = build()
    checkpoint = {
        "architecture": vars(trained.backbone.architecture),
        "num_classes": 3,
        "model": trained.state_dict(),
        "ema": None,
    }
    model = load_classifier(checkpoint, torch.device("cpu"))
    assert is_sped_up(model)
    assert not model.training
    clips = torch.rand(1, 3, 4, 32, 32)
    with torch.no_grad():
        assert torch.equal(model(clips), trained.eval()(clips))
