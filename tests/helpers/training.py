"""Networks, batches and steps small enough to compute by hand."""

import copy
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from video_rs.engine.average import Ema
from video_rs.engine.guards import FailureLimit, NonFiniteLimit
from video_rs.engine.loop import fit
from video_rs.engine.objectives import Classification
from video_rs.engine.objectives.losses import SoftmaxLoss
from video_rs.engine.optimizer import parameter_groups, sgd
from video_rs.engine.schedule import Plan, Schedule
from video_rs.engine.step import Step

CLASSES = 3
SHAPE = (3, 2, 6, 6)


@dataclass
class Batch:
    """What the step needs of a micro-batch; ``clips`` and ``labels`` are those of the samples that could be read."""

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


def make_plan(**changes):
    return Plan(**{"total_steps": 8, "batch_size": 4, "num_samples": 8, **changes})


def make_step(
    model,
    *,
    precision=torch.float32,
    decay=0.05,
    mix=None,
    loss=None,
    label_smoothing=0.0,
    base_lr=0.5,
    total_steps=8,
    warmup_steps=2,
    clip_norm=0.0,
    seed=7,
    average=0.9,
    prepare=prepare,
):
    optimizer = sgd(parameter_groups(model, kernels(model), decay), 0.9, True)
    loss = loss or SoftmaxLoss(CLASSES, label_smoothing)
    return Step(
        model,
        optimizer,
        Classification(loss, prepare, mix),
        Schedule(base_lr, total_steps, warmup_steps),
        average=None if average is None else Ema(model, average),
        precision=precision,
        clip_norm=clip_norm,
        seed=seed,
    )


def run_fit(step, batches, plan, hooks, max_failed_share=1.0, skip_non_finite=False):
    """The loop with limits of its own."""
    failures = FailureLimit(max_failed_share, plan.num_samples)
    fit(step, batches, plan, hooks, failures, NonFiniteLimit(skip_non_finite))


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
