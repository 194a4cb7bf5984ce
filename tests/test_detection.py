"""Backbones in detection code: RoI heads, torchvision's FPN, pytorchvideo's network, and the AVA-style example."""

import csv
import json
import math
import runpy
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import torch
from conftest import ROOT
from networks import refusal
from torch import nn
from torch.nn import functional
from torch.nn.functional import binary_cross_entropy_with_logits
from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign, RoIAlign

from video_rs import create_backbone
from video_rs.data.decoding import open_video
from video_rs.data.encoding import write_video
from video_rs.models import FeatureShape
from video_rs.models.detection import ActionDetector, SingleMap, pool_time, rois_of

KEY, FRAMES, SIZE, SQUARE = 8, 16, 64, 16
LABELS = ("bright", "moves right")


def tiny(*features, **overrides):
    torch.manual_seed(0)
    return create_backbone("r3d_rs_tiny", features, **{"width": 0.125, **overrides})


# -- Training on real files


def scene(seed):
    """Two squares on noise, one in each half: frames uint8 [16, 64, 64, 3], boxes [2, 4] at frame 8, targets [2, 2]."""
    rng = np.random.default_rng(seed)
    video = rng.integers(90, 150, (FRAMES, SIZE, SIZE, 3), dtype=np.uint8)
    boxes, targets = [], []
    for half in (4, 36):
        bright, right = rng.integers(2, size=2).tolist()
        top, left = half + int(rng.integers(8)), int(rng.integers(16, 33))
        colour = rng.integers(50, size=3) + 205 * bright
        for t in range(FRAMES):
            x = left + 2 * (t - KEY) * (1 if right else -1)
            video[t, top : top + SQUARE, x : x + SQUARE] = colour
        boxes.append([left, top, left + SQUARE, top + SQUARE])
        targets.append([bright, right])
    return video, boxes, targets


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """64 encoded scenes: a list of (path, boxes, targets)."""
    folder, written = tmp_path_factory.mktemp("scenes"), []
    for seed in range(64):
        video, boxes, targets = scene(seed)
        write_video(folder / f"{seed}.mp4", video, fps=8)
        written.append((folder / f"{seed}.mp4", boxes, targets))
    return written


def read(scenes):
    """Clips [B, 3, 8, 64, 64] of every other frame, boxes as a list of [2, 4], targets [B, 2, 2]."""
    clips = []
    for path, _, _ in scenes:
        with open_video(path) as video:
            clips.append(video.frames(range(0, FRAMES, 2)).permute(3, 0, 1, 2) / 255)
    boxes = [torch.tensor(of_scene, dtype=torch.float32) for _, of_scene, _ in scenes]
    return torch.stack(clips), boxes, torch.tensor([targets for _, _, targets in scenes]).float()


