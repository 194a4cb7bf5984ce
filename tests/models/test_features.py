"""Feature maps, and the networks in other people's hands."""

import copy
import math
import subprocess
import sys

import pytest
import torch

from helpers.networks import NARROW, on_meta, refusal
from video_rs import create_backbone, create_model
from video_rs.models import FeatureShape, ResNet3d, VideoClassifier, architecture, freeze_stages

FEATURES = ("stem", "res2", "res3", "res4", "res5")


# -- Feature maps


VARIANTS = {
    "tiny": ("r3d_rs_tiny", {"width": 0.125}),
    "published": ("r3d_rs_50", NARROW),
    "inflated": ("inflated_rs_50", NARROW),
    "baseline": ("r3d_50", NARROW),
    "no pool": ("r3d_rs_tiny", {"width": 0.125, "stem_pool": "none", "stem_temporal_stride": 1}),
    "pooled in time": ("r3d_rs_tiny", {"width": 0.125, "stem_pool_temporal_stride": 3, "in_channels": 2}),
    "pooled behind res2": ("slow_r50", {**NARROW, "temporal_kernels": (1, 1, 3, 3), "res2_pool_temporal_stride": 3}),
    "convolved in time": ("inflated_rs_50", {**NARROW, "stem_pool_temporal_stride": 2, "block": "basic"}),
    "strides in time": ("r3d_rs_50", {**NARROW, "temporal_strides": (2, 3, 1, 2), "temporal_kernels": (3, 3, 1, 5)}),
    "strides, average": (
        "inflated_rs_50",
        {**NARROW, "temporal_strides": (2, 3, 1, 2), "temporal_kernels": (3, 3, 1, 1)},
    ),
}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 64, 3), (2, 1, 40), (5, 33, 47), (8, 32, 32)], ids=str)
def test_output_shape_is_what_comes_out_for_any_size(variant, shape):
    name, overrides = VARIANTS[variant]
    backbone = create_backbone(name, FEATURES, **overrides).eval()
    clips = torch.rand(2, backbone.architecture.in_channels, *shape)
    with torch.no_grad():
        maps = backbone(clips)
    assert tuple(maps) == tuple(backbone.output_shape()) == FEATURES
    for feature, stated in backbone.output_shape().items():
        strides = (stated.temporal_stride, stated.spatial_stride, stated.spatial_stride)
        expected = [math.ceil(n / s) for n, s in zip(shape, strides, strict=True)]
        assert list(maps[feature].shape) == [2, stated.channels, *expected], feature
        assert maps[feature].isfinite().all()


def test_output_shape_of_the_published_network():
    assert on_meta("r3d_rs_50").backbone.output_shape() == {
        "res2": FeatureShape(256, 2, 4),
        "res3": FeatureShape(512, 2, 8),
        "res4": FeatureShape(1024, 2, 16),
        "res5": FeatureShape(2048, 2, 32),
    }
    with torch.device("meta"):
        backbone = create_backbone("r3d_rs_50", ("res4", "stem"))
    assert list(backbone.output_shape().items()) == [
        ("res4", FeatureShape(1024, 2, 16)),
        ("stem", FeatureShape(64, 2, 4)),
    ]


@pytest.mark.parametrize("features", [[], ["res6"], ["res2", "stem_pool"]])
def test_unknown_features_are_refused(features):
    expected = f"out_features {features}; allowed: one or more of stem, res2, res3, res4, res5"
    assert refusal(create_backbone, "r3d_rs_tiny", features) == expected


@pytest.mark.parametrize("shape", [(3, 4, 8, 8), (1, 4, 4, 8, 8), (1, 3, 4, 8, 8, 1)])
def test_clips_of_another_rank_or_channels_are_refused(shape):
    model = create_model("r3d_rs_tiny", 2)
    expected = f"clips have shape {list(shape)}; allowed: [batch, 3, frames, height, width]"
    assert refusal(model, torch.rand(shape)) == expected


