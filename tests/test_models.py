"""Sizes, parts, refusals and weights of the networks. Their arithmetic is checked in test_models_reference.py."""

import dataclasses
import itertools
import math
import subprocess
import sys

import pytest
import torch
from torch import nn

from video_rs import create_backbone, create_model, list_models
from video_rs.errors import InputError
from video_rs.models import Architecture, FeatureShape, ResNet3d, VideoClassifier, architecture
from video_rs.models.layers import (
    AveragePool3d,
    MaxPool3d,
    SelfGating,
    SqueezeExcitation,
    StochasticDepth,
    same_pad_widths,
)
from video_rs.models.resnet3d import Block

NARROW = {"depths": (1, 2, 1, 1), "width": 0.125}
FEATURES = ("stem", "res2", "res3", "res4", "res5")


def on_meta(name, num_classes=400, **overrides):
    """A model without memory: shapes only."""
    with torch.device("meta"):
        return create_model(name, num_classes, **overrides)


def size(model):
    return sum(p.numel() for p in model.parameters())


def statistics(model):
    return sum(b.numel() for name, b in model.named_buffers() if not name.endswith("num_batches_tracked"))


def refusal(call, *args, **kwargs):
    with pytest.raises(InputError) as refused:
        call(*args, **kwargs)
    message = str(refused.value)
    assert "\n" not in message
    return message


# -- Sizes (FACTS d)


@pytest.mark.parametrize(
    ("name", "parameters", "with_statistics"),
    [
        ("r3d_rs_50", 48_129_840, 48_183_088),
        ("r3d_rs_101", 84_969_520, 85_074_992),
        ("r3d_rs_152", 114_788_144, 114_939_696),
        ("r3d_rs_200", 121_376_560, 121_552_688),
        ("r3d_rs_270", 169_038_064, None),
        ("r3d_rs_300", 174_087_536, None),
        ("r3d_rs_350", 213_094_256, None),
    ],
)
def test_published_models_have_the_published_number_of_parameters(name, parameters, with_statistics):
    model = on_meta(name)
    assert size(model) == parameters
    if with_statistics is not None:
        assert size(model) + statistics(model) == with_statistics


def test_kinetics_600_adds_one_linear_row_a_class():
    assert size(on_meta("r3d_rs_50", 600)) - size(on_meta("r3d_rs_50", 400)) == 409_800


def test_model_gardens_default_dataclass_has_its_number_of_parameters():
    assert size(on_meta("r3d_rs_50", se_ratio=0.2, stem_pool_temporal_stride=2)) == 46_097_972


@pytest.mark.parametrize(
    ("depth", "image_parameters"),
    [
        (50, 35_691_912),
        (101, 63_618_696),
        (152, 86_621_576),
        (200, 93_209_992),
        (270, 129_861_448),
        (350, 163_956_168),
        (420, 191_891_656),
    ],
)
def test_inflated_models_add_to_timms_images_networks_what_inflation_adds(depth, image_parameters):
    model = on_meta(f"inflated_rs_{depth}", num_classes=1000)
    blocks = architecture(f"inflated_rs_{depth}").depths
    stem = 4 * (3 * 3) * 3 * 32  # 5 slices of 3 x 3 instead of 1
    res4 = 2 * 256 * (512 + (blocks[2] - 1) * 1024)  # 3 slices of 1 x 1 instead of 1
    res5 = 2 * 512 * (1024 + (blocks[3] - 1) * 2048)
    assert size(model) == image_parameters + stem + res4 + res5


