"""Image weights in video networks, against timm's own image networks in float64."""

import logging

import pytest
import torch
from torch.nn import functional

from helpers.image_networks import SMALL, image_network, small_image_network
from helpers.networks import on_meta, refusal
from video_rs import create_backbone, create_model
from video_rs.models.weights.inflate import inflate_image_weights

NO_TIME = {"temporal_kernels": (1, 1, 1, 1), "stem_temporal_kernel": 1}
# Sums of up to 10^4 products in float64, in another order, through up to 420 layers.
ROUNDING = 1e-9


def inflated(network, name="inflated_rs_50", num_classes=1000, inflation="centre", **overrides):
    """The video network with ``network``'s weights, in evaluation mode."""
    model = on_meta(name, num_classes, **overrides)
    model.load_state_dict(inflate_image_weights(network.state_dict(), model, inflation), assign=True)
    return model.eval()


def distance(ours, theirs):
    """Largest difference over the largest of ``theirs``."""
    assert ours.shape == theirs.shape
    return ((ours - theirs).abs().max() / theirs.abs().max()).item()


def images(*shape, seed=0):
    """Blotches of any brightness: noise alone looks the same to a network that averages it."""
    draw = {"dtype": torch.float64, "generator": torch.Generator().manual_seed(seed)}
    blotches = torch.randn(*shape[:2], 3, 3, **draw)
    return functional.interpolate(blotches, shape[2:], mode="bilinear") + 0.3 * torch.randn(*shape, **draw)


def still(pictures, frames):
    """``[B, C, H, W]`` -> ``[B, C, frames, H, W]``."""
    return pictures.unsqueeze(2).expand(-1, -1, frames, -1, -1)


@pytest.fixture(scope="module")
def network():
    return small_image_network()


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


# -- The image model


@pytest.mark.parametrize(
    ("depth", "size"),
    [(50, (64, 64)), (50, (65, 47)), *((d, (64, 64)) for d in (101, 152, 200, 270, 350, 420))],
    ids=str,
)
def test_without_time_it_is_timms_image_network(depth, size):
    network, pictures = image_network(depth), images(2, 3, *size)
    expected = network(pictures)
    assert distance(expected[:1], expected[1:]) > 1e-3  # the logits do depend on the picture
    assert expected.isfinite().all()
    model = inflated(network, f"inflated_rs_{depth}", **NO_TIME)
    error = distance(model(still(pictures, 1)), expected)
    print(f"inflated_rs_{depth} at {size}: {error:.1e} of the largest logit")
    assert error < ROUNDING


@pytest.mark.parametrize("frames", [1, 2, 5, 8])
@pytest.mark.parametrize(
    "overrides",
    [{}, {"temporal_kernels": (3, (3, 5), 1, 3), "temporal_strides": (2, 1, 1, 2), "stem_pool_temporal_stride": 2}],
    ids=["default", "strides"],
)
def test_a_still_clip_of_any_length_gives_the_image_logits(network, frames, overrides):
    model = inflated(network, **SMALL, **overrides)
    pictures = images(2, 3, 64, 48)
    assert distance(model(still(pictures, frames)), network(pictures)) < ROUNDING


def test_every_frame_of_a_still_clips_feature_map_is_the_images(network):
    pictures = images(1, 3, 64, 64)
    maps = inflated(network, **SMALL).forward_features(still(pictures, 9))
    expected = network.forward_features(pictures)
    assert maps.shape[2] == 5
    for frame in maps.unbind(2):
        assert distance(frame, expected) < ROUNDING


def test_a_clip_that_moves_is_more_than_its_frames(network):
    """The temporal kernels are there and of their size, with the image kernel in the middle and zeros around it."""
    model = inflated(network, **SMALL)
    image, state = network.state_dict(), model.state_dict()
    sizes = {name: value.shape[2] for name, value in state.items() if value.dim() == 5 and value.shape[2] > 1}
    branches = {"backbone.res4.0.branch.0.weight": 3, "backbone.res5.0.branch.0.weight": 3}
    assert sizes == {"backbone.stem.0.weight": 5, **branches}
    for name, theirs in zip(sizes, ("conv1.0", "layer3.0.conv1", "layer4.0.conv1"), strict=True):
        kernel, middle = state[name].clone(), sizes[name] // 2
        assert torch.equal(kernel[:, :, middle], image[f"{theirs}.weight"])
        kernel[:, :, middle] = 0
        assert not kernel.any()


# -- "mean"


