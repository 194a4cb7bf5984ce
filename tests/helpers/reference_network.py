"""A float64 forward pass of the networks, written from the published code on plain tensors and weights by name.

It knows no module of ours: it pads, convolves, pools and gates on its own.
"""

import math

import torch
from torch.nn import functional as F


class Weights:
    """Float64 weights by name."""

    def __init__(self, model):
        self.state = model.state_dict()

    def __getitem__(self, name):
        return self.state[name]

    def has(self, name):
        return name in self.state


def pad_tensorflow(x, kernel, stride, value):
    """TensorFlow's "same": the formula of its documentation, dimension by dimension."""
    widths = []
    for n, k, s in zip(x.shape[2:], kernel, stride, strict=True):
        total = max((math.ceil(n / s) - 1) * s + k - n, 0)
        widths.append((total // 2, total - total // 2))
    (t0, t1), (h0, h1), (w0, w1) = widths
    return F.pad(x, (w0, w1, h0, h1, t0, t1), value=value)


def pad_symmetric(x, kernel, stride, value):
    t, h, w = (k // 2 for k in kernel)
    return F.pad(x, (w, w, h, h, t, t), value=value)


def norm(x, w, name, eps):
    shape = (1, -1, 1, 1, 1)
    mean, var = w[f"{name}.running_mean"].view(shape), w[f"{name}.running_var"].view(shape)
    return (x - mean) / (var + eps).sqrt() * w[f"{name}.weight"].view(shape) + w[f"{name}.bias"].view(shape)


def conv(x, w, name, stride, pad):
    kernel = w[f"{name}.weight"]
    return F.conv3d(pad(x, kernel.shape[2:], stride, 0.0), kernel, stride=stride)


def channel_weights(pooled, w, name):
    """1 x 1 x 1 convolution with bias on ``[B, C]``."""
    return pooled @ w[f"{name}.weight"][:, :, 0, 0, 0].T + w[f"{name}.bias"]


def scaled(x, weights):
    return x * weights.sigmoid()[:, :, None, None, None]


def stem_reference(x, w, pad, eps, pool, pool_stride):
    """Three convolutions or one, whatever weights there are; a pooling that strides in time is 3 frames wide."""
    name = "backbone.stem"
    for index, stride in ((0, (2, 2, 2)), (3, (1, 1, 1)), (6, (1, 1, 1))):
        if index == 0 or w.has(f"{name}.{index}.weight"):
            x = norm(conv(x, w, f"{name}.{index}", stride, pad), w, f"{name}.{index + 1}", eps).clamp(min=0)
    kernel, stride = (1 if pool_stride == 1 else 3, 3, 3), (pool_stride, 2, 2)
    if pool == "max":
        return F.max_pool3d(pad(x, kernel, stride, -math.inf), kernel, stride)
    x = conv(x, w, "backbone.stem_pool.0", stride, pad)
    return norm(x, w, "backbone.stem_pool.1", eps).clamp(min=0)


def mean_of_real_cells(x):
    """2 x 2 spatial mean at stride 2 with the last row and column of odd sizes averaged over the cells that exist."""
    rows = [x[:, :, :, i : i + 2] for i in range(0, x.shape[3], 2)]
    return torch.stack(
        [torch.stack([r[..., j : j + 2].mean((3, 4)) for j in range(0, x.shape[4], 2)], dim=-1) for r in rows],
        dim=3,
    )


def block_reference(x, w, name, spatial, pad, eps, shortcut):
    y = conv(x, w, f"{name}.branch.0", (1, 1, 1), pad)
    y = norm(y, w, f"{name}.branch.1", eps).clamp(min=0)
    y = conv(y, w, f"{name}.branch.3", (1, spatial, spatial), pad)
    y = norm(y, w, f"{name}.branch.4", eps).clamp(min=0)
    y = norm(conv(y, w, f"{name}.branch.6", (1, 1, 1), pad), w, f"{name}.branch.7", eps)
    if w.has(f"{name}.gating.gate.weight"):
        y = scaled(y, channel_weights(y.mean((2, 3, 4)), w, f"{name}.gating.gate"))
    if w.has(f"{name}.se.reduce.weight"):
        hidden = channel_weights(y.mean((2, 3, 4)), w, f"{name}.se.reduce").clamp(min=0)
        y = scaled(y, channel_weights(hidden, w, f"{name}.se.expand"))
    if shortcut == "projection" and w.has(f"{name}.shortcut.0.weight"):
        x = x[:, :, :, ::spatial, ::spatial]  # a 1 x 1 x 1 convolution with a stride reads every other cell
        x = torch.einsum("bcthw,oc->bothw", x, w[f"{name}.shortcut.0.weight"][:, :, 0, 0, 0])
        x = norm(x, w, f"{name}.shortcut.1", eps)
    if shortcut == "avgpool" and w.has(f"{name}.shortcut.1.weight"):
        x = mean_of_real_cells(x) if spatial == 2 else x
        x = torch.einsum("bcthw,oc->bothw", x, w[f"{name}.shortcut.1.weight"][:, :, 0, 0, 0])
        x = norm(x, w, f"{name}.shortcut.2", eps)
    return (y + x).clamp(min=0)


def reference(clips, w, depths, pad, pool, shortcut, pool_stride=1, eps=1e-5):
    """``{feature: map}`` and logits."""
    maps = {"stem": stem_reference(clips, w, pad, eps, pool, pool_stride)}
    x = maps["stem"]
    for stage, depth in enumerate(depths):
        for i in range(depth):
            spatial = 2 if stage > 0 and i == 0 else 1
            x = block_reference(x, w, f"backbone.res{stage + 2}.{i}", spatial, pad, eps, shortcut)
        maps[f"res{stage + 2}"] = x
    return maps, x.mean((2, 3, 4)) @ w["fc.weight"].T + w["fc.bias"]


def shaken(model, seed):
    """The model in float64 and evaluation mode, every weight and statistic away from 0, 1 and its initial value."""
    generator = torch.Generator().manual_seed(seed)
    model = model.double().eval()
    for name, value in model.state_dict().items():
        if not value.is_floating_point():
            continue
        noise = torch.rand(value.shape, generator=generator, dtype=torch.float64)
        if "running_var" in name or (value.dim() == 1 and name.endswith("weight")):
            value.copy_(0.5 + noise)
        elif value.dim() > 1:
            value.copy_((noise - 0.5) * 4 / value[0].numel() ** 0.5)
        else:
            value.copy_(noise - 0.5)
    return model