def test_r3d_50_is_r3d_rs_50_without_squeeze_excitation_and_with_a_plain_stem():
    blocks_and_channels = ((3, 256), (4, 512), (6, 1024), (3, 2048))
    excitation = sum(blocks * (2 * c * c // 4 + c // 4 + c) for blocks, c in blocks_and_channels)
    deep = 3 * 32 * 45 + 32 * 32 * 9 + 32 * 64 * 9 + 2 * (32 + 32 + 64)
    plain = 3 * 64 * 5 * 49 + 2 * 64
    assert size(on_meta("r3d_50")) == 48_129_840 - excitation - deep + plain
    stated = dataclasses.replace(architecture("r3d_rs_50"), stem="plain", se_ratio=0.0)
    assert architecture("r3d_50") == stated


@pytest.mark.parametrize(("ratio", "widths"), [(0.25, (64, 128, 256, 512)), (0.2, (51, 102, 204, 409))])
def test_squeeze_excitation_truncates_its_hidden_width(ratio, widths):
    model = on_meta("r3d_rs_50", se_ratio=ratio)
    hidden = [m.reduce.out_channels for m in model.modules() if isinstance(m, SqueezeExcitation)]
    assert hidden == [w for w, depth in zip(widths, (3, 4, 6, 3), strict=True) for _ in range(depth)]


def test_squeeze_excitation_keeps_one_hidden_channel():
    assert SqueezeExcitation(3, 0.25).reduce.out_channels == 1


# -- The zoo


def test_list_models_names_the_three_families_and_the_small_members():
    published = [f"r3d_rs_{d}" for d in (50, 101, 152, 200, 270, 300, 350)]
    inflated = [f"inflated_rs_{d}" for d in (50, 101, 152, 200, 270, 350, 420)]
    assert list_models() == [*published, *inflated, "r3d_50", "r3d_rs_tiny", "r3d_rs_small"]
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
    assert architecture(name).depths == depths[name.split("_")[-1]]


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
        "temporal_kernels": (1, 1, 3, 3),
        "temporal_strides": (1, 1, 1, 1),
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


@pytest.mark.parametrize("num_classes", [0, -3])
def test_fewer_than_one_class_is_refused(num_classes):
    expected = f"num_classes is {num_classes}; allowed: at least 1"
    assert refusal(create_model, "r3d_rs_tiny", num_classes) == expected


# -- Parts


def test_same_padding_is_tensorflows_formula_where_it_strides():
    for n, k, s in itertools.product(range(1, 60), (1, 3, 5, 7), range(1, 8)):
        if s > k > 1:
            continue  # refused by Architecture
        total = max((math.ceil(n / s) - 1) * s + k - n, 0) if s > 1 else 0
        expected = [total // 2, total - total // 2]
        assert same_pad_widths((n,), (k,), (s,)) == expected, (n, k, s)
    # Last dimension first, as torch.nn.functional.pad wants it.
    assert same_pad_widths((8, 7, 6), (5, 3, 1), (2, 2, 2)) == [0, 0, 1, 1, 1, 2]


@pytest.mark.parametrize("padding", ["same", "symmetric"])
def test_padded_cells_never_win_a_max_pool(padding):
    pool = MaxPool3d((3, 3, 3), (2, 2, 2), padding)
    maps = -1 - torch.rand(1, 2, 4, 5, 6)
    pooled = pool(maps)
    assert pooled.shape == (1, 2, 2, 3, 3)
    assert pooled.max() <= -1
    start = 0 if padding == "same" else -1  # along the even sizes; the odd one is symmetric in both
    expected = maps[:, :, max(start, 0) : start + 3, :2, max(start, 0) : start + 3].amax((2, 3, 4))
    assert torch.equal(pooled[:, :, 0, 0, 0], expected)


@pytest.mark.parametrize("shape", [(4, 5, 6), (1, 1, 1), (3, 1, 2), (5, 7, 4)])
def test_average_pool_counts_cells_that_exist(shape):
    maps = torch.rand(2, 3, *shape, dtype=torch.float64)
    stride = (3, 2, 2)
    pooled = AveragePool3d(stride)(maps)
    assert pooled.shape[2:] == tuple(math.ceil(n / s) for n, s in zip(shape, stride, strict=True))
    for t, h, w in itertools.product(*map(range, pooled.shape[2:])):
        cells = maps[:, :, 3 * t : 3 * t + 3, 2 * h : 2 * h + 2, 2 * w : 2 * w + 2]
        # Sums of up to 12 float64 numbers, in another order.
        assert torch.allclose(pooled[:, :, t, h, w], cells.mean((2, 3, 4)), rtol=0, atol=1e-15)


def drop_rates(model):
    return [m.rate for m in model.modules() if isinstance(m, StochasticDepth)]


def test_stochastic_depth_is_one_rate_a_stage_as_published():
    expected = [0.04] * 3 + [0.06] * 4 + [0.08] * 6 + [0.1] * 3
    assert drop_rates(on_meta("r3d_rs_50")) == pytest.approx(expected, abs=1e-15)


def test_stochastic_depth_by_block_is_linear_from_the_first_to_the_last():
    rates = drop_rates(on_meta("inflated_rs_200"))
    assert rates == pytest.approx([0.1 * i / 65 for i in range(66)], abs=1e-15)
    rates = architecture("inflated_rs_200", depths=(1, 2, 1, 1)).drop_rates()
    assert [len(stage) for stage in rates] == [1, 2, 1, 1]
    assert [rate for stage in rates for rate in stage] == pytest.approx([0, 0.025, 0.05, 0.075, 0.1], abs=1e-15)


def test_stochastic_depth_is_the_identity_in_evaluation_and_at_rate_zero():
    maps = torch.rand(2, 3, 1, 2, 2)
    assert StochasticDepth(0.9).eval()(maps) is maps
    assert StochasticDepth(0.0).train()(maps) is maps


def test_stochastic_depth_drops_whole_samples_and_keeps_the_expectation():
    torch.manual_seed(0)
    samples, rate = 20_000, 0.3
    out = StochasticDepth(rate).train()(torch.ones(samples, 2, 1, 1, 2))
    assert torch.equal(out, out[:, :1, :, :, :1].expand_as(out))
    kept = out[:, 0, 0, 0, 0]
    assert kept.unique().tolist() == pytest.approx([0, 1 / 0.7])
    deviation = (rate * (1 - rate) / samples) ** 0.5 / 0.7
    assert abs(kept.mean().item() - 1) < 5 * deviation  # five standard deviations of the mean


def test_stochastic_depth_acts_before_the_shortcut_is_added():
    arch = architecture("r3d_rs_50", depths=(1, 1, 1, 1), stochastic_depth=0.5)
    block = Block(arch, 16, 8, 1, (1, 2, 2), 0.5, gated=True).double().eval()
    maps = torch.randn(12, 16, 2, 6, 6, dtype=torch.float64)
    with torch.no_grad():
        shortcut = block.shortcut(maps)
        branch = block.se(block.gating(block.branch(maps)))
        block.drop.train()
        torch.manual_seed(1)
        out = block(maps)
    dropped, kept = shortcut.clamp(min=0), (2 * branch + shortcut).clamp(min=0)
    is_dropped = [torch.equal(o, d) for o, d in zip(out, dropped, strict=True)]
    is_kept = [torch.allclose(o, k, rtol=0, atol=1e-12) for o, k in zip(out, kept, strict=True)]
    assert [a != b for a, b in zip(is_dropped, is_kept, strict=True)] == [True] * 12
    assert 0 < sum(is_dropped) < 12


def test_dropout_acts_on_pooled_features_in_training_only():
    model = create_model("r3d_rs_tiny", 128, dropout=0.5)
    features = 1 + torch.rand(2, model.num_features, 2, 3, 3)
    model.fc = nn.Identity()
    pooled = features.mean((2, 3, 4))
    assert torch.equal(model.eval().forward_head(features), pooled)
    torch.manual_seed(0)
    dropped = model.train().forward_head(features)
    assert torch.equal(dropped[dropped != 0], (2 * pooled)[dropped != 0])
    assert 0.3 < (dropped == 0).float().mean() < 0.7  # 256 draws of one half
    assert torch.equal(model.forward_head(features, pre_logits=True), pooled)


# -- Initial weights


def truncated_std(std):
    """Standard deviation of a normal distribution cut at two of its standard deviations."""
    density = math.exp(-2) / math.sqrt(2 * math.pi)
    return std * math.sqrt(1 - 4 * density / math.erf(math.sqrt(2)))


def test_convolutions_start_with_unit_gain_cut_at_two_deviations():
    torch.manual_seed(0)
    model = create_model("r3d_rs_50", 10, depths=(1, 1, 1, 1), width=0.25)
    checked = 0
    for name, parameter in model.backbone.named_parameters():
        if parameter.dim() != 5 or "gating" in name:
            continue
        fan_in = parameter[0].numel()
        std = fan_in**-0.5
        assert parameter.abs().max() <= 2 * std / truncated_std(1) * (1 + 1e-6), name
        # Five standard deviations of an estimate of the standard deviation from n numbers.
        assert parameter.std().item() == pytest.approx(std, rel=5 / (2 * parameter.numel()) ** 0.5), name
        checked += 1
    assert checked == 3 + 4 * (3 + 1 + 2)


def test_gates_norms_and_biases_start_as_published():
    torch.manual_seed(0)
    model = create_model("r3d_rs_50", 10, depths=(1, 1, 1, 1), width=0.25)
    gate = model.backbone.res5[0].gating.gate.weight
    assert gate.numel() == 512 * 512
    assert 0.0199 < gate.abs().max() <= 0.02
    assert gate.std().item() == pytest.approx(truncated_std(0.01), rel=0.01)
    for name, parameter in model.named_parameters():
        if parameter.dim() == 1:
            is_gamma = name.endswith("weight")
            assert parameter.unique().tolist() == [float(is_gamma)], name


def test_classifier_starts_uniform_or_as_on_the_tpu():
    torch.manual_seed(0)
    uniform = create_model("r3d_rs_tiny", 1000).fc.weight
    assert 0.0499 < uniform.abs().max() <= 0.05
    assert uniform.std().item() == pytest.approx(0.05 / 3**0.5, rel=0.01)
    normal = create_model("r3d_rs_tiny", 1000, initialization="tpu").fc.weight
    assert normal.std().item() == pytest.approx(0.01, rel=0.01)
    assert normal.abs().max() > 0.03  # not cut


def test_tpu_initialization_starts_each_block_as_its_shortcut():
    model = create_model("inflated_rs_50", 2, **NARROW).eval()
    zeros = [name for name, p in model.named_parameters() if name.endswith("weight") and not p.any()]
    blocks = ("res2.0", "res3.0", "res3.1", "res4.0", "res5.0")
    assert zeros == [f"backbone.{block}.branch.7.weight" for block in blocks]
    maps = torch.rand(1, 64, 2, 6, 6)
    identity = model.backbone.res3[1]
    assert torch.equal(identity(maps), maps)


def test_weights_depend_on_the_seed():
    def weights(seed):
        torch.manual_seed(seed)
        return torch.cat([p.flatten() for p in create_model("r3d_rs_tiny", 2).parameters()])

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


# -- Weight decay


def test_the_published_recipe_decays_88_kernels():
    model = on_meta("r3d_rs_50")
    expected = {"fc.weight", *(f"backbone.stem.{i}.weight" for i in (0, 3, 6))}
    for stage, depth in zip((2, 3, 4, 5), (3, 4, 6, 3), strict=True):
        expected.add(f"backbone.res{stage}.0.shortcut.0.weight")
        for block in range(depth):
            layers = ("branch.0", "branch.3", "branch.6", "se.reduce", "se.expand")
            expected |= {f"backbone.res{stage}.{block}.{layer}.weight" for layer in layers}
    assert len(expected) == 88
    assert model.weight_decay_names() == expected
    others = {name for name, _ in model.named_parameters()} - expected
    assert "backbone.res2.2.gating.gate.weight" in others
    assert all(
        name.endswith("bias") or "gating" in name or p.dim() == 1
        for name, p in model.named_parameters()
        if name in others
    )


# -- Feature maps


VARIANTS = {
    "tiny": ("r3d_rs_tiny", {"width": 0.125}),
    "published": ("r3d_rs_50", NARROW),
    "inflated": ("inflated_rs_50", NARROW),
    "baseline": ("r3d_50", NARROW),
    "no pool": ("r3d_rs_tiny", {"width": 0.125, "stem_pool": "none", "stem_temporal_stride": 1}),
    "pooled in time": ("r3d_rs_tiny", {"width": 0.125, "stem_pool_temporal_stride": 3, "in_channels": 2}),
    "convolved in time": ("inflated_rs_50", {**NARROW, "stem_pool_temporal_stride": 2, "block": "basic"}),
    "strides in time": ("r3d_rs_50", {**NARROW, "temporal_strides": (2, 3, 1, 2), "temporal_kernels": (3, 3, 1, 5)}),
    "strides, average": (
        "inflated_rs_50",
        {**NARROW, "temporal_strides": (2, 3, 1, 2), "temporal_kernels": (3, 3, 1, 1)},
    ),
}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 64, 3), (2, 1, 40), (5, 33, 47), (8, 32, 32)], ids=str)
def test_output_shape_is_what_comes_out_for_any_size(variant, shape):
    name, overrides = VARIANTS[variant]
    backbone = create_backbone(name, FEATURES, **overrides).eval()
    clips = torch.rand(2, backbone.architecture.in_channels, *shape)
    with torch.no_grad():
        maps = backbone(clips)
    assert tuple(maps) == tuple(backbone.output_shape()) == FEATURES
    for feature, stated in backbone.output_shape().items():
        strides = (stated.temporal_stride, stated.spatial_stride, stated.spatial_stride)
        expected = [math.ceil(n / s) for n, s in zip(shape, strides, strict=True)]
        assert list(maps[feature].shape) == [2, stated.channels, *expected], feature
        assert maps[feature].isfinite().all()


