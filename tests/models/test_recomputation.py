"""Activation checkpointing: the same gradients, statistics and random numbers to the bit, by computing blocks twice."""

import copy

import pytest
import torch

from helpers.networks import refusal
from video_rs import create_backbone, create_model
from video_rs.models import freeze_stages
from video_rs.models.fast import speed_up

PARTS = ("stem", "res2", "res3", "res4", "res5")
MODELS = ["r3d_rs_50", "inflated_rs_50", "r3d_rs_tiny"]


def make(name="r3d_rs_50", momentum=0.1):
    """A narrow classifier as training has it, that drops blocks and features."""
    torch.manual_seed(0)
    rates = {"stochastic_depth": 0.5, "dropout": 0.5, "norm_momentum": momentum}
    model = create_model(name, 3, depths=(1, 2, 1, 1), width=0.125, initialization="model_garden", **rates)
    return speed_up(model).train()


def clips(seed=0, size=40):
    return torch.rand(3, 3, 4, size, size, generator=torch.Generator().manual_seed(seed))


def step(model, passes=1):
    """Loss of some forward passes, each on other clips, before one backward pass; where the random numbers are then."""
    torch.manual_seed(1)
    loss = sum(model(clips(seed)).square().sum() for seed in range(passes))
    loss.backward()
    return loss.detach(), torch.get_rng_state()


def assert_same_step(model, parts, passes=1):
    other = copy.deepcopy(model)
    other.backbone.checkpoint_activations(parts)
    for kept, again in zip(step(model, passes), step(other, passes), strict=True):
        assert torch.equal(kept, again)
    gradients = [{name: p.grad for name, p in m.named_parameters()} for m in (model, other)]
    assert any(g is not None and g.any() for g in gradients[0].values())
    for name, expected in gradients[0].items():
        given = gradients[1][name]
        assert (given is None) == (expected is None), name
        assert expected is None or torch.equal(given, expected), name
    for name, expected in model.state_dict().items():
        assert torch.equal(other.state_dict()[name], expected), name
    counts = {name: n for name, n in other.named_buffers() if name.endswith("num_batches_tracked")}
    frozen = {name for name, m in other.named_modules() if not m.training}
    assert counts
    assert all(n == (0 if name.rpartition(".")[0] in frozen else passes) for name, n in counts.items())


@pytest.mark.parametrize("momentum", [1.0, 0.1])
@pytest.mark.parametrize("parts", [PARTS, ("stem",), ("res3", "res5")], ids=",".join)
@pytest.mark.parametrize("name", MODELS)
def test_gradients_statistics_and_random_numbers_are_the_same(name, parts, momentum):
    assert_same_step(make(name, momentum), parts)


@pytest.mark.parametrize("count", [1, 3, 4])
@pytest.mark.parametrize("parts", [PARTS, ("res3",)], ids=",".join)
def test_frozen_parts_stay_frozen(parts, count):
    model = make()
    freeze_stages(model.backbone, count)
    assert_same_step(model.train(), parts)


@pytest.mark.parametrize("name", MODELS)
def test_several_forward_passes_before_one_backward_pass(name):
    """As in gradient accumulation over views: the first pass is recomputed after the second has moved statistics."""
    assert_same_step(make(name), PARTS, passes=2)


def test_a_second_step_goes_on_from_the_first():
    model = make()
    other = copy.deepcopy(model)
    other.backbone.checkpoint_activations()
    for each in (model, other):
        optimizer = torch.optim.SGD(each.parameters(), lr=0.1)
        for _ in range(2):
            step(each)
            optimizer.step()
    for name, value in model.state_dict().items():
        assert torch.equal(other.state_dict()[name], value), name
    assert {m.momentum for m in other.modules() if hasattr(m, "momentum")} == {0.1}


def counted(model):
    """``{block: [calls of its branch's first layer]}``; a checkpointed block is called twice a step."""
    calls = {}
    backbone = model.backbone
    blocks = {f"{part}.{i}": block for part in PARTS[1:] for i, block in enumerate(getattr(backbone, part))}
    layers = {"stem": backbone.stem[0], **{name: block.branch[0] for name, block in blocks.items()}}
    for name, layer in layers.items():
        calls[name] = 0

        def count(module, inputs, name=name):
            calls[name] += 1

        layer.register_forward_pre_hook(count)
    return calls


