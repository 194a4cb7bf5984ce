"""From a network to the graphs that other engines run: ``torch.export`` first, and ONNX or OpenVINO's of that.

Optional packages are imported where they are used.
"""

import contextlib
import functools
import importlib.util
import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

if TYPE_CHECKING:
    import openvino

INPUT = "clips"
"""What the input of every graph is called."""

AXES = {"batch": 0, "frames": 2, "height": 3, "width": 4}
"""The axes of clips ``[B, C, T, H, W]`` of which a graph may leave the size open."""


def missing(packages: Sequence[str]) -> list[str]:
    """Return those of ``packages`` that cannot be imported."""
    return [package for package in packages if importlib.util.find_spec(package) is None]


def capture(model: nn.Module, clips: Tensor, open_axes: Sequence[str] = ()) -> ExportedProgram:
    """Return what ``model`` computes from clips, as a graph.

    Args:
        model: in evaluation mode; clips ``[B, C, T, H, W]`` -> a tensor.
        clips: of a shape that the model takes; an open size must be above 1.
        open_axes: those of :data:`AXES` whose sizes stay open, as far as the network allows (:func:`smallest_sizes`);
            the graph is for clips of this shape otherwise.
    """
    shapes = None
    if open_axes:
        shapes = ({AXES[name]: Dim.DYNAMIC(min=1) for name in open_axes},)
    with _sizes_of_one_allowed():
        program = torch.export.export(model, (clips,), dynamic_shapes=shapes)

    # Where the code lies on this machine, for each operation: nothing to hand on, and half of a small file.
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
    return program


@contextlib.contextmanager
def _sizes_of_one_allowed() -> Iterator[None]:
    """Let an exporter that asks whether a size is 1 go on as if it were not, in the place of forbidding it."""
    from torch.fx.experimental import _config

    # PyTorch has it since 2.8. Without it a graph wants at least two cells in every map.
    if not hasattr(_config, "backed_size_oblivious"):
        yield
        return
    with _config.patch(backed_size_oblivious=True):
        yield


def smallest_sizes(program: ExportedProgram) -> Mapping[str, int]:
    """Return the smallest size of each axis that a graph of :func:`capture` takes, all of whose axes are open."""
    (clips,) = [node.meta["val"] for node in program.graph.nodes if node.name == INPUT]
    sizes = {}
    for name, axis in AXES.items():
        size = clips.shape[axis]
        sizes[name] = int(program.range_constraints[size.node.expr].lower)
    return sizes


def to_onnx(program: ExportedProgram, output: str = "logits") -> torch.onnx.ONNXProgram:
    """Return a graph as an ONNX model, whose open axes have the names of :data:`AXES`."""
    from torch.onnx import export

    # Of steps that PyTorch has no name for yet it warns.
    with quiet("torch.onnx", "onnxscript"):
        onnx = export(program, (), dynamo=True, verbose=False, input_names=[INPUT], output_names=[output])
    _name_open_axes(onnx.model)
    # Which line of Python each operation came from.
    for node in onnx.model.graph:
        node.metadata_props.clear()
    return onnx


def _name_open_axes(model) -> None:
    """Give the open axes of an ONNX model their names in the place of the exporter's, s7 and the like."""
    import onnx_ir

    (clips,) = model.graph.inputs
    names = {}
    for name, axis in AXES.items():
        size = clips.shape[axis]
        if isinstance(size, onnx_ir.SymbolicDim):
            names[size.value] = name

    for value in (clips, *model.graph.outputs):
        value.shape = onnx_ir.Shape([names.get(getattr(size, "value", None), size) for size in value.shape])
    # What lies between has sizes computed from these, in which the old names would lead nowhere.
    if names:
        for node in model.graph:
            for value in node.outputs:
                if value not in model.graph.outputs:
                    value.shape = None


@contextlib.contextmanager
def quiet(*loggers: str) -> Iterator[None]:
    """Let loggers say errors only."""
    before = {name: logging.getLogger(name).level for name in loggers}
    for name in loggers:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


def to_open_vino(program: ExportedProgram) -> "openvino.Model":
    """Return a graph as OpenVINO's."""
    import openvino

    return openvino.convert_model(program)


@functools.cache
def open_vino() -> "openvino.Core":
    """Return OpenVINO's core, one for the whole process.

    The part of a core that computes on the CPU gives the thread that makes it another stack for signal handlers, and
    puts the one before back when it goes. Where the first of two cores goes first, what the second puts back is gone,
    and the next signal ends the process: Ctrl-C, or that a worker of a DataLoader has ended.
    """
    import openvino

    return openvino.Core()


class OnnxRun:
    """An ONNX file, run by ONNX Runtime on the CPU with as many threads as PyTorch has.

    ``__call__``: clips of the file's dtype -> its only output, float32.
    """

    def __init__(self, path: Path):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        # Errors come as exceptions.
        options.log_severity_level = 4
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0].name

    def __call__(self, clips: Tensor) -> Tensor:
        (answer,) = self.session.run(None, {self.input: clips.contiguous().numpy()})
        return torch.from_numpy(answer)


class OpenVinoRun:
    """An OpenVINO model, run on the CPU with as many threads as PyTorch has. Threads may share it, and take turns.

    ``__call__``: clips of the model's dtype -> its only output, float32.

    Args:
        model: in int8 where it has been quantised.
        precision: "float32" or "bfloat16", of what is not in int8.
    """

    def __init__(self, model: "openvino.Model", precision: str = "float32"):
        settings = {
            "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[precision],
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        }
        network = open_vino().compile_model(model, "CPU", settings)
        self.request = network.create_infer_request()
        self._turn = threading.Lock()

    def __call__(self, clips: Tensor) -> Tensor:
        with self._turn:
            answer = self.request.infer([clips.contiguous().numpy()])[0]
            # The request answers in its own memory each time.
            return torch.from_numpy(answer.copy())
