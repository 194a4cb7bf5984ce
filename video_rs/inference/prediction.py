"""Answers for people: the best labels of a video, or that the network is unsure."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from video_rs.engine.metrics import VideoResult, top_labels


@dataclass(frozen=True)
class Prediction:
    """Answer for one video.

    Attributes:
        video: path as given; of frames in memory, how many there were.
        top: (label, score) pairs, best first, at most five; scores are mean probabilities over the views.
        error: why there is no answer, or None.
        unsure: whether the best score is below the threshold that ``video-rs calibrate`` has found; None where there is
            no threshold, or no answer.
        id: of a list's row, else the same as ``video``.
        probabilities: of all classes, float32 ``[K]``, or None.
    """

    video: str
    top: tuple[tuple[str, float], ...]
    error: str | None = None
    unsure: bool | None = None
    id: str = ""
    probabilities: Tensor | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the object that ``predict --json`` writes."""
        top = [{"label": label, "score": score} for label, score in self.top]
        answer = {"video": self.video, "top": top, "error": self.error}
        if self.id not in ("", self.video):
            answer["id"] = self.id
        if self.unsure is not None:
            answer["unsure"] = self.unsure
        return answer


@dataclass(frozen=True)
class Answers:
    """Turns probabilities into answers.

    Attributes:
        label_names: of the classes, in their order.
        multi_label: whether each class is judged by itself: the scores of a video need not sum to one.
        threshold: a best probability below it is "unsure"; None: none is.
    """

    label_names: tuple[str, ...]
    multi_label: bool = False
    threshold: float | None = None

    def of(self, result: VideoResult) -> Prediction:
        """Return the answer for a video, or why there is none."""
        if result.error is not None:
            return Prediction(result.video, (), result.error, id=result.id)
        top = tuple(top_labels(result.probabilities, self.label_names))
        return Prediction(
            result.video, top, unsure=self.is_unsure(top[0][1]), id=result.id, probabilities=result.probabilities
        )

    def is_unsure(self, score: float) -> bool | None:
        """Return whether a best probability is too low to be an answer; None without a threshold."""
        if self.threshold is None:
            return None
        return score < self.threshold
