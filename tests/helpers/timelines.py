"""Films whose brightness says what they show, and predictors that look at nothing else."""

import av
import numpy as np
import torch

from helpers.films import film
from video_rs.data.eval_transform import EvalTransform
from video_rs.data.preprocessing import ClipSpec, Preprocessing
from video_rs.inference.prediction import Answers
from video_rs.inference.predictor import Predictor
from video_rs.video.encoding import write_video

LABELS = ("dark", "light")


class Brightness:
    """Scores views by how bright they are, and counts what it was given."""

    def __init__(self):
        self.batches = []

    def __call__(self, views):
        self.batches.append(len(views))
        light = views.float().mean((1, 2, 3, 4)) / 255
        return torch.stack([1 - light, light], dim=1)


def brightness_predictor(frames=4, rate=2, threshold=None, crops=1, multi_label=False, batch=3, **clip):
    """A predictor of ``dark`` and ``light`` for clips of ``frames`` frames, ``rate`` apart, of 16 x 16 pixels."""
    spec = {"short_video": "wrap", "clip_sampler": "frames", **clip}
    preprocessing = Preprocessing(
        ClipSpec(frames, rate, **spec), 1, EvalTransform(16, 16, crops, antialias=False), (0, 0, 0), (1, 1, 1)
    )
    return Predictor(Brightness(), preprocessing, Answers(LABELS, multi_label, threshold), batch=batch)


def flat(level, frames, size=(16, 24)):
    """uint8 ``[frames, *size, 3]``, all of one grey level."""
    return np.full((frames, *size, 3), level, np.uint8)


def write_levels(path, *parts, fps=10, **options):
    """Write a film of (grey level, frames) parts."""
    write_video(path, np.concatenate([flat(level, frames) for level, frames in parts]), fps=fps, **options)
    return path


def write_damaged(path, damaged=slice(103, 104)):
    """Write a film of 200 dark frames and many key frames, of which the data of some are overwritten."""
    blocks = np.kron(np.random.default_rng(0).integers(0, 100, (12, 16, 3)), np.ones((4, 4, 1))).astype(np.uint8)
    moving = np.stack([np.roll(blocks, 3 * number, axis=1) for number in range(200)])
    film(path, moving, base=10, interval=10, options={"bf": "0"})

    with av.open(str(path)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    for start, size in packets[damaged]:
        data[start + size // 2 : start + size] = bytes(size - size // 2)
    path.write_bytes(data)
