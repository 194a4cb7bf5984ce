"""Clips and transforms with the published values, which the package has once: as defaults of the options."""

from video_rs.data import dataset
from video_rs.data.eval_transform import EvalTransform
from video_rs.data.preprocessing import ClipSpec
from video_rs.data.train_transform import TrainTransform
from video_rs.video import open_video

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


def record_decoding(monkeypatch):
    """A list that gets the frame numbers of each decode of the videos that data sets open from now on."""
    decoded = []

    def opened(*arguments):
        reader = open_video(*arguments)
        frames = reader.frames
        monkeypatch.setattr(reader, "frames", lambda numbers: decoded.append(numbers) or frames(numbers), raising=False)
        return reader

    monkeypatch.setattr(dataset, "open_video", opened)
    return decoded