def test_clips_of_whole_numbers_are_refused():
    clips = torch.zeros(1, 3, 4, 8, 8, dtype=torch.uint8)
    expected = "clips are torch.uint8; allowed: floating point, for frames of uint8 clips.float() / 255"
    assert refusal(create_model("r3d_rs_tiny", 2), clips) == expected
    assert refusal(create_backbone("r3d_rs_tiny"), clips.long()) == expected.replace("uint8;", "int64;")


@pytest.mark.parametrize("size", [(0, 8, 8), (4, 0, 8), (4, 8, 0)], ids=str)
def test_clips_without_a_cell_are_refused(size):
    expected = f"clips have shape {[1, 3, *size]}; allowed: at least 1 frame of 1 x 1 pixel"
    for mode in (True, False):
        assert refusal(create_model("r3d_rs_tiny", 2).train(mode), torch.zeros(1, 3, *size)) == expected


@pytest.mark.parametrize(
    ("name", "features", "overrides", "least"),
    [
        ("r3d_rs_tiny", ("res5",), {}, (2, 32)),
        ("r3d_rs_tiny", ("stem",), {}, (2, 4)),
        (
            "r3d_rs_50",
            ("res3", "stem"),
            {**NARROW, "temporal_strides": (1, 2, 1, 1), "temporal_kernels": 4 * (3,)},
            (4, 8),
        ),
        ("inflated_rs_50", ("res5",), {**NARROW, "res5_dilation": 2}, (2, 16)),
    ],
)
def test_one_value_a_channel_is_refused_in_training_and_whatever_the_message_asks_for_is_enough(
    name, features, overrides, least
):
    """``least``: frames and pixels that make one cell of the deepest map."""
    backbone = create_backbone(name, features, **overrides)
    frames, pixels = least
    for size in ((frames, pixels, pixels), (1, 1, 1)):
        assert refusal(backbone, torch.rand(1, 3, *size)) == (
            f"clips have shape {[1, 3, *size]}, which leaves the last batch norm one value a channel; allowed in "
            f"training: at least 2 clips, {frames + 1} frames, or {pixels + 1} pixels in height or width"
        )
        t, h, w = size
        for shape in ((2, 3, t, h, w), (1, 3, frames + 1, h, w), (1, 3, t, pixels + 1, w), (1, 3, t, h, pixels + 1)):
            assert all(x.isfinite().all() for x in backbone(torch.rand(shape)).values())
        backbone.eval()(torch.rand(1, 3, *size))
        frozen = create_backbone(name, features, **overrides)
        freeze_stages(frozen, len(frozen.stages) + 1)
        frozen.train()(torch.rand(1, 3, *size))
        backbone.train()


def test_the_head_follows_the_last_feature_map():
    model = create_model("r3d_rs_tiny", 5).eval()
    clips = torch.rand(2, 3, 4, 32, 32)
    with torch.no_grad():
        features = model.forward_features(clips)
        pooled = model.forward_head(features, pre_logits=True)
        assert torch.equal(features, model.backbone(clips)["res5"])
        assert torch.equal(model(clips), model.fc(pooled))
    assert pooled.shape == (2, model.num_features) == (2, 128)


def test_reset_classifier_makes_another_last_layer_where_the_weights_are():
    model = create_model("r3d_rs_tiny", 5).double()
    before = {name: value.clone() for name, value in model.backbone.state_dict().items()}
    model.reset_classifier(11)
    assert (model.num_classes, model.fc.weight.dtype) == (11, torch.float64)
    assert all(torch.equal(value, before[name]) for name, value in model.backbone.state_dict().items())
    assert model.eval()(torch.rand(1, 3, 2, 16, 16, dtype=torch.float64)).shape == (1, 11)
    with torch.device("meta"):
        model = create_model("r3d_rs_tiny", 5)
    model.reset_classifier(3)
    assert model.fc.weight.device.type == "meta"


def parameters_without_gradient(module, outputs):
    sum((value * torch.rand_like(value)).sum() for value in outputs).backward()
    return [name for name, p in module.named_parameters() if p.grad is None or not p.grad.any()]


