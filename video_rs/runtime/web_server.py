"""A small web server for a page on the user's own machine: bounded, and closed to other pages and machines.

The address of the page holds a random word that no other page or user knows; all else is "not found". Requests that
name the server by another name than its own are refused, so that a page elsewhere cannot be made to look like this one
(DNS rebinding).
"""

import http.server
import ipaddress
import json
import secrets
import socket
import threading
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from video_rs.runtime.errors import InputError
from video_rs.runtime.progress import print_line
from video_rs.runtime.signals import StopSignals

LOCAL = "127.0.0.1"
MOST_CONNECTIONS = 32
MOST_BYTES = 2**16
"""Of the body of a request."""
LOOK = 0.1  # seconds between looks whether somebody wants to stop
SECONDS = 60.0  # without a byte, after which a connection is closed
# Nothing is loaded from elsewhere, and no other page shows this one in a frame.
CONTENT_POLICY = (
    "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; media-src blob:; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def is_local(host: str) -> bool:
    """Return whether only this machine reaches an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_address(host: str, port: int) -> None:
    """Check that a server can listen at an address.

    Raises:
        InputError: it cannot: the address is not of this machine, or another program listens there.
    """
    if not 0 <= port <= 65535:
        raise InputError(f"--port is {port}; allowed: 0 to 65535, 0 for any free one")

    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"cannot listen at {host}, port {port} ({reason}); take another --port, 0 for any free one, or another "
            "--host"
        ) from error


def names_of(host: str, port: int) -> set[str] | None:
    """Return what the header Host may say; None: anything, because others reach this machine by names of their own."""
    if not is_local(host):
        return None
    return {f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]", host)}


class StopServer(StopSignals):
    """A Ctrl-C is how a server ends."""

    ANSWER = "closing the page"


def announce(host: str, line: str, risk: str) -> None:
    """Say where a page is, and who else reaches it.

    Args:
        host: where it listens.
        line: with the address.
        risk: what others can do, where they reach it.
    """
    if not is_local(host):
        print_line(f"note: the page listens on {host}, not for this machine alone: {risk}")
    print_line(line)


def wait_for_stop() -> None:
    """Wait for Ctrl-C, SIGTERM or SIGHUP."""
    signals = StopServer()
    signals.start()

    try:
        while not signals.asked:
            time.sleep(LOOK)
    finally:
        signals.close()


class PageServer(http.server.ThreadingHTTPServer):
    """A thread for each connection, and no more of them than :data:`MOST_CONNECTIONS`.

    Args:
        host, port: where it listens; 0 takes any free port.
        handler: of the requests.
    """

    daemon_threads = True
    # A restart finds the port free.
    allow_reuse_address = True

    def __init__(self, host: str, port: int, handler: type["PageHandler"]):
        self.address_family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        super().__init__((host, port), handler)
        self.host = host
        self.word = secrets.token_urlsafe(16)
        self.names = names_of(host, self.server_port)
        self._places = threading.BoundedSemaphore(MOST_CONNECTIONS)

    @property
    def url(self) -> str:
        """The address of the page."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.server_port}/{self.word}/"

    def process_request(self, request, client_address) -> None:
        """Answer in a thread of its own, or close the connection where there are too many."""
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request, client_address) -> None:
        """Answer, and give the place back."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request, client_address) -> None:
        """Say nothing of a browser that has gone away."""


class PageHandler(http.server.BaseHTTPRequestHandler):
    """Checks requests; a derived class answers them in :meth:`get` and :meth:`post`."""

    server: PageServer
    protocol_version = "HTTP/1.1"
    timeout = SECONDS

    def get(self, path: str) -> None:
        """Answer a GET; ``path`` is what stands behind the page's word, without the first slash."""
        raise NotImplementedError

    def post(self, path: str, value: Any) -> None:
        """Answer a POST of a JSON value."""
        raise NotImplementedError

    def do_GET(self) -> None:
        """Answer what a browser asks for."""
        path = self._path()
        if path is not None:
            self.get(path)

    def do_POST(self) -> None:
        """Answer what the page's script sends."""
        path = self._path()
        if path is None:
            return
        # A form of another page cannot send this type.
        if self.headers.get_content_type() != "application/json":
            self.refuse(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send application/json")
            return

        size = self.headers.get("Content-Length", "")
        if not size.isdecimal() or len(size) > 9 or int(size) > MOST_BYTES:
            self.refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"send at most {MOST_BYTES} bytes, and Content-Length")
            return

        try:
            value = json.loads(self.rfile.read(int(size)))
        except (ValueError, RecursionError):
            self.refuse(HTTPStatus.BAD_REQUEST, "this is no JSON")
            return

        self.post(path, value)

    def _path(self) -> str | None:
        """Return the path behind the page's word; None after a refusal."""
        names = self.server.names
        if names is not None and self.headers.get("Host") not in names:
            self.refuse(HTTPStatus.FORBIDDEN, "this server is not called so")
            return None

        _, word, *rest = [*self.path.split("/", 2), ""][:3]
        if not secrets.compare_digest(word.encode(), self.server.word.encode()):
            self.refuse(HTTPStatus.NOT_FOUND, "there is nothing here; open the address that was printed")
            return None

        return rest[0]

    def send_page(self, html: str, nonce: str) -> None:
        """Send a page, whose scripts and styles have the nonce."""
        policy = {"Content-Security-Policy": CONTENT_POLICY.format(nonce=nonce)}
        self.send(HTTPStatus.OK, "text/html; charset=utf-8", html.encode(), policy)

    def send_json(self, value: Any, status: HTTPStatus = HTTPStatus.OK) -> None:
        """Send a JSON value."""
        self.send(status, "application/json", json.dumps(value).encode())

    def refuse(self, status: HTTPStatus, reason: str) -> None:
        """Send why a request is not answered, and close the connection: its body may not have been read."""
        self.close_connection = True
        self.send_json({"error": reason}, status)

    def send(self, status: HTTPStatus, kind: str, body: bytes, more: Mapping[str, str] | None = None) -> None:
        """Send an answer."""
        headers = {
            "Content-Type": kind,
            "Content-Length": str(len(body)),
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            **(more or {}),
        }
        if self.close_connection:
            headers["Connection"] = "close"

        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)

        self.end_headers()
        self.wfile.write(body)

    def version_string(self) -> str:
        """Return what the server calls itself."""
        return "video_rs"

    def log_message(self, *_) -> None:
        """Print nothing for each request."""