def test_output_shape_of_the_published_network():
    assert on_meta("r3d_rs_50").backbone.output_shape() == {
        "res2": FeatureShape(256, 2, 4),
        "res3": FeatureShape(512, 2, 8),
        "res4": FeatureShape(1024, 2, 16),
        "res5": FeatureShape(2048, 2, 32),
    }
    with torch.device("meta"):
        backbone = create_backbone("r3d_rs_50", ("res4", "stem"))
    assert list(backbone.output_shape().items()) == [
        ("res4", FeatureShape(1024, 2, 16)),
        ("stem", FeatureShape(64, 2, 4)),
    ]


@pytest.mark.parametrize("features", [[], ["res6"], ["res2", "stem_pool"]])
def test_unknown_features_are_refused(features):
    expected = f"out_features {features}; allowed: one or more of stem, res2, res3, res4, res5"
    assert refusal(create_backbone, "r3d_rs_tiny", features) == expected


@pytest.mark.parametrize("shape", [(3, 4, 8, 8), (1, 4, 4, 8, 8), (1, 3, 4, 8, 8, 1)])
def test_clips_of_another_rank_or_channels_are_refused(shape):
    model = create_model("r3d_rs_tiny", 2)
    expected = f"clips have shape {list(shape)}; allowed: [batch, 3, frames, height, width]"
    assert refusal(model, torch.rand(shape)) == expected


