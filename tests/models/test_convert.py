"""Model Garden's checkpoints under our names, against their keys and what they compute (``model_garden``)."""

import numpy as np
import pytest
import torch

from helpers.model_garden import (
    AVERAGE,
    END,
    HEAD,
    MOMENTUM,
    STATISTICS,
    Network,
    checkpoint,
    in_model,
    network_shapes,
    random_variables,
)
from helpers.networks import on_meta, refusal
from video_rs import create_backbone, create_model
from video_rs.models.weights.model_garden import from_model_garden, has_averages, model_garden_names, number_of_classes

SHORT = {"depths": (1, 2, 1, 1), "width": 0.125}
KERNELS = [(1,), (1, 1), (3,), (3,)]
# Name: Model Garden's network, our model of it, and the temporal stride of its pool.
RESNET_3D_KERNELS = [(3, 3, 3), (3, 1, 3, 1), (3, 1, 3, 1, 3, 1), (1, 3, 1)]
NETWORKS = {
    "R3D-RS": ({"kernels": KERNELS}, ("r3d_rs_50", SHORT), 1),
    "default dataclass": (
        {"kernels": KERNELS, "se_ratio": 0.2},
        ("r3d_rs_50", {**SHORT, "se_ratio": 0.2, "stem_pool_temporal_stride": 2}),
        2,
    ),
    "resnet_3d": (
        {"kernels": RESNET_3D_KERNELS, "stem": "v0", "se_ratio": 0},
        ("r3d_50", {"width": 0.125, "temporal_kernels": RESNET_3D_KERNELS, "stem_pool_temporal_stride": 2}),
        2,
    ),
}
NEXT_STEP = (
    "; make the model with the checkpoint's architecture and num_classes (nothing is excepted, the classifier included)"
)


def small_model(num_classes=7, **overrides):
    return create_model("r3d_rs_50", num_classes, **{**SHORT, **overrides}).double().eval()


@pytest.fixture(scope="module")
def variables():
    return random_variables(network_shapes(KERNELS))


@pytest.fixture(scope="module")
def averages():
    return random_variables(network_shapes(KERNELS), seed=1)


def trained_only(averages):
    return {path: value for path, value in averages.items() if not path.endswith(STATISTICS)}


# -- What goes where

# Our name, Model Garden's path, and its axes in our order; every layer and every kind of block once.
PLACES = [
    ("backbone.stem.0.weight", "backbone/layer_with_weights-0/kernel", (4, 3, 0, 1, 2)),
    ("backbone.stem.1.weight", "backbone/layer_with_weights-1/gamma", (0,)),
    ("backbone.stem.1.bias", "backbone/layer_with_weights-1/beta", (0,)),
    ("backbone.stem.1.running_mean", "backbone/layer_with_weights-1/moving_mean", (0,)),
    ("backbone.stem.1.running_var", "backbone/layer_with_weights-1/moving_variance", (0,)),
    ("backbone.stem.6.weight", "backbone/layer_with_weights-4/kernel", (4, 3, 0, 1, 2)),
    ("backbone.stem.7.weight", "backbone/layer_with_weights-5/gamma", (0,)),
    ("backbone.res2.0.shortcut.0.weight", "backbone/layer_with_weights-6/_shortcut_conv/kernel", (4, 3, 0, 1, 2)),
    ("backbone.res2.0.shortcut.1.bias", "backbone/layer_with_weights-6/_norm0/beta", (0,)),
    ("backbone.res2.0.branch.0.weight", "backbone/layer_with_weights-6/_temporal_conv/kernel", (4, 3, 0, 1, 2)),
    ("backbone.res3.0.branch.1.running_mean", "backbone/layer_with_weights-7/_norm1/moving_mean", (0,)),
    ("backbone.res3.1.branch.3.weight", "backbone/layer_with_weights-8/_spatial_conv/kernel", (4, 3, 0, 1, 2)),
    ("backbone.res3.1.branch.4.weight", "backbone/layer_with_weights-8/_norm2/gamma", (0,)),
    ("backbone.res4.0.branch.6.weight", "backbone/layer_with_weights-9/_expand_conv/kernel", (4, 3, 0, 1, 2)),
    ("backbone.res4.0.branch.7.running_var", "backbone/layer_with_weights-9/_norm3/moving_variance", (0,)),
    (
        "backbone.res5.0.gating.gate.weight",
        "backbone/layer_with_weights-10/_self_gating/_transformer_w/kernel",
        (4, 3, 0, 1, 2),
    ),
    ("backbone.res5.0.gating.gate.bias", "backbone/layer_with_weights-10/_self_gating/_transformer_w/bias", (0,)),
    ("backbone.res5.0.se.reduce.bias", "backbone/layer_with_weights-10/_squeeze_excitation/_se_reduce/bias", (0,)),
    ("backbone.res5.0.se.expand.bias", "backbone/layer_with_weights-10/_squeeze_excitation/_se_expand/bias", (0,)),
    ("fc.weight", "model/layer_with_weights-1/kernel", (1, 0)),
    ("fc.bias", "model/layer_with_weights-1/bias", (0,)),
]


