"""DISTILL -> the teacher, and what a checkpoint keeps of it."""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from video_rs.builders.lists import Lists
from video_rs.config import Config
from video_rs.data.teacher import Teacher
from video_rs.runtime.errors import InputError

# Path or name, and the kind of device -> a teacher.
LoadTeacher = Callable[[str, str], Teacher]


def build_teacher(config: Config, device: torch.device, load: LoadTeacher) -> Teacher | None:
    """Return DISTILL.TEACHER, or None where there is none."""
    source = config.DISTILL.TEACHER
    if not source:
        return None
    if config.DATA.PSEUDO_LIST:
        raise InputError(
            f"DATA.PSEUDO_LIST {config.DATA.PSEUDO_LIST} and DISTILL.TEACHER {source} both say what a teacher answers; "
            "set one of them to ''"
        )

    teacher = load(source, device.type)
    if teacher.multi_label != config.DATA.MULTI_LABEL:
        gives = "for each class by itself" if teacher.multi_label else "for one class a video"
        needed = str(teacher.multi_label).lower()
        raise InputError(
            f"DISTILL.TEACHER {source} answers {gives}; set DATA.MULTI_LABEL {needed}, or take another teacher"
        )
    return teacher


def in_precision(teacher: Teacher | None, device: torch.device, precision: torch.dtype) -> Teacher | None:
    """Return a teacher that computes as its student does."""
    if teacher is None or precision == torch.float32:
        return teacher
    return dataclasses.replace(teacher, probabilities=partial(_in_precision, teacher.probabilities, device, precision))


def _in_precision(
    probabilities: Callable[[Tensor], Tensor], device: torch.device, precision: torch.dtype, clips: Tensor
) -> Tensor:
    with torch.autocast(device.type, precision):
        return probabilities(clips)


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
