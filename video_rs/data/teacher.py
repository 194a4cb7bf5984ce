"""The contract of a teacher: clips of its own preprocessing -> probabilities over named classes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from video_rs.data.preprocessing import Preprocessing
from video_rs.data.second_view import SecondView
from video_rs.lists.soft_labels import refuse_other_classes
from video_rs.runtime.wording import canonical


@dataclass(frozen=True)
class Teacher:
    """What says of clips which classes they are of.

    Attributes:
        source: as given, for messages.
        sha256: of its files: another teacher has another.
        label_names: of its K classes, in the order of its probabilities.
        multi_label: whether each class has a probability of its own; else those of a clip sum to 1.
        preprocessing: from a video to its clips; what happens to the values of the pixels is its own matter.
        probabilities: uint8 clips ``[B, 3, T, crop, crop]`` on the CPU -> float32 ``[B, K]`` on the device that it
            was loaded on. It is called without gradients, and draws no random numbers.
    """

    source: str
    sha256: str
    label_names: tuple[str, ...]
    multi_label: bool
    preprocessing: Preprocessing
    probabilities: Callable[[Tensor], Tensor]

    @property
    def view(self) -> SecondView:
        """The form of its clips."""
        transform = self.preprocessing.transform
        return SecondView(self.preprocessing.clip.num_frames, transform.crop_size, transform.antialias)

    def ordered(self, label_names: Sequence[str]) -> Callable[[Tensor], Tensor]:
        """Return :attr:`probabilities` in the order of other names of the same classes.

        Raises:
            InputError: they are other classes.
        """
        refuse_other_classes(self.label_names, label_names, f"DISTILL.TEACHER {self.source} is a teacher")
        place = {canonical(name): index for index, name in enumerate(self.label_names)}
        columns = [place[canonical(name)] for name in label_names]
        return partial(_in_order, self.probabilities, torch.tensor(columns))

    def answer_black_clips(self, count: int) -> None:
        """Judge clips of nothing, to see what memory that takes."""
        with torch.no_grad():
            self.probabilities(torch.zeros(count, *self.view.shape, dtype=torch.uint8))


def _in_order(probabilities: Callable[[Tensor], Tensor], columns: Tensor, clips: Tensor) -> Tensor:
    said = probabilities(clips)
    return said[:, columns.to(said.device)]
