"""Optimizer and learning-rate schedule of the published recipe (Model Garden; FACTS b, "Training")."""

import math
from collections.abc import Collection, Sequence

import torch
from torch import nn


def learning_rate(step: int, base: float, total_steps: int, warmup_steps: int) -> float:
    """Rate of optimizer step ``step`` (from 0): linear warm-up from 0 into a half cosine over all steps.

    The cosine is not offset by the warm-up, and the warm-up rises to the cosine's value at its own end, as published.
    """

    def cosine(at: int) -> float:
        return base * 0.5 * (1 + math.cos(math.pi * min(at, total_steps) / total_steps))

    if step < warmup_steps:
        return cosine(warmup_steps) * step / warmup_steps
    return cosine(step)


def parameter_groups(model: nn.Module, decayed: Collection[str], weight_decay: float) -> list[dict]:
    """Two groups: the parameters named in ``decayed`` with ``weight_decay``, all others without."""
    named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    return [
        {"params": [p for name, p in named if name in decayed], "weight_decay": weight_decay},
        {"params": [p for name, p in named if name not in decayed], "weight_decay": 0.0},
    ]


def sgd(groups: list[dict], momentum: float, nesterov: bool) -> torch.optim.SGD:
    """SGD; its L2 term ``weight_decay * w`` is the gradient of the published ``weight_decay / 2 * |w|^2``."""
    # Nesterov's variant is undefined without momentum, and torch refuses the pair.
    return torch.optim.SGD(groups, lr=0.0, momentum=momentum, nesterov=nesterov and momentum > 0, fused=True)


def adamw(groups: list[dict], betas: Sequence[float]) -> torch.optim.AdamW:
    """AdamW with decoupled weight decay."""
    return torch.optim.AdamW(groups, lr=0.0, betas=tuple(betas), foreach=True)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Writes ``rate`` into every parameter group."""
    for group in optimizer.param_groups:
        group["lr"] = rate
