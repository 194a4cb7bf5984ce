"""SOLVER and TRAIN -> objective, optimizer, average, schedule, plan and step."""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from video_rs.builders.data import build_mixing, pseudo_clips
from video_rs.builders.lists import Lists
from video_rs.builders.teachers import Teacher, has_labels
from video_rs.config import Config
from video_rs.engine import optimizer as optimizers
from video_rs.engine.average import Ema
from video_rs.engine.guards import FailureLimit, NonFiniteLimit
from video_rs.engine.objectives import (
    Classification,
    Contrast,
    Distillation,
    Divergence,
    Objective,
    PseudoLabelled,
    PseudoLabels,
)
from video_rs.engine.objectives.losses import SigmoidLoss, SoftmaxLoss, class_weights, positive_weights
from video_rs.engine.probabilities import at_temperature
from video_rs.engine.schedule import Plan, Schedule
from video_rs.engine.step import Step
from video_rs.models import VideoNetwork
from video_rs.runtime.errors import InputError

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def build_loss(config: Config, lists: Lists) -> SoftmaxLoss | SigmoidLoss:
    """Return softmax, or sigmoids for DATA.MULTI_LABEL, with SOLVER.CLASS_WEIGHTS by how often each class occurs."""
    power = config.SOLVER.CLASS_WEIGHTS
    balance = config.DATA.CLASS_BALANCE
    if power and balance:
        raise InputError(
            f"SOLVER.CLASS_WEIGHTS {power:g} and DATA.CLASS_BALANCE {balance:g} both make up for rare classes; set one "
            "of them to 0"
        )

    # Classes without videos count 0, and weigh as if they had one.
    num_classes = len(lists.label_names)
    labels = [label for record in lists.train.records for label in record.labels]
    counts = np.bincount(np.array(labels, dtype=np.int64), minlength=num_classes).tolist()
    if power and not labels:
        raise InputError(
            f"SOLVER.CLASS_WEIGHTS {power:g} needs labels, which {lists.train.source} does not have; set it to 0"
        )
    smoothing = config.SOLVER.LABEL_SMOOTHING
    if config.DATA.MULTI_LABEL:
        weights = positive_weights(counts, len(lists.train), power) if power else None
        return SigmoidLoss(smoothing, weights)
    weights = class_weights(counts, power) if power else None
    return SoftmaxLoss(num_classes, smoothing, weights)


def build_objective(
    config: Config, lists: Lists, prepare: Callable[[Tensor], Tensor], teacher: Teacher | None = None
) -> Objective:
    """Return what a step makes smaller.

    Args:
        config: of the run.
        lists: of the run.
        prepare: turns uint8 clips into float clips on the training device.
        teacher: whose answers are learned; None: labels are.
    """
    if config.CONTRAST.ENABLED:
        return Contrast(prepare, config.CONTRAST.TEMPERATURE)
    loss = build_loss(config, lists)
    mixing = build_mixing(config)
    if teacher is not None:
        divergence = Divergence(config.DISTILL.TEMPERATURE, config.DATA.MULTI_LABEL)
        answers = teacher.ordered(lists.label_names)
        weight = config.DISTILL.WEIGHT
        return Distillation(loss, prepare, answers, divergence, weight, mixing, has_labels(config, lists))
    if lists.pseudo is not None:
        return PseudoLabelled(loss, prepare, build_pseudo_labels(config, lists), mixing)
    return Classification(loss, prepare, mixing)


def build_pseudo_labels(config: Config, lists: Lists) -> PseudoLabels:
    """Return the labels of DATA.PSEUDO_LIST, soft ones at DATA.PSEUDO_TEMPERATURE."""
    soft_labels = None
    if lists.soft_labels is not None:
        given = torch.from_numpy(lists.soft_labels)
        soft_labels = at_temperature(given, config.DATA.PSEUDO_TEMPERATURE, config.DATA.MULTI_LABEL)
    return PseudoLabels(len(lists.train), soft_labels, config.SOLVER.PSEUDO_WEIGHT)


def build_optimizer(config: Config, model: VideoNetwork) -> torch.optim.Optimizer:
    """Return SOLVER.OPTIMIZING_METHOD over two parameter groups: decayed kernels, and all else.

    With SOLVER.LAYER_DECAY, each part of the network has two groups of its own.
    """
    solver = config.SOLVER
    # One pair of groups for the whole network is what checkpoints without LAYER_DECAY hold.
    depths = model.layer_depths() if solver.LAYER_DECAY != 1 else None
    groups = optimizers.parameter_groups(
        model, model.weight_decay_names(), solver.WEIGHT_DECAY, depths, solver.LAYER_DECAY
    )
    if solver.OPTIMIZING_METHOD == "adamw":
        return optimizers.adamw(groups, solver.BETAS)
    return optimizers.sgd(groups, solver.MOMENTUM, solver.NESTEROV)


