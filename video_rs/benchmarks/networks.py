"""Our networks and those of peers, with fresh weights, and the arithmetic of a forward pass."""

import functools
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from video_rs.models import create_model
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


def make_network(name: str, **overrides: Any) -> nn.Module:
    """Return a network of ours by its name, or a peer as shipped, with fresh weights.

    Args:
        name: of the network.
        **overrides: fields of ours that are otherwise.

    Raises:
        InputError: a peer of a library that cannot be imported.
    """
    if name not in PEERS:
        return create_model(name, CLASSES, **overrides)

    library, maker = name.split()
    if library == "torchvision":
        from torchvision.models import video

        return getattr(video, maker)(num_classes=CLASSES)

    try:
        from pytorchvideo.models import hub
    except ImportError as error:
        raise InputError(f"{name} is not there: {error}; pip install pytorchvideo, or leave out --peers") from error
    return getattr(hub, maker)(pretrained=False, progress=False)


@functools.cache
def forward_gflop(name: str, frames: int, size: int) -> float:
    """Return the GFLOP of a forward pass of one clip, 2 per multiply-add.

    They are counted without memory, on the plain network: our faster ways to compute it add no work.

    Raises:
        InputError: a network that does not take this clip, or a library that cannot be imported.
    """
    try:
        # Tensors without memory: even the largest network takes a moment.
        with torch.device("meta"):
            network = make_network(name).eval()
            clip = torch.empty(1, 3, frames, size, size)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(clip)
    except RuntimeError as error:
        why = str(error).splitlines()[0]
        or_without = ", or leave out --peers" if name in PEERS else ""
        raise InputError(
            f"{name} does not take clips of {frames} x {size} x {size}: {why}; take larger ones{or_without}"
        ) from error
    return counter.get_total_flops() / 1e9
