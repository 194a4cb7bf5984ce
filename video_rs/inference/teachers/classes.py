"""The classes of a teacher beside those of its student, matched by name."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from video_rs.runtime.errors import InputError
from video_rs.runtime.wording import canonical, first_names, pluralize


@dataclass(frozen=True)
class ClassMatch:
    """Where the student's classes stand among the teacher's.

    Attributes:
        label_names: of the student's K classes.
        columns: of each class, where it is among the teacher's; -1 where the teacher does not know it.
        unknown: the student's classes that the teacher does not know.
        others: the teacher's classes that the student does not have.
    """

    label_names: tuple[str, ...]
    columns: tuple[int, ...]
    unknown: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    def of_student(self, probabilities: np.ndarray) -> np.ndarray:
        """Return the teacher's probabilities float32 ``[L]`` as ``[K]``, 0 for a class that it does not know.

        What it gives to other classes is not shared out: a video of another class stays one of low confidence.
        """
        padded = np.append(probabilities, np.float32(0))
        return padded[list(self.columns)]


def match_classes(
    teacher_names: Sequence[str], label_names: Sequence[str], only_common: bool, source: str
) -> ClassMatch:
    """Return where the student's classes stand.

    Args:
        teacher_names: of the teacher's classes.
        label_names: of the student's; empty: the teacher's own.
        only_common: whether classes that one of them does not have are left out.
        source: of the teacher, for messages.

    Raises:
        InputError: the classes differ, or have none in common.
    """
    if not label_names:
        return ClassMatch(tuple(teacher_names), tuple(range(len(teacher_names))))

    places = {canonical(name): place for place, name in enumerate(teacher_names)}
    columns = tuple(places.get(canonical(name), -1) for name in label_names)
    unknown = tuple(name for name, place in zip(label_names, columns, strict=True) if place < 0)
    others = tuple(name for place, name in enumerate(teacher_names) if place not in columns)
    if len(unknown) == len(label_names):
        raise InputError(
            f"{source} knows none of the {pluralize(len(label_names), 'class', 'classes')} of --labels (it knows "
            f"{first_names(teacher_names)}); take another teacher, or name the classes as it does"
        )
    if (unknown or others) and not only_common:
        differences = []
        if unknown:
            differences.append(f"it does not know {first_names(unknown)}")
        if others:
            differences.append(f"--labels lacks {first_names(others)}")
        raise InputError(
            f"{source} has other classes: {'; '.join(differences)}; name them alike, or add --only-common to leave "
            "them out"
        )
    return ClassMatch(tuple(label_names), columns, unknown, others)