def build_average(config: Config, model: nn.Module) -> Ema | None:
    """Return the running average, or None where SOLVER.EMA_DECAY is 0."""
    if config.SOLVER.EMA_DECAY == 0:
        return None
    return Ema(model, config.SOLVER.EMA_DECAY)


def build_precision(config: Config, device: torch.device) -> torch.dtype:
    """Return the dtype of the forward pass: TRAIN.PRECISION, for auto bfloat16 on the GPUs that have it.

    For auto on a CPU it is float32; whether bfloat16 is faster there is found out by :mod:`video_rs.runs.precision`.

    Raises:
        InputError: float16 on a CPU.
    """
    name = config.TRAIN.PRECISION
    if name == "float16" and device.type == "cpu":
        raise InputError(
            "TRAIN.PRECISION float16 is for GPUs, and this run computes on a CPU; set TRAIN.PRECISION auto, float32 or "
            "bfloat16"
        )
    if name != "auto":
        return PRECISIONS[name]
    if device.type != "cuda":
        return torch.float32
    if torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.bfloat16
    return torch.float16


def build_plan(config: Config, num_samples: int) -> Plan:
    """Return steps and periods; ``ceil(MAX_EPOCH * videos / BATCH_SIZE)`` steps, 73,682 as published.

    Epochs are those of DATA.TRAIN_LIST, which has ``num_samples`` videos, or twice as many clips in pre-training, where
    each is read as two: clips of DATA.PSEUDO_LIST do not count.
    """
    train = config.TRAIN
    further_clips = pseudo_clips(config)
    epoch_steps = num_samples / (train.BATCH_SIZE - further_clips)
    return Plan(
        total_steps=config.SOLVER.MAX_STEPS or math.ceil(config.SOLVER.MAX_EPOCH * epoch_steps),
        batch_size=train.BATCH_SIZE,
        num_samples=num_samples,
        micro_batches=train.ACCUMULATION_STEPS,
        log_steps=train.LOG_PERIOD,
        validation_epochs=train.EVAL_PERIOD,
        checkpoint_steps=train.CHECKPOINT_STEPS,
        checkpoint_minutes=train.CHECKPOINT_MINUTES,
        further_clips=further_clips,
    )


def build_schedule(config: Config, plan: Plan) -> Schedule:
    """Return the learning rate of each step; the published warm-up has 1,050 steps."""
    epoch_steps = plan.epoch_steps
    # The published warm-up counts whole steps of an epoch (5 x 210), the published training does not (350 x 210.5).
    whole_steps = math.floor(epoch_steps) or epoch_steps
    warmup_steps = math.floor(config.SOLVER.WARMUP_EPOCHS * whole_steps)
    return Schedule(base_rate(config), plan.total_steps, warmup_steps)


def base_rate(config: Config) -> float:
    """Return SOLVER.BASE_LR, in proportion to the batch where LR_FOR_BATCH_SIZE says which batch it is meant for.

    Source: Goyal et al. 2017, arXiv 1706.02677, section 2.1.
    """
    solver = config.SOLVER
    if not solver.LR_FOR_BATCH_SIZE:
        return solver.BASE_LR
    return solver.BASE_LR * config.TRAIN.BATCH_SIZE / solver.LR_FOR_BATCH_SIZE


def build_step(config: Config, model: VideoNetwork, objective: Objective, plan: Plan, device: torch.device) -> Step:
    """Return the training step, with the optimizer and the average of a model."""
    return Step(
        model,
        build_optimizer(config, model),
        objective,
        build_schedule(config, plan),
        average=build_average(config, model),
        precision=build_precision(config, device),
        clip_norm=config.SOLVER.CLIP_GRAD_L2NORM,
        seed=config.RNG_SEED,
    )


def build_failure_limit(config: Config, plan: Plan) -> FailureLimit:
    """Return the limit on training samples that cannot be read: DATA.MAX_FAILED_SHARE."""
    return FailureLimit(config.DATA.MAX_FAILED_SHARE, plan.num_samples)


def build_non_finite_limit(config: Config) -> NonFiniteLimit:
    """Return the limit on steps whose loss or gradient are not finite: TRAIN.NON_FINITE."""
    return NonFiniteLimit(skip=config.TRAIN.NON_FINITE == "skip")