def test_mean_weighs_frames_alike_and_sees_zeros_beyond_the_clip(network):
    model = inflated(network, inflation="mean", **SMALL)
    pictures = images(1, 3, 32, 32)
    stem = model.backbone.stem[0](still(pictures, 9))
    expected = functional.conv2d(pictures, network.conv1[0].weight, stride=2, padding=1)
    # Five frames from -2, 0, 2, 4 and 6 on, of which 3, 5, 5, 5 and 3 are in the clip.
    for frame, share in zip(stem.unbind(2), (3 / 5, 1, 1, 1, 3 / 5), strict=True):
        assert distance(frame, share * expected) < ROUNDING
    maps = images(1, 512, 8, 8)
    deep = model.backbone.res4[0].branch[0](still(maps, 4))
    expected = functional.conv2d(maps, network.layer3[0].conv1.weight)
    for frame, share in zip(deep.unbind(2), (2 / 3, 1, 1, 2 / 3), strict=True):
        assert distance(frame, share * expected) < ROUNDING
    assert distance(model(still(pictures, 8)), network(pictures)) > 1e-3


def test_mean_is_the_image_model_where_kernels_have_no_time(network):
    pictures = images(1, 3, 32, 32)
    model = inflated(network, inflation="mean", **SMALL, **NO_TIME)
    assert distance(model(still(pictures, 3)), network(pictures)) < ROUNDING


# -- Other inputs and classes


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_an_input_whose_channels_agree_is_a_grey_image(network, channels):
    model = inflated(network, in_channels=channels, **SMALL)
    grey = images(2, 1, 48, 48)
    clips = still(grey.repeat(1, channels, 1, 1), 4)
    assert distance(model(clips), network(grey.repeat(1, 3, 1, 1))) < ROUNDING
    kernel = model.backbone.stem[0].weight
    assert torch.equal(kernel, kernel[:, :1].expand_as(kernel))


def test_image_weights_of_as_many_channels_are_taken_as_they_are():
    network = small_image_network(in_chans=2)
    pictures = images(1, 2, 48, 48)
    model = inflated(network, in_channels=2, **SMALL)
    assert distance(model(still(pictures, 2)), network(pictures)) < ROUNDING


def test_another_number_of_classes_keeps_the_models_own_classifier(network, caplog):
    model = create_model("inflated_rs_50", 7, **SMALL).double()
    own = {name: value.clone() for name, value in model.fc.state_dict().items()}
    state = inflate_image_weights(network.state_dict(), model)
    assert [(r.levelno, r.getMessage()) for r in caplog.records] == [
        (
            logging.WARNING,
            "the classifier (fc) in the image weights has 1000 classes, the model 7: "
            "it starts afresh, all other weights are loaded",
        )
    ]
    model.load_state_dict(state)
    assert all(torch.equal(value, own[name]) for name, value in model.fc.state_dict().items())
    pictures = images(1, 3, 48, 48)
    assert (
        distance(model.eval().forward_features(still(pictures, 1))[:, :, 0], network.forward_features(pictures)) < 1e-9
    )


def test_as_many_classes_take_the_classifier_without_a_word(network, caplog):
    state = inflate_image_weights(network.state_dict(), on_meta("inflated_rs_50", 1000, **SMALL))
    assert torch.equal(state["fc.weight"], network.fc.weight)
    assert not caplog.records


def test_the_image_weights_stay_as_they_are(network):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = inflate_image_weights(network.state_dict(), on_meta("inflated_rs_50", 7, in_channels=1, **SMALL))
    assert {value.dtype for name, value in state.items() if name.startswith("backbone")} == {torch.float64, torch.int64}
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


# -- A backbone alone


def test_a_bare_backbone_takes_its_part(network):
    whole = inflate_image_weights(network.state_dict(), on_meta("inflated_rs_50", 1000, **SMALL), "mean")
    for features in (("res5",), ("res3", "stem")):
        backbone = create_backbone("inflated_rs_50", features, **SMALL)
        state = inflate_image_weights(network.state_dict(), backbone, "mean")
        assert list(state) == list(backbone.state_dict())
        assert all(torch.equal(value, whole[f"backbone.{name}"]) for name, value in state.items())


def test_a_bare_backbone_is_refused_what_does_not_fit(network):
    state = {**network.state_dict(), "layer5.0.bn1.bias": torch.ones(2)}
    del state["conv1.0.weight"]
    expected = (
        "weights in the image weights do not fit the model: 1 missing (conv1.0.weight); 1 unknown (layer5.0.bn1.bias); "
        "build the model that they were made for"
    )
    assert refusal(inflate_image_weights, state, create_backbone("inflated_rs_50", **SMALL)) == expected


# -- Refusals


