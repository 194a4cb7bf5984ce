"""The networks against the Model Garden's own code, where it is installed (``make test-tensorflow``)."""

import importlib.util
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.tools import ROOT
from video_rs import create_model

pytestmark = [
    pytest.mark.xdist_group("model garden"),  # one at a time: it takes gigabytes at depth 350
    *(
        pytest.mark.skipif(importlib.util.find_spec(name) is None, reason=f"{package} is not installed")
        for name, package in (
            ("tensorflow", "TensorFlow"),
            ("tf_keras", "tf-keras"),
            ("official", "tf-models-official"),
        )
    ),
]

SIZES = [(8, 64, 64), (7, 33, 33), (6, 40, 26), (5, 31, 48), (1, 5, 3), (16, 112, 112)]
FEW_SIZES = [(4, 32, 32), (5, 33, 47)]
# k400_resnet3drs_50_tpu.yaml.
R3D_RS = {
    "temporal_strides": [1, 1, 1, 1],
    "use_self_gating": [True] * 4,
    "stem_type": "v1",
    "stem_pool_temporal_stride": 1,
    "se_ratio": 0.25,
    "init_stochastic_depth_rate": 0.1,
}


def per_block(depths, kernels=(1, 1, 3, 3)):
    return [[kernel] * depth for kernel, depth in zip(kernels, depths, strict=True)]


def published(depth, *blocks):
    return {"model_id": depth, "temporal_kernel_sizes": per_block(blocks), **R3D_RS}


PER_BLOCK = [[3, 3, 3], [3, 1, 3, 1], [3, 1, 3, 1, 3, 1], [1, 3, 1]]
# Ours and its overrides; theirs; the prefix of the checkpoint's keys; sizes; the scale of each block's last gamma.
# At depths from 152 on, random weights make the reference itself ill-conditioned unless that is small.
NETWORKS = {
    "r3d_rs_50": ("r3d_rs_50", {}, published(50, 3, 4, 6, 3), "backbone/", SIZES, 1.0),
    "default dataclass": (
        "r3d_rs_50",
        {"stem_pool_temporal_stride": 2, "se_ratio": 0.2},
        {**published(50, 3, 4, 6, 3), "stem_pool_temporal_stride": 2, "se_ratio": 0.2},
        "backbone/",
        [(8, 32, 32), (7, 33, 33), (6, 40, 26)],
        1.0,
    ),
    "resnet_3d": (
        "r3d_50",
        {"stem_pool_temporal_stride": 2, "temporal_kernels": PER_BLOCK},
        {
            **published(50, 3, 4, 6, 3),
            "temporal_kernel_sizes": PER_BLOCK,
            "stem_type": "v0",
            "se_ratio": 0.0,
            "stem_pool_temporal_stride": 2,
        },
        "model/",
        [(8, 32, 32), (7, 33, 33), (6, 40, 26)],
        1.0,
    ),
    "r3d_rs_101": ("r3d_rs_101", {}, published(101, 3, 4, 23, 3), "backbone/", FEW_SIZES, 1.0),
    **{
        f"r3d_rs_{depth}": (f"r3d_rs_{depth}", {}, published(depth, *blocks), "backbone/", FEW_SIZES, 0.2)
        for depth, blocks in {
            152: (3, 8, 36, 3),
            200: (3, 24, 36, 3),
            270: (4, 29, 53, 4),
            300: (4, 36, 54, 4),
            350: (4, 36, 72, 4),
        }.items()
    },
}


@pytest.fixture
def folder():
    """Removed at once: pytest would keep gigabytes."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@pytest.mark.parametrize("network", NETWORKS)
def test_converted_weights_give_the_logits_of_the_model_gardens_own_code(network, folder):
    name, overrides, backbone, prefix, sizes, last_gamma = NETWORKS[network]
    plan = {"backbone": backbone, "classes": 7, "prefix": prefix, "sizes": sizes, "last_gamma": last_gamma}
    (folder / "plan.json").write_text(json.dumps(plan))
    theirs = [sys.executable, "tests/model_garden_logits.py", folder / "plan.json", folder]
    done = subprocess.run(theirs, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    convert = [sys.executable, "tools/convert_weights.py", "--source", "model_garden", folder / "ckpt-1"]
    convert += ["--arch", name, "--output", folder / "out.pth"]
    convert += [str(part) for pair in overrides.items() for part in pair]
    subprocess.run(convert, check=True, cwd=ROOT)

    model = create_model(name, 7, pretrained=folder / "out.pth", **overrides).eval()
    state = torch.load(folder / "out.pth", weights_only=True)["model"]
    model = model.double()
    model.load_state_dict(state)  # what TensorFlow stored, not rounded to float32
    stored = np.load(folder / "logits.npz")
    for size in sizes:
        key = "x".join(map(str, size))
        clips = torch.from_numpy(stored[f"clips {key}"]).permute(0, 4, 1, 2, 3)
        with torch.no_grad():
            ours = model(clips).numpy()
        expected = stored[f"logits {key}"]
        error = np.abs(ours - expected).max() / np.abs(expected).max()
        print(f"{network:20} {key:>11}  error {error:.1e} of the largest logit, {np.abs(expected).max():.3g}")
        assert error < 1e-9