@pytest.mark.parametrize("parts", [(), ("stem",), ("res2", "res3"), PARTS], ids=str)
def test_blocks_of_these_parts_and_no_others_are_computed_twice(parts):
    model = make()
    calls = counted(model)
    model.backbone.checkpoint_activations(parts)
    step(model)
    assert calls == {name: 1 + (name.split(".")[0] in parts) for name in calls}
    with torch.no_grad():
        model(clips())
    assert calls == {name: 2 + (name.split(".")[0] in parts) for name in calls}


def test_nothing_switches_it_off():
    model = make()
    calls = counted(model)
    model.backbone.checkpoint_activations()
    assert model.backbone.checkpointed == PARTS
    model.backbone.checkpoint_activations(())
    step(model)
    assert set(calls.values()) == {1}


def saved_bytes(model):
    """Bytes that the backward pass keeps, each storage once, weights left out."""
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    storages = {}

    def keep(x):
        storage = x.untyped_storage()
        if storage.data_ptr() not in own:
            storages[storage.data_ptr()] = storage
        return x

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        loss = model(clips()).sum()
    assert loss.requires_grad
    return sum(storage.nbytes() for storage in storages.values())


def test_less_is_kept_for_the_backward_pass():
    model = make()
    everything = saved_bytes(model)
    model.backbone.checkpoint_activations(("stem",))
    without_stem = saved_bytes(model)
    model.backbone.checkpoint_activations()
    assert saved_bytes(model) < 0.25 * everything
    assert saved_bytes(model) < without_stem < everything


def test_evaluation_with_gradients():
    model = make().eval()
    other = copy.deepcopy(model)
    other.backbone.checkpoint_activations()
    for each in (model, other):
        step(each)
    for (name, p), q in zip(model.named_parameters(), other.parameters(), strict=True):
        assert torch.equal(p.grad, q.grad), name


def test_under_autocast_too():
    model = make()
    other = copy.deepcopy(model)
    other.backbone.checkpoint_activations()
    for each in (model, other):
        with torch.autocast("cpu", torch.bfloat16):
            torch.manual_seed(1)
            loss = each(clips()).square().sum()
        loss.backward()
    for (name, p), q in zip(model.named_parameters(), other.parameters(), strict=True):
        assert torch.equal(p.grad, q.grad), name


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")
def test_compilers_exporters_and_tracers_see_a_network_without_it():
    model = create_model("r3d_rs_tiny", 3, width=0.125, stochastic_depth=0.0, dropout=0.0)
    model.backbone.checkpoint_activations()
    torch.compile(model.train(), backend="aot_eager", fullgraph=True)(clips()).sum().backward()
    expected = model.eval()(clips())
    exported = torch.export.export(model, (clips(),)).module()
    traced = torch.jit.trace(model, clips())
    for other in (exported, traced):
        # The same float32 sums in another order.
        torch.testing.assert_close(other(clips()), expected, rtol=0, atol=1e-6)


def test_an_unknown_part_is_refused():
    backbone = create_backbone("r3d_rs_tiny", ("res3",))
    expected = "cannot checkpoint res4, pool; allowed: stem, res2, res3"
    assert refusal(backbone.checkpoint_activations, ("res4", "stem", "pool")) == expected
    for parts, example in ((7, ["res4", "res5"]), ("res3", ["res3"]), ([3], ["res4", "res5"])):
        assert refusal(backbone.checkpoint_activations, parts) == (
            f"parts is {parts!r}; allowed: a list of names among stem, res2, res3, res4, res5, for example {example}"
        )
    assert backbone.checkpointed == ()
    backbone.checkpoint_activations(["res3"])
    assert backbone.checkpointed == ("res3",)


def test_batch_norms_without_statistics():
    model = make()
    for norm in [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm3d)]:
        norm.track_running_stats = False
        norm.running_mean = norm.running_var = norm.num_batches_tracked = None
    other = copy.deepcopy(model)
    other.backbone.checkpoint_activations()
    for each in (model, other):
        step(each)
    for (name, p), q in zip(model.named_parameters(), other.named_parameters(), strict=True):
        assert torch.equal(p.grad, q[1].grad), name