@pytest.mark.parametrize(
    ("overrides", "problem", "advice"),
    [
        (
            {"padding": "same"},
            "padding 'symmetric' there, 'same' here",
            "padding='symmetric' (in a config: MODEL.PADDING symmetric)",
        ),
        (
            {"padding": "same", "norm_eps": 1e-3},
            "padding 'symmetric' there, 'same' here; norm_eps 1e-05 there, 0.001 here",
            "padding='symmetric', norm_eps=1e-05 (in a config: MODEL.PADDING symmetric MODEL.NORM_EPS 1e-05)",
        ),
    ],
    ids=["padding", "both"],
)
@pytest.mark.parametrize("make", [on_meta, create_backbone])
def test_networks_that_compute_something_else_are_refused(network, make, overrides, problem, advice):
    model = make("inflated_rs_50", **SMALL, **overrides)
    assert refusal(inflate_image_weights, network.state_dict(), model, source="x.pth") == (
        f"weights in x.pth are an image network's and do not fit the model: {problem}; "
        f"take an inflated_rs_* model as it is, or set {advice}"
    )


def test_res5_may_be_dilated_and_its_map_alone_is_another_one(network):
    pictures = images(1, 3, 64, 64)
    dilated, plain = (inflated(network, **SMALL, res5_dilation=d).backbone(still(pictures, 2)) for d in (2, 1))
    assert torch.equal(dilated["res4"], plain["res4"])
    assert dilated["res5"].shape[3:] == dilated["res4"].shape[3:]
    assert distance(dilated["res5"][..., ::2, ::2], plain["res5"]) > 1e-3


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda s: s.pop("layer2.1.conv2.weight"), "1 missing (layer2.1.conv2.weight)"),
        (lambda s: s.update({"layer2.2.bn1.bias": torch.ones(2)}), "1 unknown (layer2.2.bn1.bias)"),
        (
            lambda s: s.update({"maxpool.0.weight": torch.ones(64, 64, 1, 3, 3)}),
            "1 of another shape (maxpool.0.weight: [64, 64, 1, 3, 3] there, [64, 64, 3, 3] here)",
        ),
        (
            lambda s: s.update({"conv1.0.weight": torch.ones(32, 4, 3, 3)}),
            "1 of another shape (conv1.0.weight: [32, 4, 3, 3] there, [32, 3, 3, 3] here)",
        ),
        (
            lambda s: s.update({"fc.weight": torch.ones(9, 512)}),
            "1 of another shape (fc.weight: [9, 512] there, [1000, 2048] here)",
        ),
        (lambda s: s.pop("fc.bias"), "1 missing (fc.bias)"),
        (
            lambda s: (
                [s.pop(name) for name in list(s) if name.startswith("bn1.") and "tracked" not in name]
                + [s.update({f"extra.{i}": torch.ones(1)}) for i in range(6)]
            ),
            "4 missing (bn1.weight, bn1.bias, bn1.running_mean, bn1.running_var); "
            "6 unknown (extra.0, extra.1, extra.2, extra.3 and 2 more)",
        ),
    ],
    ids=["missing", "unknown", "shape", "channels", "features", "bias", "several"],
)
def test_weights_that_do_not_fit_are_refused_with_both_sides(network, change, problem):
    state = dict(network.state_dict())
    change(state)
    expected = f"weights in the image weights do not fit the model: {problem}; build the model that they were made for"
    assert refusal(inflate_image_weights, state, on_meta("inflated_rs_50", 1000, **SMALL)) == expected


def test_a_network_that_is_no_image_network_is_refused(network):
    gated = on_meta("inflated_rs_50", 1000, **SMALL, self_gating=True)
    expected = (
        "weights in x.pth do not fit the model: 8 missing (layer1.0.gating.gate.weight, layer1.0.gating.gate.bias, "
        "layer2.1.gating.gate.weight, layer2.1.gating.gate.bias and 4 more); build the model that they were made for"
    )
    assert refusal(inflate_image_weights, network.state_dict(), gated, source="x.pth") == expected


def test_missing_batch_counters_count_from_zero(network):
    state = {name: value for name, value in network.state_dict().items() if not name.endswith("num_batches_tracked")}
    model = on_meta("inflated_rs_50", 1000, **SMALL)
    counters = [v for n, v in inflate_image_weights(state, model).items() if n.endswith("num_batches_tracked")]
    whole = inflate_image_weights(network.state_dict(), model)
    assert [v.item() for v in counters] == [0] * len(counters)
    assert [v.item() for n, v in whole.items() if n.endswith("num_batches_tracked")] == [50] * len(counters)


def test_an_unknown_inflation_is_refused(network):
    model = on_meta("inflated_rs_50", 1000, **SMALL)
    expected = "inflation is 'center'; allowed: centre, mean"
    assert refusal(inflate_image_weights, network.state_dict(), model, "center") == expected
