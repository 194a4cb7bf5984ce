"""What the runs of a study have to compute."""

import functools
from dataclasses import dataclass

import torch

from video_rs.builders import build_architecture
from video_rs.builders.engine import build_plan
from video_rs.builders.lists import Lists
from video_rs.config import Config
from video_rs.models import Architecture
from video_rs.models.classifier import VideoClassifier
from video_rs.models.resnet3d import FEATURES
from video_rs.models.table import gmac, parameters
from video_rs.runtime.errors import InputError
from video_rs.studies.study import Study, StudyRun
from video_rs.studies.study_lists import StudyLists

BACKWARD = 3.0  # a step over the forward pass alone


@dataclass(frozen=True)
class Work:
    """What a run has to compute.

    Attributes:
        steps: of the optimizer; none of a run that trains nothing.
        clips: that are trained on.
        views: that are tested, or whose features are computed.
        gmac: of the forward pass of a training clip, in 10^9 multiply-adds.
        view_gmac: of that of a view.
        parameters: of the network.
        step_cost: a step over the forward pass alone.
    """

    steps: int
    clips: int
    views: int
    gmac: float
    view_gmac: float
    parameters: int
    step_cost: float = BACKWARD

    @property
    def total(self) -> float:
        """Multiply-adds of training and of the test, in 10^9."""
        return self.step_cost * self.clips * self.gmac + self.views * self.view_gmac

    @property
    def passes(self) -> float:
        """Clips that are trained on, and views as parts of such."""
        return self.clips + self.views / BACKWARD


def work_of(study: Study, run: StudyRun, lists: StudyLists) -> Work:
    """Return the work of a run.

    Raises:
        InputError: its configuration or its lists are refused, or it has no list to be tested on.
    """
    config = study.config(run)
    read = _comparable_lists(run, config, lists)
    arch = build_architecture(config)
    classes = len(read.label_names)
    frames = config.DATA.NUM_FRAMES
    steps = 0
    clips = 0
    # Without training, one centre view of each video is computed.
    views = len(read.train) + len(read.val)
    if run.trains:
        plan = build_plan(config, len(read.train))
        steps = plan.total_steps
        clips = plan.total_steps * plan.batch_size
        views = len(read.val) * config.TEST.NUM_ENSEMBLE_VIEWS * config.TEST.NUM_SPATIAL_CROPS

    # With some parts frozen a step costs something between the two, which is not looked into.
    is_frozen = len(FEATURES) <= config.MODEL.FROZEN_STAGES
    return Work(
        steps=steps,
        clips=clips,
        views=views,
        gmac=_clip_gmac(arch, classes, frames, config.DATA.TRAIN_CROP_SIZE),
        view_gmac=_clip_gmac(arch, classes, frames, config.DATA.TEST_CROP_SIZE),
        parameters=parameters(_network(arch, classes)),
        step_cost=1.0 if is_frozen else BACKWARD,
    )


def _comparable_lists(run: StudyRun, config: Config, lists: StudyLists) -> Lists:
    """Return the lists of a run that can be compared with others.

    Raises:
        InputError: its videos have several labels each, or it has no list to be tested on.
    """
    if config.DATA.MULTI_LABEL:
        raise InputError(
            f"{run.name} has DATA.MULTI_LABEL true, and studies compare videos of one label each; leave it away"
        )
    read = lists.of(run)
    if read.val is None:
        raise InputError(
            f"{run.name} has no videos to be tested on; name a list with --list that has a column split with val rows, "
            "or set DATA.VAL_LIST"
        )
    return read


@functools.cache
def _network(arch: Architecture, classes: int) -> VideoClassifier:
    """Return a network without memory; the runs of a study have few different ones."""
    with torch.device("meta"):
        return VideoClassifier(arch, classes)


@functools.cache
def _clip_gmac(arch: Architecture, classes: int, frames: int, size: int) -> float:
    """Return the multiply-adds of a clip's forward pass, in 10^9; to count them takes up to a second."""
    return gmac(_network(arch, classes), frames, size)
