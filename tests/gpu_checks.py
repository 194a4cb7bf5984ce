"""What only a machine with an NVIDIA GPU can tell: ``python tests/gpu_checks.py`` in the repository's root, a minute.

The largest convolutions of networks in each precision against sums on the CPU, with the seconds that takes at the start
of a run; that a fault is found on a GPU too; the map of pytorch/pytorch#163539; and ``torchcodec_cuda`` against PyAV,
where both are installed. Exit code 1 where something is wrong.
"""

import importlib.util
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from video_rs import create_model
from video_rs.models.convolution import Conv3d
from video_rs.models.convolution_check import (
    Layer,
    cudnn_version,
    disagreement,
    largest_layers,
    require_right_convolutions,
)
from video_rs.models.fast import speed_up
from video_rs.models.fast.convolution import FastConv3d
from video_rs.runtime.devices import doubtful_cudnn
from video_rs.runtime.errors import InputError

GPU = torch.device("cuda")
NETWORKS = {
    "r3d_rs_50": (16, 3, 32, 224, 224),
    "r3d_rs_tiny": (32, 3, 16, 112, 112),
    "inflated_rs_50": (8, 3, 32, 256, 256),
}
PRECISIONS = {"float32 (TF32)": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def main() -> int:
    """Run all checks and return how many went wrong."""
    print(f"PyTorch {torch.__version__}, cuDNN {cudnn_version()}, {torch.cuda.get_device_name()}")
    print(doubtful_cudnn(torch.backends.cudnn.version()) or "no known fault of this cuDNN")
    return sum((networks(), exact_float32(), planted_fault(), reported_map(), decoder()))


def networks() -> int:
    """Check each network in each precision, as a run does at its start."""
    wrong = 0
    for name, shape in NETWORKS.items():
        model = speed_up(create_model(name, 10)).to(GPU, memory_format=torch.channels_last_3d)
        for words, precision in PRECISIONS.items():
            torch.cuda.synchronize()
            began = time.perf_counter()
            try:
                require_right_convolutions(model, shape, precision)
            except InputError as error:
                print(error)
            seconds = time.perf_counter() - began
            found = [disagreement(layer, GPU, precision) for layer in largest_layers(model, shape)]
            worst = ", ".join(f"{one.worst:.3f}" for one in found)
            print(f"{name:<15} {words:<15} {list(shape)}: {seconds:.2f} s, errors over what is allowed: {worst}")
            wrong += any(one.wrong for one in found)
    return wrong


def exact_float32() -> int:
    """Check float32 without TF32, whose errors have to be far below what TF32 is allowed."""
    model = speed_up(create_model("r3d_rs_50", 10)).to(GPU, memory_format=torch.channels_last_3d)
    torch.backends.cudnn.allow_tf32 = False
    found = [disagreement(layer, GPU, torch.float32) for layer in largest_layers(model, NETWORKS["r3d_rs_50"])]
    torch.backends.cudnn.allow_tf32 = True
    print(f"float32 without TF32: errors over what is allowed {', '.join(f'{one.worst:.4f}' for one in found)}")
    return int(any(one.worst > 0.1 for one in found))


def planted_fault() -> int:
    """Check that a device is caught whose last hundredth of a map is wrong."""

    def faulty(convolution, maps):
        found = convolution(maps)
        found[-1, :, -1, -found.shape[3] // 4 :] = 0
        return found

    layer = Layer("planted", FastConv3d(64, 64, (3, 1, 1)).to(GPU), (4, 64, 8, 56, 56))
    missed = sum(not disagreement(layer, GPU, precision, faulty).wrong for precision in PRECISIONS.values())
    print(f"a planted fault is found in {len(PRECISIONS) - missed} of {len(PRECISIONS)} precisions")
    return missed


def reported_map() -> int:
    """Compute the map of pytorch/pytorch#163539 by PyTorch's 3D operator; this says what the library does, no more."""

    def plain(convolution, maps):
        return torch.nn.functional.conv3d(maps, convolution.weight, None, convolution.stride, convolution.padding)

    layer = Layer("reported", Conv3d(16, 16, (1, 3, 3)).to(GPU), (1, 16, 124, 1282, 722))
    for words, precision in (("bfloat16", torch.bfloat16), ("float16", torch.float16)):
        torch.cuda.reset_peak_memory_stats()
        found = disagreement(layer, GPU, precision, plain)
        peak = torch.cuda.max_memory_allocated() / 2**30
        print(
            f"the reported map in {words}: wrong at {found.wrong} of {found.checked} places, {found.worst:.3g} times "
            f"what is allowed; {peak:.1f} GiB"
        )
    return 0


def decoder() -> int:
    """Compare ``torchcodec_cuda`` with PyAV on a file written here."""
    absent = [name for name in ("av", "torchcodec", "iopath") if importlib.util.find_spec(name) is None]
    if absent:
        print(f"torchcodec_cuda: not tried, {', '.join(absent)} not installed")
        return 0
    from video_rs.video import open_video
    from video_rs.video.encoding import write_video

    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (48, 16, 16, 3), dtype=np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "noise.mp4"
        write_video(path, small.repeat(16, 1).repeat(16, 2), fps=24)
        try:
            with open_video(path, "torchcodec_cuda") as on_gpu, open_video(path, "pyav") as on_cpu:
                wanted = [0, 47, 13, 30]
                print(f"torchcodec_cuda: cpu_fallback {getattr(on_gpu._decoder, 'cpu_fallback', 'not told')}")
                apart = (on_gpu.frames(wanted).float() - on_cpu.frames(wanted).float()).abs()
        except (InputError, RuntimeError) as error:
            print(f"torchcodec_cuda: {error}")
            return 1
    print(f"torchcodec_cuda: {apart.mean():.3f} levels from PyAV on average, at most {apart.max():.0f}")
    # Colours are rounded otherwise; another frame of noise would be 80 levels away.
    return int(apart.mean() > 2)


if __name__ == "__main__":
    sys.exit(min(1, main()))