def test_a_detector_learns_what_happens_in_each_box(scenes):
    clips, boxes, targets = read(scenes[:48])
    torch.manual_seed(0)
    detector = ActionDetector(create_backbone("r3d_rs_tiny", ["res5"], res5_dilation=2), len(LABELS), dropout=0.0)
    optimizer = torch.optim.AdamW(detector.parameters(), lr=2e-3)
    losses = []
    for _ in range(80):
        batch = torch.randperm(len(clips))[:8]
        logits = detector(clips[batch], [boxes[i] for i in batch])
        loss = binary_cross_entropy_with_logits(logits, targets[batch].flatten(0, 1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert abs(losses[0] - math.log(2)) < 0.1  # small weights: every answer starts near one half
    assert sum(losses[-10:]) / 10 < 0.1
    # Scenes that it has not seen; each holds two boxes, so that one answer for the whole clip would be wrong.
    clips, boxes, targets = read(scenes[48:])
    with torch.no_grad():
        answers = detector.eval()(clips, boxes) > 0
    assert torch.equal(answers, targets.flatten(0, 1).bool())
    assert any(not torch.equal(one, other) for one, other in targets)


# -- The head against a computation by hand


class Ramp(nn.Module):
    """A stand-in whose map says where each cell's centre is, in pixels: channels x and y, plus the frame's number."""

    def output_shape(self):
        return {"res4": FeatureShape(channels=2, temporal_stride=1, spatial_stride=4)}

    def forward(self, clips):
        batch, _, frames, height, width = clips.shape
        x, y = (4 * torch.arange(n // 4) + 2.0 for n in (width, height))
        places = torch.stack(torch.meshgrid(x, y, indexing="xy"))
        return {"res4": places[None, :, None] + torch.arange(frames).view(1, 1, -1, 1, 1).expand(batch, 2, -1, 1, 1)}


def test_a_box_is_pooled_where_it_lies():
    detector = ActionDetector(Ramp(), 2).eval()
    with torch.no_grad():
        detector.fc.weight.copy_(torch.eye(2))
        # Each of 7 x 7 bins, 2 x 2 pixels, is read in its middle; the last one 1 pixel before the box's end.
        # Frames 0, 1, 2 have the mean 1.
        logits = detector(torch.zeros(1, 3, 3, 32, 64), [torch.tensor([[8, 4, 22, 18]])])
    assert logits.tolist() == [[21 + 1, 17 + 1]]


def regions_by_hand(maps, rois, stride):
    """Maximum over 7 x 7 RoIAlign bins, each the mean of its samples, read with grid_sample: [N, C]."""
    regions = []
    for clip, *box in rois.tolist():
        lines = []
        for low, high, cells in ((box[1], box[3], maps.shape[2]), (box[0], box[2], maps.shape[3])):
            samples = 7 * math.ceil((high - low) / stride / 7)
            lines.append((low + (torch.arange(samples) + 0.5) * (high - low) / samples) / stride / cells * 2 - 1)
        grid = torch.stack(torch.meshgrid(*lines, indexing="ij")[::-1], -1)[None]
        read = functional.grid_sample(maps[int(clip)][None], grid, padding_mode="border", align_corners=False)
        regions.append(functional.adaptive_avg_pool2d(read, 7).amax((2, 3))[0])
    return torch.stack(regions)


ROIS = torch.tensor(
    [
        [1, 3.5, 10.25, 40.0, 60.0],
        [0, 0.0, 0.0, 95.0, 64.0],
        [1, 70.0, 1.0, 71.5, 2.5],
        [0, 20.0, 30.0, 90.5, 34.0],
    ]
)


@pytest.mark.parametrize("feature", ["res3", "res5"])
def test_logits_are_those_of_roi_align_by_hand(feature):
    backbone = tiny(feature).eval()
    detector = ActionDetector(backbone, 5).eval()
    nn.init.normal_(detector.fc.weight)
    clips = torch.rand(2, 3, 6, 64, 96)
    stride = backbone.output_shape()[feature].spatial_stride
    with torch.no_grad():
        maps = backbone(clips)[feature].mean(2)
        expected = detector.fc(regions_by_hand(maps, ROIS, stride))
        # float32: sums of the same few terms in another order.
        torch.testing.assert_close(detector(clips, ROIS), expected, rtol=1e-5, atol=1e-5)


def test_both_forms_of_boxes_mean_the_same():
    detector = ActionDetector(tiny("res4"), 3).eval()
    clips = torch.rand(3, 3, 4, 64, 96)
    per_clip = [ROIS[[1, 3], 1:], torch.zeros(0, 4), ROIS[[0, 2], 1:]]
    joined = ROIS[[1, 3, 0, 2]].clone()
    joined[:, 0] = torch.tensor([0.0, 0, 2, 2])
    assert torch.equal(rois_of(per_clip, clips.shape), joined)
    with torch.no_grad():
        logits = detector(clips, per_clip)
        assert torch.equal(detector(clips, joined), logits)
        # Logits come in the order of the boxes; rows of one matrix product may be summed in another order.
        torch.testing.assert_close(detector(clips, joined.flip(0)).flip(0), logits)
    assert rois_of([torch.tensor([[1, 2, 3, 4]])], (1, 3, 4, 64, 96)).tolist() == [[0.0, 1.0, 2.0, 3.0, 4.0]]


@pytest.mark.parametrize("boxes", [[torch.zeros(0, 4)] * 2, torch.zeros(0, 5)], ids=["list", "joined"])
def test_without_boxes_the_logits_are_empty_and_have_a_gradient(boxes):
    detector = ActionDetector(tiny("res4"), 3)
    logits = detector(torch.rand(2, 3, 4, 32, 32), boxes)
    assert logits.shape == (0, 3)
    logits.sum().backward()
    assert all(p.grad is not None and not p.grad.any() for p in detector.parameters())


def test_every_parameter_gets_a_gradient():
    detector = ActionDetector(tiny("res4"), 3)
    detector(torch.rand(2, 3, 6, 64, 96), ROIS).square().sum().backward()
    assert [name for name, p in detector.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_boxes_keep_their_precision_beside_half_precision_maps():
    detector, maps = ActionDetector(tiny("res4"), 3), torch.rand(2, 64, 4, 6).bfloat16()
    regions = detector.pool_boxes(maps, ROIS)
    assert regions.dtype == torch.bfloat16
    assert torch.equal(regions, detector.pool_boxes(maps.float(), ROIS).bfloat16())
    assert detector.pool_boxes(maps.double(), ROIS).dtype == torch.float64


# -- Other people's detection code


def test_torchvisions_pyramid_takes_maps_pooled_in_time():
    backbone = tiny("res3", "res4", "res5").eval()
    shapes = backbone.output_shape()
    pyramid = FeaturePyramidNetwork([shape.channels for shape in shapes.values()], 8)
    clips = torch.rand(2, 3, 6, 64, 96)
    with torch.no_grad():
        maps = backbone(clips)
        pooled = pool_time(maps)
        assert {name: list(x.shape) for name, x in pooled.items()} == {
            name: [2, shape.channels, 64 // shape.spatial_stride, 96 // shape.spatial_stride]
            for name, shape in shapes.items()
        }
        by_hand = {name: sum(x.unbind(2)) / x.shape[2] for name, x in maps.items()}
        levels, expected = pyramid(pooled), pyramid(by_hand)
        for name in shapes:  # a mean in another order of summation
            torch.testing.assert_close(levels[name], expected[name], rtol=1e-5, atol=1e-6)
        # torchvision finds each level's scale from the sizes alone: the strides must be the ones we state.
        pooler = MultiScaleRoIAlign(list(shapes), 7, 0)
        pooler(levels, [ROIS[ROIS[:, 0] == i, 1:] for i in range(2)], [(64, 96)] * 2)
    assert pooler.scales == [1 / shape.spatial_stride for shape in shapes.values()]


def pytorchvideo_network(backbone, feature, **head):
    """Its detection network on our backbone, as its own detection models are built: aligned=False."""
    from pytorchvideo.models.head import create_res_roi_pooling_head
    from pytorchvideo.models.net import DetectionBBoxNetwork

    shape = backbone.output_shape()[feature]
    head = create_res_roi_pooling_head(
        in_features=shape.channels,
        out_features=3,
        resolution=(7, 7),
        spatial_scale=1 / shape.spatial_stride,
        **{"pool": nn.AdaptiveAvgPool3d, "output_size": (1, None, None), **head},
    )
    return DetectionBBoxNetwork(SingleMap(backbone), head).eval()


@pytest.mark.filterwarnings("ignore::FutureWarning")  # its import calls torch.jit.script
@pytest.mark.parametrize("frames", [2, 7])
def test_pytorchvideos_network_gives_what_pooling_by_hand_gives(frames):
    backbone = tiny("res4")
    network = pytorchvideo_network(backbone, "res4")
    clips = torch.rand(2, 3, frames, 64, 96)
    with torch.no_grad():
        logits = network(clips, ROIS)
        maps = backbone(clips)["res4"].mean(2)
        # Its RoIAlign has the old half-cell shift: the same as the aligned one for boxes 8 pixels further down right.
        shifted = ROIS + torch.tensor([0.0, 8, 8, 8, 8])
        expected = network.detection_head.proj(regions_by_hand(maps, shifted, 16))
    assert logits.shape == (4, 3)
    whole = [0, 1]  # without alignment the smaller ones, less than a cell high, are widened to a whole cell
    torch.testing.assert_close(logits[whole], expected[whole], rtol=1e-5, atol=1e-5)


@pytest.mark.filterwarnings("ignore::FutureWarning")  # its import calls torch.jit.script
@pytest.mark.parametrize("head", [{}, {"pool": nn.AvgPool3d, "pool_kernel_size": (3, 1, 1)}], ids=["any T", "fixed T"])
def test_an_action_detector_is_pytorchvideos_network_with_an_aligned_roi(head):
    backbone = tiny("res4")
    detector = ActionDetector(backbone, 3).eval()
    network = pytorchvideo_network(backbone, "res4", roi=partial(RoIAlign, aligned=True), **head)
    detector.fc.load_state_dict(network.detection_head.proj.state_dict())
    clips = torch.rand(2, 3, 6, 64, 96)  # three frames in the map
    with torch.no_grad():
        torch.testing.assert_close(network(clips, ROIS), detector(clips, ROIS), rtol=1e-5, atol=1e-6)


def test_detection_needs_nothing_that_the_networks_do_not_need():
    code = (
        "import sys, torch, video_rs.models\n"
        "state, before = torch.get_rng_state(), {name for name in sys.modules if name.startswith('video_rs')}\n"
        "import video_rs.models.detection\n"
        "assert torch.equal(state, torch.get_rng_state())\n"
        "heavy = 'fvcore iopath yaml av decord torchcodec pytorchvideo matplotlib timm tensorboard'.split()\n"
        "print([name for name in heavy if name in sys.modules])\n"
        "print([name for name in sys.modules if name.startswith('video_rs') and name not in before])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert (answer.returncode, answer.stdout) == (0, "[]\n['video_rs.models.detection']\n"), answer.stderr


# -- Dilation of res5


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


# -- Refusals

BOX = torch.tensor([[1.0, 2, 3, 4]])
FORMS = "; allowed: one tensor [boxes, 5] (clip, x1, y1, x2, y2), or a list with one [boxes, 4] for each clip"
OF_CLIP = "; allowed: a tensor [boxes, 4] (x1, y1, x2, y2), [0, 4] for none"
INDEX = "] (clip, x1, y1, x2, y2); allowed: a whole number from 0 to 1 as the clip's index"
EMPTY = "] (clip, x1, y1, x2, y2); allowed: finite pixels with x1 < x2 and y1 < y2; correct or drop the box"
OUTSIDE = "] (clip, x1, y1, x2, y2); allowed: boxes that overlap the clip's 32 x 48 pixels; rescale or drop the box"
REFUSED = [
    (torch.zeros(5), f"boxes have shape [5]{FORMS}"),
    (BOX, f"boxes have shape [1, 4]{FORMS}"),
    ([BOX], "boxes are a list of 1 for a batch of 2 clips; give one entry for each clip"),
    ([BOX, torch.zeros(2, 5)], f"boxes of clip 1: got [2, 5]{OF_CLIP}"),
    ([BOX[0], BOX], f"boxes of clip 0: got [4]{OF_CLIP}"),
    ([[1, 2, 3, 4], BOX], f"boxes of clip 0: got list{OF_CLIP}"),
    (torch.tensor([[0, 1, 2, 3, 4], [2, 1, 2, 3, 4]]), f"box 1 is [2, 1, 2, 3, 4{INDEX}"),
    (torch.tensor([[-1.0, 1, 2, 3, 4]]), f"box 0 is [-1, 1, 2, 3, 4{INDEX}"),
    (torch.tensor([[0.5, 1, 2, 3, 4]]), f"box 0 is [0.5, 1, 2, 3, 4{INDEX}"),
    ([BOX, torch.tensor([[3.0, 2, 1, 4]])], f"box 1 is [1, 3, 2, 1, 4{EMPTY}"),
    ([BOX, torch.tensor([[1.0, 4, 3, 4]])], f"box 1 is [1, 1, 4, 3, 4{EMPTY}"),
    ([BOX, BOX * math.nan], f"box 1 is [1, nan, nan, nan, nan{EMPTY}"),
    (torch.tensor([[0, 1, 2, math.inf, 4]]), f"box 0 is [0, 1, 2, inf, 4{EMPTY}"),
    (torch.tensor([[0, 48, 2, 60, 4]]), f"box 0 is [0, 48, 2, 60, 4{OUTSIDE}"),
    (torch.tensor([[0, 1, -9, 3, 0]]), f"box 0 is [0, 1, -9, 3, 0{OUTSIDE}"),
]


@pytest.mark.parametrize(("boxes", "message"), REFUSED, ids=range(len(REFUSED)))
def test_boxes_that_mean_nothing_are_refused(boxes, message):
    detector = ActionDetector(tiny("res4"), 2)
    assert refusal(detector, torch.rand(2, 3, 2, 32, 48), boxes) == message


def test_a_box_may_cross_the_edge_of_the_frame():
    crossing = torch.tensor([[0, -5.0, -5.0, 1.0, 1.0], [1, 47.0, 31.0, 60.0, 60.0]])
    assert torch.equal(rois_of(crossing, (2, 3, 2, 32, 48)), crossing)


@pytest.mark.parametrize("make", [SingleMap, partial(ActionDetector, num_classes=2)], ids=["map", "detector"])
def test_a_backbone_of_several_maps_is_refused(make):
    message = "the backbone gives 2 feature maps (res4, res3); allowed: one; create it with out_features=['res3']"
    assert refusal(make, tiny("res4", "res3")) == message


def test_other_wrong_input_is_refused():
    assert refusal(ActionDetector, tiny("res4"), 0) == "num_classes is 0; allowed: at least 1"
    message = refusal(ActionDetector(tiny("res4"), 2), torch.rand(3, 2, 32, 48), [BOX])
    assert message == "clips have shape [3, 2, 32, 48]; allowed: [batch, 3, frames, height, width]"


# -- The example


def write_list(path, scenes, val=8):
    """An AVA-style list of some scenes, the last ``val`` of them of split val: four labels, two for each box."""
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["video", "frame", "x1", "y1", "x2", "y2", "label", "split"])
        for i, (video, boxes, targets) in enumerate(scenes):
            for box, (bright, right) in zip(boxes, targets, strict=True):
                for label in ("bright" if bright else "dark", "right" if right else "left"):
                    split = "val" if i >= len(scenes) - val else "train"
                    rows.writerow([video.name, KEY, *(x / SIZE for x in box), label, split])
    return path


@pytest.fixture
def example(tool):
    """``example(*arguments)`` runs ``examples/detect_actions.py`` in this process."""
    return lambda *arguments: tool("../examples/detect_actions", *arguments)


def test_the_example_trains_measures_and_answers(example, scenes, tmp_path):
    path = write_list(scenes[0][0].parent / "boxes.csv", scenes)
    output = tmp_path / "new" / "answers.json"
    result = example("--list", path, "--steps", 100, "--size", 64, "--output", output)
    assert (result.code, result.err) == (0, "")
    lines = result.out.splitlines()
    assert lines[0] == "56 key frames to train on, 8 to measure; labels: bright, dark, left, right"
    answers = json.loads(output.read_text())
    means = [sum(answers["losses"][i : i + 10]) / 10 for i in range(0, 100, 10)]
    assert lines[1:11] == [f"step {10 * i:4d}  loss {mean:.4f}" for i, mean in enumerate(means, 1)]
    assert means[0] > 0.5 > 0.15 > means[-1]
    truth = [
        {"video": video.name, "box": [x / SIZE for x in box], "labels": [("dark", "bright")[b], ("left", "right")[r]]}
        for video, boxes, targets in scenes[-8:]
        for box, (b, r) in zip(boxes, targets, strict=True)
    ]
    assert [{key: box[key] for key in ("video", "box", "labels")} for box in answers["boxes"]] == truth
    for box in answers["boxes"]:
        assert [name for name, score in box["scores"].items() if score > 0.5] == box["labels"]
    assert answers["average_precision"] == dict.fromkeys(("bright", "dark", "left", "right"), 1.0)
    counts = {name: sum(name in box["labels"] for box in truth) for name in answers["average_precision"]}
    assert lines[11:15] == [f"AP 1.000  {name} ({count} of 16 boxes)" for name, count in counts.items()]
    assert len(lines) == 20


def test_the_example_takes_seconds_and_measures_what_it_trained_on(example, scenes, tmp_path):
    """A timestamp column, no split, and a video at another place; the boxes of frame 8 at 8 frames per second."""
    path = write_list(tmp_path / "boxes.csv", scenes[:2])
    rows = [row[:-1] for row in csv.reader(path.open())]
    text = "\n".join(",".join(row) for row in rows).replace(f".mp4,{KEY},", ".mp4,1.0,").replace("frame", "timestamp")
    path.write_text(text.replace("\n", f"\n{scenes[0][0].parent}/"))
    result = example("--list", path, "--steps", 1, "--size", 32, "--frames", 1)
    assert (result.code, result.err) == (0, "")
    lines = result.out.splitlines()
    assert lines[0].startswith("2 key frames to train on, 2 to measure; labels: ")
    assert lines[-4].startswith(f"{scenes[0][0]} timestamp 1.0 [")
    assert len([line for line in lines if "timestamp" in line]) == 4


def test_a_clip_lies_around_its_key_frame(tmp_path):
    """Frame i is grey of value 10 i: the clip's frames are two apart, and the video's ends stand where it has none."""
    example = runpy.run_path(str(ROOT / "examples" / "detect_actions.py"))
    grey = np.broadcast_to(10 * np.arange(1, 17, dtype=np.uint8)[:, None, None, None], (16, 32, 64, 3))
    write_video(tmp_path / "grey.mp4", grey, fps=10)
    for column, moment, expected in (
        ("frame", "8", [4, 6, 8, 10]),
        ("timestamp", "0.8", [4, 6, 8, 10]),
        ("frame", "0", [0, 0, 0, 2]),
        ("frame", "15", [11, 13, 15, 15]),
    ):
        key = example["KeyFrame"]("grey.mp4", column, moment, "train")
        clip = example["read_clip"](tmp_path, key, 4, 24)
        assert (clip.shape, clip.dtype) == ((3, 4, 24, 24), torch.uint8)
        shades = clip.float().mean((0, 2, 3)) / 10 - 1
        assert shades.round().tolist() == expected  # H.264 keeps flat grey within a level or two


@pytest.mark.parametrize(
    ("scores", "true", "expected"),
    [
        ([0.9, 0.8, 0.7, 0.6], [1, 0, 1, 0], (1 + 2 / 3) / 2),
        ([0.1, 0.2, 0.3], [1, 1, 0], (1 / 2 + 2 / 3) / 2),
        ([0.5], [1], 1.0),
        ([0.5, 0.4], [0, 0], None),
    ],
)
def test_average_precision_is_the_mean_precision_at_the_true_boxes(scores, true, expected):
    average_precision = runpy.run_path(str(ROOT / "examples" / "detect_actions.py"))["average_precision"]
    assert average_precision(torch.tensor(scores), torch.tensor(true).float()) == pytest.approx(expected)


COLUMNS = "video,frame,x1,y1,x2,y2,label,split"
HEADER = "{list} has no NAME; allowed: rows under a header video,frame,x1,y1,x2,y2,label"
LABEL = "; allowed: train or val, and a name"
FRACTIONS = "; allowed: fractions, 0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1"
RANGE = " of {folder}/0.mp4; allowed: one of its 16 frames at 8 per second"
GOOD = "0.mp4,8,0.1,0.2,0.3,0.4,bright,train"
BAD_LISTS = [
    ("", "", HEADER.replace("NAME", "video")),
    (COLUMNS.replace("y2,", ""), GOOD, HEADER.replace("NAME", "y2")),
    (COLUMNS, "0.mp4,8,10,20,30,40,bright,train", f"{{list}}, row 2: box ['10', '20', '30', '40']{FRACTIONS}"),
    (COLUMNS, GOOD.replace("0.3", "wide"), f"{{list}}, row 2: box ['0.1', '0.2', 'wide', '0.4']{FRACTIONS}"),
    (COLUMNS, GOOD.replace("0.3", "nan"), f"{{list}}, row 2: box ['0.1', '0.2', 'nan', '0.4']{FRACTIONS}"),
    (COLUMNS, f"{GOOD}\n0.mp4,8,0.1", f"{{list}}, row 3: split 'train', label None{LABEL}"),
    (COLUMNS, GOOD.replace("train", "test"), f"{{list}}, row 2: split 'test', label 'bright'{LABEL}"),
    (COLUMNS, GOOD.replace("train", "val"), "{list} has no row of split train; add some"),
    (COLUMNS, GOOD.replace(",8,", ",16,"), f"frame '16'{RANGE}"),
    (COLUMNS, GOOD.replace(",8,", ",nan,"), f"frame 'nan'{RANGE}"),
    (COLUMNS, GOOD.replace("0.mp4", "gone.mp4"), "cannot decode {folder}/gone.mp4: no such file"),
]


@pytest.mark.parametrize(("header", "rows", "message"), BAD_LISTS, ids=range(len(BAD_LISTS)))
def test_the_example_refuses_a_bad_list_in_one_line(example, scenes, header, rows, message):
    folder = scenes[0][0].parent
    path = folder / "bad.csv"
    path.write_text(f"{header}\n{rows}\n")
    result = example("--list", path, "--steps", 1, "--size", 32)
    assert (result.code, result.err) == (2, f"error: {message.format(list=path, folder=folder)}\n")


def test_the_example_refuses_other_bad_input(example, scenes, tmp_path):
    path = write_list(scenes[0][0].parent / "boxes.csv", scenes[:1], val=0)
    for arguments, message in (
        (("--list", tmp_path / "no.csv"), f"cannot read the list {tmp_path / 'no.csv'}: No such file or directory"),
        (("--list", path, "--steps", 0), "--steps is 0; allowed: at least 1"),
        (("--list", path, "--model", "r3d_rs_tin"), "unknown model 'r3d_rs_tin'; did you mean 'r3d_rs_tiny'?"),
    ):
        result = example(*arguments)
        assert (result.code, result.err, result.out) == (2, f"error: {message}\n", "")
    result = example("--list", path, "--steps", 1, "--size", 32, "--output", tmp_path)
    assert (result.code, result.err) == (2, f"error: cannot write {tmp_path}: Is a directory\n")
