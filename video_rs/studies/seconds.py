"""How long the two parts of a run have taken."""

from typing import NamedTuple


class Seconds(NamedTuple):
    """How long a run has taken since it was last begun.

    Attributes:
        training: of its training, or of what it does in the place of that.
        test: of its test.
    """

    training: float
    test: float
