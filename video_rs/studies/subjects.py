"""What the benchmark measures: ours and peers, each as a function that makes one timed call.

A subject is plain data, so that it can be handed to a process of its own.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from video_rs.cli import keep_large_blocks
from video_rs.engine.optim import parameter_groups, sgd
from video_rs.inference.accelerate import ENGINES, accelerate, missing
from video_rs.models import create_model
from video_rs.models.layers import plain_graph
from video_rs.models.resnet3d import FEATURES

CLASSES = 400
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
# Peers as their libraries ship them, with the clip that they are made for where they take no other.
PEERS = {
    "pytorchvideo slow_r50": (0, 0),
    "pytorchvideo r2plus1d_r50": (16, 224),
    "pytorchvideo x3d_m": (16, 224),
    "torchvision r3d_18": (0, 0),
    "torchvision mvit_v2_s": (16, 224),
}


@dataclass(frozen=True)
class Subject:
    """One row of a benchmark.

    Attributes:
        name: of the row.
        kind: "forward", "train" or "layers" (single convolutions at their best).
        network: a model of ours, or one of :data:`PEERS`.
        how: for ours "eager", "plain" (default layout, the graph that compilers see), "checkpointed", "compiled" or
            "accelerate ENGINE"; for peers "as shipped".
        batch, frames, size: clips of ``[batch, 3, frames, size, size]``.
        device: "cpu" or "cuda".
        precision: "float32" or "bfloat16" (autocast).
        checkpointed: parts of the backbone that are computed again in the backward pass.
    """

    name: str
    kind: str
    network: str
    how: str
    batch: int
    frames: int
    size: int
    device: str = "cpu"
    precision: str = "float32"
    checkpointed: tuple[str, ...] = ()

    @property
    def ours(self) -> bool:
        """Whether our settings belong to it."""
        return self.network not in PEERS and self.how != "plain"


def make_network(name: str) -> nn.Module:
    """A network of ours by its name, or a peer as shipped, with fresh weights."""
    if name not in PEERS:
        return create_model(name, CLASSES)
    if name == "torchvision r3d_18":
        from torchvision.models.video import r3d_18

        return r3d_18(num_classes=CLASSES)
    if name == "torchvision mvit_v2_s":
        from torchvision.models.video import mvit_v2_s

        return mvit_v2_s(num_classes=CLASSES)
    from pytorchvideo.models import hub

    return getattr(hub, name.split()[1])(pretrained=False, progress=False)


def clips_of(subject: Subject) -> Tensor:
    """Random clips in [0, 1] on the subject's device."""
    shape = (subject.batch, 3, subject.frames, subject.size, subject.size)
    return torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(subject.device)


def gflop_per_clip(subject: Subject) -> float:
    """2 per multiply-add of one clip's forward pass; three times that for a training step, whatever is recomputed."""
    with torch.device("meta"):
        network = make_network(subject.network).eval()
        clip = torch.empty(1, 3, subject.frames, subject.size, subject.size)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(clip)
    return counter.get_total_flops() / 1e9 * (3 if subject.kind == "train" else 1)


@contextlib.contextmanager
def as_it_is(subject: Subject) -> Iterator[None]:
    """Our settings for ours; "plain" runs the graph that compilers record, in PyTorch's default layout."""
    if subject.ours:
        keep_large_blocks()
    with plain_graph() if subject.how == "plain" else contextlib.nullcontext():
        yield


def forward_call(subject: Subject) -> Callable[[], object]:
    """One forward pass in evaluation mode."""
    clips = clips_of(subject)
    network = make_network(subject.network).to(subject.device).eval()
    if subject.how.startswith("accelerate "):
        run = accelerate(network, tuple(clips.shape), subject.how.removeprefix("accelerate "))
        return lambda: run(clips)
    if subject.ours:
        network = network.to(memory_format=torch.channels_last_3d)
    if subject.how == "compiled":
        network = torch.compile(network)
    precision = PRECISIONS[subject.precision]

    def call() -> None:
        with torch.inference_mode(), torch.autocast(subject.device, precision, enabled=precision != torch.float32):
            network(clips)

    return call


