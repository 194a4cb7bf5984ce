"""What ``speed_up`` computes faster: frames as images, windows as channels, own backward passes.

The oracle is the plain network of 3D operators; test_models_reference.py checks that against the published networks.
"""

import copy
import itertools
import math
import pickle

import pytest
import torch
from torch import nn
from torch.autograd import gradcheck
from torch.func import functional_call
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.utils._python_dispatch import TorchDispatchMode

from helpers.networks import NARROW
from helpers.reference_network import pad_symmetric, pad_tensorflow, shaken
from video_rs import create_backbone, create_model
from video_rs.models.convolution import Conv3d
from video_rs.models.fast import FAST_CLASSES, convolution, make_plain, speed_up
from video_rs.models.fast.block import ScaledResidual, WithMeans
from video_rs.models.fast.convolution import ConvolutionOverTime, FastConv3d
from video_rs.models.fast.pooling import FastAveragePool3d, FastMaxPool3d
from video_rs.models.layers import AveragePool3d

FEATURES = ("stem", "res2", "res3", "res4", "res5")
LAYOUTS = {"channels last": torch.channels_last_3d, "default": torch.contiguous_format}
STRIDED = {"temporal_strides": (2, 3, 1, 2), "temporal_kernels": (3, 3, 1, 3)}
NETWORKS = {
    "published": ("r3d_rs_50", {}),
    "stem without stride in time": ("r3d_rs_50", {"stem_temporal_stride": 1}),
    "stem of one frame": ("r3d_rs_50", {"stem_temporal_stride": 1, "stem_temporal_kernel": 1}),
    "pooled in time": ("r3d_rs_50", {"stem_pool_temporal_stride": 2}),
    "pooled behind res2": ("c2d_r50", {}),
    "strides in time": ("r3d_rs_50", STRIDED),
    "dilated": ("r3d_rs_50", {"res5_dilation": 2}),
    "one channel": ("r3d_rs_50", {"in_channels": 1}),
    "two channels": ("r3d_rs_50", {"in_channels": 2}),
    "eight channels": ("r3d_rs_50", {"in_channels": 8}),
    "gating alone": ("r3d_rs_50", {"se_ratio": 0.0}),
    "excitation alone": ("r3d_rs_50", {"self_gating": False}),
    "neither": ("r3d_rs_50", {"se_ratio": 0.0, "self_gating": False}),
    "plain stem": ("r3d_50", {}),
    "inflated": ("inflated_rs_50", {}),
    "inflated, strides in time": ("inflated_rs_50", {**STRIDED, "stem_pool_temporal_stride": 2}),
    "inflated, dilated": ("inflated_rs_50", {"res5_dilation": 2}),
    "basic blocks": ("r3d_rs_tiny", {}),
    "basic blocks, strides in time": ("r3d_rs_tiny", {**STRIDED, "res5_dilation": 2}),
}


def make(network, seed=1, **overrides):
    """A narrow network, sped up, in float64 and evaluation, every weight and statistic away from 0 and 1."""
    torch.manual_seed(seed)
    name, own = NETWORKS[network]
    model = create_model(name, 3, **{**NARROW, "stochastic_depth": 0.3, "norm_momentum": 0.1, **own, **overrides})
    model.backbone.out_features = FEATURES
    return speed_up(shaken(model, seed))


def random_clips(model, *shape, batch=3):
    """Float64 ``[batch, C, *shape]``."""
    generator = torch.Generator().manual_seed(2)
    shape = (batch, model.backbone.architecture.in_channels, *shape)
    return torch.randn(shape, dtype=torch.float64, generator=generator)


