"""Clips and transforms with the published values, which the package has once: as defaults of the options."""

from video_rs.data.preprocessing import ClipSpec
from video_rs.data.transforms import EvalTransform, TrainTransform

PUBLISHED = {
    "crop_size": 224,
    "crop": "resized",
    "area": (0.08, 1.0),
    "aspect": (0.5, 2.0),
    "short_side": (256, 320),
    "antialias": False,
    "flip": 0.5,
}


def clip_spec(num_frames, sampling_rate, short_video="wrap", clip_sampler="frames", target_fps=0.0):
    return ClipSpec(num_frames, sampling_rate, short_video, clip_sampler, target_fps)


def train_transform(**changes):
    return TrainTransform(**{**PUBLISHED, **changes})


def eval_transform(short_side=256, crop_size=256, num_crops=3, antialias=False):
    return EvalTransform(short_side, crop_size, num_crops, antialias)
