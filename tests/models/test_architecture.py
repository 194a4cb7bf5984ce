"""The zoo, and what each field of an architecture does or refuses."""

import dataclasses
import math

import numpy as np
import pytest
from torch import nn

from helpers.networks import NARROW, refusal
from video_rs import create_backbone, create_model, list_models
from video_rs.models import Architecture, architecture
from video_rs.models.layers import AveragePool3d, SelfGating, SqueezeExcitation, StochasticDepth
from video_rs.models.resnet3d import Block

# -- The zoo


def test_list_models_names_the_families_and_the_small_members():
    published = [f"r3d_rs_{d}" for d in (50, 101, 152, 200, 270, 300, 350)]
    inflated = [f"inflated_rs_{d}" for d in (50, 101, 152, 200, 270, 350, 420)]
    of_pytorchvideo = ["slow_r50", "c2d_r50", "i3d_r50"]
    assert list_models() == [*published, *inflated, "r3d_50", *of_pytorchvideo, "r3d_rs_tiny", "r3d_rs_small"]
    assert list_models("inflated*") == inflated
    assert list_models("resnet*") == []


@pytest.mark.parametrize("name", list_models())
def test_published_depths(name):
    depths = {
        "50": (3, 4, 6, 3),
        "101": (3, 4, 23, 3),
        "152": (3, 8, 36, 3),
        "200": (3, 24, 36, 3),
        "270": (4, 29, 53, 4),
        "300": (4, 36, 54, 4),
        "350": (4, 36, 72, 4),
        "420": (4, 44, 87, 4),
        "tiny": (1, 1, 1, 1),
        "small": (2, 2, 2, 2),
    }
    assert architecture(name).depths == depths[name.split("_")[-1].removeprefix("r")]


def test_the_published_architecture_in_full():
    assert dataclasses.asdict(architecture("r3d_rs_101")) == {
        "depths": (3, 4, 23, 3),
        "block": "bottleneck",
        "width": 1.0,
        "in_channels": 3,
        "stem": "deep",
        "stem_temporal_kernel": 5,
        "stem_temporal_stride": 2,
        "stem_pool": "max",
        "stem_pool_temporal_stride": 1,
        "res2_pool_temporal_stride": 1,
        "temporal_kernels": (1, 1, 3, 3),
        "temporal_strides": (1, 1, 1, 1),
        "res5_dilation": 1,
        "shortcut": "projection",
        "se_ratio": 0.25,
        "self_gating": True,
        "stochastic_depth": 0.1,
        "stochastic_depth_rule": "stage",
        "dropout": 0.5,
        "padding": "same",
        "norm_eps": 1e-5,
        "norm_momentum": 1.0,
        "initialization": "model_garden",
    }


def test_the_inflated_architecture_where_it_differs():
    published, inflated = (dataclasses.asdict(architecture(f"{family}_200")) for family in ("r3d_rs", "inflated_rs"))
    assert {key: value for key, value in inflated.items() if value != published[key]} == {
        "stem_pool": "conv",
        "shortcut": "avgpool",
        "self_gating": False,
        "stochastic_depth_rule": "block",
        "dropout": 0.25,
        "padding": "symmetric",
        "norm_momentum": 0.1,
        "initialization": "tpu",
    }
    rates = {name: architecture(name).stochastic_depth for name in list_models("inflated*")}
    assert [rates[f"inflated_rs_{d}"] for d in (50, 101, 152, 200, 270, 350, 420)] == [0, 0, 0, 0.1, 0.1, 0.1, 0.1]


def test_unknown_model_names_the_nearest_or_all():
    assert refusal(create_model, "r3d_rs50") == "unknown model 'r3d_rs50'; did you mean 'r3d_rs_50'?"
    allowed = ", ".join(list_models())
    assert refusal(create_backbone, "slowfast") == f"unknown model 'slowfast'; allowed: {allowed}"