def answers(model, clips):
    """``{name: tensor}``: maps, logits, gradients of weights and clips, and statistics, after one pass each way."""
    model, clips = copy.deepcopy(model), clips.detach().clone().requires_grad_(clips.requires_grad)
    torch.manual_seed(3)  # what stochastic depth and dropout draw
    maps = model.backbone(clips)
    maps["logits"] = model.forward_head(maps["res5"])
    sum((x * torch.randn_like(x, memory_format=torch.contiguous_format)).sum() for x in maps.values()).backward()
    leaves = {**dict(model.named_parameters()), "clips": clips}
    gradients = {f"gradient of {name}": leaf.grad for name, leaf in leaves.items() if leaf.requires_grad}
    return {name: x.detach() for name, x in {**maps, **gradients, **dict(model.named_buffers())}.items()}


def plain_answers(model, clips):
    return answers(make_plain(copy.deepcopy(model)), clips)


def assert_same(actual, expected, tolerance, of_gradients):
    """Every tensor within a tolerance relative to its largest number."""
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        allowed = (of_gradients if name.startswith("gradient") else tolerance) * value.abs().max()
        assert actual[name].shape == value.shape, name
        assert (actual[name] - value).abs().max() <= allowed, name


@pytest.mark.parametrize("training", [False, True], ids=["evaluation", "training"])
@pytest.mark.parametrize("size", [(6, 32, 32), (5, 33, 47), (1, 24, 36)], ids=str)
@pytest.mark.parametrize("network", NETWORKS)
def test_maps_logits_gradients_and_statistics_are_those_of_3d_operators(network, size, training):
    model = make(network).train(training)
    clips = random_clips(model, *size).requires_grad_()
    expected = plain_answers(model, clips)
    # float64: rounding of 1e-16 over a few dozen layers; gradients divide by standard deviations on their way.
    assert_same(answers(model, clips), expected, 1e-12, 1e-10)
    assert sum(name.startswith("gradient") for name in expected) == len(list(model.parameters())) + 1


@pytest.mark.parametrize("network", NETWORKS)
def test_maps_stay_channels_last(network):
    backbone = make(network).backbone
    for dtype, training in itertools.product((torch.float32, torch.float64), (False, True)):
        clips = random_clips(make(network), 4, 33, 40).to(dtype)
        for name, x in backbone.to(dtype).train(training)(clips).items():
            assert x.is_contiguous(memory_format=torch.channels_last_3d), name


# -- Which operators run


class Operators(TorchDispatchMode):
    """Names of the operators called inside, convolutions with the rank of their maps."""

    def __init__(self):
        super().__init__()
        self.called = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        self.called.append(f"{name} {args[0].dim() - 2}d" if name == "convolution" else name)
        return function(*args, **(kwargs or {}))


def operators(module, *inputs):
    with Operators() as recorded, torch.no_grad():
        module(*inputs)
    return recorded.called


def test_only_kernels_over_time_run_as_3d_convolutions():
    model = make("published")
    clips = random_clips(model, 4, 32, 32)
    called = operators(model, clips)
    total = sum(isinstance(m, Conv3d) for m in model.backbone.modules() if getattr(m, "bias", None) is None)
    over_time = 2  # the first convolutions of res4 and res5, which have one block each
    assert (called.count("convolution 3d"), called.count("convolution 2d")) == (over_time, total - over_time)
    assert "constant_pad_nd" in called  # the strided convolutions
    make_plain(model)
    plain = operators(model, clips)
    # Convolutions of gates and excitations, which have a bias, run as linear layers.
    assert (plain.count("convolution 3d"), plain.count("convolution 2d")) == (total, 0)


# -- Parts on every small size


CELLS = list(itertools.product((1, 3), range(1, 10), range(1, 10)))


@pytest.mark.parametrize("padding", ["same", "symmetric"])
def test_max_pool_without_a_padded_copy_is_max_pool_of_one(padding):
    pool, pad = (
        FastMaxPool3d((1, 3, 3), (1, 2, 2), padding),
        {"same": pad_tensorflow, "symmetric": pad_symmetric}[padding],
    )
    for size in CELLS:
        maps = torch.randn(2, 3, *size).contiguous(memory_format=torch.channels_last_3d)
        expected = functional.max_pool3d(pad(maps, (1, 3, 3), (1, 2, 2), -math.inf), (1, 3, 3), (1, 2, 2))
        assert torch.equal(pool(maps), expected), size
        called = operators(pool, maps)
        assert "max_pool2d_with_indices" in called
        assert "constant_pad_nd" not in called
        assert torch.equal(pool(maps.contiguous()), expected)  # which is padded


