"""Which frames a cell of the last map sees, against the gradients of the networks themselves."""

import pytest
import torch

from helpers.networks import NARROW
from video_rs import create_backbone
from video_rs.models.temporal_reach import temporal_reach

# Squeeze-and-excitation and gating see all of a clip.
LOCAL = {"se_ratio": 0.0, "self_gating": False, "initialization": "model_garden", **NARROW}
NETWORKS = {
    "r3d_rs_tiny": {},
    "r3d_rs_50": {},
    "r3d_rs_50 of more strides": {"temporal_strides": (1, 2, 1, 2), "temporal_kernels": (1, 3, 3, 5)},
    "r3d_rs_50 pooled in time": {"stem_pool_temporal_stride": 2, "res2_pool_temporal_stride": 2},
    "inflated_rs_50": {},
    "inflated_rs_50 of more strides": {"temporal_strides": (1, 2, 2, 1), "stem_pool_temporal_stride": 2},
    "slow_r50": {},
    "i3d_r50": {"depths": (3, 4, 6, 3)},
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_reach_is_that_of_the_gradients(name):
    torch.manual_seed(0)
    network = create_backbone(name.split()[0], **{**LOCAL, **NETWORKS[name]}).double().eval()
    reach = temporal_reach(network.architecture)
    assert reach.stride == network.output_shape()["res5"].temporal_stride

    # Far enough from both ends; a ReLU that is shut for one clip is open for another.
    cell = -(-reach.before // reach.stride) + 1
    cells = cell + -(-reach.after // reach.stride) + 2
    seen = torch.zeros(cells * reach.stride)
    for seed in range(6):
        clip = torch.rand(1, 3, len(seen), 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        clip.requires_grad_(True)
        (gradient,) = torch.autograd.grad(network(clip)["res5"][:, :, cell].sum(), clip)
        seen += gradient.abs().amax((0, 1, 3, 4)).float()

    frames = seen.nonzero().flatten()
    assert frames.min() == cell * reach.stride - reach.before
    assert frames.max() == cell * reach.stride + reach.after
