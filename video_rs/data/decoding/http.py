"""Fetching over HTTP into iopath's cache. One that is stopped goes on where it was, whichever process takes it up."""

import hashlib
import os
import shutil
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlparse
from urllib.request import Request, urlopen

from iopath.common.file_io import HTTPURLHandler, file_lock, get_cache_dir

_SILENCE = 30.0  # seconds in which a server must say something
_LONGEST_NAME = 150  # bytes: file systems allow 255, and others add endings to it
_RANGE_IS_BEHIND = 416  # "Range Not Satisfiable": all is there already


class HTTPHandler(HTTPURLHandler):
    """iopath's, but for the fetch itself.

    iopath's starts from the beginning when it was interrupted, waits for ever for a server that says nothing, takes
    ``/a.mp4`` of any two servers for one file, and draws a progress bar for each.
    """

    def _get_local_path(self, path: str, force: bool = False, cache_dir: str | None = None, **kwargs: Any) -> str:
        """``force`` fetches a file anew that is there: a list may have changed."""
        self._check_kwargs(kwargs)
        target = _place(path, get_cache_dir(cache_dir))
        if force or not os.path.isfile(target):
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with file_lock(target):
                if force or not os.path.isfile(target):
                    _fetch(path, target)
        return target


def _place(url: str, cache: str) -> str:
    """A folder for each server, then the path; what follows ``?`` and too long a name become a hash."""
    address = urlparse(url)
    if ".." in address.path.split("/"):
        raise ValueError("a URL with .. in its path; write it without")  # it would leave the cache
    folder, name = os.path.split(address.path.lstrip("/"))
    if address.query or len(name.encode()) > _LONGEST_NAME:
        stem, ending = os.path.splitext(name)
        name = f"{stem[: _LONGEST_NAME // 4]}_{hashlib.sha256(url.encode()).hexdigest()[:32]}{ending[:16]}"
    return os.path.join(cache, f"{address.scheme}_{address.netloc.replace(':', '_')}", folder, name or "index")


def _fetch(url: str, target: str) -> None:
    """Into ``target`` at the end, until then into files beside it: the bytes, and which version they are of."""
    part, version = f"{target}.part", f"{target}.version"
    known = _text(version)
    there = os.path.getsize(part) if known and os.path.isfile(part) else 0
    request = Request(url, headers={"Range": f"bytes={there}-", "If-Range": known} if there else {})
    try:
        with urlopen(request, timeout=_SILENCE) as answer:
            goes_on = answer.status == 206
            with open(part, "ab" if goes_on else "wb") as file:
                if not goes_on:  # after the old bytes are gone: they must not be taken for this version's
                    _keep(answer.headers.get("ETag") or answer.headers.get("Last-Modified") or "", version)
                shutil.copyfileobj(answer, file, 2**20)
            expected = answer.headers.get("Content-Length")
            got = os.path.getsize(part) - (there if goes_on else 0)
            if expected is not None and got != int(expected):
                raise OSError(f"the server ended after {got} of {expected} bytes")
    except HTTPError as error:
        if error.code != _RANGE_IS_BEHIND or not there:
            raise
    os.replace(part, target)
    if os.path.exists(version):
        os.remove(version)


def _keep(text: str, path: str) -> None:
    with open(path, "w", encoding="latin-1") as file:
        file.write(text)


def _text(path: str) -> str:
    try:
        with open(path, encoding="latin-1") as file:
            return file.read()
    except FileNotFoundError:
        return ""