def train_call(subject: Subject) -> Callable[[], object]:
    """One optimizer step: forward, cross-entropy, backward, SGD with Nesterov's momentum and weight decay."""
    clips = clips_of(subject)
    labels = torch.arange(subject.batch, device=subject.device)
    network = make_network(subject.network).to(subject.device).train()
    if subject.ours:
        network = network.to(memory_format=torch.channels_last_3d)
    if subject.checkpointed:
        network.backbone.checkpoint_activations(subject.checkpointed)
    optimizer = sgd(parameter_groups(network, dict(network.named_parameters()), 4e-5), 0.9, True)
    optimizer.param_groups[0]["lr"] = 1e-3
    step = torch.compile(network) if subject.how == "compiled" else network
    precision = PRECISIONS[subject.precision]

    def call(clips: Tensor = clips) -> None:
        with torch.autocast(subject.device, precision, enabled=precision != torch.float32):
            logits = step(clips)
        functional.cross_entropy(logits.float(), labels).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return call


# Convolutions of the networks at 8 x 224 x 224, (in, out, kernel, frames x side x side), as 2D ones over all frames or
# as 3D ones over time: the best of them says what the machine's convolutions can do.
LAYERS = (
    (64, 64, (1, 3, 3), 4, 56),
    (256, 64, (1, 1, 1), 4, 56),
    (128, 128, (1, 3, 3), 4, 28),
    (512, 128, (1, 1, 1), 4, 28),
    (256, 256, (1, 3, 3), 4, 14),
    (1024, 256, (3, 1, 1), 4, 14),
)


def layers_call(subject: Subject) -> Callable[[], float]:
    """Every layer of :data:`LAYERS` three times; the best rate in GFLOP/s."""
    runs = [layer_run(subject, *layer) for layer in LAYERS]

    def call() -> float:
        return max(gflop / min(timed(run, subject.device) for _ in range(3)) for run, gflop in runs)

    return call


def layer_run(subject: Subject, inputs: int, outputs: int, kernel, frames: int, side: int):
    """One convolution in channels-last layout, and its GFLOP."""
    dtype = PRECISIONS[subject.precision]
    conv = nn.Conv3d(inputs, outputs, kernel, padding=tuple(k // 2 for k in kernel), bias=False)
    x = torch.rand(subject.batch, inputs, frames, side, side)
    if kernel[0] == 1:
        conv = nn.Conv2d(inputs, outputs, kernel[1:], padding=tuple(k // 2 for k in kernel[1:]), bias=False)
        x = torch.rand(subject.batch * frames, inputs, side, side)
    layout = torch.channels_last if kernel[0] == 1 else torch.channels_last_3d
    conv, x = (value.to(subject.device, dtype, memory_format=layout) for value in (conv, x))
    gflop = 2 * subject.batch * frames * side**2 * outputs * conv.weight[0].numel() / 1e9
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


def forward_subjects(network: str, peers: bool, clip: dict) -> list[Subject]:
    """Ours eager, plain and by every installed engine (compiled on a GPU), the best single layer, and the peers."""
    device = clip["device"]
    engines = [name for name, (_, packages) in ENGINES.items() if not missing(packages)]
    ways = ["eager", "plain", *(["compiled"] if device == "cuda" else [f"accelerate {name}" for name in engines])]
    rows = [Subject(f"{network} {how}", "forward", network, how, **clip) for how in ways]
    rows.append(Subject("best single layer", "layers", network, "layers", **clip))
    return rows + [peer_subject(name, "forward", clip) for name in PEERS if peers]


def train_subjects(network: str, peers: bool, clip: dict) -> list[Subject]:
    """Ours eager, plain and with activation checkpointing (compiled on a GPU), and the peers."""
    ways = ["eager", "plain", *(["compiled"] if clip["device"] == "cuda" else [])]
    rows = [Subject(f"{network} {how}", "train", network, how, **clip) for how in ways]
    rows.append(Subject(f"{network} checkpointed", "train", network, "checkpointed", checkpointed=FEATURES, **clip))
    return rows + [peer_subject(name, "train", clip) for name in PEERS if peers]


def peer_subject(name: str, kind: str, clip: dict) -> Subject:
    """A peer at the same clip, or at its own where it takes no other."""
    frames, size = PEERS[name]
    return Subject(name, kind, name, "as shipped", **{**clip, **({"frames": frames, "size": size} if frames else {})})
