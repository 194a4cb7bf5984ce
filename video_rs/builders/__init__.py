"""The seam: one module a room turns the options of a config into objects. What lies below takes plain arguments."""

from video_rs.builders.data import (
    build_clip_spec,
    build_mixing,
    build_preprocessing,
    build_source,
    build_train_transform,
    build_view_loader,
    build_workers,
    clips_of_a_video,
)
from video_rs.builders.engine import (
    build_average,
    build_failure_limit,
    build_loss,
    build_non_finite_limit,
    build_optimizer,
    build_plan,
    build_precision,
    build_schedule,
)
from video_rs.builders.lists import Lists, build_lists
from video_rs.builders.models import build_architecture, build_model, load_start_weights
from video_rs.builders.training import Training, build_training

__all__ = [
    "Lists",
    "Training",
    "build_architecture",
    "build_average",
    "build_clip_spec",
    "build_failure_limit",
    "build_lists",
    "build_loss",
    "build_mixing",
    "build_model",
    "build_non_finite_limit",
    "build_optimizer",
    "build_plan",
    "build_precision",
    "build_preprocessing",
    "build_schedule",
    "build_source",
    "build_train_transform",
    "build_training",
    "build_view_loader",
    "build_workers",
    "clips_of_a_video",
    "load_start_weights",
]
