"""What the benchmark measures: ours and peers, as plain data that can be handed to a process of its own."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from video_rs.inference.engines import ENGINES, missing
from video_rs.models import architecture, create_model
from video_rs.runtime.errors import InputError

CLASSES = 400
# Peers as their libraries ship them -> the clip, frames and size, that they are made for; None: they take others too.
PEERS = {
    "pytorchvideo slow_r50": None,
    "pytorchvideo r2plus1d_r50": (16, 224),
    "pytorchvideo x3d_m": (16, 224),
    "torchvision r3d_18": None,
    "torchvision mvit_v2_s": (16, 224),
}
PEER = "pytorchvideo slow_r50"  # the one that ours is compared with: the same depth, width and kernels
BEST_LAYER = "best single layer"


@dataclass(frozen=True)
class Subject:
    """One row of a benchmark.

    Attributes:
        name: of the row.
        kind: "forward", "train" or "layers" (single convolutions at their best).
        network: a model of ours, or one of :data:`PEERS`.
        how: for ours "eager" (sped up), "plain" (default layout, the graph that compilers see), "compiled",
            "accelerate ENGINE" or "checkpointed" (every stage is computed again in the backward pass); for peers "as
            shipped".
        batch, frames, size: clips of ``[batch, 3, frames, size, size]``.
        device: "cpu" or "cuda".
        precision: "float32" or "bfloat16" (autocast).
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

    @property
    def has_our_settings(self) -> bool:
        """Whether our layout and our settings of the process belong to it."""
        return self.network not in PEERS and self.how != "plain"


def subjects_of(what: str, network: str, peers: bool, engines: Sequence[str], clip: Mapping[str, Any]) -> list[Subject]:
    """Ours in every way, the best single layer, and the peers.

    Args:
        what: "model" (forward passes) or "train" (optimizer steps).
        network: ours, one of :func:`video_rs.list_models`.
        peers: whether :data:`PEERS` are among them.
        engines: of ``accelerate``, for "model".
        clip: batch, frames, size, device and precision of :class:`Subject`.

    Raises:
        InputError: an unknown network.
    """
    architecture(network)
    kind = {"model": "forward", "train": "train"}[what]
    ways = ["eager", "plain", *(["compiled"] if clip["device"] == "cuda" else [])]
    ways += {"model": [f"accelerate {engine}" for engine in engines], "train": ["checkpointed"]}[what]
    ours = [Subject(f"{network} {how}", kind, network, how, **clip) for how in ways]
    best = Subject(BEST_LAYER, "layers", network, "layers", **clip)
    return [*ours, best, *(peer_subject(name, kind, clip) for name in PEERS if peers)]


def peer_subject(name: str, kind: str, clip: Mapping[str, Any]) -> Subject:
    """A peer at the same clip, or at its own where it takes no other."""
    own = dict(zip(("frames", "size"), PEERS[name] or (), strict=False))
    return Subject(name, kind, name, "as shipped", **{**clip, **own})


def checked_engines(names: Sequence[str] | None) -> list[str]:
    """Engines of ``accelerate``: ``names``, or all that are installed.

    Raises:
        InputError: one that is unknown or not installed.
    """
    installed = [name for name, (_, packages) in ENGINES.items() if not missing(packages)]
    for name in names or ():
        if name not in installed:
            raise InputError(f"engine is {name!r}; installed here: {', '.join(installed)}")
    return installed if names is None else list(names)


def make_network(name: str) -> nn.Module:
    """A network of ours by its name, or a peer as shipped, with fresh weights.

    Raises:
        InputError: a peer of a library that cannot be imported.
    """
    if name not in PEERS:
        return create_model(name, CLASSES)
    library, maker = name.split()
    if library == "torchvision":
        from torchvision.models import video

        return getattr(video, maker)(num_classes=CLASSES)
    try:
        from pytorchvideo.models import hub
    except ImportError as error:
        raise InputError(f"{name} is not there: {error}; pip install pytorchvideo, or leave out --peers") from error
    return getattr(hub, maker)(pretrained=False, progress=False)


def gflop_per_clip(subject: Subject) -> float | None:
    """2 per multiply-add of one clip's forward pass; three times that for a training step, whatever is recomputed.

    None for single layers, which have no clip.

    Raises:
        InputError: a network that does not take this clip, or a library that cannot be imported.
    """
    if subject.kind == "layers":
        return None
    return forward_gflop(subject.network, subject.frames, subject.size) * (3 if subject.kind == "train" else 1)


@functools.cache
def forward_gflop(name: str, frames: int, size: int) -> float:
    """Counted without memory, on the plain network: our faster ways to compute it add no work."""
    try:
        with torch.device("meta"):
            network, clip = make_network(name).eval(), torch.empty(1, 3, frames, size, size)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(clip)
    except RuntimeError as error:
        raise InputError(
            f"{name} does not take clips of {frames} x {size} x {size}: {str(error).splitlines()[0]}; take larger ones"
            f"{', or leave out --peers' if name in PEERS else ''}"
        ) from error
    return counter.get_total_flops() / 1e9
