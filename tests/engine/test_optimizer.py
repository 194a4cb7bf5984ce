"""Schedule at literal steps; optimizers against updates written by hand in NumPy."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

import video_rs
from video_rs.engine.optimizer import adamw, parameter_groups, set_learning_rate, sgd
from video_rs.engine.schedule import Schedule

# Model Garden's run: 0.8, 73,682 steps, 1,050 of warm-up.
PUBLISHED = Schedule(0.8, 73682, 1050)


@pytest.mark.parametrize(
    ("step", "rate"),
    [
        (0, 0.0),
        (1, 0.7995992136 / 1050),
        (525, 0.7995992136 / 2),
        (1050, 0.7995992136),  # 0.4 * (1 + cos(pi * 1050 / 73682)): the cosine is not offset
        (36841, 0.4),  # half of all steps
        (73681, 0.4 * (math.pi / 73682) ** 2 / 2),  # 1 + cos(pi - x) = x^2 / 2 for a small x
        (73682, 0.0),
    ],
)
def test_published_schedule(step, rate):
    # The series for the last step is good to x^2 / 12 = 2e-10 of it; cancellation there costs 1e-16 / 1e-9.
    assert PUBLISHED(step) == pytest.approx(rate, rel=1e-6, abs=1e-16)


def test_schedule_rises_without_a_jump_then_falls():
    rates = [PUBLISHED(step) for step in range(73682)]
    assert max(rates) == rates[1050]
    changes = [after - before for before, after in itertools.pairwise(rates)]
    assert all(change > 0 for change in changes[:1050])
    assert all(change < 0 for change in changes[1050:])
    # The largest step is one of the warm-up: 0.8 / 1050.
    assert max(map(abs, changes)) < 0.8 / 1050


def test_schedule_without_warm_up_is_the_cosine():
    rates = [Schedule(2.0, 4)(step) for step in range(5)]
    half = math.sqrt(0.5)
    assert rates == pytest.approx([2.0, 1 + half, 1.0, 1 - half, 0.0], abs=1e-12)


def test_parameter_groups_decay_kernels_only():
    model = video_rs.create_model("r3d_rs_tiny", num_classes=4)
    # Kernels of convolutions (squeeze-and-excitation too) and of the last layer, found by module type.
    decayed = {f"{name}.weight" for name, module in model.named_modules() if isinstance(module, nn.Conv3d | nn.Linear)}
    groups = parameter_groups(model, model.weight_decay_names(), 4e-5)
    assert [group["weight_decay"] for group in groups] == [4e-5, 0.0]
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    first, second = ([names[id(p)] for p in group["params"]] for group in groups)
    assert set(first) == decayed
    assert set(second) == set(names.values()) - decayed
    assert len(first) + len(second) == len(names)


def test_parameter_groups_leave_frozen_parameters_out():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[0].requires_grad_(False)
    decayed, rest = parameter_groups(model, {"0.weight", "1.weight"}, 0.1)
    assert [id(p) for p in decayed["params"]] == [id(model[1].weight)]
    assert [id(p) for p in rest["params"]] == [id(model[1].bias)]


@pytest.mark.parametrize("layer_decay", [0.5, 0.0])
@pytest.mark.parametrize(("name", "stem"), [("r3d_rs_tiny", {"stem"}), ("inflated_rs_50", {"stem", "stem_pool"})])
def test_parameter_groups_by_part_have_rates_of_their_own(name, stem, layer_decay):
    """Every parameter once, in a group of its part's rate and its own decay; as many groups for any decay."""
    model = video_rs.create_model(name, num_classes=4, width=0.125)
    depths = model.layer_depths()
    named = dict(model.named_parameters())
    assert list(depths) == list(named)
    parts = [name.removeprefix("backbone.").split(".")[0] for name in named]
    found = {depth: {part for part, d in zip(parts, depths.values(), strict=True) if d == depth} for depth in range(6)}
    assert found == {0: {"fc"}, 1: {"res5"}, 2: {"res4"}, 3: {"res3"}, 4: {"res2"}, 5: stem}

    groups = parameter_groups(model, model.weight_decay_names(), 4e-5, depths, layer_decay)
    assert len(groups) == 12
    optimizer = sgd(groups, 0.9, True)
    set_learning_rate(optimizer, 0.8)
    found = {id(p): (g["lr"], g["weight_decay"]) for g in optimizer.param_groups for p in g["params"]}
    assert len(found) == sum(len(group["params"]) for group in groups) == len(named)
    for name, parameter in named.items():
        decay = 4e-5 if name in model.weight_decay_names() else 0.0
        assert found[id(parameter)] == (0.8 * layer_decay ** depths[name], decay), name


def two_parameters():
    """Decayed and undecayed, float64 so that the comparison is about the formula."""
    model = nn.Linear(3, 2).double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return model


