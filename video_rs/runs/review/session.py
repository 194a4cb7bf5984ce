"""A review while it lasts: what is shown, what was decided, and the list that is written."""

import threading
from collections.abc import Sequence
from typing import Any

from video_rs.inference.predictions import Predictions
from video_rs.lists.revised_list import Decision, RevisedList
from video_rs.runs.review.choosing import Item, choose
from video_rs.runtime.errors import InputError

LABEL = "label"
BROKEN = "broken"
UNDO = "undo"


class Session:
    """Takes decisions from the page, one after the other.

    Args:
        predictions: of the old list.
        revised: the old list and the new one.
        most: videos of each kind to show.

    Raises:
        InputError: none of the predictions is of a video of the list.
    """

    def __init__(self, predictions: Predictions, revised: RevisedList, most: int):
        items = choose(predictions, most)
        rows = revised.rows_of(item.record for item in items)
        # What the list does not have cannot be corrected in it.
        self.left_out = sum(not of_item for of_item in rows)

        if items and self.left_out == len(items):
            raise InputError(
                f"no video of the predictions is in the list that was given, such as {items[0].record.path}; give the "
                "list that was tested with --list, and what its paths start from with --root"
            )

        self.items: Sequence[Item] = [item for item, of_item in zip(items, rows, strict=True) if of_item]
        self._rows = [of_item for of_item in rows if of_item]
        self._names = predictions.label_names
        self._multi_label = predictions.about.multi_label
        self._revised = revised
        self._one_at_a_time = threading.Lock()

    def content(self) -> dict[str, Any]:
        """Return all that the page shows, as JSON values."""
        return {
            "labels": list(self._names),
            "multi_label": self._multi_label,
            "list": str(self._revised.path),
            "items": [self._shown(number) for number in range(len(self.items))],
        }

    def decide(self, request: Any) -> dict[str, Any]:
        """Do what the page asks for, and return the video as it is shown from now on.

        Args:
            request: ``{"item": number, "do": "label", "labels": [class, ...]}``, or "broken" or "undo" without labels.

        Raises:
            InputError: it asks for something else.
            OSError: the list cannot be written.
        """
        number, decision = self._checked(request)
        with self._one_at_a_time:
            self._revised.decide(self._rows[number], decision)
            return self._shown(number)

    def decided(self) -> tuple[int, int, int]:
        """Return how many of the videos that are shown are right, relabelled and broken."""
        right = relabelled = broken = 0
        for number in range(len(self.items)):
            row = self._rows[number][0]
            decision = self._revised.decisions.get(row)
            if decision is None:
                continue
            if decision.is_broken:
                broken += 1
            elif set(decision.labels) == set(self._revised.ids_of(self._revised.rows[row])):
                right += 1
            else:
                relabelled += 1

        return right, relabelled, broken

    def _checked(self, request: Any) -> tuple[int, Decision | None]:
        """Return the number of a video and what to decide about it."""
        if not isinstance(request, dict):
            raise InputError("a decision is an object with item and do")

        number = request.get("item")
        if type(number) is not int or not 0 <= number < len(self.items):
            raise InputError(f"item is {number!r}; allowed: 0 to {len(self.items) - 1}")

        do = request.get("do")
        if do == UNDO:
            return number, None
        if do == BROKEN:
            return number, Decision(is_broken=True)
        if do != LABEL:
            raise InputError(f"do is {do!r}; allowed: {LABEL}, {BROKEN}, {UNDO}")

        return number, Decision(labels=self._checked_labels(request.get("labels")))

    def _checked_labels(self, labels: Any) -> tuple[int, ...]:
        """Return class ids, each once."""
        classes = len(self._names)
        are_ids = isinstance(labels, list) and all(type(label) is int and 0 <= label < classes for label in labels)

        if not are_ids or not (self._multi_label or len(labels) == 1):
            count = "any number of" if self._multi_label else "one of"
            raise InputError(f"labels is {labels!r}; allowed: {count} the class numbers 0 to {classes - 1}, in a list")

        return tuple(dict.fromkeys(labels))

    def _shown(self, number: int) -> dict[str, Any]:
        """Return a video as JSON values."""
        item = self.items[number]
        row = self._rows[number][0]
        decision = self._revised.decisions.get(row)
        decided = None

        if decision is not None:
            decided = {"broken": decision.is_broken, "labels": list(decision.labels)}

        return {
            "name": item.record.id,
            "group": item.group,
            "labels": list(self._revised.ids_of(self._revised.rows[row])),
            "top": [[label, round(score, 6)] for label, score in item.top],
            "error": item.error,
            "decision": decided,
        }
