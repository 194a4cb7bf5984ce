"""The errors that a command answers with a line in the place of a traceback.

Everything under ``video_rs`` raises :class:`InputError` for input that a user can correct. A command prints its message
as one line on stderr and exits with code 2, or with code 1 for :class:`CheckFailed`. An exception that is not in this
module is a defect: it keeps its traceback, and the exit code is 1.
"""


class InputError(ValueError):
    """The user's input was refused. The message is one line: what, got, allowed, next step."""


class CheckFailed(Exception):
    """A result failed the check that it has to pass, and was not kept; the user's input is not to blame.

    The message is one line, and the exit code is 1.
    """


class Stopped(Exception):
    """A run was told to stop, and its state is saved.

    Args:
        message: what was stopped, and where.
        next_step: how to go on.
    """

    def __init__(self, message: str, next_step: str = "continue with --resume"):
        super().__init__(message)
        self.next_step = next_step
