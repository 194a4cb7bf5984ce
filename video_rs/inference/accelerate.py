"""A fixed, faster copy of a model for inference: batch norm folded into the convolutions, run by the best engine.

Optional engines are imported where they are used; ``pip install 'video_rs[accelerate]'`` brings them.
"""

import contextlib
import copy
import importlib.util
import itertools
import logging
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.backends import cuda, cudnn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from video_rs.models.fast import speed_up
from video_rs.runtime.errors import InputError
from video_rs.runtime.torch_files import first_sentence

Run = Callable[[Tensor], Tensor]
# Largest difference from eager logits, over the largest logit: float32 sums in another order. More is a wrong result.
ROUNDING = 1e-4


class Accelerated:
    """Clips -> logits at one shape, with the weights that the model had when this was made.

    ``__call__``: float32 ``[B, C, T, H, W]`` of exactly ``clip_shape`` -> float32 ``[B, num_classes]``, equal to the
    model's to :data:`ROUNDING` of the largest logit (where PyTorch computes in TF32, to what that rounds), and without
    gradients.

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
        if clips.device != self.device:
            raise InputError(
                f"clips are on {clips.device}; allowed: {self.device}, where the model was; move them there"
            )
        return self.run(clips.detach())


def accelerate(model: nn.Module, clip_shape: Sequence[int], engine: str = "auto") -> Accelerated:
    """A faster copy of ``model`` for clips of one shape; the model itself stays as it is.

    Args:
        model: clips -> logits, in float32; it is run as in evaluation mode.
        clip_shape: (B, C, T, H, W), each at least 1.
        engine: "eager", "compile" (torch.compile; needs a C++ compiler and a minute), "onnxruntime", "openvino", or
            "auto": the fastest of those installed, timed here and now (all but "compile", which on a CPU takes a minute
            to build and never was the fastest; on a GPU "compile" and "eager"). One that cannot be built or is wrong
            is left out with a warning.

    Raises:
        InputError: an unknown or absent engine, a shape that the model does not take, a model that does not answer with
            finite logits, or an engine whose logits differ from eager ones by more than :data:`ROUNDING`.
    """
    if engine != "auto" and engine not in ENGINES:
        raise InputError(f"engine is {engine!r}; allowed: auto, {', '.join(ENGINES)}")
    clip_shape = tuple(clip_shape)
    if any(size < 1 for size in clip_shape):
        raise InputError(f"clip_shape is {list(clip_shape)}; allowed: (B, C, T, H, W) of sizes of at least 1")
    weight = next(model.parameters())
    if weight.dtype != torch.float32:
        raise InputError(f"the model is in {weight.dtype}; allowed: torch.float32; call model.float() first")
    device = weight.device
    model = copy.deepcopy(model).eval().requires_grad_(False)
    clips = torch.rand(clip_shape, generator=torch.Generator().manual_seed(0)).to(device)
    expected = logits_of(model, clips)
    fold_batch_norm(model)
    if engine != "auto":
        return Accelerated(build(engine, model, clips, expected), engine, clip_shape, device)
    runs = build_all(candidates(device), model, clips, expected)
    fastest = min(runs, key=lambda name: seconds(runs[name], clips)) if len(runs) > 1 else next(iter(runs))
    return Accelerated(runs[fastest], fastest, clip_shape, device)


def candidates(device: torch.device) -> list[str]:
    """What "auto" times."""
    if device.type == "cuda":
        return ["compile", "eager"]
    absent = [name for name, (_, packages) in ENGINES.items() if missing(packages)]
    return [name for name in ENGINES if name not in ("compile", *absent) and (device.type == "cpu" or name == "eager")]


@contextlib.contextmanager
def without_tf32() -> Iterator[None]:
    """CUDA convolutions and matrix products in float32 as it is; settings are as before afterwards.

    TF32, cuDNN's default, rounds to 10 bits: folded and unfolded weights, both right, then differ by more than
    :data:`ROUNDING`.
    """
    try:
        before, change = (torch.get_float32_matmul_precision(), cudnn.allow_tf32), set_tf32
        exact = ("highest", False)
    except RuntimeError:  # somebody used the names that PyTorch has since 2.9; older ones then cannot even be read
        before, change = (cuda.matmul.fp32_precision, cudnn.conv.fp32_precision), set_precisions
        exact = ("ieee", "ieee")
    change(*exact)
    try:
        yield
    finally:
        change(*before)


def set_tf32(products: str, convolutions: bool) -> None:
    """Precision by PyTorch's older names."""
    if products != torch.get_float32_matmul_precision():  # to set what it is would set more than that
        torch.set_float32_matmul_precision(products)
    cudnn.allow_tf32 = convolutions


def set_precisions(products: str, convolutions: str) -> None:
    """Precision by PyTorch's newer names."""
    cuda.matmul.fp32_precision, cudnn.conv.fp32_precision = products, convolutions


def logits_of(model: nn.Module, clips: Tensor) -> Tensor:
    """The model's own logits, to compare with.

    Raises:
        InputError: it answers with something else, or with numbers that are not finite.
    """
    with torch.no_grad(), without_tf32():
        expected = model(clips)
    if not isinstance(expected, Tensor):
        raise InputError(
            f"the model answers with a {type(expected).__name__}; allowed: a tensor of logits; take a classifier, or "
            "of a backbone one map by video_rs.models.detection.SingleMap"
        )
    if not expected.isfinite().all():
        raise InputError(
            "the model's logits for clips in [0, 1] are not all finite; allowed: finite ones, which an engine's can be "
            "compared with; check the model's weights"
        )
    return expected


def build_all(names: Sequence[str], model: nn.Module, clips: Tensor, expected: Tensor) -> dict[str, Run]:
    """The runs of all engines that can be built and are right; the others are warned of.

    Raises:
        InputError: none is left.
    """
    runs, reasons = {}, []
    for name in names:
        try:
            runs[name] = build(name, model, clips, expected)
        except Exception as error:  # noqa: BLE001 - engines fail in ways of their own
            reasons.append(f"{name}: {error if isinstance(error, InputError) else first_sentence(error)}")
            logging.getLogger(__name__).warning("engine left out, %s", reasons[-1])
    if not runs:
        raise InputError(f"no engine runs this model ({'; '.join(reasons)}); allowed: a model that one of them runs")
    return runs


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
    with without_tf32():
        run = make(model, clips)
        logits = run(clips)
    if logits.shape != expected.shape:
        raise InputError(
            f"engine {name!r} gives logits {list(logits.shape)}, the model {list(expected.shape)}; allowed: the same; "
            "take another engine"
        )
    difference, largest = (logits - expected).abs().max(), expected.abs().max()
    if not difference <= ROUNDING * largest:  # where all are 0 the engine's have to be; NaN is refused
        raise InputError(
            f"engine {name!r} gives other logits than the model, by {difference:.1e} where the largest is {largest:.1e}"
            f"; allowed: {ROUNDING:.0e} of it; take another engine"
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
    """PyTorch as it is, sped up and in the layout that its convolutions are fastest in."""
    return torch.no_grad()(speed_up(model).to(memory_format=torch.channels_last_3d))


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
