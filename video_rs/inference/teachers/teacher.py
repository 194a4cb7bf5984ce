"""The contract of a teacher."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from video_rs.data.preprocessing import Preprocessing


@dataclass(frozen=True)
class Teacher:
    """What says of clips which classes they are of.

    Attributes:
        source: as given, for messages.
        sha256: of its files: another teacher has another.
        label_names: of its K classes, in the order of its probabilities.
        multi_label: whether each class has a probability of its own; else those of a clip sum to 1.
        preprocessing: from a video to its clips; what happens to the values of the pixels is its own matter.
        probabilities: uint8 clips ``[B, 3, T, crop, crop]`` on the CPU -> float32 ``[B, K]``.
    """

    source: str
    sha256: str
    label_names: tuple[str, ...]
    multi_label: bool
    preprocessing: Preprocessing
    probabilities: Callable[[Tensor], Tensor]