RATES = [0.0, 0.1, 0.3, 0.2]


def steps(model, optimizer):
    """Runs seeded gradients through ``optimizer`` at RATES; yields the gradients used."""
    generator = torch.Generator().manual_seed(2)
    for rate in RATES:
        for parameter in model.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        gradients = [parameter.grad.numpy().copy() for parameter in model.parameters()]
        set_learning_rate(optimizer, rate)
        optimizer.step()
        yield rate, gradients


@pytest.mark.parametrize(("momentum", "nesterov"), [(0.9, True), (0.9, False), (0.0, True), (0.0, False)])
def test_sgd_against_numpy(momentum, nesterov):
    """At changing rates: the momentum holds each gradient times the rate of its own step, as Keras' does."""
    model = two_parameters()
    weights = [p.detach().numpy().copy() for p in model.parameters()]
    velocity, decay = [0.0, 0.0], [0.05, 0.0]
    for rate, gradients in steps(model, sgd(parameter_groups(model, {"weight"}, 0.05), momentum, nesterov)):
        for i, gradient in enumerate(gradients):
            g = gradient + decay[i] * weights[i]  # the gradient of decay / 2 * |w|^2
            velocity[i] = momentum * velocity[i] + rate * g
            weights[i] = weights[i] - (rate * g + momentum * velocity[i] if nesterov else velocity[i])
    for ours, expected in zip(model.parameters(), weights, strict=True):
        np.testing.assert_allclose(ours.detach().numpy(), expected, rtol=1e-12)  # float64 rounding


@pytest.mark.parametrize("nesterov", [True, False])
def test_at_one_rate_sgd_is_pytorchs_own(nesterov):
    ours, theirs = two_parameters(), two_parameters()
    optimizer = sgd([{"params": list(ours.parameters()), "weight_decay": 0.05}], 0.9, nesterov)
    reference = torch.optim.SGD(theirs.parameters(), lr=0.3, momentum=0.9, nesterov=nesterov, weight_decay=0.05)
    generator = torch.Generator().manual_seed(3)
    for _ in range(4):
        for weight, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            other.grad = torch.randn(other.shape, generator=generator, dtype=torch.float64)
            weight.grad = other.grad.clone()
        set_learning_rate(optimizer, 0.3)
        optimizer.step()
        reference.step()
    for weight, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(weight, other, rtol=1e-12, atol=1e-13)  # float64 rounding


def test_sgd_leaves_weights_without_a_gradient_alone():
    model = two_parameters()
    before = [weight.detach().clone() for weight in model.parameters()]
    optimizer = sgd(parameter_groups(model, {"weight"}, 0.05), 0.9, True)
    set_learning_rate(optimizer, 0.1)
    model.bias.grad = torch.ones_like(model.bias)
    optimizer.step()
    assert torch.equal(model.weight, before[0])
    torch.testing.assert_close(model.bias, before[1] - 0.19, rtol=1e-12, atol=0)  # 0.1 * 1 + 0.9 * 0.1 * 1
    assert list(optimizer.state) == [model.bias]


def test_sgd_takes_no_step_where_the_scaler_found_an_overflow():
    model = two_parameters().float()
    before = [weight.detach().clone() for weight in model.parameters()]
    optimizer = sgd(parameter_groups(model, {"weight"}, 0.05), 0.9, True)
    set_learning_rate(optimizer, 0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0)
    for value, moves in [(torch.inf, False), (1.0, True)]:
        scaler.scale(model.weight.sum() * value + model.bias.sum()).backward()
        scaler.unscale_(optimizer)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad(set_to_none=True)
        assert [not torch.equal(a, b) for a, b in zip(model.parameters(), before, strict=True)] == [moves, moves]
    torch.testing.assert_close(model.bias, before[1] - 0.19)  # nothing of the overflow is in the momentum


def test_adamw_against_numpy():
    model = two_parameters()
    weights = [p.detach().numpy().copy() for p in model.parameters()]
    first, second, decay = [0.0, 0.0], [0.0, 0.0], [0.05, 0.0]
    optimizer = adamw(parameter_groups(model, {"weight"}, 0.05), [0.8, 0.95])
    for t, (rate, gradients) in enumerate(steps(model, optimizer), 1):
        for i, g in enumerate(gradients):
            weights[i] = weights[i] * (1 - rate * decay[i])
            first[i] = 0.8 * first[i] + 0.2 * g
            second[i] = 0.95 * second[i] + 0.05 * g**2
            denominator = np.sqrt(second[i] / (1 - 0.95**t)) + 1e-8
            weights[i] = weights[i] - rate * first[i] / (1 - 0.8**t) / denominator
    for ours, expected in zip(model.parameters(), weights, strict=True):
        np.testing.assert_allclose(ours.detach().numpy(), expected, rtol=1e-12)  # float64 rounding
