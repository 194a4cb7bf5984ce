"""Labels of a video as text."""

from collections.abc import Sequence


def joined_labels(labels: Sequence[int], names: Sequence[str]) -> str | None:
    """Return the names of classes as a list file has them, several with ``;`` between; None where there is none."""
    return ";".join(names[label] for label in labels) or None
