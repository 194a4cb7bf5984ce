"""Live streams: bytes that a TCP server sends, and videos of frames that come when a test says."""

import socket
import subprocess
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass

import psutil
import torch

from helpers.jobs import free_port


@contextmanager
def sending(*connections, hold=False):
    """``tcp://...`` of a server that sends the bytes of one connection after the other, and then is gone.

    Args:
        connections: bytes for each.
        hold: leave the last connection open after its bytes, as a camera does.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    done = threading.Event()

    def serve():
        for number, data in enumerate(connections):
            connection, _ = listener.accept()
            if number == len(connections) - 1:
                listener.close()
            with connection:
                connection.sendall(data)
                if hold and number == len(connections) - 1:
                    done.wait(60)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"tcp://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        done.set()
        listener.close()


@contextmanager
def ffmpeg_serves(path):
    """``tcp://...`` at which the program ffmpeg sends a file to one client, as MPEG-TS."""
    address = f"tcp://127.0.0.1:{free_port()}"
    command = ["ffmpeg", "-loglevel", "error", "-i", str(path), "-c", "copy", "-f", "mpegts", f"{address}?listen=1"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        while not any(c.status == psutil.CONN_LISTEN for c in psutil.Process(process.pid).net_connections()):
            time.sleep(0.01)
        yield address
    finally:
        process.kill()
        process.wait()


def as_mpegts(path):
    """The bytes of a file as MPEG-TS."""
    command = ["ffmpeg", "-loglevel", "error", "-i", str(path), "-c", "copy", "-f", "mpegts", "pipe:1"]
    return subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout


@dataclass(frozen=True)
class Frame:
    """A frame of one grey level that comes at a time."""

    seconds: float
    level: int

    def picture(self):
        return torch.full((16, 16, 3), self.level, dtype=torch.uint8)


class Connection:
    """A live video of given frames, that ends or breaks after them."""

    def __init__(self, fps, frames, error=None):
        self.fps, self._frames, self._error = fps, frames, error
        self.closed = False
        self.damaged = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.closed = True

    def __iter__(self):
        yield from self._frames
        if self._error is not None:
            raise self._error
