"""Files that are not on this machine: URLs that iopath's handlers fetch."""

import importlib
import os
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any
from urllib.parse import unquote, urlparse

from iopath.common.file_io import PathHandler, PathManager

from video_rs.runtime.errors import InputError
from video_rs.video.errors import DecodeError
from video_rs.video.http_download import HTTPHandler
from video_rs.video.location import Location


def handler_names(text: str) -> tuple[str, ...]:
    """The names in a text that joins them by commas, as DATA.PATH_HANDLERS has them."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def with_handlers(names: Sequence[str], work: Callable[..., Any], *arguments: Any) -> Any:
    """``work(*arguments)`` in a process that knows the handlers; a worker process is given this with the first two."""
    register_handlers(names)
    return work(*arguments)


def register_handlers(names: Sequence[str]) -> None:
    """Makes iopath know ``http://`` and ``https://``, and the handlers called ``module:Class``, in this process.

    A class is made without arguments, once; a second call for it does nothing.

    Raises:
        InputError: it cannot be imported, or is no handler.
    """
    for name in names:
        _register(name)


@cache
def _register(name: str) -> None:
    _paths().register_handler(_handler(name), allow_override=True)


def _handler(name: str) -> PathHandler:
    module, _, attribute = name.partition(":")
    try:
        made = getattr(importlib.import_module(module), attribute)()
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise InputError(
            f"path handler {name!r} cannot be made ({error}); write module:Class, a class without arguments"
        ) from error
    if not isinstance(made, PathHandler):
        raise InputError(f"path handler {name!r} is no iopath PathHandler; derive it from that class")
    return made


def is_url(path: str) -> bool:
    """Whether a path names a file by a protocol."""
    return "://" in path


def can_resume(url: str) -> bool:
    """Whether a fetch that was stopped goes on where it was."""
    return url.startswith(("http://", "https://"))


def absolute_path(path: str) -> str:
    """What tells files apart: a URL as it is, any other path made absolute."""
    return path if is_url(path) else os.path.abspath(path)


def local_copy(url: str, anew: bool = False) -> str:
    """Where the handler has put the file, fetched now or earlier (iopath's cache); ``anew``: over HTTP always now.

    Raises:
        DecodeError: it cannot be fetched, or no handler knows the protocol.
    """
    if url.startswith("file://"):
        return unquote(urlparse(url).path)
    try:
        path = _paths().get_local_path(url, force=anew)
    except Exception as error:
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise DecodeError(url, f"cannot be fetched: {reason}", "missing") from error
    if path == url:
        protocol = url.partition("://")[0]
        raise DecodeError(
            url,
            f"no handler knows {protocol}://; name one (--path-handlers, DATA.PATH_HANDLERS)",
            "missing",
        )
    return path


def local_path(path: str) -> str:
    """Where a video is on this machine. Of a URL's part of a shard the whole shard is fetched, once for all its videos.

    Raises:
        DecodeError: as :func:`local_copy`.
    """
    if not is_url(path):
        return path
    location = Location.parse(path)
    return location._replace(file=local_copy(location.file)).path()


@cache
def _paths() -> PathManager:
    """Ours alone: iopath's global one is shared with other libraries, and complains where a handler is replaced."""
    manager = PathManager()
    manager.register_handler(HTTPHandler())
    return manager
