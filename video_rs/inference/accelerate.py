"""A fixed, faster copy of a model for inference: batch norm folded into the convolutions, run by the best engine.

Optional engines are imported where they are used; ``pip install 'video_rs[accelerate]'`` brings them.
"""

import copy
import importlib.util
import itertools
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from video_rs.errors import InputError

Run = Callable[[Tensor], Tensor]
# Largest difference from eager logits, over the largest logit: float32 sums in another order. More is a wrong result.
ROUNDING = 1e-4


class Accelerated:
    """Clips -> logits at one shape, with the weights that the model had when this was made.

    ``__call__``: float32 ``[B, C, T, H, W]`` of exactly ``clip_shape`` -> float32 ``[B, num_classes]``, equal to the
    model's to :data:`ROUNDING` of the largest logit.

    Attributes:
        engine: the engine that runs, where "auto" was asked for the one that it took.
        clip_shape: (B, C, T, H, W).
        device: where clips must be and logits are.
    """

    def __init__(self, run: Run, engine: str, clip_shape: tuple[int, ...], device: torch.device):
        self.run, self.engine, self.clip_shape, self.device = run, engine, clip_shape, device

    def __call__(self, clips: Tensor) -> Tensor:
        if tuple(clips.shape) != self.clip_shape or clips.dtype != torch.float32:
            raise InputError(
                f"clips are {clips.dtype} {list(clips.shape)}; allowed: torch.float32 {list(self.clip_shape)}, as "
                "accelerate was asked for; call it again for another shape"
            )
        return self.run(clips)


def accelerate(model: nn.Module, clip_shape: Sequence[int], engine: str = "auto") -> Accelerated:
    """A faster copy of ``model`` for clips of one shape; the model itself stays as it is.

    Args:
        model: clips -> logits, in float32; it is run as in evaluation mode.
        clip_shape: (B, C, T, H, W).
        engine: "eager", "compile" (torch.compile; needs a C++ compiler and a minute), "onnxruntime", "openvino", or
            "auto": the fastest of those installed, timed here and now (all but "compile", which on a CPU takes a minute
            to build and never was the fastest; on a GPU "compile").

    Raises:
        InputError: an unknown or absent engine, a shape that the model does not take, or an engine whose logits differ
            from eager ones by more than :data:`ROUNDING`.
    """
    if engine != "auto" and engine not in ENGINES:
        raise InputError(f"engine is {engine!r}; allowed: auto, {', '.join(ENGINES)}")
    clip_shape = tuple(clip_shape)
    weight = next(model.parameters())
    if weight.dtype != torch.float32:
        raise InputError(f"the model is in {weight.dtype}; allowed: torch.float32; call model.float() first")
    device = weight.device
    model = copy.deepcopy(model).eval().requires_grad_(False)
    clips = torch.rand(clip_shape, generator=torch.Generator().manual_seed(0)).to(device)
    with torch.inference_mode():
        expected = model(clips)
    fold_batch_norm(model)
    names = [engine] if engine != "auto" else candidates(device)
    runs = {name: build(name, model, clips, expected) for name in names}
    fastest = min(runs, key=lambda name: seconds(runs[name], clips)) if len(runs) > 1 else names[0]
    return Accelerated(runs[fastest], fastest, clip_shape, device)


def candidates(device: torch.device) -> list[str]:
    """What "auto" times."""
    if device.type == "cuda":
        return ["compile"]
    absent = [name for name, (_, packages) in ENGINES.items() if missing(packages)]
    return [name for name in ENGINES if name not in ("compile", *absent) and (device.type == "cpu" or name == "eager")]


def build(name: str, model: nn.Module, clips: Tensor, expected: Tensor) -> Run:
    """The engine's run, after it has given the ``expected`` logits for ``clips``."""
    make, packages = ENGINES[name]
    if absent := missing(packages):
        raise InputError(
            f"engine {name!r} needs {', '.join(absent)}, which is not installed; pip install 'video_rs[accelerate]', "
            "or take another engine"
        )
    if packages and clips.device.type != "cpu":
        raise InputError(
            f"engine {name!r} runs on the CPU, the model is on {clips.device}; allowed there: eager, compile"
        )
    run = make(model, clips)
    difference = (run(clips) - expected).abs().max() / expected.abs().max()
    if not difference <= ROUNDING:
        raise InputError(
            f"engine {name!r} gives other logits than the model, by {difference:.1e} of the largest; allowed: "
            f"{ROUNDING:.0e}; take another engine"
        )
    return run


def missing(packages: Sequence[str]) -> list[str]:
    """Those of ``packages`` that cannot be imported."""
    return [package for package in packages if importlib.util.find_spec(package) is None]


def seconds(run: Run, clips: Tensor) -> float:
    """The shortest of three runs after a first one."""
    times = []
    for _ in range(4):
        started = time.perf_counter()
        run(clips).cpu()
        times.append(time.perf_counter() - started)
    return min(times[1:])


def fold_batch_norm(model: nn.Module) -> None:
    """Replaces, in every Sequential of ``model``, a convolution and the batch norm behind it by one convolution."""
    for sequence in [module for module in model.modules() if isinstance(module, nn.Sequential)]:
        children = list(sequence.named_children())
        for (name, conv), (norm_name, norm) in itertools.pairwise(children):
            if isinstance(conv, nn.Conv3d) and isinstance(norm, nn.BatchNorm3d):
                sequence.set_submodule(name, fuse_conv_bn_eval(conv, norm))
                sequence.set_submodule(norm_name, nn.Identity())


def eager(model: nn.Module, _clips: Tensor) -> Run:
    """PyTorch as it is, in the layout that its convolutions are fastest in."""
    return torch.inference_mode()(model.to(memory_format=torch.channels_last_3d))


def compiled(model: nn.Module, _clips: Tensor) -> Run:
    """torch.compile with frozen weights, so that their layout is chosen once."""
    return torch.no_grad()(torch.compile(model, options={"freezing": True}))


def onnx_runtime(model: nn.Module, clips: Tensor) -> Run:
    """ONNX Runtime on as many threads as PyTorch has."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        torch.onnx.export(model, (clips,), dynamo=True, verbose=False).save(path)
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda batch: torch.from_numpy(session.run(None, {name: batch.contiguous().numpy()})[0])


def open_vino(model: nn.Module, clips: Tensor) -> Run:
    """OpenVINO in float32 on as many threads as PyTorch has."""
    import openvino

    program = torch.export.export(model, (clips,))
    settings = {
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
    network = openvino.Core().compile_model(openvino.convert_model(program), "CPU", settings)
    request = network.create_infer_request()
    return lambda batch: torch.from_numpy(request.infer([batch.contiguous().numpy()])[0].copy())


# Engine -> what builds it, and the packages that it needs.
ENGINES: dict[str, tuple[Callable[[nn.Module, Tensor], Run], tuple[str, ...]]] = {
    "openvino": (open_vino, ("openvino",)),
    "onnxruntime": (onnx_runtime, ("onnxruntime", "onnx", "onnxscript")),
    "compile": (compiled, ()),
    "eager": (eager, ()),
}
