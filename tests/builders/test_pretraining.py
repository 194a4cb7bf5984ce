"""The options of pre-training reach their objects, and its lists are read by the rules of lists without labels."""

import pytest
import torch
from torch import nn

from helpers.configs import build
from helpers.few_labels import unlabelled_list
from helpers.runs import TINY
from video_rs.config import config_from_text, load_config, stored_config
from video_rs.data.clip_pairs import PairReader
from video_rs.engine.batch_norm import is_synchronized
from video_rs.engine.objectives import Contrast
from video_rs.models import ContrastiveNetwork, VideoClassifier
from video_rs.runs.memory import divisions, no_memory

SIZES = {key: TINY[key] for key in TINY if key.startswith(("DATA.", "MODEL."))}
HEAD = {"CONTRAST.HIDDEN_LAYERS": 2, "CONTRAST.HIDDEN_DIM": 12, "CONTRAST.PROJECTION_DIM": 6, "CONTRAST.KNN_K": 3}


def pretraining(videos, **changes):
    keys = {key.replace("__", "."): value for key, value in changes.items()}
    return build(videos, {**SIZES, **HEAD, "CONTRAST.ENABLED": "true", **keys})


@pytest.fixture(scope="module")
def unlabelled(videos, tmp_path_factory):
    """The training videos without labels."""
    return unlabelled_list(videos, tmp_path_factory.mktemp("unlabelled"))


def test_the_objects_are_those_of_pre_training(videos):
    run = pretraining(videos, CONTRAST__TEMPERATURE=0.2, CONTRAST__DISTANCE_POWER=2.5)
    assert isinstance(run.step.objective, Contrast)
    assert run.step.objective.temperature == 0.2
    loader = run.loader(0)
    assert isinstance(loader.read, PairReader)
    assert (loader.read.power, loader.read.clips, loader.order.picks_per_micro_batch) == (2.5, 2, 2)
    # An epoch reads each of the eight videos once, as two clips.
    assert (run.plan.num_samples, run.plan.epoch_steps) == (16, 4)
    # Reading two clips may take twice the time.
    assert pretraining(videos, DATA__TIME_LIMIT=7).loader(0).workers.time_limit == 14


def test_the_defaults_are_those_of_the_published_code():
    defaults = load_config("").CONTRAST
    assert (defaults.TEMPERATURE, defaults.DISTANCE_POWER) == (0.1, 1.0)
    assert (defaults.HIDDEN_LAYERS, defaults.HIDDEN_DIM, defaults.PROJECTION_DIM) == (3, 2048, 128)
    assert (defaults.ENABLED, defaults.KNN_K, defaults.KNN_LIST) == (False, 20, "")


@pytest.mark.parametrize("layers", [0, 1, 2])
def test_the_head_is_made_of_hidden_layers_and_a_linear_one(videos, layers):
    model = pretraining(videos, CONTRAST__HIDDEN_LAYERS=layers).step.model
    assert isinstance(model, ContrastiveNetwork)
    widths = [model.num_features, *[12] * layers]
    assert [layer.linear.weight.shape for layer in model.projection[:-1]] == [(12, width) for width in widths[:-1]]
    assert model.projection[-1].weight.shape == (6, widths[-1])