@pytest.mark.parametrize(
    ("kernel", "stride"),
    [((1, 3, 3), (1, 2, 2)), ((5, 3, 3), (2, 2, 2)), ((5, 7, 7), (1, 2, 2)), ((1, 1, 1), (2, 2, 2))],
)
@pytest.mark.parametrize("channels", [1, 3, 6])
@pytest.mark.parametrize("padding", ["same", "symmetric"])
def test_a_convolution_is_one_of_the_padded_map(padding, channels, kernel, stride):
    torch.manual_seed(0)
    pad = {"same": pad_tensorflow, "symmetric": pad_symmetric}[padding]
    conv = FastConv3d(channels, 2, kernel, stride, padding).double()
    for size in CELLS:
        maps = torch.randn(2, channels, *size, dtype=torch.float64)
        expected = functional.conv3d(pad(maps, kernel, stride, 0.0), conv.weight, stride=stride)
        for layout in LAYOUTS.values():
            actual = conv(maps.contiguous(memory_format=layout))
            # Sums of up to 1470 float64 products of unit scale in another order.
            torch.testing.assert_close(actual, expected, rtol=0, atol=1e-13)


def test_average_pool_of_frames_is_average_pool_of_clips():
    for size, time in itertools.product(CELLS, (1, 2)):
        stride = (time, 2, 2)
        maps = torch.randn(2, 3, *size, dtype=torch.float64).contiguous(memory_format=torch.channels_last_3d)
        expected = AveragePool3d(stride)(maps)
        # The mean of the same eight numbers at most, in another order.
        torch.testing.assert_close(FastAveragePool3d(stride)(maps), expected, rtol=0, atol=1e-15)


# -- Backward passes of our own


def leaf(*shape, layout="default"):
    return torch.randn(shape, dtype=torch.float64).contiguous(memory_format=LAYOUTS[layout]).requires_grad_()


def ends(outputs):
    """Outputs whose gradients come dense, expanded and transposed."""
    yield outputs
    yield outputs.sum((3, 4))
    yield outputs.transpose(1, 4).square()


GEOMETRIES = [
    ((3, 1, 1), (1, 1, 1), (1, 0, 0), (1, 1, 1)),
    ((3, 1, 1), (2, 1, 1), (0, 0, 0), (1, 1, 1)),
    ((5, 1, 1), (2, 1, 1), (2, 0, 0), (1, 1, 1)),
    ((3, 1, 1), (1, 1, 1), (3, 0, 0), (2, 1, 1)),
    ((3, 1, 1), (1, 2, 2), (1, 0, 0), (1, 1, 1)),
    ((3, 3, 3), (1, 2, 2), (1, 0, 0), (1, 1, 1)),
    ((3, 3, 3), (2, 1, 1), (1, 2, 2), (1, 2, 2)),
]


@pytest.fixture
def many_channels(monkeypatch):
    """Any number of channels is many: gradients are products of matrices wherever they can be."""
    monkeypatch.setattr(convolution, "MANY_CHANNELS", 1)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("products", [False, True])
@pytest.mark.parametrize(("kernel", "stride", "padding", "dilation"), GEOMETRIES)
def test_gradients_of_convolutions_over_time(kernel, stride, padding, dilation, products, layout, request):
    if products:
        request.getfixturevalue("many_channels")
    torch.manual_seed(0)
    x, weight = leaf(2, 2, 4, 3, 4, layout=layout), leaf(3, 2, *kernel, layout=layout)
    for end in range(3):
        conv = lambda x, w, end=end: list(ends(ConvolutionOverTime.apply(x, w, stride, padding, dilation)))[end]  # noqa: E731
        assert gradcheck(conv, (x, weight))
        assert gradcheck(conv, (x.detach(), weight))
        assert gradcheck(conv, (x, weight.detach()))


