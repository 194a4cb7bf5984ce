"""The error of a video that cannot be read."""

import os

from video_rs.runtime.errors import InputError


class DecodeError(InputError):
    """A video, or a frame of it, cannot be read. Survives pickling, so it crosses worker processes whole.

    ``kind`` is one of missing, empty (nothing in the file), truncated (its own index says so), unreadable (no video
    that can be opened) and damaged (a frame that cannot be decoded).
    """

    def __init__(self, path: str | os.PathLike, reason: str, kind: str = "unreadable"):
        super().__init__(f"cannot decode {path}: {reason}")
        self.path, self.reason, self.kind = os.fspath(path), reason, kind

    def __reduce__(self):
        return type(self), (self.path, self.reason, self.kind)


class PresentationMismatch(DecodeError):
    """A decoder would show other pictures of this file than PyAV does."""


def system_reason(error: Exception) -> str:
    """What the system says of a file that it does not let be read, in the words of a DecodeError."""
    return (getattr(error, "strerror", None) or str(error)).lower()