@pytest.mark.parametrize("name", ["r3d_rs_50", "inflated_rs_50", "r3d_50", "r3d_rs_tiny"])
def test_every_parameter_gets_a_gradient(name):
    torch.manual_seed(0)
    model = create_model(name, 5, depths=(1, 2, 1, 1), width=0.25, initialization="model_garden", stochastic_depth=0.0)
    assert parameters_without_gradient(model, [model.train()(torch.rand(2, 3, 4, 64, 64))]) == []


@pytest.mark.parametrize("features", [("stem",), ("res2",), ("res4", "res2")])
def test_a_backbone_has_no_stage_that_no_feature_needs(features):
    torch.manual_seed(0)
    backbone = create_backbone("r3d_rs_tiny", features)
    maps = backbone(torch.rand(2, 3, 4, 32, 32))
    assert tuple(maps) == features
    assert parameters_without_gradient(backbone, maps.values()) == []


# -- Use elsewhere


def test_stages_are_called_as_modules():
    """What acts when a module is called: hooks, ``fully_shard``, ``compile``."""
    backbone = create_backbone("r3d_rs_tiny", FEATURES, width=0.125).eval()
    seen = {}
    for name in FEATURES[1:]:
        getattr(backbone, name).register_forward_hook(lambda module, args, out, name=name: seen.setdefault(name, out))
    graphs = []
    backbone.res5.compile(backend=lambda graph, inputs: graphs.append(graph) or graph.forward)
    maps = backbone(torch.rand(1, 3, 2, 32, 32))
    assert list(seen) == list(FEATURES[1:])
    assert all(seen[name] is maps[name] for name in seen)
    assert len(graphs) == 1


def test_importing_the_networks_loads_nothing_else_and_draws_nothing():
    code = (
        "import sys, torch; state = torch.get_rng_state(); threads = torch.get_num_threads()\n"
        "import video_rs.models\n"
        "assert torch.equal(state, torch.get_rng_state()) and torch.get_num_threads() == threads\n"
        "video_rs.create_model('r3d_rs_tiny', 2)\n"
        "heavy = 'fvcore iopath yaml av decord torchcodec pytorchvideo matplotlib timm tensorboard'.split()\n"
        "print([name for name in heavy if name in sys.modules])\n"
        "print(sorted(name for name in sys.modules if name.startswith('video_rs.') and '.models' not in name))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert answer.returncode == 0, answer.stderr
    names = ("atomic", "errors", "torch_files", "version", "wording")
    runtime = ["video_rs.runtime", *(f"video_rs.runtime.{name}" for name in names)]
    assert answer.stdout.splitlines() == ["[]", str(runtime)]


def small_with_statistics(name):
    """A narrow classifier whose batch norms do something."""
    torch.manual_seed(0)
    model = create_model(name, 3, depths=(1, 1, 1, 1), width=0.125).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm3d):
            module.running_mean.uniform_(-0.3, 0.3)
            module.running_var.uniform_(0.5, 1.5)
    return model


@pytest.mark.parametrize("deferred", [False, True])
@pytest.mark.parametrize("name", ["r3d_rs_tiny", "inflated_rs_50"])
def test_torch_export_keeps_batch_time_and_space_dynamic(name, deferred):
    """With checks deferred to the run, as torch.onnx asks for, sympy has to solve what the padding makes of a size."""
    model = small_with_statistics(name)
    dynamic = dict.fromkeys((0, 2, 3, 4), torch.export.Dim.AUTO)
    exported = torch.export.export(
        model,
        (torch.rand(2, 3, 4, 48, 48),),
        dynamic_shapes=(dynamic,),
        prefer_deferred_runtime_asserts_over_guards=deferred,
    ).module()
    for shape in ((2, 3, 4, 48, 48), (3, 3, 7, 35, 41)):
        clips = torch.rand(shape)
        with torch.no_grad():
            # The same operators on the same numbers; a compiler may still choose another summation order.
            assert torch.allclose(exported(clips), model(clips), rtol=0, atol=1e-5)