def test_the_head_follows_the_last_feature_map():
    model = create_model("r3d_rs_tiny", 5).eval()
    clips = torch.rand(2, 3, 4, 32, 32)
    with torch.no_grad():
        features = model.forward_features(clips)
        pooled = model.forward_head(features, pre_logits=True)
        assert torch.equal(features, model.backbone(clips)["res5"])
        assert torch.equal(model(clips), model.fc(pooled))
    assert pooled.shape == (2, model.num_features) == (2, 128)


def test_reset_classifier_makes_another_last_layer_where_the_weights_are():
    model = create_model("r3d_rs_tiny", 5).double()
    before = {name: value.clone() for name, value in model.backbone.state_dict().items()}
    model.reset_classifier(11)
    assert (model.num_classes, model.fc.weight.dtype) == (11, torch.float64)
    assert all(torch.equal(value, before[name]) for name, value in model.backbone.state_dict().items())
    assert model.eval()(torch.rand(1, 3, 2, 16, 16, dtype=torch.float64)).shape == (1, 11)
    with torch.device("meta"):
        model = create_model("r3d_rs_tiny", 5)
    model.reset_classifier(3)
    assert model.fc.weight.device.type == "meta"


def parameters_without_gradient(module, outputs):
    sum((value * torch.rand_like(value)).sum() for value in outputs).backward()
    return [name for name, p in module.named_parameters() if p.grad is None or not p.grad.any()]


