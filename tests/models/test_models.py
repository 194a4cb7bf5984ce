"""Sizes, parts and initial weights of the networks. Their arithmetic is checked in test_models_reference.py."""

import dataclasses
import itertools
import math

import pytest
import torch
from torch import nn

from helpers.networks import NARROW, on_meta
from video_rs import create_model
from video_rs.models import architecture
from video_rs.models.block import Block, BlockPlan
from video_rs.models.convolution import same_pad_widths
from video_rs.models.layers import AveragePool3d, MaxPool3d, SqueezeExcitation, StochasticDepth


def size(model):
    return sum(p.numel() for p in model.parameters())


def statistics(model):
    return sum(b.numel() for name, b in model.named_buffers() if not name.endswith("num_batches_tracked"))


# -- Sizes


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
    plan = BlockPlan(
        in_channels=16, width=8, temporal_kernel=1, stride=(1, 2, 2), drop_rate=0.5, is_gated=True, dilation=1
    )
    block = Block(arch, plan).double().eval()
    maps = torch.randn(12, 16, 2, 6, 6, dtype=torch.float64)
    with torch.no_grad():
        shortcut = block.shortcut(maps)
        branch = block.branch(maps)
        branch = branch * block.gating(branch.mean((2, 3, 4)))[:, :, None, None, None]
        branch = branch * block.se(branch.mean((2, 3, 4)))[:, :, None, None, None]
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


def test_the_image_recipe_decays_all_but_batch_norm():
    model = on_meta("inflated_rs_50")
    left = {name for name, _ in model.named_parameters()} - model.weight_decay_names()
    norms = {name for name, module in model.named_modules() if isinstance(module, nn.BatchNorm3d)}
    assert left == {f"{name}.{kind}" for name in norms for kind in ("weight", "bias")}
    assert {"fc.bias", "backbone.res2.0.se.reduce.bias"} <= model.weight_decay_names()


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
