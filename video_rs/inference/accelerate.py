"""A fixed, faster copy of a model for inference: batch norm folded into the convolutions, run by the best engine."""

import copy
import logging
import time
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from video_rs.inference.conversion import missing
from video_rs.inference.engines import ENGINES, Run, Task
from video_rs.inference.folding import fold_batch_norm
from video_rs.inference.full_precision import without_tf32
from video_rs.inference.judging import Judge
from video_rs.inference.precision import Loss, Samples, precisions_of, require_precision
from video_rs.inference.quantization import can_quantize, require_calibration, require_nncf
from video_rs.runtime.errors import InputError
from video_rs.runtime.torch_files import first_sentence


class Way(NamedTuple):
    """An engine and the precision that it computes in."""

    engine: str
    precision: str

    def __str__(self) -> str:
        return self.engine if self.precision == "float32" else f"{self.engine} in {self.precision}"


class Built(NamedTuple):
    """What has been built of a way: its run, and what its precision changes on real clips, if that was measured."""

    run: Run
    loss: Loss | None


class Accelerated:
    """Function from clips to logits, with the weights that the model had when this was made.

    ``__call__``: float32 ``[b, C, T, H, W]`` of ``clip_shape``, or of fewer clips, or with ``any_size`` of at
    least its height and width -> float32 ``[b, num_classes]``, without gradients. In float32 these are the model's to
    :data:`~video_rs.inference.judging.ROUNDING` of the largest logit (where PyTorch computes in TF32, to what that
    rounds); in another precision as near as ``loss`` says.

    Attributes:
        run: the engine's function.
        engine: the engine that runs; where "auto" was asked for, the chosen one.
        precision: that it computes in, likewise.
        clip_shape: (B, C, T, H, W), of the largest batch.
        any_size: whether clips may be higher or wider.
        device: where clips must be and logits are.
        loss: what the precision changes on real clips; None in float32, and where there were no clips to judge by.
    """

    def __init__(self, built: Built, way: Way, clip_shape: tuple[int, ...], device: torch.device, any_size: bool):
        self.run = built.run
        self.engine = way.engine
        self.precision = way.precision
        self.clip_shape = clip_shape
        self.any_size = any_size
        self.device = device
        self.loss = built.loss

    def __call__(self, clips: Tensor) -> Tensor:
        if not self._takes(clips.shape) or clips.dtype != torch.float32:
            larger = ", or of at least that height and width" if self.any_size else ""
            raise InputError(
                f"clips are {clips.dtype} {list(clips.shape)}; allowed: torch.float32 {list(self.clip_shape)} or fewer "
                f"of them{larger}, as accelerate was asked for; call it again for another shape"
            )
        if clips.device != self.device:
            raise InputError(
                f"clips are on {clips.device}; allowed: {self.device}, where the model was; move them there"
            )
        return self.run(clips.detach())

    def _takes(self, shape: Sequence[int]) -> bool:
        """Return whether clips may have a shape."""
        if len(shape) != 5:
            return False
        batch, *clip, height, width = self.clip_shape
        if not 1 <= shape[0] <= batch or list(shape[1:3]) != clip:
            return False
        if self.any_size:
            return shape[3] >= height and shape[4] >= width
        return tuple(shape[3:]) == (height, width)


