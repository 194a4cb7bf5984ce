"""DISTILL -> the teacher, and the loss of its student.

:func:`checkpoint_teacher` makes a :class:`Teacher` of a checkpoint of this project. Whoever knows teachers of other
kinds hands a function like it to :func:`video_rs.builders.training.build_training`.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from video_rs.builders.lists import Lists
from video_rs.config import Config
from video_rs.data.preprocessing import Preprocessing
from video_rs.data.second_view import SecondView
from video_rs.engine.checkpoint import load_checkpoint
from video_rs.engine.evaluation import NetworkScorer
from video_rs.engine.probabilities import ClassProbabilities
from video_rs.lists.soft_labels import refuse_other_classes
from video_rs.models.stored import load_classifier
from video_rs.runtime.errors import InputError
from video_rs.runtime.torch_files import find_checkpoint
from video_rs.runtime.wording import canonical


@dataclass(frozen=True)
class Teacher:
    """What says of clips which classes they are of.

    Attributes:
        source: as given, for messages.
        sha256: of its weights or file: another teacher has another.
        label_names: of its K classes, in the order of its probabilities.
        multi_label: whether each class has a probability of its own; else those of a clip sum to 1.
        preprocessing: of its clips: number of frames, size, resizing; what happens to the values is its own matter.
        probabilities: uint8 clips ``[B, 3, T, crop, crop]`` on the CPU -> float32 ``[B, K]`` on the device of training.
            It is called without gradients, and draws no random numbers.
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


# Path or name, device, and the dtype to compute in -> a teacher.
LoadTeacher = Callable[[str, torch.device, torch.dtype], Teacher]


def checkpoint_teacher(source: str, device: torch.device, precision: torch.dtype) -> Teacher:
    """Return the network of a checkpoint, or of a run's last one, as a teacher: its average, in evaluation mode.

    Raises:
        InputError: there is no such checkpoint, or it cannot be read.
    """
    path = find_checkpoint(source)
    checkpoint = load_checkpoint(path)
    preprocessing = Preprocessing.from_dict(checkpoint["preprocessing"])
    model = load_classifier(checkpoint, device).requires_grad_(False)
    multi_label = checkpoint["multi_label"]
    prepare = partial(preprocessing.prepare, device=device)
    score = NetworkScorer(model, prepare, ClassProbabilities(multi_label))

    def probabilities(clips: Tensor) -> Tensor:
        with torch.autocast(device.type, precision, enabled=precision != torch.float32):
            return score(clips)

    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Teacher(source, digest, tuple(checkpoint["label_names"]), multi_label, preprocessing, probabilities)


def build_teacher(config: Config, device: torch.device, precision: torch.dtype, load: LoadTeacher) -> Teacher | None:
    """Return DISTILL.TEACHER, or None where there is none."""
    source = config.DISTILL.TEACHER
    if not source:
        return None
    if config.DATA.PSEUDO_LIST:
        raise InputError(
            f"DATA.PSEUDO_LIST {config.DATA.PSEUDO_LIST} and DISTILL.TEACHER {source} both say what a teacher answers; "
            "set one of them to ''"
        )

    teacher = load(source, device, precision)
    if teacher.multi_label != config.DATA.MULTI_LABEL:
        gives = "for each class by itself" if teacher.multi_label else "for one class a video"
        needed = str(teacher.multi_label).lower()
        raise InputError(
            f"DISTILL.TEACHER {source} answers {gives}; set DATA.MULTI_LABEL {needed}, or take another teacher"
        )
    return teacher


def has_labels(config: Config, lists: Lists) -> bool:
    """Return whether the labels of the training list can be learned from, beside a teacher."""
    records = lists.train.records
    if config.DATA.MULTI_LABEL:
        return any(record.labels for record in records)
    return all(record.labels for record in records)


def teacher_facts(config: Config, teacher: Teacher) -> Mapping[str, Any]:
    """Return what a checkpoint keeps of a teacher, as plain data: not its weights."""
    return {
        "source": teacher.source,
        "sha256": teacher.sha256,
        "preprocessing": teacher.preprocessing.to_dict(),
        "temperature": config.DISTILL.TEMPERATURE,
        "weight": config.DISTILL.WEIGHT,
    }


def _in_order(probabilities: Callable[[Tensor], Tensor], columns: Tensor, clips: Tensor) -> Tensor:
    said = probabilities(clips)
    return said[:, columns.to(said.device)]
