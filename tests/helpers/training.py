"""Networks, batches and trainers small enough to compute by hand."""

import copy
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from video_rs.engine.ema import Ema
from video_rs.engine.losses import SoftmaxLoss
from video_rs.engine.optim import parameter_groups, sgd
from video_rs.engine.trainer import Trainer, TrainSettings

CLASSES = 3


SHAPE = (3, 2, 6, 6)


@dataclass
class Batch:
    """What the trainer needs of a micro-batch; ``clips`` and ``labels`` are those of the valid slots."""

    clips: Tensor
    labels: Tensor
    size: int
    failures: list[tuple[str, str]] = field(default_factory=list)
    videos: list[str] = field(default_factory=list)


def make_batch(seed, valid, size=None, shape=SHAPE):
    generator = torch.Generator().manual_seed(seed)
    clips = torch.randint(256, (valid, *shape), dtype=torch.uint8, generator=generator)
    labels = torch.randint(CLASSES, (valid,), generator=generator)
    size = valid if size is None else size
    return Batch(clips, labels, size, [(f"{seed}-{i}.mp4", "broken") for i in range(size - valid)])


def split(batch, *sizes):
    """The same valid clips as several micro-batches."""
    return [Batch(c, y, len(y)) for c, y in zip(batch.clips.split(sizes), batch.labels.split(sizes), strict=True)]


def prepare(clips):
    return clips.float() / 255


def plain_network():
    """Without batch norm, so that a clip's gradient does not depend on its neighbours."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv3d(3, 5, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(5, CLASSES)
        )


def norm_network():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv3d(3, 5, 3, padding=1, bias=False),
            nn.BatchNorm3d(5),
            nn.ReLU(),
            nn.AdaptiveAvgPool3d(1),
            nn.Flatten(),
            nn.Dropout(0.3),
            nn.Linear(5, CLASSES),
        )


def kernels(model):
    return {name for name, parameter in model.named_parameters() if parameter.dim() > 1}


def make_trainer(model, precision=torch.float32, decay=0.05, mix=None, label_smoothing=0.0, **settings):
    defaults = {"total_steps": 8, "batch_size": 4, "num_samples": 8, "base_lr": 0.5, "warmup_steps": 2, "seed": 7}
    optimizer = sgd(parameter_groups(model, kernels(model), decay), 0.9, True)
    settings = TrainSettings(**{**defaults, **settings})
    return Trainer(
        model, optimizer, Ema(model, 0.9), prepare, precision, settings, SoftmaxLoss(CLASSES, label_smoothing), mix
    )


def snapshot(state):
    return copy.deepcopy(state)


def assert_same(state, other):
    """Two state dicts, bit for bit."""
    assert list(state) == list(other)
    different = [name for name, value in state.items() if not torch.equal(value, other[name])]
    assert different == []


def assert_close(state, other):
    """Two state dicts, to some roundings of float32."""
    assert list(state) == list(other)
    for name, value in state.items():
        assert torch.allclose(value, other[name], rtol=1e-6, atol=1e-7), name
