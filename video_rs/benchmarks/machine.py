"""What numbers were measured on, and how long the package takes to come up there."""

import contextlib
import os
import platform
import statistics
import subprocess
import sys
from typing import Any

import torch

from video_rs.benchmarks.process import bare_environment


def machine(device: str) -> dict[str, Any]:
    """What the numbers were measured on; the GPU is named if ``device`` is "cuda"."""
    return {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "gpu": torch.cuda.get_device_name() if device == "cuda" else None,
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
    }


def processor() -> str:
    """The processor's name."""
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()


def creation_seconds(network: str, repeats: int) -> float:
    """Importing video_rs and creating a network, after torch and torchvision are imported; median of processes."""
    code = (
        "import time, torch, torchvision; started = time.perf_counter(); import video_rs; "
        f"video_rs.create_model({network!r}); print(time.perf_counter() - started)"
    )
    how = {"env": bare_environment(), "stdout": subprocess.PIPE, "text": True, "check": True}
    runs = [subprocess.run([sys.executable, "-c", code], **how) for _ in range(repeats)]
    return statistics.median(float(run.stdout) for run in runs)