def test_unknown_override_names_the_nearest_or_all():
    expected = "unknown architecture override 'stem_pools'; did you mean 'stem_pool'?"
    assert refusal(create_model, "r3d_rs_tiny", 2, stem_pools="max") == expected
    allowed = ", ".join(field.name for field in dataclasses.fields(Architecture))
    expected = f"unknown architecture override 'zzz'; allowed: {allowed}"
    assert refusal(create_backbone, "r3d_rs_tiny", zzz=1) == expected


# -- Overrides: each field, and what it changes


def convolution(model, name):
    layer = model.backbone.get_submodule(name)
    return layer.kernel_size, layer.stride


def norms(model):
    return [m for m in model.modules() if isinstance(m, nn.BatchNorm3d)]


def count(model, kind):
    return sum(isinstance(m, kind) for m in model.modules())


EFFECTS = {
    "depths": ((2, 1, 3, 1), lambda m: [len(getattr(m.backbone, f"res{i}")) for i in (2, 3, 4, 5)], [2, 1, 3, 1]),
    "block": ("basic", lambda m: m.num_features, 64),
    "width": (0.25, lambda m: m.num_features, 512),
    "in_channels": (2, lambda m: m.backbone.stem[0].weight.shape[1], 2),
    "stem": ("plain", lambda m: convolution(m, "stem.0"), ((5, 7, 7), (2, 2, 2))),
    "stem_temporal_kernel": (3, lambda m: convolution(m, "stem.0"), ((3, 3, 3), (2, 2, 2))),
    "stem_temporal_stride": (1, lambda m: convolution(m, "stem.0"), ((5, 3, 3), (1, 2, 2))),
    "stem_pool": ("conv", lambda m: convolution(m, "stem_pool.0"), ((1, 3, 3), (1, 2, 2))),
    "stem_pool_temporal_stride": (2, lambda m: convolution(m, "stem_pool"), ((3, 3, 3), (2, 2, 2))),
    "res2_pool_temporal_stride": (3, lambda m: convolution(m, "res2.1"), ((3, 1, 1), (3, 1, 1))),
    "temporal_kernels": (
        (1, (5, 3), 1, 3),
        lambda m: [b.branch[0].kernel_size[0] for b in m.modules() if isinstance(b, Block)],
        [1, 5, 3, 1, 3],
    ),
    "temporal_strides": (
        (1, 2, 1, 3),
        lambda m: [b.branch[0].stride[0] for b in m.modules() if isinstance(b, Block)],
        [1, 2, 1, 1, 3],
    ),
    "res5_dilation": (2, lambda m: m.backbone.res5[0].branch[3].dilation, (1, 2, 2)),
    "shortcut": ("avgpool", lambda m: count(m, AveragePool3d), 3),
    "se_ratio": (0, lambda m: count(m, SqueezeExcitation), 0),
    "self_gating": (False, lambda m: count(m, SelfGating), 0),
    "stochastic_depth": (
        0.5,
        lambda m: [round(d.rate, 9) for d in m.modules() if isinstance(d, StochasticDepth)],
        [0.2, 0.3, 0.3, 0.4, 0.5],
    ),
    "stochastic_depth_rule": (
        "block",
        lambda m: [round(d.rate, 9) for d in m.modules() if isinstance(d, StochasticDepth)],
        [0, 0.025, 0.05, 0.075, 0.1],
    ),
    "dropout": (0.125, lambda m: m.dropout.p, 0.125),
    "padding": ("symmetric", lambda m: m.backbone.stem[0].padding, (2, 1, 1)),
    "norm_eps": (1e-3, lambda m: {n.eps for n in norms(m)}, {1e-3}),
    "norm_momentum": (0.25, lambda m: {n.momentum for n in norms(m)}, {0.25}),
    "initialization": ("tpu", lambda m: [b.branch[-1].weight.abs().max().item() for b in m.backbone.res3], [0, 0]),
}


