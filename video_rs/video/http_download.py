"""Downloads over HTTP into iopath's cache that go on where they were stopped.

iopath has a handler of its own, and this one differs from it in the download alone. iopath's begins a file anew when
the download was interrupted, waits for ever for a server that says nothing, takes ``/a.mp4`` of any two servers for
one file, and draws a progress bar for each file. Of a shard of several gigabytes over a link that breaks, a download
that begins anew may never end; this is what the module is for.

While a file is downloaded, two files lie beside its place: ``.part`` holds the bytes that have come, and ``.version``
says of which version of the file they are (the server's ETag or its time of change). A download that is stopped is
taken up from these, by whichever process asks for the file next.
"""

import contextlib
import hashlib
import os
import re
import shutil
from email.message import Message
from http.client import HTTPResponse
from typing import Any, BinaryIO, NamedTuple
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from iopath.common.file_io import HTTPURLHandler, file_lock, get_cache_dir

_SILENCE = 30.0  # seconds after which a server that says nothing is given up
_CHUNK = 2**20  # bytes that are copied at once
_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")  # RFC 9110, 14.4
_PARTIAL_CONTENT = 206
_RANGE_NOT_SATISFIABLE = 416


class ResumingHTTPHandler(HTTPURLHandler):
    """iopath's handler of ``http://`` and ``https://``, with a download that resumes."""

    def _get_local_path(self, path: str, force: bool = False, cache_dir: str | None = None, **kwargs: Any) -> str:
        """Return where the file of a URL is, and download it if it is not there.

        ``force`` downloads also a file that is there: a list may have changed.
        """
        self._check_kwargs(kwargs)
        target = _cached_file(path, get_cache_dir(cache_dir))
        if os.path.isfile(target) and not force:
            return target

        os.makedirs(os.path.dirname(target), exist_ok=True)
        with file_lock(target):
            # Another process may have downloaded the file while this one waited for the lock.
            if force or not os.path.isfile(target):
                _download(path, target)
        return target


def _cached_file(url: str, cache: str) -> str:
    """Return the path in the cache of the file behind a URL: one for each URL, with the name and ending still in it."""
    address = urlsplit(url)
    stem, ending = os.path.splitext(os.path.basename(address.path))

    # The whole URL counts, its server and its query included: files of two servers may have one name.
    digest = hashlib.sha256(url.encode()).hexdigest()[:32]

    # One folder with all videos of Kinetics in it is slow on network disks, so they are spread over 256 of them.
    folder = os.path.join(cache, f"{address.scheme}_{address.hostname}", digest[:2])
    return os.path.join(folder, f"{stem[:40]}_{digest}{ending[:16]}")


def _download(url: str, target: str) -> None:
    """Download a file, from where an earlier download stopped if there was one; ``target`` appears whole."""
    part_file = f"{target}.part"
    version_file = f"{target}.version"
    version = _read_text(version_file)

    can_resume = version and os.path.isfile(part_file)
    if not (can_resume and _resume(url, part_file, version)):
        _download_whole(url, part_file, version_file)

    os.replace(part_file, target)
    with contextlib.suppress(FileNotFoundError):
        os.remove(version_file)


def _download_whole(url: str, part_file: str, version_file: str) -> None:
    with urlopen(Request(url), timeout=_SILENCE) as response, open(part_file, "wb") as file:
        # The version is written when opening the file has emptied it: the bytes of an older version, which were there
        # before, must never lie beside the name of this one.
        _write_text(_version(response.headers), version_file)
        _copy_body(response, file)


def _resume(url: str, part_file: str, version: str) -> bool:
    """Download the rest of ``part_file``, which holds the beginning of this version of the file.

    Returns:
        False where the server does not give exactly that rest, and nothing was written.
    """
    begun = os.path.getsize(part_file)
    request = Request(url, headers={"Range": f"bytes={begun}-", "If-Range": version})
    try:
        with urlopen(request, timeout=_SILENCE) as response:
            if not _is_rest(response, begun, version):
                return False

            with open(part_file, "ab") as file:
                _copy_body(response, file)
            return True

    except HTTPError as error:
        # A server says so also where nothing is left: the download stopped at the very end of the file.
        if error.code != _RANGE_NOT_SATISFIABLE:
            raise
        return _content_range(error.headers).total == begun


def _is_rest(response: HTTPResponse, begun: int, version: str) -> bool:
    """Return whether a response holds all bytes from ``begun`` on, of this version of the file."""
    if response.status != _PARTIAL_CONTENT:
        return False

    given = _content_range(response.headers)
    reaches_end = given.total is None or given.total == (given.last or 0) + 1
    if given.first != begun or not reaches_end:
        return False

    # A server that does not know the header If-Range gives a part of the new version where the file has changed.
    return _version(response.headers) in ("", version)


def _copy_body(response: HTTPResponse, file: BinaryIO) -> None:
    """Append the body of a response to a file.

    Raises:
        OSError: the server ended before it had sent what it had announced.
    """
    before = file.tell()
    shutil.copyfileobj(response, file, _CHUNK)

    received = file.tell() - before
    announced = response.headers.get("Content-Length")
    if announced is not None and received != int(announced):
        raise OSError(f"the server ended after {received} of {announced} bytes")


class _ContentRange(NamedTuple):
    """The first and the last byte of a response and the size of the whole file; None where the server does not say."""

    first: int | None = None
    last: int | None = None
    total: int | None = None


def _content_range(headers: Message) -> _ContentRange:
    match = _CONTENT_RANGE.fullmatch(headers.get("Content-Range") or "")
    if match is None:
        return _ContentRange()

    numbers = []
    for text in match.groups():
        is_number = text is not None and text != "*"
        numbers.append(int(text) if is_number else None)
    return _ContentRange(*numbers)


def _version(headers: Message) -> str:
    """Return what the header If-Range takes as the version of a file, byte for byte; "" where the server names none."""
    tag = headers.get("ETag") or ""
    is_weak = tag.startswith("W/")  # weak tags are equal for files whose bytes may differ
    if tag and not is_weak:
        return tag
    return headers.get("Last-Modified") or ""


def _write_text(text: str, path: str) -> None:
    with open(path, "w", encoding="latin-1") as file:
        file.write(text)


def _read_text(path: str) -> str:
    """Return the text of a file; "" where there is no such file."""
    try:
        with open(path, encoding="latin-1") as file:
            return file.read()
    except FileNotFoundError:
        return ""
