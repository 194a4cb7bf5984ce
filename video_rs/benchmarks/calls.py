"""A subject as a function that makes one timed call, with our settings for ours and none for peers."""

import contextlib
import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from video_rs.benchmarks.subjects import CLASSES, Subject, make_network
from video_rs.engine.optimizer import set_learning_rate, sgd
from video_rs.inference.accelerate import accelerate
from video_rs.models.fast import speed_up
from video_rs.models.resnet3d import FEATURES
from video_rs.runtime.allocator import keep_large_blocks

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
# Convolutions of r3d_rs_50 at 8 x 224 x 224, (in, out, kernel, frames, side), as 2D ones over all frames or as 3D ones
# over time: the best of them says what the machine's convolutions can do.
LAYERS = (
    (64, 64, (1, 3, 3), 4, 56),
    (256, 64, (1, 1, 1), 4, 56),
    (128, 128, (1, 3, 3), 4, 28),
    (512, 128, (1, 1, 1), 4, 28),
    (256, 256, (1, 3, 3), 4, 14),
    (1024, 256, (3, 1, 1), 4, 14),
)


@contextlib.contextmanager
def as_it_is(subject: Subject) -> Iterator[None]:
    """Our settings of the process for ours."""
    if subject.has_our_settings:
        keep_large_blocks()
    yield


def clips_of(subject: Subject) -> Tensor:
    """Random clips in [0, 1], float32 ``[batch, 3, frames, size, size]`` on the subject's device."""
    shape = (subject.batch, 3, subject.frames, subject.size, subject.size)
    return torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(subject.device)


def network_of(subject: Subject) -> nn.Module:
    """The network on its device, ours sped up and in the layout that its convolutions are fastest in."""
    network = make_network(subject.network)
    if not subject.has_our_settings:
        return network.to(subject.device)
    return speed_up(network).to(subject.device, memory_format=torch.channels_last_3d)


def precision_of(subject: Subject) -> torch.autocast:
    """What forward passes run under; it can be entered again and again."""
    precision = PRECISIONS[subject.precision]
    return torch.autocast(subject.device, precision, enabled=precision != torch.float32)


def forward_call(subject: Subject) -> Callable[[], Tensor]:
    """One forward pass in evaluation mode: -> logits ``[batch, 400]``."""
    clips = clips_of(subject)
    if subject.how.startswith("accelerate "):
        network = make_network(subject.network).to(subject.device)
        run = accelerate(network, tuple(clips.shape), subject.how.removeprefix("accelerate "))
        return lambda: run(clips)
    network = network_of(subject).eval()
    run = torch.compile(network) if subject.how == "compiled" else network

    def call() -> Tensor:
        with torch.inference_mode(), precision_of(subject):
            return run(clips)

    return call


def train_call(subject: Subject) -> Callable[[], None]:
    """One optimizer step: forward, cross-entropy, backward, SGD with Nesterov's momentum and weight decay."""
    clips = clips_of(subject)
    labels = torch.arange(subject.batch, device=subject.device) % CLASSES
    network = network_of(subject).train()
    if subject.how == "checkpointed":
        network.backbone.checkpoint_activations(FEATURES)
    optimizer = sgd([{"params": list(network.parameters()), "weight_decay": 4e-5}], momentum=0.9, nesterov=True)
    set_learning_rate(optimizer, 1e-3)
    run = torch.compile(network) if subject.how == "compiled" else network

    def call() -> None:
        with precision_of(subject):
            logits = run(clips)
        functional.cross_entropy(logits.float(), labels).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return call


def layers_call(subject: Subject) -> Callable[[], float]:
    """Every layer of :data:`LAYERS` three times: -> the best rate in GFLOP/s."""
    runs = [layer_run(subject, *layer) for layer in LAYERS]

    def call() -> float:
        return max(gflop / min(timed(run, subject.device) for _ in range(3)) for run, gflop in runs)

    return call


def layer_run(
    subject: Subject, inputs: int, outputs: int, kernel: tuple[int, int, int], frames: int, side: int
) -> tuple[Callable[[], Tensor], float]:
    """One convolution in channels-last layout and the subject's precision, and its GFLOP."""
    padding = [k // 2 for k in kernel]
    if kernel[0] == 1:
        conv = nn.Conv2d(inputs, outputs, kernel[1:], padding=padding[1:], bias=False)
        x, layout = torch.rand(subject.batch * frames, inputs, side, side), torch.channels_last
    else:
        conv = nn.Conv3d(inputs, outputs, kernel, padding=padding, bias=False)
        x, layout = torch.rand(subject.batch, inputs, frames, side, side), torch.channels_last_3d
    to = {"device": subject.device, "dtype": PRECISIONS[subject.precision], "memory_format": layout}
    conv, x = conv.to(**to), x.to(**to)
    gflop = 2 * subject.batch * frames * side**2 * conv.weight.numel() / 1e9
    return torch.inference_mode()(lambda: conv(x)), gflop


def timed(call: Callable[[], object], device: str) -> float:
    """Seconds that one call takes, the GPU's work included."""
    if device == "cuda":
        torch.cuda.synchronize()
    started = time.perf_counter()
    call()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


CALLS = {"forward": forward_call, "train": train_call, "layers": layers_call}
