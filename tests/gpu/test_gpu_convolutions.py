"""What a run checks at its start, at the sizes of large runs, where libraries have been wrong: its convolutions."""

import pytest
import torch

from video_rs import create_model
from video_rs.inference.full_precision import without_tf32
from video_rs.models.convolution import Conv3d
from video_rs.models.convolution_check import Layer, cudnn_version, disagreement, largest_layers
from video_rs.models.fast import speed_up
from video_rs.models.fast.convolution import FastConv3d
from video_rs.runtime.devices import doubtful_cudnn

pytestmark = pytest.mark.gpu

# Clips of a step on a GPU, and small ones to prove the tests on a CPU.
SHAPES = {
    "r3d_rs_50": {"cuda": (16, 3, 32, 224, 224), "cpu": (1, 3, 4, 64, 64)},
    "r3d_rs_tiny": {"cuda": (32, 3, 16, 112, 112), "cpu": (2, 3, 4, 32, 32)},
    "inflated_rs_50": {"cuda": (8, 3, 32, 256, 256), "cpu": (1, 3, 4, 64, 64)},
}
# Maps of pytorch/pytorch#163539, and small ones.
REPORTED = {"cuda": (1, 16, 124, 1282, 722), "cpu": (1, 16, 5, 12, 7)}
PRECISIONS = (torch.float32, torch.bfloat16, torch.float16)


def on_device(name, device):
    """A network as runs have it on a GPU."""
    return speed_up(create_model(name, 10)).to(device, memory_format=torch.channels_last_3d)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", SHAPES)
def test_the_largest_layers_are_right(device, name, precision):
    for layer in largest_layers(on_device(name, device), SHAPES[name][device.type]):
        found = disagreement(layer, device, precision)
        assert found.wrong == 0, f"{layer.name} {layer.shape}, cuDNN {cudnn_version()}: {found}"


def test_float32_without_tf32_is_far_more_exact(device):
    """Than what the check allows, which has to let TF32 pass."""
    with without_tf32():
        for layer in largest_layers(on_device("r3d_rs_50", device), SHAPES["r3d_rs_50"][device.type]):
            found = disagreement(layer, device, torch.float32)
            assert found.worst < (0.1 if device.type == "cuda" else 1), layer.name


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_fault_is_found_on_the_device(device, precision):
    """The last quarter of the last rows is missing: a hundredth of the map."""

    def faulty(convolution, maps):
        found = convolution(maps)
        found[-1, :, -1, -found.shape[3] // 4 :] = 0
        return found

    layer = Layer("planted", FastConv3d(64, 64, (3, 1, 1)).to(device), (4, 64, 8, 56, 56))
    assert disagreement(layer, device, precision, faulty).wrong > 0


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_versions_that_are_wrong_on_large_maps_are_known(device, precision):
    """PyTorch's own operator on the map of the report: where it is wrong, a warning of that version is due."""

    def plain(convolution, maps):
        return torch.nn.functional.conv3d(maps, convolution.weight, None, convolution.stride, convolution.padding)

    layer = Layer("reported", Conv3d(16, 16, (1, 3, 3)).to(device), REPORTED[device.type])
    try:
        found = disagreement(layer, device, precision, plain)
    except torch.OutOfMemoryError:
        pytest.skip("too little memory for the map")
    is_known = device.type == "cuda" and doubtful_cudnn(torch.backends.cudnn.version())
    assert found.wrong == 0 or is_known, f"cuDNN {cudnn_version()}: {found}"
