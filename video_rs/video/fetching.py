"""Videos and lists that are not on this machine: URLs, which iopath's handlers fetch.

A handler knows one or several protocols. ``http://`` and ``https://`` are known from the beginning; others are named by
the user (``module:Class``) and registered in each process that reads videos.
"""

import importlib
import os
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any
from urllib.parse import unquote, urlparse

from iopath.common.file_io import PathHandler, PathManager

from video_rs.runtime.errors import InputError
from video_rs.video.errors import DecodeError
from video_rs.video.http_download import ResumingHTTPHandler
from video_rs.video.location import Location


def handler_names(text: str) -> tuple[str, ...]:
    """Return the names of handlers in a text that has commas between them, as DATA.PATH_HANDLERS has."""
    names = (name.strip() for name in text.split(","))
    return tuple(name for name in names if name)


def with_handlers(names: Sequence[str], work: Callable[..., Any], *arguments: Any) -> Any:
    """Register handlers in this process, and return ``work(*arguments)``.

    A worker process, which does not inherit the handlers, is given this function with the first two arguments bound.
    """
    register_handlers(names)
    return work(*arguments)


def register_handlers(names: Sequence[str]) -> None:
    """Make iopath know the handlers that are called ``module:Class``, in this process.

    A class is made without arguments, and once: a second call for it does nothing.

    Raises:
        InputError: a class cannot be imported or made, or is no handler.
    """
    for name in names:
        _register_handler(name)


@cache
def _register_handler(name: str) -> None:
    _path_manager().register_handler(_make_handler(name), allow_override=True)


def _make_handler(name: str) -> PathHandler:
    module, _, attribute = name.partition(":")
    try:
        handler_class = getattr(importlib.import_module(module), attribute)
        handler = handler_class()
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise InputError(
            f"path handler {name!r} cannot be made ({error}); write module:Class, a class without arguments"
        ) from error

    if not isinstance(handler, PathHandler):
        raise InputError(f"path handler {name!r} is no iopath PathHandler; derive it from that class")
    return handler


@cache
def _path_manager() -> PathManager:
    """Return the manager of this process's handlers.

    iopath has a global manager too, but other libraries register handlers there, and it complains of replaced ones.
    """
    manager = PathManager()
    manager.register_handler(ResumingHTTPHandler())
    return manager


def is_url(path: str) -> bool:
    """Return whether a path names a file by a protocol."""
    return "://" in path


def can_resume(url: str) -> bool:
    """Return whether a fetch of this URL that was stopped goes on where it was."""
    return url.startswith(("http://", "https://"))


def absolute_path(path: str) -> str:
    """Return what tells this file from all others: a URL as it is, any other path made absolute."""
    if is_url(path):
        return path
    return os.path.abspath(path)


def local_path(path: str) -> str:
    """Return where a video is on this machine; a URL is fetched.

    Of a part of a shard behind a URL the whole shard is fetched, once for all its videos.

    Raises:
        DecodeError: the URL cannot be fetched, or no handler knows its protocol.
    """
    if not is_url(path):
        return path
    location = Location.parse(path)
    return location._replace(file=local_copy(location.file)).path()


def local_copy(url: str, anew: bool = False) -> str:
    """Return where the handler has put a file that it fetched, now or earlier (iopath keeps a cache).

    Args:
        url: of a file; parts of shards are not known here.
        anew: fetch a file over HTTP although the cache has it.

    Raises:
        DecodeError: the file cannot be fetched, or no handler knows the protocol.
    """
    if url.startswith("file://"):
        return unquote(urlparse(url).path)

    try:
        path = _path_manager().get_local_path(url, force=anew)
    except Exception as error:  # a handler of the user's may raise anything
        first_line = str(error).strip().split("\n")[0]
        reason = first_line or type(error).__name__
        raise DecodeError(url, f"cannot be fetched: {reason}", "missing") from error

    # iopath takes a URL that no handler knows for the name of a file.
    if path == url:
        protocol = url.partition("://")[0]
        reason = f"no handler knows {protocol}://; name one (--path-handlers, DATA.PATH_HANDLERS)"
        raise DecodeError(url, reason, "missing")
    return path
