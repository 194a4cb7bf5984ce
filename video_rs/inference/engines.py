"""The engines that run a fixed model: PyTorch itself, torch.compile, ONNX Runtime and OpenVINO.

``pip install 'video_rs[accelerate]'`` brings the optional ones.
"""

import copy
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from video_rs.inference.conversion import OnnxRun, OpenVinoRun, capture, to_onnx, to_open_vino
from video_rs.inference.precision import Samples
from video_rs.inference.quantization import quantize
from video_rs.models.fast import speed_up
from video_rs.runtime.devices import has_bfloat16
from video_rs.runtime.unfinished import temporary_folder

Run = Callable[[Tensor], Tensor]


class Task(NamedTuple):
    """What an engine is built for.

    Attributes:
        model: in evaluation mode, with batch norm folded.
        clips: float32 ``[B, C, T, H, W]``, of the largest batch.
        precision: one of :data:`video_rs.inference.precision.PRECISIONS`.
        samples: that int8 is calibrated on.
        any_size: whether clips may be higher or wider than these.
    """

    model: nn.Module
    clips: Tensor
    precision: str = "float32"
    samples: Samples | None = None
    any_size: bool = False


class Engine(NamedTuple):
    """An engine.

    Attributes:
        build: makes a function from clips to float32 logits, for batches of up to that of the task's clips.
        packages: what it needs beside PyTorch.
        precisions: that it computes in.
        takes_any_size: whether clips of other sizes than it was built for are answered without being built again.
    """

    build: Callable[[Task], Run]
    packages: tuple[str, ...]
    precisions: tuple[str, ...]
    takes_any_size: bool = True


def build_eager(task: Task) -> Run:
    """Return PyTorch's own run of the sped-up model, in the layout that its convolutions are fastest in."""
    # A copy: the model stays as the caller, and another engine, has it.
    fast = speed_up(copy.deepcopy(task.model)).to(memory_format=torch.channels_last_3d)
    return torch.no_grad()(_in_precision(fast, task.precision))


def build_compiled(task: Task) -> Run:
    """Return a run by torch.compile with frozen weights, whose layout is then chosen once."""
    model = task.model if task.precision == "float32" else copy.deepcopy(task.model)
    run = _in_precision(model, task.precision, lambda part: torch.compile(part, options={"freezing": True}))
    return torch.no_grad()(_filled_up(run, len(task.clips)))


def build_onnx_runtime(task: Task) -> Run:
    """Return a run by ONNX Runtime on as many threads as PyTorch has."""
    with temporary_folder() as folder:
        path = folder / "model.onnx"
        to_onnx(capture(task.model, task.clips, _open_axes(task))).save(path)
        return OnnxRun(path)


def build_open_vino(task: Task) -> Run:
    """Return a run by OpenVINO on as many threads as PyTorch has."""
    graph = to_open_vino(capture(task.model, task.clips, _open_axes(task)))
    if task.precision != "int8":
        return OpenVinoRun(graph, task.precision)
    samples = task.samples
    quantized = quantize(graph, samples.calibration.split(len(task.clips)), samples.prepare)
    # What lies between layers in int8 need not be more exact than those.
    between = "bfloat16" if has_bfloat16(task.clips.device) else "float32"
    return OpenVinoRun(quantized, between)


def _open_axes(task: Task) -> tuple[str, ...]:
    """Return the axes of a task's graph that stay open: a last batch may be smaller than the others."""
    batch = ("batch",) if len(task.clips) > 1 else ()
    return (*batch, "height", "width") if task.any_size else batch


def _in_precision(model: nn.Module, precision: str, wrap: Callable[[nn.Module], Run] = lambda model: model) -> Run:
    """Return a run of ``wrap(model)``, of which weights and maps are in a precision; the model is changed."""
    if precision == "float32":
        return wrap(model)
    # All of it: a cast between two layers takes as long as a small layer.
    run = wrap(model.to(torch.bfloat16))
    return lambda clips: run(clips.to(torch.bfloat16)).float()


def _filled_up(run: Run, batch: int) -> Run:
    """Return a run that always gets a whole batch: for each other size it would be compiled again, for a minute."""

    def filled(clips: Tensor) -> Tensor:
        absent = batch - len(clips)
        if absent:
            clips = torch.cat([clips, clips[:1].expand(absent, -1, -1, -1, -1)])
        return run(clips)[: batch - absent]

    return filled


ENGINES = {
    "openvino": Engine(build_open_vino, ("openvino",), ("float32", "bfloat16", "int8")),
    "onnxruntime": Engine(build_onnx_runtime, ("onnxruntime", "onnx", "onnxscript"), ("float32",)),
    # For each size it would be compiled again, for a minute.
    "compile": Engine(build_compiled, (), ("float32", "bfloat16"), takes_any_size=False),
    "eager": Engine(build_eager, (), ("float32", "bfloat16")),
}