def accelerate(
    model: nn.Module,
    clip_shape: Sequence[int],
    engine: str = "auto",
    precision: str = "float32",
    samples: Samples | None = None,
    any_size: bool = False,
) -> Accelerated:
    """Return a faster copy of ``model``; the model itself stays as it is.

    Args:
        model: clips -> logits, in float32; it is run as in evaluation mode.
        clip_shape: (B, C, T, H, W), each at least 1; batches of fewer clips are answered, too.
        engine: "eager", "compile" (torch.compile; needs a C++ compiler and a minute), "onnxruntime", "openvino", or
            "auto": the fastest of those installed, timed here and now (all but "compile", which on a CPU takes a minute
            to build and never was the fastest; on a GPU "compile" and "eager"). An engine that cannot be built or is
            wrong is left out with a warning.
        precision: "float32"; "bfloat16", where the device has instructions for it; "int8" (OpenVINO on a CPU, extra
            ``quantize``), which needs ``samples``; or "auto": the fastest of them. One that changes more on the clips
            to check than :data:`~video_rs.inference.precision.SAME_BEST` and
            :data:`~video_rs.inference.precision.MEAN_CHANGE` allow is left out with a warning that names both.
        samples: real clips. Without them bfloat16 is judged by its logits for random ones
            (:data:`~video_rs.inference.precision.COARSE`), and "auto" leaves int8 out.
        any_size: whether higher and wider clips are answered, too, such as whole frames; by every engine but "compile".
            A precision is then judged by clips beside their mirror images.

    Raises:
        InputError: an unknown or absent engine or precision, a shape that the model does not take, a model that does
            not answer with finite logits, an engine, asked for by name, that cannot be built or whose float32 logits
            differ from eager ones by more than :data:`~video_rs.inference.judging.ROUNDING`, or a precision, asked for
            by name, that changes too much.
    """
    clip_shape = tuple(clip_shape)
    if any(size < 1 for size in clip_shape):
        raise InputError(f"clip_shape is {list(clip_shape)}; allowed: (B, C, T, H, W) of sizes of at least 1")
    weight = next(model.parameters())
    if weight.dtype != torch.float32:
        raise InputError(f"the model is in {weight.dtype}; allowed: torch.float32; call model.float() first")
    device = weight.device
    require_choice(engine, precision, device, any_size)
    if precision == "int8":
        require_calibration(samples)

    clips = torch.rand(clip_shape, generator=torch.Generator().manual_seed(0)).to(device)
    model = copy.deepcopy(model).eval().requires_grad_(False)
    # The copy's own logits, before anything about it changes, are what every engine has to answer.
    judge = Judge(copy.deepcopy(model), clips, samples, any_size)
    fold_batch_norm(model)

    ways = ways_for(engine, precision, device, samples, any_size)
    if len(ways) == 1:
        return Accelerated(build_one(ways[0], model, judge), ways[0], clip_shape, device, any_size)

    found = build_all(ways, model, judge)
    fastest = next(iter(found))
    if len(found) > 1:
        fastest = min(found, key=lambda way: seconds(found[way].run, judge.timed))
    return Accelerated(found[fastest], fastest, clip_shape, device, any_size)


def require_choice(engine: str, precision: str, device: torch.device, any_size: bool = False) -> None:
    """Raise InputError unless an engine and a precision, each possibly "auto", can be had on a device.

    Whoever reads clips for :func:`accelerate` first asks this before.
    """
    if engine not in ("auto", *ENGINES):
        raise InputError(f"engine is {engine!r}; allowed: auto, {', '.join(ENGINES)}")
    require_precision(precision, device)
    if engine != "auto":
        _require_engine(engine, device, any_size)
    names = _names(engine, device, any_size)
    if precision != "auto" and not any(precision in ENGINES[name].precisions for name in names):
        raise InputError(_no_engine(engine, precision))
    if precision == "int8":
        require_nncf()


def _require_engine(engine: str, device: torch.device, any_size: bool) -> None:
    """Raise InputError unless an engine is installed, runs on a device, and answers the sizes."""
    packages = ENGINES[engine].packages
    absent = missing(packages)
    if absent:
        raise InputError(
            f"engine {engine!r} needs {', '.join(absent)}, which is not installed; pip install "
            "'video_rs[accelerate]', or take another engine"
        )
    if packages and device.type != "cpu":
        raise InputError(f"engine {engine!r} runs on the CPU, the model is on {device}; allowed there: eager, compile")
    if any_size and not ENGINES[engine].takes_any_size:
        able = ", ".join(_names("auto", device, any_size))
        raise InputError(
            f"engine {engine!r} takes a minute for each size of frames, and whole frames have many; allowed: auto, "
            f"{able}; take one of them, or published or adaptive views"
        )