@pytest.mark.usefixtures("many_channels")
@pytest.mark.parametrize("network", ["published", "strides in time", "inflated", "inflated, strides in time"])
def test_gradients_by_products_are_those_of_the_plain_network(network, monkeypatch):
    model = make(network).train()
    clips = random_clips(model, 6, 32, 32)
    expected = plain_answers(model, clips)
    called = []
    by_products = convolution._gradient_by_products
    monkeypatch.setattr(convolution, "_gradient_by_products", lambda *a: called.append(1) or by_products(*a))
    assert_same(answers(model, clips), expected, 1e-12, 1e-10)
    assert called


@pytest.mark.parametrize("layout", LAYOUTS)
def test_gradients_of_the_end_of_a_block(layout):
    torch.manual_seed(0)
    y, shortcut = leaf(2, 3, 2, 3, 2, layout=layout), leaf(2, 3, 2, 3, 2, layout=layout)
    weights = torch.rand(2, 3, dtype=torch.float64, requires_grad=True)
    assert gradcheck(WithMeans.apply, (y,))
    assert gradcheck(lambda y: WithMeans.apply(y)[0].transpose(1, 4).square(), (y,))
    assert gradcheck(lambda y: WithMeans.apply(y)[1], (y,))
    assert gradcheck(lambda y: WithMeans.apply(y)[0].sum((3, 4)), (y,))
    inputs = (y, weights, shortcut)
    for end, needed in itertools.product(range(3), itertools.product((True, False), repeat=3)):
        if any(needed):
            some = [x if needs else x.detach() for x, needs in zip(inputs, needed, strict=True)]
            assert gradcheck(lambda *i, end=end: list(ends(ScaledResidual.apply(*i)))[end], some)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_gradients_of_channel_weights_keep_their_precision_over_many_frames(dtype):
    generator = torch.Generator().manual_seed(0)
    y, shortcut, gradient = (torch.rand(1, 4, 256, 6, 6, generator=generator).to(dtype) for _ in range(3))
    weights = torch.rand(1, 4, generator=generator).to(dtype).requires_grad_()
    ScaledResidual.apply(y, weights, shortcut).backward(gradient)
    exact = (y.double() * gradient.double()).sum((2, 3, 4))  # nothing here is below zero
    # The result is rounded to 8 bits of bfloat16, 11 of float16, and so are the products, whose errors cancel out.
    assert weights.grad.dtype == dtype
    torch.testing.assert_close(weights.grad.double(), exact, rtol=torch.finfo(dtype).eps, atol=0)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "network", ["published", "strides in time", "inflated", "inflated, strides in time", "basic blocks"]
)
@pytest.mark.parametrize("half", [False, True], ids=["float32", "autocast"])
def test_gradients_have_the_strides_of_their_weights(network, layout, half):
    """Those of sizes 1 too: DDP compares them, and copies each gradient where they differ."""
    model = make(network).float().train().to(memory_format=LAYOUTS[layout])
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        logits = model(random_clips(model, 6, 32, 32).float())
    logits.float().sum().backward()
    assert [n for n, p in model.named_parameters() if p.grad.stride() != p.stride()] == []


def test_a_batch_without_clips_has_gradients():
    """A process that got no clips still has to answer with gradients."""
    model = make("basic blocks")
    model(torch.rand(0, 3, 4, 32, 32, dtype=torch.float64)).sum().backward()
    assert not any(p.grad.any() for p in model.parameters())


@pytest.mark.parametrize("network", ["published", "inflated", "basic blocks"])
@pytest.mark.parametrize("trained", ["norms", "clips", "head"])
def test_gradients_where_few_are_needed(network, trained):
    model = make(network).train()
    for name, parameter in model.named_parameters():
        needed = {"norms": parameter.dim() == 1, "clips": False, "head": name.startswith("fc.")}
        parameter.requires_grad_(needed[trained])
    clips = random_clips(model, 4, 32, 32).requires_grad_(trained == "clips")
    assert_same(answers(model, clips), plain_answers(model, clips), 1e-12, 1e-10)


