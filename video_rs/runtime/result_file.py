"""A file in memory through which worker processes hand over their results.

A pipe would carry a clip of five megabytes in pieces of 64 KiB, and a worker that is killed in the middle of one leaves
half a message to all others. /dev/shm, where torch puts tensors that travel, is small in containers, and what a killed
process leaves there stays. This file has no name, its memory is given back with its last owner, and arrays go into it
and come out of it without being copied into a pickle.
"""

import contextlib
import io
import mmap
import os
import pickle
import tempfile
from multiprocessing.reduction import DupFd
from typing import Any, Self

import numpy as np
import torch

# Bytes between the places of two results: more than any result has. What is not written takes no memory.
_DISTANCE = 2**36
# A place begins with a page that names the process which writes there.
_OWNER_BYTES = mmap.ALLOCATIONGRANULARITY
# Linux transfers no more than this in one call (read(2)).
_LARGEST_CALL = 2**30


class ResultFile:
    """Numbered places, each for one result at a time; parent and workers share the file by its descriptor."""

    def __init__(self, descriptor: int):
        self._descriptor = descriptor

    @classmethod
    def create(cls) -> Self:
        """Return an empty file: in memory on Linux, elsewhere an unnamed one on the disk."""
        if hasattr(os, "memfd_create"):
            return cls(os.memfd_create("video_rs results"))

        with tempfile.TemporaryFile() as file:
            return cls(os.dup(file.fileno()))

    def __reduce__(self) -> tuple:
        # Only for a process that is being spawned: a forked one has the descriptor already.
        return _inherited, (DupFd(self._descriptor),)

    def close(self) -> None:
        """Give the memory of all places back, even where another process has inherited the file, and close it."""
        os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)

    def claim(self, place: int) -> None:
        """Write this process's number to a place: it is working on the result that belongs there."""
        os.pwrite(self._descriptor, os.getpid().to_bytes(8, "big"), place * _DISTANCE)

    def owner(self, place: int) -> int:
        """Return the number of the process that has claimed a place, or 0 where none has."""
        return int.from_bytes(os.pread(self._descriptor, 8, place * _DISTANCE), "big")

    def write(self, place: int, value: Any) -> list[int]:
        """Write a picklable value to a place, and return the bytes of its parts, which :meth:`read` needs."""
        arrays: list[pickle.PickleBuffer] = []
        body = io.BytesIO()
        _Pickler(body, protocol=5, buffer_callback=arrays.append).dump(value)

        parts = [body.getbuffer()]
        parts += [array.raw() for array in arrays]
        offset = place * _DISTANCE + _OWNER_BYTES
        for part in parts:
            self._transfer(os.pwrite, part, offset)
            offset += part.nbytes
        return [part.nbytes for part in parts]

    def read(self, place: int, sizes: list[int]) -> Any:
        """Return the value that was written to a place."""
        offset = place * _DISTANCE + _OWNER_BYTES
        parts = []
        for size in sizes:
            part = np.empty(size, np.uint8)
            self._transfer(_read_into, memoryview(part), offset)
            parts.append(part)
            offset += size
        return pickle.loads(parts[0], buffers=parts[1:])

    def clear(self, place: int) -> None:
        """Forget who claimed a place, and give its memory back."""
        start = place * _DISTANCE
        length = min(_DISTANCE, os.fstat(self._descriptor).st_size - start)
        if length <= 0:
            return

        os.pwrite(self._descriptor, bytes(8), start)
        # Where the system cannot give the memory back, the next result at this place takes it.
        with contextlib.suppress(AttributeError, OSError), mmap.mmap(self._descriptor, length, offset=start) as memory:
            memory.madvise(mmap.MADV_REMOVE)

    def _transfer(self, transfer, part: memoryview, offset: int) -> None:
        """Call ``transfer(descriptor, bytes, offset)`` until all bytes of ``part`` are written, or filled."""
        while part:
            count = transfer(self._descriptor, part[:_LARGEST_CALL], offset)
            if not count:
                raise EOFError("the file ends within a result")
            part = part[count:]
            offset += count


class _Pickler(pickle.Pickler):
    """Takes tensors for the arrays that share their memory: torch would put them into /dev/shm."""

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return torch.from_numpy, (value.contiguous().numpy(),)
        return NotImplemented


def _read_into(descriptor: int, part: memoryview, offset: int) -> int:
    return os.preadv(descriptor, [part], offset)


def _inherited(descriptor: Any) -> ResultFile:
    """Return the file in the process that was spawned with it."""
    return ResultFile(descriptor.detach())
