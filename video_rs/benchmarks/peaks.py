"""What devices compute at most in bfloat16: the limit that model FLOP utilisation is a share of."""

from fnmatch import fnmatchcase
from typing import NamedTuple

# Names as PyTorch gives them, and TFLOP/s of dense bfloat16 with sums in float32, from NVIDIA's data sheets (where they
# state it for sparse matrices: half). The first name that fits counts.
PEAKS = (
    ("NVIDIA B200*", 2250),
    ("NVIDIA GH200*", 989),
    ("NVIDIA H200 NVL", 835),
    ("NVIDIA H200*", 989),
    ("NVIDIA H100 NVL", 835),
    ("NVIDIA H100 PCIe", 756),
    ("NVIDIA H100*", 989),
    ("NVIDIA A100*", 312),
    ("NVIDIA L40S", 362),
    ("NVIDIA L4", 121),
    ("NVIDIA A10", 125),
    ("NVIDIA GeForce RTX 4090", 165),
    ("NVIDIA GeForce RTX 3090", 71),
)


class Peak(NamedTuple):
    """What a device computes at most.

    Attributes:
        gflops_per_s: in the precision of the benchmark.
        source: where the number is from, in words.
    """

    gflops_per_s: float
    source: str


def stated_peak(device_name: str | None, precision: str) -> Peak | None:
    """Return what a device's maker states.

    Args:
        device_name: of a GPU, as PyTorch gives it; None for a CPU.
        precision: "bfloat16", or another one, of which nothing is known.

    Returns:
        None for devices and precisions that are not in :data:`PEAKS`, and for a part of a GPU (MIG).
    """
    if device_name is None or precision != "bfloat16" or " MIG " in device_name:
        return None
    for pattern, tflops in PEAKS:
        if fnmatchcase(device_name, pattern):
            return Peak(1000.0 * tflops, f"{tflops} TFLOP/s, as the data sheet of {device_name} says")
    return None


def measured_peak(gflops_per_s: float, precision: str) -> Peak:
    """Return the rate of a large matrix product as the peak of a device that is not known."""
    words = f"{gflops_per_s / 1000:.3g} TFLOP/s, measured by a large matrix product in {precision}"
    return Peak(gflops_per_s, f"{words}: of this device no data sheet is known here")
