"""pytorchvideo's own ResNets with random weights and statistics, and their weights under other projects' names."""

import re

import pytorchvideo.models.resnet as theirs
import torch
from torch import nn

from helpers.networks import randomized
from video_rs.models.pytorchvideo_networks import PYTORCHVIDEO_NETWORKS

POOLED = {"stage1_pool": nn.MaxPool3d, "stem_conv_kernel_size": (1, 7, 7)}
OPTIONS = {
    "slow_r50": {"stem_conv_kernel_size": (1, 7, 7)},
    "c2d_r50": {**POOLED, "stage_conv_a_kernel_size": ((1, 1, 1),) * 4},
    "i3d_r50": {
        **POOLED,
        "stem_conv_kernel_size": (5, 7, 7),
        "stage_conv_a_kernel_size": (
            (3, 1, 1),
            [(3, 1, 1), (1, 1, 1)],
            [(3, 1, 1), (1, 1, 1)],
            [(1, 1, 1), (3, 1, 1)],
        ),
    },
}
# Their widths follow the stem's, and their depths a table.
NARROW = {"width": 0.125}
NARROW_STEM = 8


def video_network(name, classes=400, width=64, make=theirs.create_resnet, dtype=torch.float64, **overrides):
    """pytorchvideo's network in evaluation mode, whose head pools maps of any size."""
    with torch.device("meta"):
        network = make(
            **{**OPTIONS[name], "model_num_class": classes, "stem_dim_out": width, "head_pool": None, **overrides}
        )
    return randomized(network.to(dtype).to_empty(device="cpu"), 5, last_norm="norm_c.weight")


def is_pooled(name):
    return PYTORCHVIDEO_NETWORKS[name].res2_pool_temporal_stride > 1


def stage_of(number, name):
    """The stage, from 1, of a block's number."""
    return int(number) - (is_pooled(name) and int(number) > 1)


def as_slowfast(state, name):
    """The state dict under the names of SlowFast's model zoo, written out beside the code's own table."""
    found = {}
    for key, value in state.items():
        key = re.sub(r"^blocks\.0\.conv", "s1.pathway0_stem.conv", key)
        key = re.sub(r"^blocks\.0\.norm", "s1.pathway0_stem.bn", key)
        key = re.sub(r"^blocks\.\d\.proj", "head.projection", key)
        key = re.sub(
            r"^blocks\.(\d)\.res_blocks\.(\d+)", lambda m: f"s{stage_of(m[1], name) + 1}.pathway0_res{m[2]}", key
        )
        key = key.replace("branch1_conv", "branch1").replace("branch1_norm", "branch1_bn")
        key = re.sub(r"conv_([abc])", r"\1", key)
        key = re.sub(r"norm_([abc])", r"\1_bn", key)
        found[key] = value
    return found


def as_mmaction(state, name):
    """The state dict under MMAction2's names."""
    found = {}
    for key, value in state.items():
        key = re.sub(r"^blocks\.0\.conv", "backbone.conv1.conv", key)
        key = re.sub(r"^blocks\.0\.norm", "backbone.conv1.bn", key)
        key = re.sub(r"^blocks\.\d\.proj", "cls_head.fc_cls", key)
        key = re.sub(r"^blocks\.(\d)\.res_blocks", lambda m: f"backbone.layer{stage_of(m[1], name)}", key)
        key = key.replace("branch1_conv", "downsample.conv").replace("branch1_norm", "downsample.bn")
        key = re.sub(r"branch2\.(conv|norm)_([abc])", lambda m: f"conv{'abc'.index(m[2]) + 1}.{m[1]}", key)
        found[key.replace(".norm.", ".bn.")] = value
    return found
