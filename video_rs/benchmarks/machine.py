"""What numbers were measured on, and how long the package takes to come up there."""

import contextlib
import platform
import statistics
import subprocess
import sys
from typing import Any

import torch

from video_rs.benchmarks.process import bare_environment
from video_rs.models.convolution_check import cudnn_version
from video_rs.runtime.workers import usable_cores


def describe_machine(device: str) -> dict[str, Any]:
    """Return what numbers are measured on; the GPU and its cuDNN are named if ``device`` is "cuda"."""
    return {
        "processor": processor_name(),
        "cores": usable_cores(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "gpu": torch.cuda.get_device_name() if device == "cuda" else None,
        "cudnn": cudnn_version() if device == "cuda" else None,
        "torch": str(torch.__version__),
        "python": platform.python_version(),
        "system": platform.platform(),
    }


def processor_name() -> str:
    """Return the processor's name; Python's own answer is the architecture on many Linux systems."""
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()


def creation_seconds(network: str, repeats: int) -> float:
    """Return the seconds to import video_rs and create a network, after torch and torchvision are imported.

    It is the median over ``repeats`` processes.
    """
    code = (
        "import time, torch, torchvision; started = time.perf_counter(); import video_rs; "
        f"video_rs.create_model({network!r}); print(time.perf_counter() - started)"
    )
    seconds = []
    for _ in range(repeats):
        done = subprocess.run(
            [sys.executable, "-c", code], env=bare_environment(), stdout=subprocess.PIPE, text=True, check=True
        )
        seconds.append(float(done.stdout))
    return statistics.median(seconds)
