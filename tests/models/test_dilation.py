"""res5 at res4's resolution, its convolutions dilated by 2, as detection wants it."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from video_rs import create_backbone

VARIANTS = {
    "basic, same": ("r3d_rs_tiny", {"depths": (1, 1, 1, 2), "width": 0.125, "self_gating": True}),
    "bottleneck, same": ("r3d_rs_50", {"depths": (1, 1, 1, 2), "width": 0.0625}),
    "bottleneck, symmetric": ("inflated_rs_50", {"depths": (1, 1, 1, 2), "width": 0.0625}),
    "basic, symmetric, strided in time": (
        "inflated_rs_50",
        {"depths": (1, 1, 1, 2), "width": 0.0625, "block": "basic", "temporal_strides": (1, 1, 1, 2)},
    ),
    "basic, same, strided in time": (
        "r3d_rs_tiny",
        {"depths": (1, 1, 1, 2), "width": 0.125, "temporal_strides": (1, 1, 1, 2)},
    ),
}


def with_statistics(backbone):
    """The backbone in evaluation, its batch norms with statistics and weights that are not their defaults."""
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm3d):
            for values in (module.running_mean, module.bias.data):
                values.normal_(std=0.2)
            for values in (module.running_var, module.weight.data):
                values.uniform_(0.5, 1.5)
    return backbone.eval()


def res5_by_hand(backbone, x):
    """res5 of dilation 2 and spatial stride 1 from res4's map, with torch's functions and the weights' names alone."""
    weights, arch = backbone.state_dict(), backbone.architecture
    for index in range(arch.depths[3]):
        own = {n.removeprefix(f"res5.{index}."): w for n, w in weights.items() if n.startswith(f"res5.{index}.")}
        step = arch.temporal_strides[3] if index == 0 else 1
        y = x
        for position in sorted({int(n.split(".")[1]) for n in own if n.startswith("branch.")}):
            if own[f"branch.{position}.weight"].dim() == 1:
                y = normalized(y, own, f"branch.{position}", arch.norm_eps)
                continue
            y = y.relu() if position else y
            y = dilated(y, own[f"branch.{position}.weight"], step if position == 0 else 1, arch.padding)
        y = weighted(weighted(y, own, ["gating.gate"]), own, ["se.reduce", "se.expand"])
        x = (y + shortcut_by_hand(x, own, step, arch)).relu()
    return x


def normalized(x, weights, name, eps):
    names = ("running_mean", "running_var", "weight", "bias")
    return functional.batch_norm(x, *(weights[f"{name}.{part}"] for part in names), eps=eps)


def dilated(x, weight, step, padding):
    """1 x 1 in space, or 3 x 3 on every other cell; in time TensorFlow's or PyTorch's padding."""
    kernel, frames = weight.shape[2], x.shape[2]
    before = after = kernel // 2
    if padding == "same":
        total = max((math.ceil(frames / step) - 1) * step + kernel - frames, 0)
        before, after = total // 2, total - total // 2
    edge = weight.shape[3] - 1  # 2 for a 3-wide kernel of dilation 2
    return functional.conv3d(functional.pad(x, (edge,) * 4 + (before, after)), weight, None, (step, 1, 1), 0, (1, 2, 2))


def weighted(x, weights, layers):
    """Squeeze-and-excitation or self-gating, where the block has it."""
    y = x.mean((2, 3, 4), keepdim=True)
    for i, name in enumerate(layers):
        if f"{name}.weight" not in weights:
            return x
        y = functional.conv3d(y.relu() if i else y, weights[f"{name}.weight"], weights[f"{name}.bias"])
    return x * y.sigmoid()


def shortcut_by_hand(x, weights, step, arch):
    if not any(name.startswith("shortcut.") for name in weights):
        return x
    if arch.shortcut == "projection":
        x = functional.conv3d(x, weights["shortcut.0.weight"], None, (step, 1, 1))
        return normalized(x, weights, "shortcut.1", arch.norm_eps)
    x = torch.stack([x[:, :, i : i + step].mean(2) for i in range(0, x.shape[2], step)], 2)
    x = functional.conv3d(x, weights["shortcut.1.weight"])
    return normalized(x, weights, "shortcut.2", arch.norm_eps)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("shape", [(8, 64, 96), (10, 33, 47)], ids=str)
def test_a_dilated_res5_is_what_its_weights_say(variant, shape):
    torch.manual_seed(0)
    name, overrides = VARIANTS[variant]
    backbone = with_statistics(create_backbone(name, ("res4", "res5"), res5_dilation=2, **overrides))
    clips = torch.rand(2, 3, *shape)
    with torch.no_grad():
        maps = backbone(clips)
        expected = res5_by_hand(backbone, maps["res4"])
    stated = backbone.output_shape()["res5"]
    assert stated.spatial_stride == backbone.output_shape()["res4"].spatial_stride == 16
    assert list(maps["res5"].shape[2:]) == [
        math.ceil(n / s) for n, s in zip(shape, (stated.temporal_stride, 16, 16), strict=True)
    ]
    assert expected.std() > 0.1
    torch.testing.assert_close(maps["res5"], expected, rtol=1e-4, atol=1e-5)  # float32, other orders of summation


@pytest.mark.parametrize("variant", VARIANTS)
def test_dilation_changes_neither_weights_nor_the_stages_before(variant):
    torch.manual_seed(0)
    name, overrides = VARIANTS[variant]
    backbone = with_statistics(create_backbone(name, ("res4", "res5"), **overrides))
    dilated_one = create_backbone(name, ("res4", "res5"), res5_dilation=2, **overrides).eval()
    dilated_one.load_state_dict(backbone.state_dict())  # strict: the same names and shapes
    clips = torch.rand(1, 3, 4, 64, 64)
    with torch.no_grad():
        assert torch.equal(dilated_one(clips)["res4"], backbone(clips)["res4"])
    assert backbone.output_shape()["res5"].spatial_stride == 32


@pytest.mark.parametrize("name", ["r3d_rs_50", "inflated_rs_50", "r3d_rs_tiny"])
def test_later_blocks_read_every_other_cell(name):
    """A block at stride 1 and dilation 2, read at every other cell, is the undilated block on every other cell.

    Without SE and gating, which average the whole map. It does not hold for the first block: SlowFast, whose rule
    this is, dilates its convolution too, so that it reads cells two apart, where the strided one reads neighbours.
    """
    torch.manual_seed(0)
    overrides = {"depths": (1, 1, 1, 2), "width": 0.0625, "se_ratio": 0.0, "self_gating": False}
    backbone = with_statistics(create_backbone(name, ("res5",), **overrides))
    other = create_backbone(name, ("res5",), res5_dilation=2, **overrides).eval()
    other.load_state_dict(backbone.state_dict())
    x = torch.randn(2, backbone.output_shape()["res5"].channels, 3, 9, 14)
    with torch.no_grad():
        fine, coarse = other.res5[1](x.clone()), backbone.res5[1](x[..., ::2, ::2].clone())
    torch.testing.assert_close(fine[..., ::2, ::2], coarse, rtol=1e-5, atol=1e-5)
