"""Clips, crops and views of the published recipe, as training and testing have them by default."""

from video_rs.data.eval_transform import EvalTransform
from video_rs.data.preprocessing import ClipSpec, Preprocessing
from video_rs.data.train_transform import TrainTransform

SAMPLING_RATE = 2
"""Frames between those of a clip."""


def published_clips(num_frames: int, start_multiple: int = 1) -> ClipSpec:
    """Return clips of ``num_frames`` frames at the published stride; for ``start_multiple`` see :class:`ClipSpec`."""
    return ClipSpec(num_frames, SAMPLING_RATE, short_video="wrap", clip_sampler="frames", start_multiple=start_multiple)


def published_transform(crop_size: int, quick: bool = False) -> TrainTransform:
    """Return the published crop and flip, to squares of ``crop_size`` pixels; ``quick`` resizes in integers."""
    return TrainTransform(
        crop_size=crop_size,
        crop="resized",
        area=(0.08, 1.0),
        aspect=(0.5, 2.0),
        # Not used with this crop.
        short_side=(crop_size, crop_size),
        antialias=False,
        flip=0.5,
        quick=quick,
    )


def published_views(num_frames: int, crop_size: int, num_clips: int, num_crops: int) -> Preprocessing:
    """Return the views of testing: crops as high as the resized frames, and values scaled to [0, 1]."""
    return Preprocessing(
        published_clips(num_frames),
        num_clips,
        EvalTransform(short_side=crop_size, crop_size=crop_size, num_crops=num_crops, antialias=False),
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
    )