def _no_engine(engine: str, precision: str) -> str:
    """Return why nothing computes in a precision."""
    if engine != "auto":
        able = ", ".join(ENGINES[engine].precisions)
        return f"engine {engine!r} does not compute in {precision}; allowed with it: auto, {able}"
    able = ", ".join(name for name, kind in ENGINES.items() if precision in kind.precisions)
    return (
        f"precision {precision!r} needs an engine that is not installed ({able}); pip install "
        f"'video_rs[{'quantize' if precision == 'int8' else 'accelerate'}]', or take another precision"
    )


def _names(engine: str, device: torch.device, any_size: bool) -> list[str]:
    """Return the engines that one, possibly "auto", stands for."""
    names = candidates(device) if engine == "auto" else [engine]
    return [name for name in names if ENGINES[name].takes_any_size or not any_size]


def ways_for(
    engine: str, precision: str, device: torch.device, samples: Samples | None, any_size: bool = False
) -> list[Way]:
    """Return the ways that an engine and a precision, each possibly "auto", leave open; at least one."""
    precisions: Sequence[str] = (precision,)
    if precision == "auto":
        precisions = [kind for kind in precisions_of(device) if kind != "int8" or can_quantize(samples)]
        has_engine = any("int8" in ENGINES[name].precisions for name in _names(engine, device, any_size))
        if samples is not None and device.type == "cpu" and has_engine and "int8" not in precisions:
            logging.getLogger(__name__).warning(
                "precision left out, int8: needs nncf and clips to calibrate on; pip install 'video_rs[quantize]'"
            )
    names = _names(engine, device, any_size)
    return [Way(name, kind) for kind in precisions for name in names if kind in ENGINES[name].precisions]


def candidates(device: torch.device) -> list[str]:
    """Return the names of the engines that "auto" times on a device."""
    if device.type == "cuda":
        return ["compile", "eager"]
    if device.type != "cpu":
        return ["eager"]
    # Compiling takes a minute on a CPU, and never was the fastest there.
    return [name for name, engine in ENGINES.items() if name != "compile" and not missing(engine.packages)]


def build_all(ways: Sequence[Way], model: nn.Module, judge: Judge) -> dict[Way, Built]:
    """Return what has been built of all ways that can be and are right, and log a warning of each other one.

    Raises:
        InputError: none is left.
    """
    found = {}
    reasons = []
    for way in ways:
        try:
            found[way] = build(way, model, judge)
        except Exception as error:  # noqa: BLE001 - engines fail in ways of their own
            why = str(error) if isinstance(error, InputError) else first_sentence(error)
            reasons.append(f"{way}: {why}")
            logging.getLogger(__name__).warning("engine left out, %s", reasons[-1])
    if not found:
        raise InputError(_none_left(ways, reasons))
    return found


def _none_left(ways: Sequence[Way], reasons: Sequence[str]) -> str:
    """Return that nothing is left of all ways, and why."""
    why = "; ".join(reasons)
    precision, *others = {way.precision for way in ways}
    if precision == "float32" or others:
        return f"no engine runs this model ({why}); allowed: a model that one of them runs"
    return f"no engine answers in {precision} as this model does ({why}); take another precision, or --precision auto"


def build_one(way: Way, model: nn.Module, judge: Judge) -> Built:
    """Return what has been built of the only way there is.

    Raises:
        InputError: it cannot be built, gives other logits or changes too much.
    """
    try:
        return build(way, model, judge)
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"{way} does not run this model ({first_sentence(error)}); allowed: one that it runs; take another engine"
        ) from error


def build(way: Way, model: nn.Module, judge: Judge) -> Built:
    """Return the run of an engine in a precision, after it has been judged.

    Args:
        way: engine and precision.
        model: with batch norm folded; it stays as it is.
        judge: of the model before.

    Raises:
        InputError: the engine gives other logits or changes too much.
    """
    with without_tf32():
        run = ENGINES[way.engine].build(Task(model, judge.clips, way.precision, judge.samples, judge.any_size))
        return Built(run, judge.require_right(way.engine, way.precision, run))


def seconds(run: Run, clips: Tensor) -> float:
    """Return the shortest of three runs after a first one, in seconds."""
    times = []
    for _ in range(4):
        started = time.perf_counter()
        run(clips).cpu()  # waits for a GPU
        times.append(time.perf_counter() - started)
    return min(times[1:])
