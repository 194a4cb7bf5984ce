"""What stands before the page's own server: only what the page needs is let through, and of it only so much.

Gradio serves more than this page uses: other files, other servers, an editor of the program. All of it is "not found".
"""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from video_rs.runs.demo_app.limits import Limits
from video_rs.runs.demo_app.upload_folder import UploadFolder

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

FILE = "/gradio_api/file="
UPLOAD = "/gradio_api/upload"
PREDICT = "/api/predict"
_GET = re.compile(
    r"/|/config/?|/theme\.css|/favicon\.ico|/manifest\.json|/(assets|static|svelte)/.+"
    r"|/gradio_api/(startup-events|queue/data|upload_progress|app_id/?|heartbeat/[^/]+)"
)
_POST = re.compile(r"/gradio_api/(queue/join|cancel)")
MOST_JSON = 2**16  # bytes of what the page's script sends
FORM_BYTES = 2**16  # that a form adds to a file
UPLOAD_SECONDS = 300.0


class Gate:
    """An ASGI application around another one.

    Args:
        application: what is let through goes there.
        folder: of uploads: the only files that may be sent, or named in a request.
        limits: of uploads.
        names: that the server may be called by (its header Host); None: any.
    """

    def __init__(self, application: Application, folder: UploadFolder, limits: Limits, names: set[str] | None):
        self._application = application
        self._folder = folder
        self._limits = limits
        self._names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] == "lifespan":
            await self._application(scope, receive, send)
            return
        if scope["type"] != "http":
            return

        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get("host", "")

        if self._names is not None and host not in self._names:
            await refuse(send, 403, "this server is not called so")
            return

        # A page of another address cannot make a visitor's browser send something here.
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2] != host:
            await refuse(send, 403, "this request comes from another page")
            return

        path = scope["path"]
        if scope["method"] in ("GET", "HEAD"):
            await self._get(path, scope, receive, send)
        elif scope["method"] == "POST" and path in (UPLOAD, PREDICT):
            await self._upload(headers, scope, receive, send)
        elif scope["method"] == "POST" and _POST.fullmatch(path):
            await self._small(scope, receive, send)
        else:
            await refuse(send, 404, "there is nothing here")

    async def _get(self, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the page, its parts and the files of the folder through."""
        is_file = path.startswith(FILE) and self._folder.holds(path.removeprefix(FILE))
        if is_file or (_GET.fullmatch(path) and ".." not in path):
            await self._application(scope, receive, _with_nosniff(send))
        else:
            await refuse(send, 404, "there is nothing here")

    async def _upload(self, headers: dict[str, str], scope: Scope, receive: Receive, send: Send) -> None:
        """Let a video through that is not too large, while there is room."""
        size = headers.get("content-length", "")
        if not size.isdecimal():
            await refuse(send, 411, "say how large the file is (Content-Length)")
        elif len(size) > 15 or int(size) > self._limits.bytes + FORM_BYTES:
            await refuse(send, 413, f"the file is too large; allowed: {self._limits.megabytes:g} MB")
        else:
            with self._folder.room_for(int(size)) as has_room:
                if not has_room:
                    await refuse(send, 503, "many videos are being sent; try again in a minute")
                    return
                try:
                    async with asyncio.timeout(UPLOAD_SECONDS):
                        await self._application(scope, receive, send)
                except TimeoutError:
                    await refuse(send, 408, f"the file did not come within {UPLOAD_SECONDS:g} s")

    async def _small(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a JSON value through that names no files but those of the folder."""
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")

            if message["type"] == "http.disconnect":
                return
            if len(body) > MOST_JSON:
                await refuse(send, 413, "too much was sent")
                return

            if not message.get("more_body"):
                break

        try:
            value = json.loads(body)
        except (ValueError, RecursionError):
            await refuse(send, 400, "this is no JSON")
            return

        if not all(self._folder.holds(path) for path in _paths_in(value)):
            await refuse(send, 403, "this file was not uploaded here")
            return

        messages = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def receive_again() -> dict[str, Any]:
            for message in messages:
                return message
            return await receive()

        await self._application(scope, receive_again, send)


def _paths_in(value: Any) -> Iterator[str]:
    """Yield all paths that a JSON value names, in whichever depth."""
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            if "path" in part:
                yield str(part["path"])
            waiting.extend(part.values())
        elif isinstance(part, list):
            waiting.extend(part)


def _with_nosniff(send: Send) -> Send:
    """Return ``send`` with a header by which no browser takes a file for what its type does not say."""

    async def send_more(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            headers = [*message.get("headers", []), (b"x-content-type-options", b"nosniff")]
            message = {**message, "headers": headers}
        await send(message)

    return send_more


async def refuse(send: Send, status: int, reason: str) -> None:
    """Send why a request is not answered."""
    body = json.dumps({"error": reason}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]

    if status == 503:
        headers.append((b"retry-after", b"30"))

    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
