"""Our networks and those of peers, with fresh weights, and the arithmetic of a forward pass."""

import functools
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from video_rs.engine.checkpoint import load_checkpoint
from video_rs.models import create_model
from video_rs.models.fast import make_plain
from video_rs.models.stored import load_classifier
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

# Libraries whose networks can be made: a peer is called "LIBRARY MAKER", by the function of the library that makes it.
LIBRARIES = ("pytorchvideo", "torchvision")
# Makers of networks of two pathways, and how many frames the fast pathway has for one of the slow pathway.
PATHWAY_RATIOS = {"slowfast_r50": 4, "slowfast_r101": 4, "slowfast_16x8_r101_50_50": 4}
# Makers that read the values of tensors, which those without memory do not have.
READ_VALUES = ("mvit_base_16x4", "mvit_base_32x3")


class TwoPathways(nn.Module):
    """A network of two pathways as one that takes a clip: the slow pathway gets every so-manieth frame of it.

    ``forward``: ``[B, 3, T, H, W]`` -> logits ``[B, classes]``.

    Args:
        network: takes a list of two clips, of fewer frames and of all.
        ratio: frames of the fast pathway for one of the slow pathway; SlowFast calls it alpha.
    """

    def __init__(self, network: nn.Module, ratio: int):
        super().__init__()
        self.network = network
        self.ratio = ratio

    def forward(self, clips: Tensor) -> Tensor:
        """Return the network's logits."""
        frames = clips.shape[2]
        # Evenly spread with both ends, as SlowFast packs its pathways (slowfast/datasets/utils.py).
        kept = torch.linspace(0, frames - 1, frames // self.ratio, device="cpu").long().tolist()
        slow = torch.stack([clips[:, :, frame] for frame in kept], dim=2)
        return self.network([slow, clips])


def make_network(name: str, **overrides: Any) -> nn.Module:
    """Return a network of ours by its name, or a peer as shipped, with fresh weights.

    Args:
        name: of :func:`video_rs.list_models`, or "LIBRARY MAKER" with one of :data:`LIBRARIES`.
        **overrides: fields of ours that are otherwise.

    Raises:
        InputError: an unknown network, or a peer of a library that cannot be imported.
    """
    library, _, maker = name.partition(" ")
    if library not in LIBRARIES:
        return create_model(name, CLASSES, **overrides)

    if library == "torchvision":
        from torchvision.models import video

        return getattr(video, maker)(num_classes=CLASSES)

    try:
        from pytorchvideo.models import hub
    except ImportError as error:
        raise InputError(f"{name} is not there: {error}; pip install pytorchvideo, or leave out --peers") from error
    network = getattr(hub, maker)(pretrained=False, progress=False)
    if maker in PATHWAY_RATIOS:
        return TwoPathways(network, PATHWAY_RATIOS[maker])
    return network


def trained_network(checkpoint: str) -> nn.Module:
    """Return the plain network of a trained run, as compilers and engines take it.

    Raises:
        InputError: the file is no checkpoint of this project.
    """
    return make_plain(load_classifier(load_checkpoint(checkpoint), torch.device("cpu")))


def without_memory(name: str) -> nn.Module:
    """Return a network whose tensors have shapes and no memory: even the largest one takes a moment."""
    if name.rpartition(" ")[2] in READ_VALUES:
        return make_network(name).to("meta")
    with torch.device("meta"):
        return make_network(name)


@functools.cache
def forward_gflop(name: str, frames: int, size: int) -> float:
    """Return the GFLOP of a forward pass of one clip, 2 per multiply-add.

    They are counted without memory, on the plain network: our faster ways to compute it add no work.

    Raises:
        InputError: a network that does not take this clip, or a library that cannot be imported.
    """
    try:
        network = without_memory(name).eval()
        clip = torch.empty(1, 3, frames, size, size, device="meta")
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(clip)
    except RuntimeError as error:
        why = str(error).splitlines()[0]
        or_without = ", or leave out --peers" if name in PEERS else ""
        raise InputError(
            f"{name} does not take clips of {frames} x {size} x {size}: {why}; take larger ones{or_without}"
        ) from error
    return counter.get_total_flops() / 1e9
