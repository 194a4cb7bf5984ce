"""slow_r50, c2d_r50 and i3d_r50 against pytorchvideo's own modules in float64."""

import pytest
import pytorchvideo.models.resnet as theirs
import torch

from helpers.networks import on_meta, randomized
from helpers.video_networks import (
    NARROW,
    NARROW_STEM,
    OPTIONS,
    as_mmaction,
    as_slowfast,
    is_pooled,
    video_network,
)
from video_rs import create_backbone, create_model
from video_rs.models.detection import SingleMap
from video_rs.models.fast import speed_up
from video_rs.models.weights import from_mmaction, from_pytorchvideo, from_slowfast

NAMES = ("slow_r50", "c2d_r50", "i3d_r50")
# Sums of up to 10^4 products in float64, in another order, through 50 layers.
ROUNDING = 1e-9
NAMINGS = {
    "pytorchvideo": (from_pytorchvideo, lambda state, name: state),
    "SlowFast": (from_slowfast, as_slowfast),
    "MMAction2": (from_mmaction, as_mmaction),
}


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


def clips(*shape, seed=3):
    return torch.randn(2, 3, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def distance(ours, expected):
    """Largest difference over the largest of ``expected``."""
    assert ours.shape == expected.shape
    return ((ours - expected).abs().max() / expected.abs().max()).item()


@pytest.fixture(scope="module", params=NAMES)
def narrow(request):
    """A name of the zoo, and pytorchvideo's network of that name with an eighth of the channels."""
    return request.param, video_network(request.param, 7, NARROW_STEM)


def loaded(name, network, naming="pytorchvideo", **overrides):
    convert, rename = NAMINGS[naming]
    model = on_meta(name, 7, **NARROW, **overrides)
    model.load_state_dict(convert(rename(network.state_dict(), name), model), assign=True)
    return model.eval()


@pytest.mark.parametrize("naming", NAMINGS)
@pytest.mark.parametrize("shape", [(8, 64, 64), (4, 47, 65)], ids=str)
def test_logits_are_theirs(narrow, naming, shape):
    name, network = narrow
    model = loaded(name, network, naming)
    x = clips(*shape)
    expected = network(x)
    assert distance(expected[:1], expected[1:]) > 1e-3  # the logits do depend on the clip
    for kind in (model, speed_up(loaded(name, network, naming))):
        error = distance(kind(x), expected)
        print(f"{name}, {naming}, {shape}: {error:.1e} of the largest logit")
        assert error < ROUNDING


def test_every_stages_map_is_theirs(narrow):
    name, network = narrow
    x = clips(8, 48, 64)
    maps = loaded(name, network).backbone(x)
    expected = []
    for block in network.blocks[:-1]:
        x = block(x)
        expected.append(x)
    del expected[0]  # the stem
    if is_pooled(name):
        del expected[0]  # ours is behind the pooling
    for ours, map_there in zip(maps.values(), expected, strict=True):
        assert distance(ours, map_there) < ROUNDING


@pytest.mark.parametrize("name", NAMES)
def test_a_detection_backbones_map_and_answers_are_theirs(name):
    """With res5 dilated, as ``slow_r50_detection`` has it, and pytorchvideo's own RoI head behind our backbone."""
    options = {**OPTIONS[name], "model_num_class": 5, "stem_dim_out": NARROW_STEM}
    frames = 4 if is_pooled(name) else 8
    network = theirs.create_resnet_with_roi_head(**options, head_pool_kernel_size=(frames, 1, 1))
    network = randomized(network.double(), 5, last_norm="norm_c.weight")
    backbone = create_backbone(name, ["res5"], res5_dilation=2, **NARROW)
    assert backbone.output_shape()["res5"].spatial_stride == 16
    assert backbone.output_shape()["res5"].temporal_stride == 8 // frames
    backbone = backbone.double().eval()
    backbone.load_state_dict(from_pytorchvideo(network.state_dict(), backbone))

    x = clips(8, 64, 96)
    assert distance(backbone(x)["res5"], network.model(x)) < ROUNDING
    boxes = torch.tensor([[0, 3, 5, 60, 50], [1, 10, 2, 90, 64], [1, 0, 0, 20, 20]], dtype=torch.float64)
    expected = network(x, boxes)
    network.model = SingleMap(backbone)
    assert distance(network(x, boxes), expected) < ROUNDING


@pytest.mark.parametrize("name", NAMES)
def test_the_whole_network_gives_their_logits(name):
    network = video_network(name)
    model = on_meta(name)
    model.load_state_dict(from_pytorchvideo(network.state_dict(), model), assign=True)
    x = clips(8, 64, 64)[:1]
    error = distance(model.eval()(x), network(x))
    print(f"{name}, whole: {error:.1e} of the largest logit")
    assert error < ROUNDING
    assert sum(p.numel() for p in model.parameters()) == sum(p.numel() for p in network.parameters())


def test_a_frame_that_is_left_over_is_pooled_alone():
    model = create_model("c2d_r50", 3, **NARROW).eval()
    pool = model.backbone.res2[-1]
    x = torch.tensor([1.0, 4, 3, 2, -5]).reshape(1, 1, 5, 1, 1)
    assert pool(x).flatten().tolist() == [4, 3, -5]
    assert pool(x[:, :, :1]).flatten().tolist() == [1]
    assert torch.equal(speed_up(model).backbone.res2[-1](x), pool(x))


def test_training_settings_are_theirs():
    for name in NAMES:
        arch = on_meta(name).backbone.architecture
        assert (arch.dropout, arch.norm_momentum, arch.stochastic_depth) == (0.5, 0.1, 0)
