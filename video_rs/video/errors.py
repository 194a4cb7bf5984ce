"""The errors of a video that cannot be read."""

import os

from video_rs.runtime.errors import InputError


class DecodeError(InputError):
    """A video, or a frame of a video, cannot be read.

    The error survives pickling, since worker processes hand it to the process that trains.

    Args:
        path: the file, part of a shard, folder or URL.
        reason: what is wrong, as the end of a sentence that begins with the path.
        kind: one of "missing", "empty" (nothing is in the file), "truncated" (the file ends before its own index
            says), "unreadable" (nothing in the file can be opened as a video) and "damaged" (a frame cannot be
            decoded).
    """

    def __init__(self, path: str | os.PathLike, reason: str, kind: str = "unreadable"):
        super().__init__(f"cannot decode {path}: {reason}")
        self.path = os.fspath(path)
        self.reason = reason
        self.kind = kind

    def __reduce__(self):
        # An exception is pickled with the arguments of its base class, which here is only the finished message.
        return type(self), (self.path, self.reason, self.kind)


class PresentationMismatch(DecodeError):
    """A decoder would show other pictures of a file than PyAV does."""


def system_reason(error: Exception) -> str:
    """Return why the operating system does not let a file be read, in the words of a :class:`DecodeError`."""
    system_words = getattr(error, "strerror", None)
    return (system_words or str(error)).lower()
