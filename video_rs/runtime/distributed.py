"""Process groups: one process or many. In a single process every exchange gives back what it was given."""

import os
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def join_process_group(device: torch.device) -> None:
    """Join the process group that torchrun describes in the environment, if there is one."""
    if int(os.environ.get("WORLD_SIZE", "1")) <= 1 or dist.is_initialized():
        return

    backend = "gloo"
    if device.type == "cuda":
        backend = "nccl"
    # The slowest process of a long test may be hours behind the fastest, which waits for it in a collective.
    dist.init_process_group(backend, timeout=timedelta(hours=6))


def leave_process_group() -> None:
    """Leave the process group, if this process is in one."""
    if dist.is_initialized():
        dist.destroy_process_group()


def rank() -> int:
    """Return this process's number, from 0."""
    if dist.is_initialized():
        return dist.get_rank()
    return 0


def local_rank() -> int:
    """Return this process's number on its machine, from 0."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def world_size() -> int:
    """Return the number of processes."""
    if dist.is_initialized():
        return dist.get_world_size()
    return 1


def sum_over_ranks(values: Tensor) -> Tensor:
    """Sum ``values`` over all processes, in place, and return them."""
    if dist.is_initialized():
        dist.all_reduce(values)
    return values


def stack_over_ranks(values: Tensor) -> Tensor:
    """Return each process's ``values``, of one shape and dtype, in rank order: ``[world_size, ...]``."""
    if not dist.is_initialized():
        return values[None]

    parts = [torch.empty_like(values) for _ in range(world_size())]
    dist.all_gather(parts, values)
    return torch.stack(parts)


def mean_over_ranks(tensors: list[Tensor]) -> None:
    """Replace each of ``tensors``, which have one dtype, by its mean over all processes, in one exchange."""
    if not dist.is_initialized() or not tensors:
        return

    flat = torch.cat([tensor.flatten() for tensor in tensors])
    dist.all_reduce(flat)
    flat.div_(dist.get_world_size())

    sizes = [tensor.numel() for tensor in tensors]
    for tensor, part in zip(tensors, flat.split(sizes), strict=True):
        tensor.copy_(part.view_as(tensor))


def gather(item: Any) -> list[Any]:
    """Return each process's picklable ``item``, in rank order, on every process."""
    if not dist.is_initialized():
        return [item]

    items = [None] * dist.get_world_size()
    dist.all_gather_object(items, item)
    return items


def barrier() -> None:
    """Wait until every process is here."""
    if dist.is_initialized():
        dist.barrier()
