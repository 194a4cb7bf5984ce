"""Clips and crops of the published recipe, as training has them by default."""

from video_rs.data.preprocessing import ClipSpec
from video_rs.data.transforms import TrainTransform

SAMPLING_RATE = 2
"""Frames between those of a clip."""


def published_clips(num_frames: int) -> ClipSpec:
    """Return clips of ``num_frames`` frames at the published stride."""
    return ClipSpec(num_frames, SAMPLING_RATE, short_video="wrap", clip_sampler="frames")


def published_transform(crop_size: int) -> TrainTransform:
    """Return the published crop and flip, to squares of ``crop_size`` pixels."""
    return TrainTransform(
        crop_size=crop_size,
        crop="resized",
        area=(0.08, 1.0),
        aspect=(0.5, 2.0),
        # Not used with this crop.
        short_side=(crop_size, crop_size),
        antialias=False,
        flip=0.5,
    )