@pytest.mark.parametrize("name", ["r3d_rs_50", "inflated_rs_50", "r3d_50", "r3d_rs_tiny"])
def test_every_parameter_gets_a_gradient(name):
    torch.manual_seed(0)
    model = create_model(name, 5, depths=(1, 2, 1, 1), width=0.25, initialization="model_garden", stochastic_depth=0.0)
    assert parameters_without_gradient(model, [model.train()(torch.rand(2, 3, 4, 64, 64))]) == []


@pytest.mark.parametrize("features", [("stem",), ("res2",), ("res4", "res2")])
def test_a_backbone_has_no_stage_that_no_feature_needs(features):
    torch.manual_seed(0)
    backbone = create_backbone("r3d_rs_tiny", features)
    maps = backbone(torch.rand(2, 3, 4, 32, 32))
    assert tuple(maps) == features
    assert parameters_without_gradient(backbone, maps.values()) == []


# -- Weights of a checkpoint


@pytest.fixture
def checkpoint(tmp_path):
    """Saves a checkpoint with "model" and "ema" of two different classifiers; returns its path and the second one."""
    raw, average = create_model("r3d_rs_tiny", 5), create_model("r3d_rs_tiny", 5)

    def save(change=lambda state: state, **parts):
        path = str(tmp_path / "last.pth")
        torch.save({"model": raw.state_dict(), "ema": change(dict(average.state_dict())), **parts}, path)
        return path

    save.raw, save.average = raw.state_dict(), average.state_dict()
    return save


