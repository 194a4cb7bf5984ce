"""The one error type that means "the user's input was refused".

Everything under ``video_rs`` raises :class:`InputError` for input a user can mend, and ``tools/`` turns it into one
line on stderr and exit code 2. Any other exception is a defect and keeps its traceback (exit code 1).
"""


class InputError(ValueError):
    """The user's input was refused. The message is one line: what, got, allowed, next step."""


class Stopped(Exception):
    """A run was told to stop, and its state is saved."""
