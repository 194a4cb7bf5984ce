"""Steps on trial: what they find, by a clock of the test, and that they leave no trace."""

import copy

import pytest
import torch
from torch import nn

from helpers.training import CLASSES, assert_same, make_batch, make_step, norm_network
from video_rs import create_model
from video_rs.engine.trial import FEWEST_ROUNDS, MOST_ROUNDS, StepSeconds, time_precisions
from video_rs.models.fast import speed_up
from video_rs.models.resnet3d import FEATURES

SHAPE = (3, 4, 32, 32)


def real_network():
    """With excitation, gating, stochastic depth, dropout, and parts that are computed again."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        kinds = {"width": 0.125, "stochastic_depth": 0.2, "dropout": 0.2}
        model = speed_up(create_model("r3d_rs_tiny", num_classes=CLASSES, **kinds))
    model.backbone.checkpoint_activations(FEATURES)
    return model


@pytest.mark.parametrize("network", [norm_network, real_network])
def test_a_trial_changes_nothing(network):
    tried, untouched = make_step(network()), make_step(network())
    before = torch.get_rng_state()
    found = time_precisions(tried, make_batch(9, 2, shape=SHAPE).clips)
    assert min(found) > 0
    assert torch.equal(torch.get_rng_state(), before)
    assert tried.optimizer.state_dict() == untouched.optimizer.state_dict()
    assert all(parameter.grad is None for parameter in tried.model.parameters())
    assert tried.precision == torch.float32

    for number in range(2):
        for one in (tried, untouched):
            one.model.train()
            one([make_batch(number, 4, shape=SHAPE)])
    assert_same(tried.model.state_dict(), untouched.model.state_dict())
    assert_same(tried.average.state_dict(), untouched.average.state_dict())
    momenta = [copy.deepcopy(one.optimizer.state_dict()["state"]) for one in (tried, untouched)]
    assert momenta[0].keys() == momenta[1].keys()
    for index, kept in momenta[0].items():
        assert torch.equal(kept["momentum_buffer"], momenta[1][index]["momentum_buffer"])


class Timed(nn.Module):
    """A network whose forward pass takes the seconds that ``take`` says of its dtype."""

    def __init__(self, take):
        super().__init__()
        self.inner = norm_network()
        self.take = take

    def forward(self, clips):
        logits = self.inner(clips)
        self.take(logits.dtype)
        return logits


def tried_with(seconds):
    """What a trial finds, and the dtypes of its passes; ``seconds`` are those of each dtype, pass after pass."""
    now = [0.0]
    passes = []

    def take(dtype):
        now[0] += seconds[dtype](passes.count(dtype))
        passes.append(dtype)

    clips = make_batch(9, 2).clips
    found = time_precisions(make_step(Timed(take)), clips, clock=lambda: now[0])
    return found, passes


def test_seconds_are_medians_of_turns_after_a_warm_up():
    found, passes = tried_with(
        {
            torch.float32: lambda number: [90, 0.5, 0.3, 0.4, 7, 0.4, 0.2, 0.3][number],
            torch.bfloat16: lambda number: [0.001, 0.1, 0.2, 0.3, 0.1, 0.2, 5, 0.3][number],
        }
    )
    # The first round took so long that few are left.
    assert passes == [torch.float32, torch.bfloat16] * (1 + FEWEST_ROUNDS)
    assert found == pytest.approx((0.4, 0.2))


def test_quick_steps_are_tried_more_often():
    seconds = {torch.float32: lambda number: number / 100, torch.bfloat16: lambda number: number / 200}
    found, passes = tried_with(seconds)
    assert passes == [torch.float32, torch.bfloat16] * (1 + MOST_ROUNDS)
    assert found == pytest.approx((0.04, 0.02))


def test_what_a_step_computes_beside_counts_in_the_same_precision():
    asked = []

    def teacher(clips):
        asked.append((clips, torch.is_autocast_enabled("cpu")))

    time_precisions(make_step(norm_network()), make_batch(9, 2).clips, teacher)
    assert asked[:4] == [(2, False), (2, True)] * 2


@pytest.mark.parametrize(("seconds", "is_faster"), [((1.1, 1), True), ((1.09, 1), False), ((1, 2), False)])
def test_bfloat16_has_to_be_a_tenth_faster(seconds, is_faster):
    assert StepSeconds(*seconds).is_bfloat16_faster is is_faster