@pytest.mark.parametrize("keys_of", [checkpoint, lambda variables: in_model(checkpoint(variables))])
def test_every_variable_lands_under_our_name_in_our_layout(variables, keys_of):
    model = small_model()
    state = from_model_garden(keys_of(variables), model)
    assert list(state) == list(model.state_dict())
    for name, path, axes in PLACES:
        assert np.array_equal(state[name].numpy(), variables[path].transpose(axes)), name
    reduce = variables["backbone/layer_with_weights-10/_squeeze_excitation/_se_reduce/kernel"]  # [1, 1, 256, 64]
    assert np.array_equal(state["backbone.res5.0.se.reduce.weight"].numpy(), reduce[0, 0].T[:, :, None, None, None])
    # Nothing is lost and nothing comes twice: the values are all different.
    ours = torch.cat([value.flatten() for name, value in state.items() if "num_batches" not in name]).sort().values
    theirs = np.sort(np.concatenate([value.ravel() for value in variables.values()]))
    assert np.array_equal(ours.numpy(), theirs)
    assert all(value.is_contiguous() for value in state.values())


@pytest.mark.parametrize("size", [(8, 32, 32), (7, 33, 33), (6, 40, 26)], ids=str)
@pytest.mark.parametrize("network", NETWORKS)
def test_the_converted_model_computes_what_the_variables_say(network, size):
    shapes, (name, overrides), pool_stride = NETWORKS[network]
    variables = random_variables(network_shapes(**shapes))
    model = create_model(name, 7, **overrides).double().eval()
    model.load_state_dict(from_model_garden(checkpoint(variables), model))
    clips = torch.rand(2, 3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected, logits = Network(variables, pool_stride)(clips), model(clips)
    assert (expected[0] - expected[1]).abs().max() > 1e-3 * expected.abs().max()  # or agreement would mean nothing
    # float64 rounding over some dozen layers of unit scale.
    assert (logits - expected).abs().max() < 1e-9


# Variables, blocks' first and last layer, gated layers: counted in checkpoints that Model Garden's own code wrote.
COUNTED = {
    "r3d_rs_50": (349, 6, 21, [8, 12, 18, 21]),
    "r3d_rs_101": (672, 6, 38, [8, 12, 35, 38]),
    "r3d_50": (275, 2, 17, [4, 8, 14, 17]),
}


@pytest.mark.parametrize("name", COUNTED)
def test_networks_of_full_depth_have_model_gardens_layers(name):
    model = on_meta(name)
    names = model_garden_names(model)
    blocks = {int(path.split("-")[1].split("/")[0]) for path in names if "_temporal_conv" in path}
    gated = [int(path.split("-")[1].split("/")[0]) for path in names if path.endswith("_transformer_w/kernel")]
    assert (len(names), min(blocks), max(blocks), gated) == COUNTED[name]
    assert sorted(names.values()) == sorted(n for n in model.state_dict() if not n.endswith("num_batches_tracked"))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_arrays_keep_their_type_and_are_copied_and_counters_stay_the_models(variables, dtype):
    model = small_model()
    model.backbone.stem[1].num_batches_tracked.fill_(3)
    keys = checkpoint({path: value.astype(dtype) for path, value in variables.items()})
    state = from_model_garden(keys, model)
    assert state["fc.weight"].dtype == state["backbone.stem.1.weight"].dtype == torch.tensor(dtype(0)).dtype
    assert state["backbone.stem.1.num_batches_tracked"] == 3
    state["fc.bias"].zero_()
    assert np.array_equal(keys[f"{HEAD}/bias{END}"], variables[f"{HEAD}/bias"].astype(dtype))


def test_a_backbone_takes_a_checkpoint_without_classifier(variables):
    alone = {path: value for path, value in variables.items() if path.startswith("backbone/")}
    backbone = create_backbone("r3d_rs_50", **SHORT).double()
    whole = from_model_garden(checkpoint(variables), small_model())
    state = from_model_garden(checkpoint(alone), backbone)
    backbone.load_state_dict(state)
    assert all(torch.equal(value, whole[f"backbone.{name}"]) for name, value in state.items())


# -- Moving averages


def agree(state, model, *sources):
    """Whether ``state`` holds the values of the first source that has them."""
    merged = {}
    for source in reversed(sources):
        merged |= source
    expected = from_model_garden(checkpoint(merged), model)
    return all(torch.equal(value, expected[name]) for name, value in state.items())


@pytest.mark.parametrize("keys_of", [lambda keys: keys, in_model])
def test_moving_averages_are_taken_where_there_are_any_unless_told_otherwise(variables, averages, keys_of):
    model, keys = small_model(), keys_of(checkpoint(variables, averages))
    assert has_averages(keys)
    assert agree(from_model_garden(keys, model), model, averages)
    assert agree(from_model_garden(keys, model, average=True), model, averages)
    assert agree(from_model_garden(keys, model, average=False), model, variables)
    assert not has_averages(checkpoint(variables))
    assert agree(from_model_garden(checkpoint(variables), model), model, variables)


def test_statistics_that_were_not_averaged_are_taken_as_they_are(variables, averages):
    """EMA with ``trainable_weights_only``, Model Garden's default."""
    model, some = small_model(), trained_only(averages)
    assert 0 < len(some) < len(averages)
    assert agree(from_model_garden(checkpoint(variables, some), model), model, some, variables)


def test_averages_of_some_weights_only_are_refused(variables, averages):
    some = dict(averages)
    del some["backbone/layer_with_weights-5/moving_mean"], some["backbone/layer_with_weights-6/_norm0/gamma"]
    assert refusal(from_model_garden, checkpoint(variables, some), small_model()) == (
        "the checkpoint does not fit the model: 2 without a moving average (backbone/layer_with_weights-5/moving_mean, "
        "backbone/layer_with_weights-6/_norm0/gamma)" + NEXT_STEP
    )


def test_averages_that_are_asked_for_must_be_there(variables):
    message = refusal(from_model_garden, checkpoint(variables), small_model(), average=True)
    weights = len(trained_only(variables))
    assert message == (
        f"the checkpoint does not fit the model: {weights} without a moving average "
        "(backbone/layer_with_weights-0/kernel, backbone/layer_with_weights-1/gamma, "
        "backbone/layer_with_weights-1/beta, "
        f"backbone/layer_with_weights-2/kernel and {weights - 4} more)" + NEXT_STEP
    )


def test_average_is_one_of_three(variables):
    message = refusal(from_model_garden, checkpoint(variables), small_model(), average="yes")
    assert message == "average is 'yes'; allowed: 'auto', True, False"


# -- Refusals


def test_missing_unknown_and_misshapen_variables_are_refused_in_one_line(variables):
    changed = dict(variables)
    del changed["backbone/layer_with_weights-6/_norm0/gamma"]
    changed["backbone/layer_with_weights-6/_norm4/gamma"] = np.ones(3)
    changed["backbone/layer_with_weights-0/kernel"] = np.ones([3, 3, 3, 3, 4])
    changed[f"{HEAD}/bias"] = np.ones(7, np.int64)
    assert refusal(from_model_garden, checkpoint(changed), small_model()) == (
        "the checkpoint does not fit the model: "
        "1 missing (backbone/layer_with_weights-6/_norm0/gamma for backbone.res2.0.shortcut.1.weight); "
        "1 unknown (backbone/layer_with_weights-6/_norm4/gamma/.ATTRIBUTES/VARIABLE_VALUE); "
        "2 of another shape (backbone/layer_with_weights-0/kernel: float64 [3, 3, 3, 3, 4] there, "
        "float [5, 3, 3, 3, 4] here, model/layer_with_weights-1/bias: int64 [7] there, float [7] here)" + NEXT_STEP
    )


def test_another_number_of_classes_is_refused_too(variables):
    assert number_of_classes(checkpoint(variables)) == 7
    assert refusal(from_model_garden, checkpoint(variables), small_model(9)) == (
        "the checkpoint does not fit the model: 2 of another shape (model/layer_with_weights-1/kernel: "
        "float64 [256, 7] there, float [256, 9] here, model/layer_with_weights-1/bias: float64 [7] there, "
        "float [9] here)" + NEXT_STEP
    )


@pytest.mark.parametrize("kind", ["se_ratio", "depths", "stem"])
def test_another_architecture_is_refused(variables, kind):
    other = {"se_ratio": 0.2, "depths": (1, 1, 1, 1), "stem": "plain"}[kind]
    message = refusal(from_model_garden, checkpoint(variables), small_model(**{kind: other}))
    assert message.startswith("the checkpoint does not fit the model: ")


@pytest.mark.parametrize(
    "key",
    [
        "other/thing" + END,
        f"backbone/layer_with_weights-0/kernel{MOMENTUM}_2{END}",
        f"backbone/layer_with_weights-77/kernel{AVERAGE}{END}",
        "backbone/layer_with_weights-0/kernel",
        f"backbone/layer_with_weights-00/kernel{END}",
    ],
)
def test_only_book_keeping_that_is_known_is_left_out(variables, key):
    keys = {**checkpoint(variables, variables), key: np.ones(1)}
    message = refusal(from_model_garden, keys, small_model())
    assert "1 unknown (" in message or "1 there twice (" in message


def test_a_variable_under_both_prefixes_is_refused(variables):
    key = "model/layer_with_weights-0/layer_with_weights-1/beta" + END
    message = refusal(from_model_garden, {**checkpoint(variables), key: np.ones(4)}, small_model())
    assert "1 there twice (backbone/layer_with_weights-1/beta)" in message


def test_a_classifier_is_not_dropped_in_silence(variables):
    message = refusal(from_model_garden, checkpoint(variables), create_backbone("r3d_rs_50", **SHORT))
    assert f"2 unknown ({HEAD}/kernel{END}, {HEAD}/bias{END})" in message
    keys = {key: value for key, value in checkpoint(variables).items() if not key.startswith(HEAD)}
    message = refusal(from_model_garden, keys, small_model())
    assert f"2 missing ({HEAD}/kernel for fc.weight, {HEAD}/bias for fc.bias)" in message
    message = refusal(number_of_classes, keys)
    assert (
        message == "the checkpoint has no classifier: no model/layer_with_weights-1/kernel/.ATTRIBUTES/VARIABLE_VALUE"
    )


@pytest.mark.parametrize(
    ("name", "overrides", "other"),
    [
        ("inflated_rs_50", {}, "stem_pool conv, shortcut avgpool, padding symmetric"),
        ("r3d_rs_50", {"padding": "symmetric"}, "padding symmetric"),
        ("r3d_rs_tiny", {}, "block basic"),
    ],
)
def test_networks_that_compute_something_else_are_refused_even_where_shapes_agree(variables, name, overrides, other):
    assert refusal(from_model_garden, checkpoint(variables), on_meta(name, 7, **overrides)) == (
        f"the model is none of Model Garden's: {other}; allowed: block bottleneck, stem_pool max, shortcut projection, "
        "padding same, as in r3d_rs_50"
    )
