"""Plain image ResNets in slow_r50, c2d_r50 and i3d_r50, against torchvision's and timm's own in float64."""

import pytest
import timm
import torch
import torchvision

from helpers.networks import on_meta, randomized, refusal
from video_rs import create_backbone, create_model
from video_rs.models import architecture
from video_rs.models.pretrained_spec import PretrainedSpec
from video_rs.models.weights.inflate import inflate_image_weights
from video_rs.models.weights.timm_networks import timm_name, torchvision_name

NAMES = ("slow_r50", "c2d_r50", "i3d_r50")
MAKERS = {"torchvision": torchvision.models.resnet50, "timm": lambda: timm.create_model("resnet50")}
# Sums of up to 10^4 products in float64, in another order, through 50 layers.
ROUNDING = 1e-9
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225), "crop_size": 224}


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


@pytest.fixture(scope="module", params=MAKERS)
def network(request):
    with torch.device("meta"):
        made = MAKERS[request.param]()
    return randomized(made.double().to_empty(device="cpu"), 5, last_norm="bn3.weight")


@pytest.fixture(scope="module")
def pictures():
    return torch.randn(2, 3, 64, 47, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


@pytest.fixture(scope="module")
def expected(network, pictures):
    with torch.no_grad():
        return network(pictures)


def inflated(network, name, inflation="centre", **overrides):
    model = on_meta(name, 1000, **overrides)
    model.load_state_dict(inflate_image_weights(network.state_dict(), model, inflation), assign=True)
    return model.eval()


def distance(ours, theirs):
    return ((ours - theirs).abs().max() / theirs.abs().max()).item()


def still(pictures, frames):
    return pictures.unsqueeze(2).expand(-1, -1, frames, -1, -1)


@pytest.mark.parametrize("name", NAMES)
def test_a_still_clip_gives_the_image_logits(network, pictures, expected, name):
    assert distance(expected[:1], expected[1:]) > 1e-3  # the logits do depend on the picture
    error = distance(inflated(network, name)(still(pictures, 4)), expected)
    print(f"{name}, still clip: {error:.1e} of the largest logit")
    assert error < ROUNDING


def test_mean_is_the_image_network_where_kernels_have_no_time(network, pictures, expected):
    model = inflated(network, "c2d_r50", "mean")
    assert distance(model(still(pictures, 3)), expected) < ROUNDING


def test_mean_spreads_a_kernel_over_the_frames(network):
    kernel = inflated(network, "i3d_r50", "mean").backbone.stem[0].weight
    image = network.conv1.weight
    for frame in kernel.unbind(2):
        assert torch.equal(frame, image / 5)


def test_a_file_is_known_by_its_names(network, tmp_path):
    path = tmp_path / "resnet50.pth"
    torch.save(network.state_dict(), path)
    model = create_model("slow_r50", 1000, pretrained=path)
    assert model.pretrained_spec == PretrainedSpec(str(path), **IMAGENET)
    backbone = create_backbone("slow_r50", ["res2"], pretrained=path)
    assert torch.equal(backbone.stem[1].running_var, network.bn1.running_var.float())
    assert torch.equal(model.fc.weight, network.fc.weight.float())
    assert list(dict(backbone.named_children())) == ["stem", "stem_pool", "res2"]


def test_weights_come_through_the_library(monkeypatch, tmp_path):
    """torchvision takes a file from torch.hub's cache."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    asked = []

    def load(url, *args, **kwargs):
        asked.append(url)
        return torchvision.models.resnet50().state_dict()

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", load)
    model = create_model("i3d_r50", 1000, pretrained="torchvision")
    assert [url.rpartition("/")[2].partition("-")[0] for url in asked] == ["resnet50"]
    assert model.pretrained_spec == PretrainedSpec("torchvision's resnet50", **IMAGENET)
    assert not model.backbone.stem[0].weight[:, :, 0].any()


@pytest.mark.parametrize("name", NAMES)
def test_every_plain_network_knows_its_image_network(name):
    for name_of in (timm_name, torchvision_name):
        assert name_of(architecture(name)) == "resnet50"


def test_networks_that_are_no_plain_image_network_are_refused():
    assert refusal(create_model, "inflated_rs_50", 2, pretrained="torchvision") == (
        "torchvision has no image network like this one: stem 'deep' (torchvision: 'plain'); stem_pool 'conv' "
        "(torchvision: 'max'); shortcut 'avgpool' (torchvision: 'projection'); se_ratio 0.25 (torchvision: 0.0); "
        "take slow_r50, c2d_r50 or i3d_r50"
    )
    expected = (
        "timm has no image network like this one: padding 'same' (timm: 'symmetric'); self_gating True (timm: False); "
        "take slow_r50, c2d_r50 or i3d_r50"
    )
    message = refusal(create_model, "r3d_50", 2, pretrained="timm")
    assert sorted(message.split(": ", 1)[1].split("; ")) == sorted(expected.split(": ", 1)[1].split("; "))


def test_a_stem_without_its_pooling_is_refused(network):
    model = on_meta("slow_r50", 1000, stem_pool="none")
    assert refusal(inflate_image_weights, network.state_dict(), model) == (
        "weights in the image weights are an image network's and do not fit the model: stem_pool 'max' there, 'none' "
        "here; take a slow_r50, c2d_r50 or i3d_r50 model as it is, or set stem_pool='max' (in a config: "
        "MODEL.STEM_POOL max)"
    )
