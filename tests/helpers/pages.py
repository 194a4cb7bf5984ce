"""Commands that serve a page, as processes of their own, and requests to them."""

import http.client
import json
import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from helpers.jobs import start_job

SECONDS = 60


@dataclass(frozen=True)
class Page:
    """A page that is served.

    Attributes:
        url: as the command printed it.
        folder: with out.txt and err.txt of the command, and what is temporary.
    """

    url: str
    folder: Path

    @property
    def out(self):
        """What the command has printed."""
        return (self.folder / "out.txt").read_text()


@contextmanager
def served(folder, name, *arguments, before="") -> Iterator[Page]:
    """Serve a page while the context lasts; one that does not end well, or leaves a file, fails the test.

    Args:
        folder: of the page.
        name, arguments: of the command.
        before: Python code that the process executes first.
    """
    temporary = folder / "temporary"
    temporary.mkdir(parents=True)
    before = f"import tempfile; tempfile.tempdir = {str(temporary)!r}\n{before}"
    process = start_job(folder, name, *arguments, "--port", 0, before=before)
    try:
        yield Page(_address(folder, process), folder)
        os.kill(process.pid, signal.SIGTERM)
        process.join(SECONDS)
        assert process.exitcode == 0, (folder / "err.txt").read_text()
        assert list(temporary.iterdir()) == []
    finally:
        process.kill()
        process.join()


def _address(folder, process):
    """Wait for the address of the page."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end and process.is_alive():
        out = folder / "out.txt"
        found = re.search(r"http://\S+/", out.read_text() if out.exists() else "")
        if found:
            return found[0]
        time.sleep(0.05)
    raise AssertionError((folder / "err.txt").read_text())


def ask(url, path="", body=None, method=None, headers=None):
    """Send a request, whose path goes out as it is; returns status, body and headers."""
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=SECONDS)
    target = path if path.startswith("/") else place.path + path
    connection.request(method or ("GET" if body is None else "POST"), target, body, headers or {})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content, answer.headers


def post(url, path, value, **headers):
    """Send a JSON value; returns status and the JSON value of the answer."""
    status, content, _ = ask(url, path, json.dumps(value), headers={"Content-Type": "application/json", **headers})
    return status, json.loads(content)