def test_a_compiled_classifier_gives_the_same_logits():
    """As one graph. The code that torch.compile generates for it is tested where predictions are accelerated."""
    torch.manual_seed(0)
    model = create_model("r3d_rs_tiny", 3, width=0.125).double().eval()
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    clips = torch.rand(2, 3, 4, 33, 48, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(compiled(clips), model(clips), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["r3d_rs_tiny", "r3d_rs_50", "inflated_rs_50"])
def test_training_a_compiled_classifier_gives_the_same_gradients(name):
    torch.manual_seed(0)
    overrides = {"depths": (1, 1, 1, 1), "width": 0.125, "initialization": "model_garden"}
    model = create_model(name, 3, stochastic_depth=0.0, dropout=0.0, norm_momentum=0.1, **overrides).double().train()
    other = copy.deepcopy(model)
    clips = torch.rand(3, 3, 4, 33, 40, dtype=torch.float64)
    losses = [each(clips).square().sum() for each in (model, torch.compile(other, backend="aot_eager", fullgraph=True))]
    for loss in losses:
        loss.backward()
    for (key, p), q in zip(model.named_parameters(), other.parameters(), strict=True):
        # float64 rounding, divided by standard deviations on its way back.
        assert (p.grad - q.grad).abs().max() <= 1e-10 * p.grad.abs().max(), key
    for key, value in model.state_dict().items():
        torch.testing.assert_close(other.state_dict()[key], value, rtol=1e-12, atol=1e-12)


def test_a_compiled_backbone_gives_the_same_maps():
    torch.manual_seed(0)
    backbone = create_backbone("inflated_rs_50", FEATURES, **NARROW).double().eval()
    compiled = torch.compile(backbone, backend="aot_eager", fullgraph=True)
    clips = torch.rand(2, 3, 5, 33, 40, dtype=torch.float64)
    with torch.no_grad():
        maps, expected = compiled(clips), backbone(clips)
    assert tuple(maps) == FEATURES
    for name, value in expected.items():
        torch.testing.assert_close(maps[name], value, rtol=1e-12, atol=1e-12)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("name", ["r3d_rs_tiny", "inflated_rs_50"])
def test_a_trace_gives_the_same_logits(name):
    model = create_model(name, 3, depths=(1, 1, 1, 1), width=0.125).eval()
    clips = torch.rand(1, 3, 4, 33, 48)
    with torch.no_grad():
        traced = torch.jit.trace(model, clips)
        other = torch.rand(1, 3, 4, 33, 48)
        # A trace holds 3D convolutions, where eager ones go frame by frame: other orders of the same float32 sums.
        assert torch.allclose(traced(other), model(other), rtol=0, atol=1e-6)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("strides", [(1, 1, 1, 1), (1, 2, 2, 1)], ids=str)
@pytest.mark.parametrize("name", ["r3d_rs_tiny", "inflated_rs_50"])
def test_a_trace_of_small_clips_is_right_for_large_ones(name, strides):
    """Its last maps are smaller than the windows that pool them, theirs are not."""
    torch.manual_seed(0)
    overrides = {"temporal_strides": strides, "temporal_kernels": (1, 3, 3, 1), "initialization": "model_garden"}
    backbone = create_backbone(name, FEATURES, depths=(1, 1, 1, 1), width=0.125, **overrides).double().eval()
    with torch.no_grad():
        traced = torch.jit.trace(backbone, torch.rand(1, 3, 2, 16, 16).double(), strict=False, check_trace=False)
        for size in ((1, 8, 8), (4, 32, 32), (9, 65, 48)):
            clips = torch.rand(2, 3, *size).double()
            maps = traced(clips)
            for feature, expected in backbone(clips).items():
                # float64 sums in another order.
                torch.testing.assert_close(maps[feature], expected, rtol=1e-12, atol=1e-12)


def test_classes_are_built_from_an_architecture_alone():
    arch = architecture("r3d_rs_tiny")
    assert agrees_in_names(VideoClassifier(arch, 4), create_model("r3d_rs_tiny", 4))
    assert agrees_in_names(ResNet3d(arch), create_backbone("r3d_rs_tiny"))


def agrees_in_names(one, other):
    return [(n, p.shape) for n, p in one.named_parameters()] == [(n, p.shape) for n, p in other.named_parameters()]