def test_the_head_computes_linear_layers_batch_norm_and_relu(videos):
    """Against torch's own layers over rows, in training and in evaluation."""
    model = pretraining(videos).step.model
    layers = []
    for layer in model.projection[:-1]:
        norm = nn.BatchNorm1d(12, layer.norm.eps, layer.norm.momentum)
        norm.load_state_dict(layer.norm.state_dict())
        layers += [layer.linear, norm, nn.ReLU()]
    expected = nn.Sequential(*layers, model.projection[-1])
    rows = torch.randn(5, model.num_features, generator=torch.Generator().manual_seed(0))
    for mode in (True, False):
        torch.testing.assert_close(model.projection.train(mode)(rows), expected.train(mode)(rows))

    clips = torch.rand(2, 3, 4, 32, 32, generator=torch.Generator().manual_seed(0))
    model.eval()
    pooled = model.backbone(clips)["res5"].mean((2, 3, 4))
    torch.testing.assert_close(model(clips), model.projection(pooled), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(model.pooled_features(clips), pooled, rtol=1e-4, atol=1e-6)


def test_the_backbone_starts_as_that_of_a_supervised_run(videos):
    supervised = build(videos, SIZES).step.model
    model = pretraining(videos).step.model
    assert isinstance(supervised, VideoClassifier)
    for name, value in supervised.backbone.state_dict().items():
        assert torch.equal(value, model.backbone.state_dict()[name])
    again = pretraining(videos).step.model.state_dict()
    other = pretraining(videos, RNG_SEED=1).step.model.state_dict()
    assert torch.equal(model.state_dict()["projection.2.weight"], again["projection.2.weight"])
    assert not torch.equal(model.state_dict()["projection.2.weight"], other["projection.2.weight"])
    # Glorot's bound for 12 and 6.
    assert model.projection[-1].weight.abs().max() <= (6 / 18) ** 0.5
    assert model.projection[-1].bias.abs().max() == 0


def test_kernels_of_the_head_are_decayed_and_its_rate_is_the_classifiers(videos):
    model = pretraining(videos, SOLVER__LAYER_DECAY=0.5).step.model
    decayed = {name for name in model.weight_decay_names() if name.startswith("projection.")}
    assert decayed == {"projection.0.linear.weight", "projection.1.linear.weight", "projection.2.weight"}
    depths = model.layer_depths()
    assert {depths[name] for name in depths if name.startswith("projection.")} == {0}
    assert depths["backbone.stem.0.weight"] == 5


def test_the_heads_batch_norm_is_synchronized_with_the_others(videos):
    model = pretraining(videos, TRAIN__SYNC_BATCH_NORM="true").step.model
    kinds = {type(module) for module in model.modules() if isinstance(module, nn.BatchNorm3d)}
    assert is_synchronized(model)
    assert len(kinds) == 1


def test_labelled_rows_vote_in_validation(videos, unlabelled):
    run = pretraining(videos)
    assert [record.path for record in run.lists.memory.records] == [record.path for record in run.lists.train.records]
    assert run.lists.label_names == ("dark", "light")
    assert set(run.lists.fingerprints()) == {"train", "val", "memory"}

    other = pretraining(unlabelled, DATA__VAL_LIST=videos, CONTRAST__KNN_LIST=videos)
    assert other.lists.memory.source == str(videos)
    assert all(record.labels == () for record in other.lists.train.records)
    assert [record.labels for record in other.lists.val.records] == [record.labels for record in run.lists.val.records]

    without = pretraining(unlabelled, DATA__VAL_LIST=videos)
    assert (without.lists.memory, without.lists.val, without.lists.label_names) == (None, None, ())
    quiet = pretraining(videos, DATA__VAL_LIST="")
    assert (quiet.lists.memory, quiet.lists.val, quiet.lists.train.notes) == (None, None, ())


def test_the_label_map_names_the_classes_of_validation(videos, tmp_path):
    label_map = tmp_path / "labels.txt"
    label_map.write_text("light\ndark\n")
    run = pretraining(videos, DATA__LABEL_MAP=label_map, MODEL__NUM_CLASSES=2)
    assert run.lists.label_names == ("light", "dark")
    assert (run.identity()["num_classes"], run.identity()["label_names"]) == (0, [])


def test_a_stored_config_is_a_pre_training_run_again(videos):
    run = pretraining(videos)
    again = config_from_text(stored_config(run.config))
    assert again.CONTRAST.ENABLED is True
    assert "projection" not in build(videos, SIZES).identity()
    assert run.with_micro_batches(1) is run
    assert run.with_micro_batches(2).plan.num_samples == 16


def test_a_step_is_divided_into_whole_pairs(videos):
    run = pretraining(videos, TRAIN__BATCH_SIZE=24)
    assert divisions(run.config) == [1, 2, 3, 4, 6]
    text = no_memory(run.config, "why")
    assert (
        "raise TRAIN.ACCUMULATION_STEPS (batch norm, and the clips, which are compared with fewer others, see the "
        "difference)"
    ) in text
    assert "TRAIN.AUTO_BATCH" not in text


@pytest.mark.parametrize("name", ["pretrain/cvrl.yaml", "pretrain/small_cvrl.yaml"])
def test_the_configs_are_of_pre_training_runs(videos, name):
    config = load_config(name)
    assert config.CONTRAST.ENABLED
    keys = {"DATA.TRAIN_LIST": videos, "DATA.VAL_LIST": "", "TRAIN.BATCH_SIZE": 8, "MODEL.WIDTH": 0.125}
    changed = config_from_text(config.dump(), {key: str(value) for key, value in keys.items()})
    run = build(videos, changed.flat())
    assert isinstance(run.step.objective, Contrast)
