"""Which videos are worth a look: the surest mistakes, the least sure answers, and what could not be read."""

from collections.abc import Sequence
from dataclasses import dataclass

from video_rs.engine.metrics import VideoResult, top_labels
from video_rs.inference.predictions import Predictions
from video_rs.lists.records import VideoRecord

MISTAKE = "mistake"
LEAST_SURE = "least sure"
UNREADABLE = "unreadable"


@dataclass(frozen=True)
class Item:
    """A video to look at.

    Attributes:
        record: of the video.
        group: why it is shown.
        top: (class, probability) of the best classes, the best first; empty where the video could not be read.
        error: why it could not be read, or None.
    """

    record: VideoRecord
    group: str
    top: Sequence[tuple[int, float]]
    error: str | None


def choose(predictions: Predictions, most: int) -> list[Item]:
    """Return the videos to look at: mistakes, the surest first; others, the least sure first; unreadable ones.

    Args:
        predictions: of a list.
        most: videos of each of the three kinds.
    """
    mistakes = []
    others = []

    for result in predictions.read_results:
        best = int(result.probabilities.argmax())
        if result.labels and best not in result.labels:
            mistakes.append(result)
        else:
            others.append(result)

    mistakes.sort(key=_confidence, reverse=True)
    others.sort(key=_confidence)
    chosen = [(MISTAKE, mistakes), (LEAST_SURE, others), (UNREADABLE, predictions.failures)]
    items = []

    for group, results in chosen:
        items += [_item(predictions, group, result) for result in results[:most]]

    return items


def _confidence(result: VideoResult) -> float:
    """Return the probability of the best class."""
    return float(result.probabilities.max())


def _item(predictions: Predictions, group: str, result: VideoResult) -> Item:
    """Return a video as it is shown."""
    top: list[tuple[int, float]] = []
    if result.probabilities is not None:
        top = top_labels(result.probabilities, range(len(predictions.label_names)))

    return Item(predictions.records[result.index], group, top, result.error)
