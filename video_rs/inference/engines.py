"""The engines that run a fixed model: PyTorch itself, torch.compile, ONNX Runtime and OpenVINO.

``pip install 'video_rs[accelerate]'`` brings the optional ones.
"""

import copy
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from video_rs.inference.conversion import OnnxRun, OpenVinoRun, capture, to_onnx, to_open_vino
from video_rs.models.fast import speed_up

Run = Callable[[Tensor], Tensor]


class Engine(NamedTuple):
    """An engine.

    Attributes:
        build: (model, clips) -> a function from clips of that shape to logits; clips float32 ``[B, C, T, H, W]``.
        packages: what it needs beside PyTorch.
    """

    build: Callable[[nn.Module, Tensor], Run]
    packages: tuple[str, ...]


def build_eager(model: nn.Module, _clips: Tensor) -> Run:
    """Return PyTorch's own run of the sped-up model, in the layout that its convolutions are fastest in."""
    # A copy: the model stays as the caller, and another engine, has it.
    fast = speed_up(copy.deepcopy(model)).to(memory_format=torch.channels_last_3d)
    return torch.no_grad()(fast)


def build_compiled(model: nn.Module, _clips: Tensor) -> Run:
    """Return a run by torch.compile with frozen weights, whose layout is then chosen once."""
    return torch.no_grad()(torch.compile(model, options={"freezing": True}))


def build_onnx_runtime(model: nn.Module, clips: Tensor) -> Run:
    """Return a run by ONNX Runtime on as many threads as PyTorch has."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        to_onnx(capture(model, clips)).save(path)
        return OnnxRun(path)


def build_open_vino(model: nn.Module, clips: Tensor) -> Run:
    """Return a run by OpenVINO in float32 on as many threads as PyTorch has."""
    return OpenVinoRun(to_open_vino(capture(model, clips)))


ENGINES = {
    "openvino": Engine(build_open_vino, ("openvino",)),
    "onnxruntime": Engine(build_onnx_runtime, ("onnxruntime", "onnx", "onnxscript")),
    "compile": Engine(build_compiled, ()),
    "eager": Engine(build_eager, ()),
}
