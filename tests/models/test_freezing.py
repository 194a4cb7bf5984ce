"""Frozen parts stay as they are, to the bit, whatever training does; the rest learns."""

import copy

import pytest
import torch
from torch import nn

from helpers.networks import refusal
from video_rs import create_backbone, create_model
from video_rs.engine.average import Ema
from video_rs.engine.batch_norm import statistics_of_each_process
from video_rs.engine.optimizer import adamw, parameter_groups, set_learning_rate, sgd
from video_rs.models import freeze_stages
from video_rs.models.layers import StochasticDepth

PARTS = {"stem": ("stem", "stem_pool"), **{name: (name,) for name in ("res2", "res3", "res4", "res5")}}


def make(name="r3d_rs_tiny", **overrides):
    torch.manual_seed(0)
    small = {"depths": (1, 2, 1, 1), "width": 0.125, "stochastic_depth": 0.5, "initialization": "model_garden"}
    return create_model(name, 3, norm_momentum=0.1, **{**small, **overrides})


def is_frozen(name, count):
    """Whether a weight or module of a classifier belongs to the first ``count`` parts."""
    frozen = [child for children in list(PARTS.values())[:count] for child in children]
    return name.startswith("backbone.") and name.split(".")[1] in frozen


def train(model, optimizer=sgd, steps=3, ema=None):
    """Steps with momentum and weight decay."""
    groups = parameter_groups(model, model.weight_decay_names(), 0.1)
    optimizer = sgd(groups, 0.9, True) if optimizer is sgd else adamw(groups, (0.9, 0.99))
    set_learning_rate(optimizer, 0.1)
    model.train()
    for step in range(1, steps + 1):
        model(torch.rand(4, 3, 4, 48, 48)).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        if ema is not None:
            ema.update(model, step)


@pytest.mark.parametrize("count", range(6))
@pytest.mark.parametrize("name", ["r3d_rs_tiny", "inflated_rs_50"])
@pytest.mark.parametrize("optimizer", [sgd, adamw])
def test_frozen_weights_and_statistics_stay_and_all_others_move(name, count, optimizer):
    model = make(name)
    freeze_stages(model.backbone, count)
    before = copy.deepcopy(model.state_dict())
    train(model, optimizer)
    stayed = {key for key, value in model.state_dict().items() if torch.equal(value, before[key])}
    assert stayed == {key for key in before if is_frozen(key, count)}


@pytest.mark.parametrize("count", [0, 1, 3, 5])
def test_gradients_reach_the_rest_only(count):
    model = make()
    freeze_stages(model.backbone, count)
    model.train()(torch.rand(4, 3, 4, 48, 48)).square().sum().backward()
    for name, parameter in model.named_parameters():
        if is_frozen(name, count):
            assert parameter.grad is None, name
            assert not parameter.requires_grad, name
        elif "branch" not in name and "se" not in name:  # stochastic depth may have dropped those of all four clips
            assert parameter.grad.any(), name


@pytest.mark.parametrize("name", ["r3d_rs_tiny", "inflated_rs_50"])
def test_train_and_eval_leave_frozen_parts_in_evaluation(name):
    model = make(name)
    freeze_stages(model.backbone, 2)
    for mode in (True, False, True):
        model.train(mode)
        for key, module in model.named_modules():
            if not isinstance(module, nn.MaxPool3d):  # the same in both
                assert module.training is (mode and not is_frozen(key, 2)), key


def test_nothing_is_dropped_in_frozen_parts():
    model = make(stochastic_depth=0.5)
    freeze_stages(model.backbone, 3)
    clips = torch.rand(16, 3, 4, 48, 48)
    once, again = model.train().backbone(clips), model.backbone(clips)
    expected = model.eval().backbone(clips)
    for feature in ("res2", "res3"):
        assert torch.equal(once[feature], again[feature])
        assert torch.equal(once[feature], expected[feature])
    assert not torch.equal(once["res4"], again["res4"])
    rates = [m.rate for m in model.modules() if isinstance(m, StochasticDepth)]
    assert min(rates) == 0.2


def test_names_loading_and_copies_are_as_before():
    model, other = make(), make()
    for value in other.state_dict().values():
        value.add_(1)
    freeze_stages(model.backbone, 2)
    assert list(model.state_dict()) == list(other.state_dict())
    model.load_state_dict(other.state_dict())
    clips = torch.rand(2, 3, 4, 48, 48)
    assert torch.equal(model.eval()(clips), other.eval()(clips))
    copied = copy.deepcopy(model).train()
    assert not any(module.training for module in copied.backbone.res2.modules())
    freeze_stages(copied.backbone, 3)  # more, later
    assert list(copied.state_dict()) == list(other.state_dict())
    assert [p.requires_grad for p in copied.backbone.res3.parameters()].count(True) == 0


def test_the_average_takes_frozen_weights_in_like_others():
    model = make()
    freeze_stages(model.backbone, 2)
    ema = Ema(model, 0.9999)
    train(model, steps=3, ema=ema)
    for name, value in model.state_dict().items():
        if is_frozen(name, 2) and value.is_floating_point():
            # The average starts from zeros and forgets them by 2/11, 3/12 and 4/13; float32 rounding.
            expected = value * (1 - 2 / 11 * 3 / 12 * 4 / 13)
            torch.testing.assert_close(ema.state_dict()[name], expected, rtol=1e-6, atol=1e-7)


def test_processes_exchange_no_statistics_of_frozen_parts():
    model = make().train()
    everything = [b for name, b in model.named_buffers() if not name.endswith("num_batches_tracked")]
    assert [id(b) for b in statistics_of_each_process(model)] == [id(b) for b in everything]
    freeze_stages(model.backbone, 2)
    model.train()
    names = {id(buffer): name for name, buffer in model.named_buffers()}
    moving = [names[id(buffer)] for buffer in statistics_of_each_process(model)]
    expected = [n for n in names.values() if not is_frozen(n, 2) and not n.endswith("num_batches_tracked")]
    assert sorted(moving) == sorted(expected)
    assert moving


def test_a_backbone_alone_has_as_many_parts_as_it_has_stages():
    backbone = create_backbone("r3d_rs_tiny", ("res3",))
    for count in (-1, 4):
        expected = f"{count} parts to freeze; allowed: 0 to 3 (stem, res2, res3)"
        assert refusal(freeze_stages, backbone, count) == expected
    freeze_stages(backbone, 3)
    assert not any(p.requires_grad for p in backbone.parameters())


def test_hooks_on_a_part_stay_with_it():
    backbone = create_backbone("r3d_rs_tiny", width=0.125)
    seen = []
    handles = [backbone.res2.register_forward_hook(lambda *_: seen.append("res2")) for _ in range(2)]
    backbone.stem.register_forward_pre_hook(lambda *_: seen.append("stem"))
    freeze_stages(backbone, 2)
    handles[0].remove()
    backbone(torch.rand(2, 3, 2, 32, 32))
    assert seen == ["stem", "res2"]
    assert not backbone.train().res2.training
