"""What Model Garden's checkpoints of 3D ResNets hold, and what such a network computes, from their keys.

Written without our modules' names: keys and layouts are those of real checkpoints of tf-models-official 2.20.
"""

import math

import numpy as np
import torch
from torch.nn import functional as F

from helpers.reference_network import pad_tensorflow

END = "/.ATTRIBUTES/VARIABLE_VALUE"
AVERAGE = "/.OPTIMIZER_SLOT/optimizer/average"
MOMENTUM = "/.OPTIMIZER_SLOT/optimizer/ema_base_optimizer/momentum"
HEAD = "model/layer_with_weights-1"
STATISTICS = ("moving_mean", "moving_variance")


def norm_shapes(path, channels):
    return {f"{path}/{name}": [channels] for name in ("gamma", "beta", *STATISTICS)}


def stem_shapes(stem, base):
    """``v1`` is three convolutions, ``v0`` one of 7 x 7; each is followed by its batch norm."""
    half = base // 2
    plans = {
        "v1": [[5, 3, 3, 3, half], [1, 3, 3, half, half], [1, 3, 3, half, base]],
        "v0": [[5, 7, 7, 3, base]],
    }
    shapes = {}
    for i, kernel in enumerate(plans[stem]):
        shapes[f"backbone/layer_with_weights-{2 * i}/kernel"] = kernel
        shapes |= norm_shapes(f"backbone/layer_with_weights-{2 * i + 1}", kernel[-1])
    return shapes


def block_shapes(path, inputs, width, temporal, se_ratio, gated):
    out = 4 * width
    shapes = {f"{path}/_temporal_conv/kernel": [temporal, 1, 1, inputs, width], **norm_shapes(f"{path}/_norm1", width)}
    shapes |= {f"{path}/_spatial_conv/kernel": [1, 3, 3, width, width], **norm_shapes(f"{path}/_norm2", width)}
    shapes |= {f"{path}/_expand_conv/kernel": [1, 1, 1, width, out], **norm_shapes(f"{path}/_norm3", out)}
    if inputs != out:
        shapes |= {f"{path}/_shortcut_conv/kernel": [1, 1, 1, inputs, out], **norm_shapes(f"{path}/_norm0", out)}
    if se_ratio:
        hidden = int(out * se_ratio)
        reduce, expand = (f"{path}/_squeeze_excitation/_se_{name}" for name in ("reduce", "expand"))
        shapes |= {f"{reduce}/kernel": [1, 1, out, hidden], f"{reduce}/bias": [hidden]}
        shapes |= {f"{expand}/kernel": [1, 1, hidden, out], f"{expand}/bias": [out]}
    if gated:
        gate = f"{path}/_self_gating/_transformer_w"
        shapes |= {f"{gate}/kernel": [1, 1, 1, out, out], f"{gate}/bias": [out]}
    return shapes


def network_shapes(kernels, base=8, stem="v1", se_ratio=0.25, classes=7):
    """``{path: shape}`` for stages of ``len(kernels[i])`` blocks; 64 is the published ``base``."""
    shapes = stem_shapes(stem, base)
    number, inputs = {"v1": 6, "v0": 2}[stem], base
    for stage, temporal_kernels in enumerate(kernels):
        for i, temporal in enumerate(temporal_kernels):
            path = f"backbone/layer_with_weights-{number}"
            gated = i == len(temporal_kernels) - 1
            shapes |= block_shapes(path, inputs, base * 2**stage, temporal, se_ratio, gated)
            number, inputs = number + 1, 4 * base * 2**stage
    return {**shapes, f"{HEAD}/kernel": [inputs, classes], f"{HEAD}/bias": [classes]}


def random_variables(shapes, seed=0):
    """``{path: float64 array}``, everything away from 0 and 1."""
    rng = np.random.default_rng(seed)
    variables = {}
    for path, shape in shapes.items():
        noise = rng.random(shape)
        if path.endswith(("gamma", "moving_variance")):
            variables[path] = 0.5 + noise
        elif path.endswith("kernel"):
            variables[path] = (noise - 0.5) * 4 / math.prod(shape[:-1]) ** 0.5
        else:
            variables[path] = noise - 0.5
    return variables


