"""The device that a run computes on: chosen by name, and refused where it computes convolutions wrongly."""

import logging

import torch

from video_rs.runtime.distributed import local_rank
from video_rs.runtime.errors import InputError

MPS_IS_WRONG = "Conv3d on this machine's MPS gives other numbers than on its CPU (pytorch/pytorch#197114)"

_log = logging.getLogger(__name__)


def pick_device(name: str) -> torch.device:
    """Return the device behind "auto", "cpu", "cuda" or "mps"; under torchrun each process gets a GPU of its own.

    Raises:
        InputError: this machine does not have the device, or its MPS computes convolutions wrongly.
    """
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = _best_device(available)

    if name not in available:
        raise InputError(f"device is {name!r}; allowed: auto, {', '.join(available)}")
    if not available[name]:
        found = ", ".join(kind for kind in available if available[kind])
        raise InputError(f"device {name!r} is not there; this machine has {found}: set DEVICE (predict: --device)")

    if name == "mps" and not convolutions_agree(torch.device("mps")):
        raise InputError(f"{MPS_IS_WRONG}; take another PyTorch, or set DEVICE cpu (predict: --device cpu)")

    if name == "cuda":
        return _own_gpu()
    return torch.device(name)


def _best_device(available: dict[str, bool]) -> str:
    """Return the name of the first of CUDA, MPS and CPU that is available and convolves rightly."""
    if available["cuda"]:
        return "cuda"
    if not available["mps"]:
        return "cpu"

    if not convolutions_agree(torch.device("mps")):
        _log.warning("%s; DEVICE auto takes the CPU", MPS_IS_WRONG)
        return "cpu"
    return "mps"


def _own_gpu() -> torch.device:
    """Make the GPU that belongs to this process its current one, and return it."""
    number = local_rank()
    count = torch.cuda.device_count()
    if number >= count:
        raise InputError(
            f"process {number} of this machine has no GPU of its own among {count}; start {count} processes"
        )
    torch.cuda.set_device(number)

    doubt = doubtful_cudnn(torch.backends.cudnn.version())
    if doubt:
        _log.warning(doubt)
    return torch.device("cuda", number)


def convolutions_agree(device: torch.device) -> bool:
    """Return whether a small 3D convolution on ``device`` gives the CPU's numbers.

    Releases of PyTorch computed wrong ones on MPS without any error.
    """
    # The caller's generator must not notice that weights and clips are drawn here.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        convolution = torch.nn.Conv3d(16, 32, 3, padding=1)
        clips = torch.rand(1, 16, 4, 8, 8)

    # Networks run channels-last, and the wrong numbers came with that memory format.
    clips = clips.to(memory_format=torch.channels_last_3d)
    with torch.inference_mode():
        expected = convolution(clips)
        found = convolution.to(device)(clips.to(device)).cpu()
    return torch.allclose(found, expected, rtol=1e-3, atol=1e-3)


def doubtful_cudnn(number: int | None) -> str:
    """Return a sentence on a version of cuDNN (91002 is 9.10.2) known to compute 3D convolutions wrongly, else ""."""
    if number is None or not 90_800 <= number < 91_500:
        return ""

    version = f"{number // 10_000}.{number % 10_000 // 100}.{number % 100}"
    return (
        f"cuDNN {version} computes some large 3D convolutions in half "
        "precision wrongly (9.8 to 9.14 do, pytorch/pytorch#163539), and PyTorch 2.9 goes around it with several times "
        "the memory; install cuDNN 9.15 or newer (nvidia-cudnn-cu12 or -cu13), or a newer PyTorch"
    )


def has_bfloat16(device: torch.device) -> bool:
    """Return whether a device has instructions for bfloat16, without which that takes tens of times longer."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    # PyTorch says so since 2.10.
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    return any(capabilities.get(name) for name in ("amx_bf16", "avx512_bf16", "bf16"))