def test_a_batch_norm_folded_into_its_convolution_is_not_lost():
    torch.manual_seed(0)
    conv, norm = FastConv3d(8, 4, (3, 1, 1)).eval(), nn.BatchNorm3d(4).eval()
    nn.init.normal_(norm.bias)
    maps = torch.randn(2, 8, 4, 5, 5).contiguous(memory_format=torch.channels_last_3d)
    folded = fuse_conv_bn_eval(conv, norm)
    torch.testing.assert_close(folded(maps), norm(conv(maps)), rtol=1e-5, atol=1e-5)


def test_second_derivatives_need_a_plain_model():
    """As for functional transforms: our backward passes have no derivative of their own, and say so."""
    model = make("basic blocks")
    clips = random_clips(model, 2, 16, 16).requires_grad_()
    (gradient,) = torch.autograd.grad(model(clips).sum(), clips, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiate twice a function that was marked with @once_differentiable"):
        gradient.square().sum().backward()
    parameters = dict(model.named_parameters())
    loss = torch.func.grad(lambda values: functional_call(model, values, (clips,)).sum())
    with pytest.raises(RuntimeError, match="setup_context"):
        loss(parameters)
    make_plain(model)
    (gradient,) = torch.autograd.grad(model(clips).sum(), clips, create_graph=True)
    gradient.square().sum().backward()
    assert clips.grad.any()
    assert loss(parameters)["fc.bias"].tolist() == [3.0] * 3


# -- The switch


def swapped(model):
    """Names of the parts that are sped up, and of those that could be."""
    fast = {name for name, module in model.named_modules() if type(module) in FAST_CLASSES.values()}
    plain = {name for name, module in model.named_modules() if type(module) in FAST_CLASSES}
    return fast, plain


def test_one_call_changes_every_part_of_one_model_and_another_one_changes_it_back():
    model = create_model("inflated_rs_50", 3, **NARROW)
    bystander = create_model("inflated_rs_50", 3, **NARROW)
    parts = dict(model.named_modules())
    values = dict(model.state_dict(keep_vars=True))
    _, could_be_fast = swapped(model)

    assert speed_up(model) is model
    assert swapped(model) == (could_be_fast, set())
    assert swapped(bystander) == (set(), could_be_fast)
    assert speed_up(speed_up(model)) is model

    # The same objects under the same names: optimizers, hooks and averages notice nothing.
    assert all(parts[name] is module for name, module in model.named_modules())
    assert all(values[name] is value for name, value in model.state_dict(keep_vars=True).items())

    assert make_plain(model) is model
    assert swapped(model) == (set(), could_be_fast)


def test_hooks_fire_as_before_whenever_the_model_is_sped_up():
    model = create_model("r3d_rs_50", 3, **NARROW).eval()
    clips = torch.rand(1, 3, 2, 32, 32)
    called = []
    for name, module in model.named_modules():
        module.register_forward_hook(lambda module, inputs, output, name=name: called.append(name))
    model(clips)
    before = sorted(called)
    assert "backbone.res5.0.se" in before
    assert "backbone.res5.0.gating" in before

    called.clear()
    speed_up(model)(clips)
    assert sorted(called) == before


def test_parts_of_other_classes_stay_as_they_are():
    class Own(Conv3d):
        pass

    model = nn.Sequential(Own(3, 4), nn.Conv3d(4, 4, 1), Conv3d(4, 4))
    assert [type(module) for module in speed_up(model)] == [Own, nn.Conv3d, FastConv3d]
    assert [type(module) for module in make_plain(model)] == [Own, nn.Conv3d, Conv3d]


def test_what_is_recorded_is_the_plain_network():
    model = make("published").float()
    clips = random_clips(model, 4, 32, 32).float()
    fast = torch.export.export(model, (clips,)).graph_module.code
    plain = torch.export.export(make_plain(model), (clips,)).graph_module.code
    assert fast == plain
    assert "conv3d" in fast
    assert "conv2d" not in fast


# -- Modes, layouts and copies


def test_inference_mode_gives_the_same():
    for network in ("published", "inflated"):
        model = make(network)
        clips = random_clips(model, 4, 33, 32)
        expected = model(clips)
        with torch.inference_mode():
            torch.testing.assert_close(model(clips), expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("network", ["published", "inflated", "basic blocks"])
def test_autocast_to_bfloat16_differs_by_its_rounding(network):
    model = make(network).float().train()
    clips = random_clips(model, 4, 32, 32).float().requires_grad_()
    exact = answers(model, clips)
    with torch.autocast("cpu", torch.bfloat16):
        actual, expected = answers(model, clips), plain_answers(model, clips)
    for name in ("res3", "res5", "logits"):
        assert actual[name].dtype == torch.bfloat16
        scale = exact[name].abs().mean()
        # bfloat16 has 8 bits: each of some 20 layers rounds by up to 1/256.
        assert (actual[name] - expected[name]).abs().mean() < 0.08 * scale
        assert (actual[name] - exact[name]).abs().mean() < 0.08 * scale


@pytest.mark.parametrize("network", ["published", "inflated", "basic blocks"])
@pytest.mark.parametrize("training", [False, True], ids=["evaluation", "training"])
def test_the_layout_of_weights_and_clips_changes_nothing(network, training):
    model = make(network).train(training)
    clips = random_clips(model, 4, 33, 32).requires_grad_()
    expected = answers(model, clips)
    other = copy.deepcopy(model).to(memory_format=torch.channels_last_3d)
    assert not other.backbone.stem[0].weight.is_contiguous()
    for weights, layout in itertools.product((model, other), LAYOUTS.values()):
        given = clips.detach().contiguous(memory_format=layout).requires_grad_()
        assert_same(answers(weights, given), expected, 1e-13, 1e-11)


def test_copies_and_names_are_those_of_a_network_that_never_ran():
    fresh, model = make("published"), make("published").train()
    names = list(model.state_dict())
    model(random_clips(model, 4, 32, 32)).sum().backward()
    clips = random_clips(model, 2, 32, 32)
    for copied in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert list(copied.state_dict()) == names
        assert torch.equal(copied.eval()(clips), model.eval()(clips))
    fresh.load_state_dict(model.state_dict())
    assert torch.equal(fresh(clips), model(clips))


def test_hooks_on_blocks_see_gradients():
    """As Grad-CAM uses them."""
    backbone = speed_up(create_backbone("r3d_rs_tiny", width=0.125))
    seen = []
    backbone.res5[-1].register_full_backward_hook(lambda module, of_input, of_output: seen.append(of_output[0]))
    clips = torch.rand(2, 3, 4, 32, 32)
    weights = torch.rand(2, 64, 2, 1, 1)
    (backbone(clips)["res5"] * weights).sum().backward()
    assert torch.equal(seen[0], weights)


def test_weights_of_a_kernel_over_time_get_their_gradient_in_half_precision_too():
    """PyTorch's own half-precision gradient is garbage for some shapes on some CPUs."""
    generator = torch.Generator().manual_seed(0)
    x, weight = (torch.randn(shape, generator=generator) for shape in ((3, 64, 4, 5, 5), (32, 64, 3, 1, 1)))
    conv = FastConv3d(64, 32, (3, 1, 1))
    conv.weight.data.copy_(weight)
    with torch.autocast("cpu", torch.bfloat16):
        conv(x.contiguous(memory_format=torch.channels_last_3d)).float().sum().backward()
    exact = weight.double().requires_grad_()
    functional.conv3d(x.double(), exact, padding=(1, 0, 0)).sum().backward()
    # Sums of 300 numbers that were rounded to 8 bits.
    assert (conv.weight.grad - exact.grad).abs().max() < 0.01 * exact.grad.abs().max()
