"""One process or many: everything here is the identity in a single process."""

import logging
import os
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from video_rs.engine.convolution_check import doubtful_cudnn
from video_rs.runtime.errors import InputError

MPS_IS_WRONG = "Conv3d on this machine's MPS gives other numbers than on its CPU (pytorch/pytorch#197114)"


def start(device: torch.device) -> None:
    """Joins the process group that torchrun describes in the environment, if there is one."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized():
        # The slowest process of a long test may be hours behind the fastest, which waits for it in a collective.
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=timedelta(hours=6))


def stop() -> None:
    """Leaves the process group."""
    if dist.is_initialized():
        dist.destroy_process_group()


def rank() -> int:
    """This process's number, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """Number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def sum_over_ranks(values: Tensor) -> Tensor:
    """``values`` summed over all processes, in place."""
    if dist.is_initialized():
        dist.all_reduce(values)
    return values


def stack_over_ranks(values: Tensor) -> Tensor:
    """Each process's ``values``, of one shape and dtype, in rank order: ``[world_size, ...]``."""
    if not dist.is_initialized():
        return values[None]
    parts = [torch.empty_like(values) for _ in range(world_size())]
    dist.all_gather(parts, values)
    return torch.stack(parts)


def mean_over_ranks(tensors: list[Tensor]) -> None:
    """Replaces each of ``tensors`` (of one dtype) by its mean over all processes, in one exchange."""
    if not dist.is_initialized() or not tensors:
        return
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    dist.all_reduce(flat)
    parts = flat.div_(dist.get_world_size()).split([tensor.numel() for tensor in tensors])
    for tensor, part in zip(tensors, parts, strict=True):
        tensor.copy_(part.view_as(tensor))


def gather(item: Any) -> list[Any]:
    """Each process's ``item``, in rank order, on every process."""
    if not dist.is_initialized():
        return [item]
    items = [None] * dist.get_world_size()
    dist.all_gather_object(items, item)
    return items


def barrier() -> None:
    """Waits until every process is here."""
    if dist.is_initialized():
        dist.barrier()


def pick_device(name: str) -> torch.device:
    """The device behind "auto", "cpu", "cuda" or "mps"; under torchrun each process of a machine takes its own GPU.

    Raises:
        InputError: this machine does not have it, or its MPS computes convolutions wrongly.
    """
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = next(kind for kind in ("cuda", "mps", "cpu") if there[kind])
        if name == "mps" and not convolves_rightly(torch.device("mps")):
            logging.getLogger(__name__).warning("%s; DEVICE auto takes the CPU", MPS_IS_WRONG)
            name = "cpu"
    if not there[name]:
        found = ", ".join(kind for kind, is_there in there.items() if is_there)
        raise InputError(f"device {name!r} is not there; this machine has {found}: set DEVICE (predict: --device)")
    if name == "mps" and not convolves_rightly(torch.device("mps")):
        raise InputError(f"{MPS_IS_WRONG}; take another PyTorch, or set DEVICE cpu (predict: --device cpu)")
    if name != "cuda":
        return torch.device(name)
    number, count = local_rank(), torch.cuda.device_count()
    if number >= count:
        raise InputError(
            f"process {number} of this machine has no GPU of its own among {count}; start {count} processes"
        )
    torch.cuda.set_device(number)
    if doubt := doubtful_cudnn(torch.backends.cudnn.version()):
        logging.getLogger(__name__).warning(doubt)
    return torch.device("cuda", number)


def convolves_rightly(device: torch.device) -> bool:
    """Whether ``device`` agrees with the CPU on a convolution: releases of PyTorch have not, without a word, on MPS."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        convolution, clips = torch.nn.Conv3d(16, 32, 3, padding=1), torch.rand(1, 16, 4, 8, 8)
    clips = clips.to(memory_format=torch.channels_last_3d)
    with torch.inference_mode():
        expected = convolution(clips)
        found = convolution.to(device)(clips.to(device)).cpu()
    return torch.allclose(found, expected, rtol=1e-3, atol=1e-3)


def local_rank() -> int:
    """This process's number on its machine, from 0."""
    return int(os.environ.get("LOCAL_RANK", "0"))
