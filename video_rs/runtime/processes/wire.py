"""Objects over a socket; the memory of arrays and CPU tensors goes as it is, without a copy into the pickle."""

import io
import pickle
import socket
import struct
from typing import Any

import numpy as np
import torch


class _Pickler(pickle.Pickler):
    """Tensors as the arrays that share their memory."""

    def reducer_override(self, value: Any) -> Any:
        return (torch.from_numpy, (value.contiguous().numpy(),)) if isinstance(value, torch.Tensor) else NotImplemented


def packed(value: Any) -> list[memoryview]:
    """What :func:`send` sends: the sizes of the parts, the pickle, and the memory of each array."""
    buffers: list[pickle.PickleBuffer] = []
    body = io.BytesIO()
    _Pickler(body, protocol=5, buffer_callback=buffers.append).dump(value)
    parts = [body.getbuffer(), *(buffer.raw() for buffer in buffers)]
    sizes = [part.nbytes for part in parts]
    return [memoryview(struct.pack(f"!{1 + len(sizes)}Q", len(sizes), *sizes)), *parts]


def send(connection: socket.socket, parts: list[memoryview]) -> None:
    """Sends what :func:`packed` made."""
    for part in parts:
        connection.sendall(part)


def receive(connection: socket.socket) -> Any:
    """The next object. EOFError where the other side has gone, TimeoutError by the socket's own time limit."""
    (count,) = struct.unpack("!Q", _exactly(connection, 8))
    sizes = struct.unpack(f"!{count}Q", _exactly(connection, 8 * count))
    body, *buffers = [_exactly(connection, size) for size in sizes]
    return pickle.loads(body, buffers=buffers)


def _exactly(connection: socket.socket, size: int) -> np.ndarray:
    """``size`` bytes; an empty array, unlike a bytearray, is not written twice."""
    data = np.empty(size, np.uint8)
    view = memoryview(data)
    while view:
        try:
            got = connection.recv_into(view)
        except ConnectionError:
            got = 0
        if not got:
            raise EOFError("the other side has gone")
        view = view[got:]
    return data
