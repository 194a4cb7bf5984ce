"""Forward passes and optimizer steps as calls that are timed, with our settings for ours and none for peers."""

import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from video_rs.benchmarks.networks import CLASSES, make_network, trained_network
from video_rs.benchmarks.subject import FORWARD, LAYERS, PRODUCT, TRAIN, Subject
from video_rs.engine.optimizer import set_learning_rate, sgd
from video_rs.inference.accelerate import accelerate
from video_rs.inference.engines import ENGINES, Task
from video_rs.inference.folding import fold_batch_norm
from video_rs.inference.precision import Samples
from video_rs.models.fast import speed_up
from video_rs.models.resnet3d import FEATURES

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
# A round ends after so many seconds or calls, whichever comes first, and never before the first call.
ROUND_SECONDS = 2.0
ROUND_CALLS = 10
# Ways that torch.compile makes, and its modes; that of CUDA graphs is a plain compilation on a CPU.
COMPILED = {"compiled": "default", "CUDA graphs": "reduce-overhead"}
# Rows and columns of the matrices whose product says what a device can do at most.
PRODUCT_SIZES = {"cuda": 8192, "cpu": 1024}
# Convolutions of r3d_rs_50 at 8 x 224 x 224, (in, out, kernel, frames, side), as 2D ones over all frames or as 3D ones
# over time: the best of them says what the machine's convolutions can do.
LAYER_SHAPES = (
    (64, 64, (1, 3, 3), 4, 56),
    (256, 64, (1, 1, 1), 4, 56),
    (128, 128, (1, 3, 3), 4, 28),
    (512, 128, (1, 1, 1), 4, 28),
    (256, 256, (1, 3, 3), 4, 14),
    (1024, 256, (3, 1, 1), 4, 14),
)


class NetworkRounds:
    """Rounds of one subject: seconds of calls, or the best rate of what limits them."""

    def __init__(self, subject: Subject):
        self.subject = subject
        self.call = CALLS[subject.kind](subject)

    def warm_up(self) -> None:
        """Call twice."""
        self.call()
        self.call()

    def measure(self) -> dict[str, list[float]]:
        """Return ``seconds`` of each call of a round, or ``gflops_per_s``."""
        if self.subject.kind in (LAYERS, PRODUCT):
            return {"gflops_per_s": [self.call()]}

        seconds: list[float] = []
        ends = time.perf_counter() + ROUND_SECONDS
        while not seconds or (time.perf_counter() < ends and len(seconds) < ROUND_CALLS):
            seconds.append(timed(self.call, self.subject.device))
        return {"seconds": seconds}

    def end(self) -> dict[str, float]:
        """Return nothing more."""
        return {}


def random_clips(subject: Subject) -> Tensor:
    """Return clips in [0, 1], float32 ``[batch, 3, frames, size, size]`` on the subject's device."""
    shape = (subject.batch, 3, subject.frames, subject.size, subject.size)
    return torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(subject.device)


def network_of(subject: Subject) -> nn.Module:
    """Return the plain network of a trained run, or else one with fresh weights by its name."""
    if subject.checkpoint:
        return trained_network(subject.checkpoint)
    return make_network(subject.network, **dict(subject.overrides))


def network_on_device(subject: Subject) -> nn.Module:
    """Return the network on its device, ours sped up and in the layout that its convolutions are fastest in.

    Of the ways that are not sped up, "channels-last" has that layout, too.
    """
    network = network_of(subject)
    if subject.way == "channels-last":
        return network.to(subject.device, memory_format=torch.channels_last_3d)
    if not subject.has_our_settings:
        return network.to(subject.device)
    return speed_up(network).to(subject.device, memory_format=torch.channels_last_3d)


def autocast(subject: Subject) -> torch.autocast:
    """Return what forward passes run under; it can be entered again and again."""
    precision = PRECISIONS[subject.precision]
    return torch.autocast(subject.device, precision, enabled=precision != torch.float32)


def runner(network: nn.Module, way: str) -> Callable[[Tensor], Tensor]:
    """Return what runs a network in a way: the network itself, or what torch.compile makes of it."""
    if way not in COMPILED:
        return network

    compiled = torch.compile(network, mode=COMPILED[way])

    def run(clips: Tensor) -> Tensor:
        # What the graphs of the last call have given may be written over.
        torch.compiler.cudagraph_mark_step_begin()
        return compiled(clips)

    return run


