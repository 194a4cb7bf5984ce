"""Fingerprints."""

import hashlib
import os
from collections.abc import Sequence

import numpy as np

from video_rs.video.errors import DecodeError, system_reason
from video_rs.video.location import Location

_SAMPLE = 65536  # bytes of the start, the middle and the end of a file that make its fingerprint


_READ_AGAIN = 2**28  # bytes of an undecodable file that are read to see if the disk is at fault: seconds on slow disks
_READ_AT_ONCE = 2**20  # bytes


def folder_fingerprint(names: Sequence[str]) -> str:
    """A hash of the sizes of all pictures and of the first, the middle and the last."""
    try:
        sizes = np.array([os.path.getsize(name) for name in names], "<i8")
    except OSError as error:
        raise DecodeError(os.path.dirname(names[0]), system_reason(error)) from error
    digest = hashlib.blake2b(sizes.tobytes(), digest_size=16)
    for name in (names[0], names[len(names) // 2], names[-1]):
        digest.update(fingerprint(name).encode())
    return digest.hexdigest()


def fingerprint(path: str) -> str:
    """A hash of the size and of the start, the middle and the end of a file, or of its part in an archive.

    Raises:
        DecodeError: the system does not let it be read.
    """
    location = Location.parse(path)
    try:
        size = location.bytes()
        digest = hashlib.blake2b(size.to_bytes(8, "little"), digest_size=16)
        with open(location.file, "rb") as file:
            for start in (0, size // 2, max(0, size - _SAMPLE)):
                file.seek(location.start + start)
                digest.update(file.read(min(_SAMPLE, size - start)))
    except OSError as error:
        raise DecodeError(path, system_reason(error)) from error
    return digest.hexdigest()


def reading_error(path: str) -> str:
    """What the system says where it does not give the file, or its first 256 MiB, or "".

    FFmpeg takes a failing disk for the end of the file, which would count as damaged when the disk is well again.
    """
    location = Location.parse(path)
    try:
        left = min(location.bytes(), _READ_AGAIN)
        with open(location.file, "rb", 0) as file:
            file.seek(location.start)
            while left > 0 and (data := file.read(min(left, _READ_AT_ONCE))):
                left -= len(data)
    except OSError as error:
        return system_reason(error)
    return ""
