"""The networks against the float64 forward pass of ``reference_network``: every feature, depth and family."""

import pytest
import torch

from helpers.reference_network import Weights, pad_symmetric, pad_tensorflow, reference, shaken
from video_rs import create_model

# Sizes (T, H, W): even, odd, not square, odd in time only, and smaller than any stride.
SIZES = [(8, 32, 32), (7, 33, 33), (6, 40, 26), (5, 31, 48), (1, 5, 3)]
# float64 rounding of about 1e-16 per operation, over a few dozen layers of unit scale; a wrong order, padding or
# epsilon moves logits by 1e-3 and more.
TOLERANCE = 1e-9

SHORT = (1, 2, 1, 1)
DEPTHS = {
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
    200: (3, 24, 36, 3),
    270: (4, 29, 53, 4),
    300: (4, 36, 54, 4),
    350: (4, 36, 72, 4),
}
MODEL_GARDEN = {"pad": pad_tensorflow, "pool": "max", "shortcut": "projection"}
IMAGE_RS = {"pad": pad_symmetric, "pool": "conv", "shortcut": "avgpool"}
# Model Garden's own resnet_3d ("Baseline R3D-50"); its plain stem and lack of SE are r3d_50's.
RESNET_3D = {
    "stem_pool_temporal_stride": 2,
    "temporal_kernels": [[3, 3, 3], [3, 1, 3, 1], [3, 1, 3, 1, 3, 1], [1, 3, 1]],
}
# Name: the zoo's model, its overrides, and what the reference must be told.
FAMILIES = {
    "r3d_rs": ("r3d_rs_50", {"depths": SHORT}, MODEL_GARDEN),
    "inflated_rs": ("inflated_rs_50", {"depths": SHORT}, IMAGE_RS),
    "default dataclass": (
        "r3d_rs_50",
        {"depths": SHORT, "stem_pool_temporal_stride": 2, "se_ratio": 0.2},
        {**MODEL_GARDEN, "pool_stride": 2},
    ),
    "resnet_3d": ("r3d_50", {"depths": DEPTHS[50], **RESNET_3D}, {**MODEL_GARDEN, "pool_stride": 2}),
}


def random_clips(*shape, seed):
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module", params=FAMILIES)
def family(request):
    name, overrides, plan = FAMILIES[request.param]
    model = create_model(name, num_classes=7, width=0.25, **overrides)
    return request.param, shaken(model, seed=1), {"depths": overrides["depths"], **plan}


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_every_feature_and_the_logits_agree_with_the_float64_reference(family, size):
    _, model, plan = family
    clips = random_clips(2, 3, *size, seed=2)
    with torch.no_grad():
        expected, expected_logits = reference(clips, Weights(model), **plan)
        model.backbone.out_features = ("stem", "res2", "res3", "res4", "res5")
        actual, logits = model.backbone(clips), model(clips)
    assert list(actual) == list(expected)
    for name, value in expected.items():
        assert actual[name].shape == value.shape, name
        assert (actual[name] - value).abs().max() < TOLERANCE, name
        assert value.abs().max() > 0.01  # otherwise agreement would mean nothing
    assert (logits - expected_logits).abs().max() < TOLERANCE


def relative_difference(model, size, depths):
    """Largest difference of the logits from the reference's, over the largest logit."""
    clips = random_clips(2, 3, *size, seed=4)
    with torch.no_grad():
        _, expected = reference(clips, Weights(model), depths, **MODEL_GARDEN)
        logits = model(clips)
    # Two clips are told apart, or agreement would mean nothing.
    assert (expected[0] - expected[1]).abs().max() > 1e-3 * expected.abs().max()
    return (logits - expected).abs().max() / expected.abs().max()


def with_bounded_sums(model):
    """Each branch divided by the square root of its stage's blocks, so that sums stay of unit scale at any depth.

    Without that, maps of random weights reach 10^4 at depth 350, where excitations are steps: a change of the clip by
    1e-15 moves the logits by 2e-8, and rounding with it.
    """
    for name in model.backbone.stages:
        blocks = getattr(model.backbone, name)
        for block in blocks:
            for value in (block.branch[7].weight.data, block.branch[7].bias.data):
                value.div_(len(blocks) ** 0.5)
    return model


@pytest.mark.parametrize("depth", DEPTHS)
def test_every_published_depth_agrees_with_the_reference(depth):
    model = shaken(create_model(f"r3d_rs_{depth}", num_classes=7, width=0.125), seed=depth)
    model = with_bounded_sums(model)
    assert relative_difference(model, (5, 24, 19), DEPTHS[depth]) < TOLERANCE


def test_the_network_at_its_full_width_agrees_with_the_reference():
    model = shaken(create_model("r3d_rs_50"), seed=5)
    assert sum(p.numel() for p in model.parameters()) == 48_129_840  # as published
    assert relative_difference(model, (4, 32, 32), DEPTHS[50]) < TOLERANCE


def test_the_reference_notices_the_wrong_padding(family):
    """It is no rounding matter."""
    _, model, plan = family
    other = pad_symmetric if plan["pad"] is pad_tensorflow else pad_tensorflow
    clips = random_clips(1, 3, 4, 32, 32, seed=3)
    with torch.no_grad():
        _, wrong = reference(clips, Weights(model), **{**plan, "pad": other})
        assert (model(clips) - wrong).abs().max() > 1e-3


def test_gates_are_in_the_last_block_of_each_stage_of_model_gardens_families_only(family):
    name, model, plan = family
    gated = {key.split(".gating.")[0] for key in model.state_dict() if ".gating." in key}
    last = {f"backbone.res{stage}.{depth - 1}" for stage, depth in enumerate(plan["depths"], 2)}
    assert gated == (set() if name == "inflated_rs" else last)


def test_model_gardens_own_resnet_3d_has_its_number_of_parameters():
    """Counted in Model Garden's own ``ResNet3D`` with 400 classes (tf-models-official 2.20)."""
    with torch.device("meta"):
        model = create_model("r3d_50", **RESNET_3D)
    assert sum(p.numel() for p in model.parameters()) == 33_617_872
