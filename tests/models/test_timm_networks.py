"""timm's image networks: which is whose, and their weights through timm's own loader."""

import os
import subprocess
import sys
import textwrap

import pytest
import torch

from helpers.image_networks import image_network
from helpers.networks import refusal
from video_rs import create_backbone, create_model
from video_rs.models import architecture
from video_rs.models.weights.timm_networks import TIMM_NAMES, timm_name


@pytest.mark.parametrize("depth", [50, 101, 152, 200, 270, 350, 420])
def test_every_inflated_network_knows_its_image_network(depth):
    name = f"inflated_rs_{depth}"
    assert timm_name(architecture(name)) == f"resnetrs{depth}"
    with_time = {"temporal_kernels": (3, 1, 3, 3), "in_channels": 2, "dropout": 0.1, "temporal_strides": (1, 2, 1, 1)}
    with_time["res5_dilation"] = 2  # for detection, on purpose
    assert timm_name(architecture(name, **with_time)) == f"resnetrs{depth}"
    assert len(TIMM_NAMES) == 7


@pytest.mark.parametrize(
    ("name", "overrides", "others"),
    [
        (
            "r3d_rs_50",
            {},
            "stem_pool 'max' (timm: 'conv'); shortcut 'projection' (timm: 'avgpool'); self_gating True (timm: False); "
            "padding 'same' (timm: 'symmetric')",
        ),
        ("inflated_rs_50", {"width": 0.5, "se_ratio": 0.0}, "width 0.5 (timm: 1.0); se_ratio 0.0 (timm: 0.25)"),
        ("inflated_rs_50", {"norm_eps": 1e-3}, "norm_eps 0.001 (timm: 1e-05)"),
        (
            "inflated_rs_50",
            {"depths": (1, 2, 1, 1), "block": "basic", "stem": "plain"},
            "depths (1, 2, 1, 1) (timm: those of resnetrs50, resnetrs101, resnetrs152, resnetrs200, resnetrs270, "
            "resnetrs350, resnetrs420); block 'basic' (timm: 'bottleneck'); stem 'plain' (timm: 'deep')",
        ),
    ],
    ids=["r3d", "narrow", "epsilon", "basic"],
)
def test_a_network_without_a_counterpart_is_refused_before_anything_is_downloaded(name, overrides, others):
    expected = f"timm has no image network like this one: {others}; take an inflated_rs_* model"
    assert refusal(create_model, name, 2, pretrained="timm", **overrides) == expected


def test_without_timm_its_weights_are_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    expected = "pretrained 'timm' needs timm: pip install 'video_rs[images]', or give a weights file"
    assert refusal(create_backbone, "inflated_rs_50", pretrained="timm") == expected


def test_timms_weights_come_through_its_own_loader(hub, tmp_path):
    """In another process: where Hugging Face looks, and whether it may use a network, is settled at its import."""
    code = """
        import torch
        from video_rs import create_backbone, create_model
        from video_rs.runtime.errors import InputError
        torch.set_num_threads(1)
        model = create_model("inflated_rs_50", 1000, pretrained="timm").eval()
        backbone = create_backbone("inflated_rs_50", ("res2",), pretrained="timm").eval()
        own = model.backbone.state_dict()
        assert all(torch.equal(value, own[name]) for name, value in backbone.state_dict().items())
        clip = torch.linspace(-1, 1, 3 * 64 * 64).sin().reshape(1, 3, 1, 64, 64).expand(-1, -1, 3, -1, -1)
        with torch.no_grad():
            torch.save(model(clip), "logits.pth")
        try:
            create_model("inflated_rs_101", pretrained="timm")
        except InputError as error:
            print(error)
    """
    environment = {**os.environ, "HF_HOME": str(hub), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", textwrap.dedent(code)]
    answer = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100)
    assert answer.returncode == 0, answer.stderr
    picture = torch.linspace(-1, 1, 3 * 64 * 64).sin().reshape(1, 3, 64, 64)
    with torch.no_grad():
        image_logits = image_network(50, torch.float32)(picture)
    # Float32 through fifty layers, on a clip of three still frames.
    logits = torch.load(tmp_path / "logits.pth")
    assert (logits - image_logits).abs().max() < 1e-4 * image_logits.abs().max()
    first, last = answer.stdout.rstrip("\n").split(" (", 1)
    assert first == "timm cannot get the weights of resnetrs101"
    assert last.startswith("LocalEntryNotFoundError: ")
    assert last.endswith("); try again with a network, or give the path of a downloaded file")
