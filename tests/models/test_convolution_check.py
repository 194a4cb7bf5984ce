"""The largest convolutions of a network against sums on the CPU: right ones pass, and each kind of fault is found."""

import pytest
import torch

from helpers.networks import NARROW, on_meta, refusal
from video_rs import create_model
from video_rs.models import convolution_check
from video_rs.models.convolution import Conv3d
from video_rs.models.convolution_check import (
    Disagreement,
    Layer,
    cudnn_version,
    disagreement,
    largest_layers,
    require_right_convolutions,
)
from video_rs.models.fast import speed_up

CPU = torch.device("cpu")
KINDS = {
    "stem": Conv3d(3, 8, (5, 7, 7), (2, 2, 2)),
    "over time": Conv3d(16, 8, (3, 1, 1), (2, 1, 1), "symmetric"),
    "frames": Conv3d(16, 8, (1, 3, 3), (1, 2, 2)),
    "dilated": Conv3d(16, 8, (3, 3, 3), (1, 1, 1), spatial_dilation=2, bias=True),
}


def layer(kind="over time", size=(6, 17, 20)):
    convolution = KINDS[kind]
    return Layer(kind, convolution, (2, convolution.in_channels, *size))


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", KINDS)
def test_a_right_device_agrees(kind, precision):
    """In every padding, stride, dilation and precision, on odd and even sizes, and on a single cell."""
    for size in ((6, 17, 20), (5, 16, 13), (1, 1, 1)):
        found = disagreement(layer(kind, size), CPU, precision)
        assert found.wrong == 0
        assert 0 < found.worst <= 1 or size == (1, 1, 1)


def beyond(share):
    """A device that computes the last ``share`` of a map wrongly, as where an index grows too large: old values."""

    def run(convolution, maps):
        found = convolution(maps)
        flat = found.flatten()
        first = int(len(flat) * (1 - share))
        flat[first:] = flat[: len(flat) - first].clone()
        return flat.view(found.shape)

    return run


FAULTS = {
    "a hundredth of the map": beyond(0.01),
    "half of the map": beyond(0.5),
    "zeros": lambda convolution, maps: torch.zeros_like(convolution(maps)),
    "not a number": lambda convolution, maps: convolution(maps) * float("nan"),
    "mirrored": lambda convolution, maps: convolution(maps).flip(3),
    "two per cent more": lambda convolution, maps: convolution(maps) * 1.02,
}


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found(fault, precision):
    found = disagreement(layer(), CPU, precision, FAULTS[fault])
    assert found.wrong > 0.005 * found.checked
    assert found.worst > 1


def test_small_maps_pass_where_large_ones_are_wrong():
    """Why the layer is run at the size that it will have."""

    def wrong_where_large(convolution, maps):
        flat = convolution(maps).flatten()
        flat[2**15 :] += 1
        return flat.view(2, 8, 4, *maps.shape[3:])

    assert disagreement(layer(size=(8, 16, 16)), CPU, torch.bfloat16, wrong_where_large).wrong == 0
    assert disagreement(layer(size=(8, 64, 64)), CPU, torch.bfloat16, wrong_where_large).wrong > 0


def test_the_largest_layers_get_the_maps_of_a_micro_batch():
    """Of clips of 8 x 64 x 48: the D-stem's last layer; and res4's first, the stem's own runs frame by frame."""
    model = speed_up(on_meta("r3d_rs_50", 3, depths=(1, 1, 1, 1)))
    frames, over_time = largest_layers(model, (4, 3, 8, 64, 48))
    assert (frames.name, frames.shape) == ("backbone.stem.6", (4, 32, 4, 32, 24))
    assert frames.convolution is model.get_submodule("backbone.stem.6")
    assert (over_time.name, over_time.convolution.kernel_size) == ("backbone.res4.0.branch.0", (3, 1, 1))
    assert over_time.shape == (4, 512, 4, 8, 6)


def test_the_network_is_left_as_it_is():
    model = create_model("r3d_rs_tiny", 3, **NARROW).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    largest_layers(model, (2, 3, 4, 32, 32))
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


def test_a_cpu_is_not_checked(monkeypatch):
    asked = []
    monkeypatch.setattr(convolution_check, "disagreement", lambda *layer: asked.append(layer))
    require_right_convolutions(create_model("r3d_rs_tiny", 3, **NARROW), (2, 3, 4, 32, 32))
    assert asked == []


def test_a_wrong_device_is_refused(monkeypatch):
    asked = []

    def wrong(layer, device, precision):
        asked.append((layer.name, device.type, precision))
        return Disagreement(37 * (len(asked) > 1), 4096, 12.34)

    monkeypatch.setattr(convolution_check, "disagreement", wrong)
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91002)
    # A device without memory stands for one that computes wrongly.
    model = speed_up(on_meta("r3d_rs_50", 3, depths=(1, 1, 1, 1)))
    told = refusal(require_right_convolutions, model, (4, 3, 8, 64, 48), torch.bfloat16, "set TRAIN.PRECISION float32")
    assert told == (
        "meta computes the convolution backbone.res4.0.branch.0 (3 x 1 x 1 on 4 x 512 x 4 x 8 x 6, bfloat16) wrongly: "
        "at 37 of 4096 places it differs from the CPU, by up to 12.3 times what rounding explains (PyTorch "
        f"{torch.__version__}, cuDNN 9.10.2); install another PyTorch or cuDNN, or set TRAIN.PRECISION float32"
    )
    assert asked == [(name, "meta", torch.bfloat16) for name in ("backbone.stem.6", "backbone.res4.0.branch.0")]


def test_without_memory_the_network_itself_will_tell(monkeypatch):
    asked = []

    def full(layer, *_):
        asked.append(layer.name)
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(convolution_check, "disagreement", full)
    require_right_convolutions(speed_up(on_meta("r3d_rs_tiny", 3, **NARROW)), (4, 3, 8, 64, 48))
    assert asked == ["backbone.stem.0", "backbone.res2.0.branch.0"]


def test_every_convolution_of_a_plain_network_runs_in_3d():
    model = on_meta("r3d_rs_50", 3, depths=(1, 1, 1, 1))
    (largest,) = largest_layers(model, (4, 3, 8, 64, 48))
    assert largest.name == "backbone.stem.6"


@pytest.mark.parametrize(("number", "version"), [(91002, "9.10.2"), (92400, "9.24.0"), (8902, "8.9.2"), (None, "")])
def test_the_version_of_cudnn_in_words(monkeypatch, number, version):
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: number)
    assert cudnn_version() == version
