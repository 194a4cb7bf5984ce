"""What ways of testing are called, and what they have in common."""

from collections.abc import Iterator
from typing import NamedTuple

OUR_TESTING = "ours"
PER_VIEW = "per view"
PYTORCHVIDEO = "pytorchvideo"

# Videos of a stream that nobody reads to the end.
ENDLESS = 10_000


class Pipeline(NamedTuple):
    """Views on their way from files to probabilities.

    Attributes:
        scored: numbers of views that have just been scored, without end.
        ahead: how many views may have been read before they are asked for.
    """

    scored: Iterator[int]
    ahead: int