def agrees(module, state, prefix=""):
    return all(torch.equal(value, state[prefix + name]) for name, value in module.state_dict().items())


def test_pretrained_takes_the_average_else_the_raw_weights(checkpoint):
    assert agrees(create_model("r3d_rs_tiny", 5, pretrained=checkpoint()), checkpoint.average)
    assert agrees(create_model("r3d_rs_tiny", 5, pretrained=checkpoint(ema=None)), checkpoint.raw)


@pytest.mark.parametrize("features", [("res5",), ("res3", "stem")])
def test_a_backbone_takes_a_classifiers_checkpoint(checkpoint, features):
    backbone = create_backbone("r3d_rs_tiny", features, pretrained=checkpoint())
    assert agrees(backbone, checkpoint.average, "backbone.")


def without(name):
    return lambda state: {key: value for key, value in state.items() if key != name}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (without("backbone.res3.0.branch.0.weight"), "1 missing (first backbone.res3.0.branch.0.weight)"),
        (lambda s: {**s, "head.weight": torch.ones(2)}, "1 unknown (first head.weight)"),
        (
            lambda s: {**s, "backbone.stem.0.weight": torch.ones(8, 3, 1, 3, 3)},
            "1 of another shape (first backbone.stem.0.weight: [8, 3, 1, 3, 3] there, [8, 3, 5, 3, 3] here)",
        ),
        (
            lambda s: {"backbone.stem.1.weight": torch.ones(9), "x": torch.ones(1), "y": torch.ones(1)},
            "MISSING missing (first backbone.stem.0.weight); 2 unknown (first x); "
            "1 of another shape (first backbone.stem.1.weight: [9] there, [8] here)",
        ),
    ],
    ids=["missing", "unknown", "shape", "all three"],
)
@pytest.mark.parametrize("make", [create_model, create_backbone])
def test_weights_that_do_not_fit_are_refused(checkpoint, make, change, problem):
    path = checkpoint(change)
    args = (5,) if make is create_model else ()
    own = make("r3d_rs_tiny", *args).state_dict()
    expected = f"weights in {path} do not fit the model: {problem.replace('MISSING', str(len(own) - 1))}"
    assert refusal(make, "r3d_rs_tiny", *args, pretrained=path) == expected


