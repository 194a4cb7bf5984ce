"""The running average against a float64 loop."""

import copy

import pytest
import torch
from torch import nn

from video_rs.engine.average import Ema


def small_model():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return model


def move(model, generator):
    """Other weights, other statistics, and one more batch seen."""
    with torch.no_grad():
        for value in model.state_dict().values():
            if value.is_floating_point():
                value.add_(torch.randn(value.shape, generator=generator))
            else:
                value.add_(1)


def test_first_decays_are_two_elevenths_and_three_twelfths():
    model = nn.Linear(1, 1, bias=False)
    ema = Ema(model, 0.9999)
    assert ema.state_dict()["weight"].item() == 0  # starts from zeros
    nn.init.constant_(model.weight, 11.0)
    ema.update(model, 1)
    assert ema.state_dict()["weight"].item() == pytest.approx(11 * 9 / 11, rel=1e-6)
    nn.init.constant_(model.weight, 1.0)
    ema.update(model, 2)
    assert ema.state_dict()["weight"].item() == pytest.approx(9 * 3 / 12 + 1 * 9 / 12, rel=1e-6)
    ema.update(model, 3)
    assert ema.state_dict()["weight"].item() == pytest.approx(3 * 4 / 13 + 9 / 13, rel=1e-6)


@pytest.mark.parametrize("decay", [0.9999, 0.5])
def test_against_a_float64_loop(decay):
    model, generator = small_model(), torch.Generator().manual_seed(1)
    ema = Ema(model, decay)
    expected = {name: torch.zeros_like(v, dtype=torch.float64) for name, v in model.state_dict().items()}
    for t in range(1, 41):
        move(model, generator)
        ema.update(model, t)
        d = min(decay, (1 + t) / (10 + t))  # reaches 0.5 at t = 8
        for name, value in model.state_dict().items():
            expected[name] = d * expected[name] + (1 - d) * value.double()
    assert "1.running_mean" in expected
    assert "1.running_var" in expected
    for name, value in ema.state_dict().items():
        if name == "1.num_batches_tracked":
            assert value.item() == model[1].num_batches_tracked.item() == 40
        else:
            # Forty float32 roundings of values of size 10.
            torch.testing.assert_close(value.double(), expected[name], rtol=1e-5, atol=1e-5)


def test_the_decay_is_capped():
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 1.0)
    ema = Ema(model, 0.25)
    ema.update(model, 10**6)
    assert ema.state_dict()["weight"].item() == 0.75


def test_the_average_loads_into_a_model_and_leaves_the_trained_one_alone():
    model, generator = small_model(), torch.Generator().manual_seed(2)
    ema = Ema(model, 0.9)
    move(model, generator)
    before = copy.deepcopy(model.state_dict())
    ema.update(model, 1)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    averaged = small_model()
    averaged.load_state_dict(ema.state_dict())  # strict
    assert torch.equal(averaged[1].running_var, ema.state_dict()["1.running_var"])


def test_a_saved_average_continues_bit_for_bit():
    model, generator = small_model(), torch.Generator().manual_seed(3)
    ema = Ema(model, 0.99)
    move(model, generator)
    ema.update(model, 1)
    resumed = Ema(small_model(), 0.99)
    resumed.load_state_dict(copy.deepcopy(ema.state_dict()))
    move(model, generator)
    for average in (ema, resumed):
        average.update(model, 2)
    assert all(torch.equal(value, resumed.state_dict()[name]) for name, value in ema.state_dict().items())


def test_loading_copies_so_that_the_saved_state_stays():
    model, generator = small_model(), torch.Generator().manual_seed(4)
    saved = {name: torch.full_like(value, 3) for name, value in model.state_dict().items()}
    ema = Ema(model, 0.99)
    ema.load_state_dict(saved)
    move(model, generator)
    ema.update(model, 1)
    assert all((value == 3).all() for value in saved.values())
