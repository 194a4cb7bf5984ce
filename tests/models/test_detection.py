"""Backbones in detection code: RoI heads, torchvision's FPN and pytorchvideo's network."""

import math
import subprocess
import sys
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional
from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign, RoIAlign

from helpers.networks import refusal
from helpers.scenes import tiny
from video_rs.models import FeatureShape
from video_rs.models.detection import ActionDetector, SingleMap, boxes_to_rois, pool_time

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
    assert torch.equal(boxes_to_rois(per_clip, clips.shape), joined)
    with torch.no_grad():
        logits = detector(clips, per_clip)
        assert torch.equal(detector(clips, joined), logits)
        # Logits come in the order of the boxes; rows of one matrix product may be summed in another order.
        torch.testing.assert_close(detector(clips, joined.flip(0)).flip(0), logits)
    assert boxes_to_rois([torch.tensor([[1, 2, 3, 4]])], (1, 3, 4, 64, 96)).tolist() == [[0.0, 1.0, 2.0, 3.0, 4.0]]


@pytest.mark.parametrize("boxes", [[torch.zeros(0, 4)] * 2, torch.zeros(0, 5)], ids=["list", "joined"])
def test_without_boxes_the_logits_are_empty_and_have_a_gradient(boxes):
    detector = ActionDetector(tiny("res4"), 3)
    logits = detector(torch.rand(2, 3, 4, 32, 32), boxes)
    assert logits.shape == (0, 3)
    logits.sum().backward()
    assert all(p.grad is not None and not p.grad.any() for p in detector.parameters())


def test_without_clips_there_are_no_logits():
    detector = ActionDetector(tiny("res4"), 3)
    for boxes in ([], torch.zeros(0, 5)):
        assert detector(torch.rand(0, 3, 4, 32, 32), boxes).shape == (0, 3)
    assert refusal(detector, torch.rand(1, 3, 4, 32, 32), []) == (
        "boxes are a list of 0 for a batch of 1 clips; give one entry for each clip"
    )


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
    assert torch.equal(boxes_to_rois(crossing, (2, 3, 2, 32, 48)), crossing)


@pytest.mark.parametrize("make", [SingleMap, partial(ActionDetector, num_classes=2)], ids=["map", "detector"])
def test_a_backbone_of_several_maps_is_refused(make):
    message = "the backbone gives 2 feature maps (res4, res3); allowed: one; create it with out_features=['res3']"
    assert refusal(make, tiny("res4", "res3")) == message


def test_other_wrong_input_is_refused():
    for classes in (0, "2", 2.0, True):
        message = f"num_classes is {classes!r}; allowed: a whole number, at least 1"
        assert refusal(ActionDetector, tiny("res4"), classes) == message
    assert refusal(pool_time, torch.rand(1, 2, 3, 4, 5)) == (
        "features are a Tensor; allowed: {name: map}, as a backbone returns; of one map take x.mean(2)"
    )
    message = refusal(ActionDetector(tiny("res4"), 2), torch.rand(3, 2, 32, 48), [BOX])
    assert message == "clips have shape [3, 2, 32, 48]; allowed: [batch, 3, frames, height, width]"
