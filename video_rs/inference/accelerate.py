"""A fixed, faster copy of a model for inference: batch norm folded into the convolutions, run by the best engine."""

import copy
import itertools
import logging
import time
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from video_rs.inference.conversion import missing
from video_rs.inference.engines import ENGINES, Run
from video_rs.inference.full_precision import without_tf32
from video_rs.runtime.errors import InputError
from video_rs.runtime.torch_files import first_sentence

# Largest difference from eager logits, over the largest logit: float32 sums in another order. More is a wrong result.
ROUNDING = 1e-4


class Accelerated:
    """Function from clips to logits at one shape, with the weights that the model had when this was made.

    ``__call__``: float32 ``[B, C, T, H, W]`` of exactly ``clip_shape`` -> float32 ``[B, num_classes]``, equal to the
    model's to :data:`ROUNDING` of the largest logit (where PyTorch computes in TF32, to what that rounds), and without
    gradients.

    Attributes:
        run: the engine's function.
        engine: the engine that runs; where "auto" was asked for, the chosen one.
        clip_shape: (B, C, T, H, W).
        device: where clips must be and logits are.
    """

    def __init__(self, run: Run, engine: str, clip_shape: tuple[int, ...], device: torch.device):
        self.run = run
        self.engine = engine
        self.clip_shape = clip_shape
        self.device = device

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
    """Return a faster copy of ``model`` for clips of one shape; the model itself stays as it is.

    Args:
        model: clips -> logits, in float32; it is run as in evaluation mode.
        clip_shape: (B, C, T, H, W), each at least 1.
        engine: "eager", "compile" (torch.compile; needs a C++ compiler and a minute), "onnxruntime", "openvino", or
            "auto": the fastest of those installed, timed here and now (all but "compile", which on a CPU takes a minute
            to build and never was the fastest; on a GPU "compile" and "eager"). An engine that cannot be built or is
            wrong is left out with a warning.

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
    # The copy's own logits, before anything about it changes, are what every engine has to answer.
    expected = model_logits(model, clips)
    fold_batch_norm(model)

    if engine != "auto":
        return Accelerated(build(engine, model, clips, expected), engine, clip_shape, device)

    runs = build_all(candidates(device), model, clips, expected)
    fastest = next(iter(runs))
    if len(runs) > 1:
        fastest = min(runs, key=lambda name: seconds(runs[name], clips))
    return Accelerated(runs[fastest], fastest, clip_shape, device)


def candidates(device: torch.device) -> list[str]:
    """Return the names of the engines that "auto" times on a device."""
    if device.type == "cuda":
        return ["compile", "eager"]
    if device.type != "cpu":
        return ["eager"]
    # Compiling takes a minute on a CPU, and never was the fastest there.
    return [name for name, engine in ENGINES.items() if name != "compile" and not missing(engine[1])]


def model_logits(model: nn.Module, clips: Tensor) -> Tensor:
    """Return the model's own logits, which those of engines are compared with.

    Raises:
        InputError: the model answers with something else, or with numbers that are not finite.
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
    """Return the runs of all engines that can be built and are right, and log a warning of each other one.

    Raises:
        InputError: none is left.
    """
    runs = {}
    reasons = []
    for name in names:
        try:
            runs[name] = build(name, model, clips, expected)
        except Exception as error:  # noqa: BLE001 - engines fail in ways of their own
            why = str(error) if isinstance(error, InputError) else first_sentence(error)
            reasons.append(f"{name}: {why}")
            logging.getLogger(__name__).warning("engine left out, %s", reasons[-1])
    if not runs:
        raise InputError(f"no engine runs this model ({'; '.join(reasons)}); allowed: a model that one of them runs")
    return runs


def build(name: str, model: nn.Module, clips: Tensor, expected: Tensor) -> Run:
    """Return the engine's run, after it has given the ``expected`` logits for ``clips``.

    Raises:
        InputError: the engine is not installed, runs elsewhere, or gives other logits.
    """
    make, packages = ENGINES[name]
    absent = missing(packages)
    if absent:
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
    _require_equal(name, logits, expected)
    return run


def _require_equal(name: str, logits: Tensor, expected: Tensor) -> None:
    """Raise InputError unless an engine's logits ``[B, num_classes]`` are the model's, to rounding."""
    if logits.shape != expected.shape:
        raise InputError(
            f"engine {name!r} gives logits {list(logits.shape)}, the model {list(expected.shape)}; allowed: the same; "
            "take another engine"
        )
    difference = (logits - expected).abs().max()
    largest = expected.abs().max()
    # Where all are 0 the engine's have to be; the form of the comparison refuses NaN.
    if not difference <= ROUNDING * largest:
        raise InputError(
            f"engine {name!r} gives other logits than the model, by {difference:.1e} where the largest is {largest:.1e}"
            f"; allowed: {ROUNDING:.0e} of it; take another engine"
        )


def seconds(run: Run, clips: Tensor) -> float:
    """Return the shortest of three runs after a first one, in seconds."""
    times = []
    for _ in range(4):
        started = time.perf_counter()
        run(clips).cpu()  # waits for a GPU
        times.append(time.perf_counter() - started)
    return min(times[1:])


def fold_batch_norm(model: nn.Module) -> None:
    """Replace, in every Sequential of ``model``, a convolution and the batch norm behind it by one convolution."""
    sequences = [module for module in model.modules() if isinstance(module, nn.Sequential)]
    for sequence in sequences:
        children = list(sequence.named_children())
        for (name, conv), (norm_name, norm) in itertools.pairwise(children):
            if isinstance(conv, nn.Conv3d) and isinstance(norm, nn.BatchNorm3d):
                sequence.set_submodule(name, fuse_conv_bn_eval(conv, norm))
                sequence.set_submodule(norm_name, nn.Identity())