def test_every_field_of_the_architecture_has_an_effect_below():
    assert list(EFFECTS) == [field.name for field in dataclasses.fields(Architecture)]


@pytest.mark.parametrize("field", EFFECTS)
def test_override_has_its_effect(field):
    value, measure, expected = EFFECTS[field]
    base = create_model("r3d_rs_50", 2, **NARROW)
    overrides = {**NARROW, field: value}
    try:
        before = measure(base)
    except AttributeError:  # the layer is there with the override only
        before = None
    assert before != expected
    assert measure(create_model("r3d_rs_50", 2, **overrides)) == expected


def test_overrides_take_lists_and_whole_numbers_for_fractions():
    given = architecture("r3d_rs_50", depths=[1, 2, 1, 1], temporal_kernels=[1, [3, 1], 3, 3], se_ratio=0, width=2)
    assert given.depths == (1, 2, 1, 1)
    assert given.temporal_kernels == (1, (3, 1), 3, 3)
    assert (type(given.se_ratio), type(given.width)) == (float, float)
    assert given.kernels_of_stages() == [(1,), (3, 1), (3,), (3,)]


def test_an_architecture_survives_plain_data():
    arch = architecture("r3d_rs_50", temporal_kernels=((3, 3, 3), (3, 1, 3, 1), (3, 1, 3, 1, 3, 1), (1, 3, 1)))
    data = dataclasses.asdict(arch)
    as_lists = {key: list(value) if isinstance(value, tuple) else value for key, value in data.items()}
    assert Architecture(**as_lists) == arch


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"block": "wide"}, "'block' is 'wide'; allowed: one of bottleneck, basic"),
        ({"stem": "d"}, "'stem' is 'd'; allowed: one of deep, plain"),
        ({"stem_pool": "avg"}, "'stem_pool' is 'avg'; allowed: one of max, conv, none"),
        ({"shortcut": "max"}, "'shortcut' is 'max'; allowed: one of projection, avgpool"),
        ({"padding": "valid"}, "'padding' is 'valid'; allowed: one of same, symmetric"),
        ({"stochastic_depth_rule": "x"}, "'stochastic_depth_rule' is 'x'; allowed: one of stage, block"),
        ({"initialization": "he"}, "'initialization' is 'he'; allowed: one of model_garden, tpu"),
        ({"depths": (1, 1, 1)}, "'depths' is (1, 1, 1); allowed: one entry for each of 4 stages"),
        (
            {"temporal_kernels": (3,) * 5},
            "'temporal_kernels' is (3, 3, 3, 3, 3); allowed: one entry for each of 4 stages",
        ),
        ({"temporal_strides": ()}, "'temporal_strides' is (); allowed: one entry for each of 4 stages"),
        ({"depths": (1, 0, 1, 1)}, "'depths' is (1, 0, 1, 1); allowed: at least 1"),
        ({"depths": ((1,), 1, 1, 1)}, "'depths' is ((1,), 1, 1, 1); allowed: a list of whole numbers"),
        ({"depths": (1, 1.5, 1, 1)}, "'depths' is (1, 1.5, 1, 1); allowed: a list of whole numbers"),
        ({"depths": (True, 1, 1, 1)}, "'depths' is (True, 1, 1, 1); allowed: a list of whole numbers"),
        ({"depths": 3}, "'depths' is 3; allowed: a list"),
        ({"in_channels": 0}, "'in_channels' is 0; allowed: at least 1"),
        ({"in_channels": 3.0}, "'in_channels' is 3.0; allowed: one value of type int"),
        ({"stem_temporal_stride": 0}, "'stem_temporal_stride' is 0; allowed: at least 1"),
        ({"stem_pool_temporal_stride": 0}, "'stem_pool_temporal_stride' is 0; allowed: at least 1"),
        ({"res2_pool_temporal_stride": 0}, "'res2_pool_temporal_stride' is 0; allowed: at least 1"),
        ({"temporal_strides": (1, 1, 0, 1)}, "'temporal_strides' is (1, 1, 0, 1); allowed: at least 1"),
        ({"stem_temporal_kernel": 4}, "'stem_temporal_kernel' is 4; allowed: odd and at least 1"),
        ({"temporal_kernels": (1, 2, 1, 1)}, "'temporal_kernels' is (1, 2, 1, 1); allowed: odd and at least 1"),
        (
            {"temporal_kernels": (1, (3, 3, 3), 1, 1)},
            "'temporal_kernels' is (3, 3, 3); allowed: 2 entries, one per block of its stage",
        ),
        (
            {"temporal_kernels": (1, (3, (3,)), 1, 1)},
            "'temporal_kernels' is (1, (3, (3,)), 1, 1); allowed: a list of whole numbers",
        ),
        ({"stochastic_depth": 1.0}, "'stochastic_depth' is 1.0; allowed: at least 0 and below 1"),
        ({"dropout": -0.1}, "'dropout' is -0.1; allowed: at least 0 and below 1"),
        ({"width": 0}, "'width' is 0.0; allowed: above 0"),
        ({"width": math.inf}, "'width' is inf; allowed: a finite number"),
        ({"width": "1"}, "'width' is '1'; allowed: one value of type float"),
        ({"norm_eps": math.nan}, "'norm_eps' is nan; allowed: a finite number"),
        ({"norm_eps": 0.0}, "'norm_eps' is 0.0; allowed: above 0"),
        ({"norm_momentum": 0.0}, "'norm_momentum' is 0.0; allowed: above 0 and at most 1"),
        ({"se_ratio": -1}, "'se_ratio' is -1.0; allowed: at least 0"),
        ({"self_gating": 1}, "'self_gating' is 1; allowed: one value of type bool"),
        ({"stem": 3}, "'stem' is 3; allowed: one value of type str"),
        ({"stem_temporal_stride": 6}, "'stem_temporal_stride' is 6; allowed: at most its kernel's size, 5"),
        ({"stem_pool_temporal_stride": 4}, "'stem_pool_temporal_stride' is 4; allowed: at most its kernel's size, 3"),
        ({"temporal_strides": (1, 1, 4, 1)}, "'temporal_strides' is 4; allowed: at most its kernel's size, 3"),
        (
            {"stem_pool": "none", "stem_pool_temporal_stride": 2},
            "'stem_pool_temporal_stride' is 2; allowed: 1 where stem_pool is 'none'",
        ),
    ],
)
def test_architecture_refuses(overrides, message):
    refused = refusal(create_model, "r3d_rs_50", 2, **{"depths": (1, 2, 1, 1), **overrides})
    assert refused == f"architecture field {message}"


@pytest.mark.parametrize("num_classes", [0, -3, "10", 2.0, True, None])
def test_classes_are_counted_by_a_whole_number_from_1_on(num_classes):
    expected = f"num_classes is {num_classes!r}; allowed: a whole number, at least 1"
    assert refusal(create_model, "r3d_rs_tiny", num_classes) == expected
    assert refusal(create_model("r3d_rs_tiny", np.int64(2)).reset_classifier, num_classes) == expected


def test_out_features_are_a_list_of_names():
    allowed = "allowed: a list of names among stem, res2, res3, res4, res5, for example"
    assert refusal(create_backbone, "r3d_rs_tiny", "res5") == f"out_features is 'res5'; {allowed} ['res5']"
    for names in ("maps", 5, [5]):
        expected = f"out_features is {names!r}; {allowed} ['res4', 'res5']"
        assert refusal(create_backbone, "r3d_rs_tiny", names) == expected
    allowed = "allowed: one or more of stem, res2, res3, res4, res5"
    assert refusal(create_backbone, "r3d_rs_tiny", ["res6"]) == f"out_features ['res6']; {allowed}"
    assert refusal(create_backbone, "r3d_rs_tiny", ()) == f"out_features []; {allowed}"