def checkpoint(variables, averages=None):
    """The keys of a trainer's checkpoint: with book-keeping, and with the slots of its optimizer if it averages."""
    keys = {path + END: value for path, value in variables.items()}
    keys |= {
        "_CHECKPOINTABLE_OBJECT_GRAPH": b"...",
        f"save_counter{END}": np.int64(1),
        f"global_step{END}": np.int64(9),
    }
    if averages is not None:
        keys |= {f"optimizer/ema_base_optimizer/{name}{END}": np.float32(1) for name in ("decay", "iter", "momentum")}
        keys |= {f"{path}{MOMENTUM}{END}": value * 0 for path, value in averages.items()}
        keys |= {f"{path}{AVERAGE}{END}": value for path, value in averages.items()}
    return keys


def in_model(keys):
    """The same keys where only the model was saved, ``Checkpoint(model=...)``."""
    return {key.replace("backbone/", "model/layer_with_weights-0/", 1): value for key, value in keys.items()}


# -- The network


class Network:
    """Forward pass of a network of ``random_variables``: ``[B, 3, T, H, W] -> [B, classes]`` in float64."""

    def __init__(self, variables, pool_stride=1):
        self.values = {path: torch.from_numpy(value) for path, value in variables.items()}
        self.pool_stride = pool_stride

    def __call__(self, x):
        layers = [int(path.split("-")[1].split("/")[0]) for path in self.values if path.startswith("backbone/")]
        stem = [n for n in range(max(layers)) if f"backbone/layer_with_weights-{n}/kernel" in self.values]
        for n in stem:
            strides = (2, 2, 2) if n == 0 else (1, 1, 1)
            x = self.conv_norm(x, f"backbone/layer_with_weights-{n}", f"backbone/layer_with_weights-{n + 1}", strides)
            x = x.clamp(min=0)
        kernel, stride = (1 if self.pool_stride == 1 else 3, 3, 3), (self.pool_stride, 2, 2)
        x = F.max_pool3d(pad_tensorflow(x, kernel, stride, -math.inf), kernel, stride)
        for n in range(2 * len(stem), max(layers) + 1):
            x = self.block(x, f"backbone/layer_with_weights-{n}", first=n == 2 * len(stem))
        return x.mean((2, 3, 4)) @ self.values[f"{HEAD}/kernel"] + self.values[f"{HEAD}/bias"]

    def conv_norm(self, x, conv, norm, stride):
        kernel = torch.einsum("thwio->oithw", self.values[f"{conv}/kernel"])
        x = F.conv3d(pad_tensorflow(x, kernel.shape[2:], stride, 0.0), kernel, stride=stride)
        gamma, beta, mean, variance = (
            self.values[f"{norm}/{name}"][:, None, None, None] for name in ("gamma", "beta", *STATISTICS)
        )
        return (x - mean) / (variance + 1e-5).sqrt() * gamma + beta

    def dense(self, x, path):
        kernel = self.values[f"{path}/kernel"]
        return x @ kernel.reshape(kernel.shape[-2:]) + self.values[f"{path}/bias"]

    def block(self, x, path, first):
        projects = f"{path}/_shortcut_conv/kernel" in self.values
        s = 2 if projects and not first else 1
        y = self.conv_norm(x, f"{path}/_temporal_conv", f"{path}/_norm1", (1, 1, 1)).clamp(min=0)
        y = self.conv_norm(y, f"{path}/_spatial_conv", f"{path}/_norm2", (1, s, s)).clamp(min=0)
        y = self.conv_norm(y, f"{path}/_expand_conv", f"{path}/_norm3", (1, 1, 1))
        if f"{path}/_self_gating/_transformer_w/kernel" in self.values:
            gate = self.dense(y.mean((2, 3, 4)), f"{path}/_self_gating/_transformer_w").sigmoid()
            y = y * gate[:, :, None, None, None]
        if f"{path}/_squeeze_excitation/_se_reduce/kernel" in self.values:
            hidden = self.dense(y.mean((2, 3, 4)), f"{path}/_squeeze_excitation/_se_reduce").clamp(min=0)
            weights = self.dense(hidden, f"{path}/_squeeze_excitation/_se_expand").sigmoid()
            y = y * weights[:, :, None, None, None]
        shortcut = self.conv_norm(x, f"{path}/_shortcut_conv", f"{path}/_norm0", (1, s, s)) if projects else x
        return (y + shortcut).clamp(min=0)
