"""Fetching over HTTP into iopath's cache. One that is stopped goes on where it was, whichever process takes it up."""

import hashlib
import os
import re
import shutil
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from iopath.common.file_io import HTTPURLHandler, file_lock, get_cache_dir

_SILENCE = 30.0  # seconds in which a server must say something
_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")
_PARTIAL, _RANGE_IS_BEHIND = 206, 416  # "Range Not Satisfiable": all may be there already


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
    """A file of its own for each URL, which its name and ending can still be told from."""
    address = urlsplit(url)
    stem, ending = os.path.splitext(os.path.basename(address.path))
    digest = hashlib.sha256(url.encode()).hexdigest()[:32]
    # Folders of a 256th each: one with every video of Kinetics in it is slow on network disks.
    return os.path.join(cache, f"{address.scheme}_{address.hostname}", digest[:2], f"{stem[:40]}_{digest}{ending[:16]}")


def _fetch(url: str, target: str) -> None:
    """Into ``target`` at the end, until then into files beside it: the bytes, and which version they are of."""
    part, version = f"{target}.part", f"{target}.version"
    known = _text(version)
    if not (known and os.path.isfile(part) and _goes_on(url, part, known)):
        with urlopen(Request(url), timeout=_SILENCE) as answer, open(part, "wb") as file:
            # After the old bytes are gone: they must not be taken for this version's.
            _keep(_version(answer.headers), version)
            _copy(answer, file)
    os.replace(part, target)
    if os.path.exists(version):
        os.remove(version)


def _goes_on(url: str, part: str, known: str) -> bool:
    """Fetches the rest of ``part``, of the version ``known``. False where the server does not give just that."""
    there = os.path.getsize(part)
    request = Request(url, headers={"Range": f"bytes={there}-", "If-Range": known})
    try:
        with urlopen(request, timeout=_SILENCE) as answer:
            first, last, total = _range(answer.headers)
            whole = first == there and total in (None, (last or 0) + 1)
            # A server that does not know If-Range gives a part of the new version.
            if answer.status != _PARTIAL or not whole or _version(answer.headers) not in ("", known):
                return False
            with open(part, "ab") as file:
                _copy(answer, file)
            return True
    except HTTPError as error:
        if error.code != _RANGE_IS_BEHIND:
            raise
        return _range(error.headers)[2] == there


def _copy(answer: Any, file: Any) -> None:
    before = file.tell()
    shutil.copyfileobj(answer, file, 2**20)
    got, expected = file.tell() - before, answer.headers.get("Content-Length")
    if expected is not None and got != int(expected):
        raise OSError(f"the server ended after {got} of {expected} bytes")


def _range(headers: Any) -> tuple[int | None, int | None, int | None]:
    """First and last byte and their number in the whole, each None where the header does not tell."""
    match = _CONTENT_RANGE.fullmatch(headers.get("Content-Range") or "")
    return tuple(int(text) if (text or "*") != "*" else None for text in match.groups()) if match else (None,) * 3


def _version(headers: Any) -> str:
    """What tells a version byte by byte, as If-Range asks; "" for none."""
    tag = headers.get("ETag") or ""
    return tag if tag and not tag.startswith("W/") else headers.get("Last-Modified") or ""


def _keep(text: str, path: str) -> None:
    with open(path, "w", encoding="latin-1") as file:
        file.write(text)


def _text(path: str) -> str:
    try:
        with open(path, encoding="latin-1") as file:
            return file.read()
    except FileNotFoundError:
        return ""