def test_a_classifier_for_other_classes_is_refused(checkpoint):
    message = refusal(create_model, "r3d_rs_tiny", 7, pretrained=checkpoint())
    assert message.endswith("2 of another shape (first fc.weight: [5, 128] there, [7, 128] here)")


NO_WEIGHTS = "no weights in {path}; allowed: a dict with the state dicts 'model' and, optionally, 'ema'"


class RunsCode:
    def __reduce__(self):
        return print, ("the file's code has run",)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "cannot read weights from {path}: damaged, cut short or no checkpoint (EOFError)"),
        (b"PK\x03\x04 cut", "cannot read weights from {path}: damaged, cut short or no checkpoint (RuntimeError)"),
        ({"model": RunsCode()}, "cannot read weights from {path}: it holds more than tensors and plain data"),
        ([1], NO_WEIGHTS),
        ({"model": 3}, NO_WEIGHTS),
        (
            {"ema": {"a": 3}},
            NO_WEIGHTS,
        ),
        (None, "cannot read weights from {path}: No such file or directory"),
    ],
    ids=["empty", "cut", "code", "list", "number", "numbers", "no file"],
)
def test_files_that_hold_no_weights_are_refused(tmp_path, capsys, content, reason):
    path = tmp_path / "other.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    assert refusal(create_model, "r3d_rs_tiny", 2, pretrained=str(path)) == reason.format(path=path)
    assert "has run" not in capsys.readouterr().out


# -- Use elsewhere


def test_importing_the_networks_loads_nothing_else_and_draws_nothing():
    code = (
        "import sys, torch; state = torch.get_rng_state(); threads = torch.get_num_threads()\n"
        "import video_rs.models\n"
        "assert torch.equal(state, torch.get_rng_state()) and torch.get_num_threads() == threads\n"
        "video_rs.create_model('r3d_rs_tiny', 2)\n"
        "heavy = 'fvcore iopath yaml av decord torchcodec pytorchvideo matplotlib timm tensorboard'.split()\n"
        "print([name for name in heavy if name in sys.modules])\n"
        "print(sorted(name for name in sys.modules if name.startswith('video_rs.') and '.models' not in name))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert (answer.returncode, answer.stdout) == (0, "[]\n['video_rs.errors']\n"), answer.stderr


@pytest.mark.parametrize("name", ["r3d_rs_tiny", "inflated_rs_50"])
def test_torch_export_keeps_batch_time_and_space_dynamic(name):
    torch.manual_seed(0)
    model = create_model(name, 3, depths=(1, 1, 1, 1), width=0.125).eval()
    dynamic = dict.fromkeys((0, 2, 3, 4), torch.export.Dim.AUTO)
    exported = torch.export.export(model, (torch.rand(2, 3, 4, 48, 48),), dynamic_shapes=(dynamic,)).module()
    for shape in ((2, 3, 4, 48, 48), (3, 3, 7, 35, 41)):
        clips = torch.rand(shape)
        with torch.no_grad():
            # The same operators on the same numbers; a compiler may still choose another summation order.
            assert torch.allclose(exported(clips), model(clips), rtol=0, atol=1e-5)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("name", ["r3d_rs_tiny", "inflated_rs_50"])
def test_a_trace_gives_the_same_logits(name):
    model = create_model(name, 3, depths=(1, 1, 1, 1), width=0.125).eval()
    clips = torch.rand(1, 3, 4, 33, 48)
    with torch.no_grad():
        traced = torch.jit.trace(model, clips)
        other = torch.rand(1, 3, 4, 33, 48)
        assert torch.equal(traced(other), model(other))


def test_classes_are_built_from_an_architecture_alone():
    arch = architecture("r3d_rs_tiny")
    assert agrees_in_names(VideoClassifier(arch, 4), create_model("r3d_rs_tiny", 4))
    assert agrees_in_names(ResNet3d(arch), create_backbone("r3d_rs_tiny"))


def agrees_in_names(one, other):
    return [(n, p.shape) for n, p in one.named_parameters()] == [(n, p.shape) for n, p in other.named_parameters()]
