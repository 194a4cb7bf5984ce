"""What ways of testing are called, and what they have in common."""

from collections.abc import Iterator
from typing import Any, NamedTuple

OUR_TESTING = "ours"
PER_VIEW = "per view"
PYTORCHVIDEO = "pytorchvideo"

# Videos of a stream that nobody reads to the end.
ENDLESS = 10_000


class Pipeline(NamedTuple):
    """Views on their way from files to probabilities.

    Attributes:
        items: what is read: videos with all their views, views, or batches of them.
        ahead: how many items may have been read before they are asked for.
        scored: numbers of views that have just been scored, without end; it takes from ``items`` what it needs.
    """

    items: Iterator[Any]
    ahead: int
    scored: Iterator[int]