def forward_call(subject: Subject) -> Callable[[], Tensor]:
    """Return a call of one forward pass in evaluation mode: -> logits ``[batch, 400]``."""
    clips = random_clips(subject)
    if subject.way == "accelerate":
        run = accelerated(network_of(subject).to(subject.device), clips, subject)
        return lambda: run(clips)

    network = network_on_device(subject).eval()
    run = runner(network, subject.way)

    def call() -> Tensor:
        with torch.inference_mode(), autocast(subject):
            return run(clips)

    return call


def accelerated(network: nn.Module, clips: Tensor, subject: Subject) -> Callable[[Tensor], Tensor]:
    """Return a network run by an engine in a precision.

    Another precision than float32 is not judged here: fresh weights are sure of nothing, and what becomes of their
    answers for noise says nothing of the speed.
    """
    if subject.precision == "float32":
        return accelerate(network, tuple(clips.shape), subject.engine)
    network.eval().requires_grad_(False)
    fold_batch_norm(network)
    samples = Samples(calibration=clips, check=clips, prepare=lambda batch: batch)
    return ENGINES[subject.engine].build(Task(network, clips, subject.precision, samples))


def train_call(subject: Subject) -> Callable[[], None]:
    """Return a call of one optimizer step: forward, cross-entropy, backward, SGD with momentum and weight decay."""
    clips = random_clips(subject)
    labels = torch.arange(subject.batch, device=subject.device) % CLASSES
    network = network_on_device(subject).train()
    if subject.way == "checkpointed":
        network.backbone.checkpoint_activations(FEATURES)

    optimizer = sgd([{"params": list(network.parameters()), "weight_decay": 4e-5}], momentum=0.9, nesterov=True)
    set_learning_rate(optimizer, 1e-3)
    run = runner(network, subject.way)

    def call() -> None:
        with autocast(subject):
            logits = run(clips)
        functional.cross_entropy(logits.float(), labels).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return call


def layers_call(subject: Subject) -> Callable[[], float]:
    """Return a call of every layer of :data:`LAYER_SHAPES` three times: -> the best rate in GFLOP/s."""
    runs = [layer_run(subject, *layer) for layer in LAYER_SHAPES]

    def call() -> float:
        rates = []
        for run, gflop in runs:
            fastest = min(timed(run, subject.device) for _ in range(3))
            rates.append(gflop / fastest)
        return max(rates)

    return call


def layer_run(
    subject: Subject, inputs: int, outputs: int, kernel: tuple[int, int, int], frames: int, side: int
) -> tuple[Callable[[], Tensor], float]:
    """Return a call of one convolution in channels-last layout and the subject's precision, and its GFLOP."""
    padding = [size // 2 for size in kernel]
    if kernel[0] == 1:
        conv = nn.Conv2d(inputs, outputs, kernel[1:], padding=padding[1:], bias=False)
        maps = torch.rand(subject.batch * frames, inputs, side, side)
        layout = torch.channels_last
    else:
        conv = nn.Conv3d(inputs, outputs, kernel, padding=padding, bias=False)
        maps = torch.rand(subject.batch, inputs, frames, side, side)
        layout = torch.channels_last_3d

    where = {"device": subject.device, "dtype": PRECISIONS[subject.precision], "memory_format": layout}
    conv = conv.to(**where)
    maps = maps.to(**where)
    gflop = 2 * subject.batch * frames * side**2 * conv.weight.numel() / 1e9
    return torch.inference_mode()(lambda: conv(maps)), gflop


def product_call(subject: Subject) -> Callable[[], float]:
    """Return a call of the product of two large square matrices three times: -> the best rate in GFLOP/s."""
    size = PRODUCT_SIZES[subject.device]
    generator = torch.Generator().manual_seed(0)
    left, right = torch.rand((2, size, size), generator=generator).to(subject.device, PRECISIONS[subject.precision])
    gflop = 2 * size**3 / 1e9

    def call() -> float:
        fastest = min(timed(lambda: left @ right, subject.device) for _ in range(3))
        return gflop / fastest

    return call


def timed(call: Callable[[], object], device: str) -> float:
    """Return the seconds that one call takes, the GPU's work included."""
    if device == "cuda":
        torch.cuda.synchronize()
    started = time.perf_counter()
    call()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


CALLS = {FORWARD: forward_call, TRAIN: train_call, LAYERS: layers_call, PRODUCT: product_call}
