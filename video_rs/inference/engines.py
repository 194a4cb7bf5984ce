"""The engines that run a fixed model: PyTorch itself, torch.compile, ONNX Runtime and OpenVINO.

Optional engines are imported where they are used; ``pip install 'video_rs[accelerate]'`` brings them.
"""

import copy
import importlib.util
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

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


def missing(packages: Sequence[str]) -> list[str]:
    """Return those of ``packages`` that cannot be imported."""
    return [package for package in packages if importlib.util.find_spec(package) is None]


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
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        torch.onnx.export(model, (clips,), dynamo=True, verbose=False).save(path)
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    input_name = session.get_inputs()[0].name

    def run(batch: Tensor) -> Tensor:
        (logits,) = session.run(None, {input_name: batch.contiguous().numpy()})
        return torch.from_numpy(logits)

    return run


def build_open_vino(model: nn.Module, clips: Tensor) -> Run:
    """Return a run by OpenVINO in float32 on as many threads as PyTorch has."""
    import openvino

    program = torch.export.export(model, (clips,))
    settings = {
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
    network = openvino.Core().compile_model(openvino.convert_model(program), "CPU", settings)
    request = network.create_infer_request()

    def run(batch: Tensor) -> Tensor:
        logits = request.infer([batch.contiguous().numpy()])[0]
        # The request answers in its own memory each time.
        return torch.from_numpy(logits.copy())

    return run


ENGINES = {
    "openvino": Engine(build_open_vino, ("openvino",)),
    "onnxruntime": Engine(build_onnx_runtime, ("onnxruntime", "onnx", "onnxscript")),
    "compile": Engine(build_compiled, ()),
    "eager": Engine(build_eager, ()),
}
