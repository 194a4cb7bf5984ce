"""Fingerprints of files, by which equal content is found, and a check whether the disk gives a file at all."""

import hashlib
import os
from collections.abc import Sequence

import numpy as np

from video_rs.video.errors import DecodeError, system_reason
from video_rs.video.location import Location

_SAMPLE = 65536  # bytes of the start, the middle and the end of a file that count
_DIGEST = 16  # bytes of a fingerprint

# Bytes of an undecodable file that are read to see whether the disk is at fault: seconds on slow disks.
_READ_AGAIN = 2**28
_READ_AT_ONCE = 2**20  # bytes


def fingerprint(path: str) -> str:
    """Return a hash of the size and of the start, the middle and the end of a file, or of a part of a shard.

    Raises:
        DecodeError: the system does not let it be read.
    """
    location = Location.parse(path)
    try:
        size = location.bytes()
        digest = hashlib.blake2b(size.to_bytes(8, "little"), digest_size=_DIGEST)

        with open(location.file, "rb") as file:
            for start in (0, size // 2, max(0, size - _SAMPLE)):
                file.seek(location.start + start)
                digest.update(file.read(min(_SAMPLE, size - start)))
    except OSError as error:
        raise DecodeError(path, system_reason(error)) from error
    return digest.hexdigest()


def folder_fingerprint(pictures: Sequence[str]) -> str:
    """Return a hash of the sizes of all pictures of a folder, and of the first, the middle and the last one.

    Args:
        pictures: paths of the pictures, at least one.

    Raises:
        DecodeError: the system does not let them be read.
    """
    try:
        sizes = np.array([os.path.getsize(picture) for picture in pictures], "<i8")
    except OSError as error:
        raise DecodeError(os.path.dirname(pictures[0]), system_reason(error)) from error

    digest = hashlib.blake2b(sizes.tobytes(), digest_size=_DIGEST)
    for picture in (pictures[0], pictures[len(pictures) // 2], pictures[-1]):
        digest.update(fingerprint(picture).encode())
    return digest.hexdigest()


def reading_error(path: str) -> str:
    """Return what the system says where it does not give the first 256 MiB of a file, or ""; see ``_READ_AGAIN``.

    FFmpeg takes a failing disk for the end of the file. The file would then count as damaged although it is sound when
    the disk is well again.
    """
    location = Location.parse(path)

    try:
        left = min(location.bytes(), _READ_AGAIN)
        # Without a buffer, which would read ahead of what is asked for.
        with open(location.file, "rb", buffering=0) as file:
            file.seek(location.start)

            while left > 0:
                data = file.read(min(left, _READ_AT_ONCE))
                if not data:
                    break
                left -= len(data)
    except OSError as error:
        return system_reason(error)
    return ""
