"""One config -> everything that a training run is made of."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from video_rs.builders.data import build_clip_order, build_preprocessing, build_train_loader
from video_rs.builders.engine import PRECISIONS, build_objective, build_plan, build_precision, build_step
from video_rs.builders.lists import Lists, build_lists
from video_rs.builders.models import build_architecture, build_model, projection_shape
from video_rs.builders.pretraining import build_pretraining_lists, require_pretraining
from video_rs.builders.teachers import LoadTeacher, build_teacher, in_precision, teacher_facts
from video_rs.config import Config, load_config, stored_config
from video_rs.data.clip_pairs import CLIPS_OF_A_PAIR
from video_rs.data.loader import ClipLoader
from video_rs.data.preprocessing import Preprocessing
from video_rs.data.teacher import Teacher
from video_rs.engine.schedule import Plan
from video_rs.engine.step import Step
from video_rs.models import Architecture


@dataclass(frozen=True)
class Training:
    """What a run is made of, and what finding a learning rate, probing memory and studies take.

    Attributes:
        config: what all of this was built from.
        device: what computes.
        lists: what is trained and validated on.
        architecture: of the network.
        preprocessing: of testing and prediction; also the pixel range of training.
        plan: how long the run is, and what is due when.
        step: the training step, with network, optimizer and average. It is the one part that changes during the run.
        teacher: whose answers are learned; None: labels are. The step asks it in its own precision.
        started_from: the weights that the run has started from, by ``source`` and ``sha256``; empty: fresh ones; None:
            nobody knows, as the run was begun by an older version.
    """

    config: Config
    device: torch.device
    lists: Lists
    architecture: Architecture
    preprocessing: Preprocessing
    plan: Plan
    step: Step
    teacher: Teacher | None = None
    started_from: Mapping[str, str] | None = field(default_factory=dict)

    @property
    def is_pretraining(self) -> bool:
        """Whether clips are compared with each other, and no class is learned."""
        return self.config.CONTRAST.ENABLED

    @property
    def precision(self) -> str:
        """What the forward pass computes in: a value of TRAIN.PRECISION other than auto."""
        return str(self.step.precision).removeprefix("torch.")

    def loader(self, first_step: int, last_step: int | None = None) -> ClipLoader:
        """Return the clips of the steps from ``first_step`` to before ``last_step``, None for the end of the run.

        Raises:
            InputError: a batch that does not divide, a crop that does not fit, or a decoder or cache that is missing.
        """
        if last_step is None:
            last_step = self.plan.total_steps
        order = build_clip_order(self.config, self.lists, self.plan, first_step, last_step)
        pin = self.device.type == "cuda"
        view = None if self.teacher is None else self.teacher.view
        return build_train_loader(self.config, self.lists, order, pin, view)

    def identity(self) -> Mapping[str, Any]:
        """Return what prediction, or a resumed run, needs beside weights and state, as plain data for a checkpoint.

        Of a teacher, and of weights to start from, it has what tells them from others. That of a pre-training run has
        the size of its projection head, and no classes.
        """
        further = {}
        names = list(self.lists.label_names)
        if self.teacher is not None:
            further["teacher"] = teacher_facts(self.config, self.teacher)
        if self.started_from is not None:
            further["started_from"] = dict(self.started_from)
        if self.is_pretraining:
            further["projection"] = dataclasses.asdict(projection_shape(self.config))
            # The classes are those of the videos that vote in validation: the network knows none.
            names = []
        return {
            **further,
            "architecture": dataclasses.asdict(self.architecture),
            "num_classes": len(names),
            "label_names": names,
            "multi_label": self.config.DATA.MULTI_LABEL,
            "preprocessing": self.preprocessing.to_dict(),
            "precision": self.precision,
            "config": stored_config(self.config),
        }

    def with_micro_batches(self, count: int) -> "Training":
        """Return the same training, as if TRAIN.ACCUMULATION_STEPS had been ``count``; the step is the same object."""
        if count == self.plan.micro_batches:
            return self
        config = load_config("", {**self.config.flat(), "TRAIN.ACCUMULATION_STEPS": count})
        plan = build_plan(config, self.plan.num_samples)
        return dataclasses.replace(self, config=config, plan=plan)

    def compute_in(self, precision: str) -> None:
        """Let the steps from now on compute in another precision, a value of TRAIN.PRECISION other than auto."""
        dtype = PRECISIONS[precision]
        self.step.compute_in(dtype)
        if self.teacher is not None:
            teacher = in_precision(self.teacher, self.device, dtype)
            self.step.objective = build_objective(self.config, self.lists, self.step.objective.prepare, teacher)


def build_training(config: Config, device: torch.device, load_teacher: LoadTeacher) -> Training:
    """Build a training run with fresh weights.

    Args:
        config: of the run.
        device: what computes.
        load_teacher: makes a teacher of DISTILL.TEACHER.

    Raises:
        InputError: an option that does not fit the others, or the lists.
    """
    arch = build_architecture(config)
    precision = build_precision(config, device)
    teacher = None
    if config.CONTRAST.ENABLED:
        require_pretraining(config)
        lists = build_pretraining_lists(config)
        plan = build_plan(config, CLIPS_OF_A_PAIR * len(lists.train))
    else:
        teacher = build_teacher(config, device, load_teacher)
        lists = build_lists(config, () if teacher is None else teacher.label_names)
        plan = build_plan(config, len(lists.train))
    preprocessing = build_preprocessing(config)
    model = build_model(config, arch, len(lists.label_names), device)
    prepare = partial(preprocessing.prepare, device=device)
    objective = build_objective(config, lists, prepare, in_precision(teacher, device, precision))
    step = build_step(config, model, objective, plan, device)

    training = Training(config, device, lists, arch, preprocessing, plan, step, teacher)
    # A bad crop or batch size is refused now, before anything is written.
    training.loader(0)
    return training
