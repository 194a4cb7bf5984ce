"""Optimizer and learning-rate schedule of the published recipe (Model Garden; FACTS b, "Training")."""

import math
from collections.abc import Collection, Mapping, Sequence

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


def parameter_groups(
    model: nn.Module,
    decayed: Collection[str],
    weight_decay: float,
    depths: Mapping[str, int] | None = None,
    layer_decay: float = 1.0,
) -> list[dict]:
    """Two groups: the parameters named in ``decayed`` with ``weight_decay``, all others without.

    With ``depths``, of each parameter by its name, two of each depth, whose rate is ``layer_decay ** depth`` of the
    optimizer's, as ``lr_scale``.
    """
    named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    groups = []
    for depth in dict.fromkeys(depths[name] for name, _ in named) if depths else [0]:
        own = [(name, p) for name, p in named if depths is None or depths[name] == depth]
        for inside, decay in ((True, weight_decay), (False, 0.0)):
            parameters = [p for name, p in own if (name in decayed) is inside]
            groups.append({"params": parameters, "weight_decay": decay, "lr_scale": layer_decay**depth})
    return groups


def sgd(groups: list[dict], momentum: float, nesterov: bool) -> torch.optim.SGD:
    """SGD; its L2 term ``weight_decay * w`` is the gradient of the published ``weight_decay / 2 * |w|^2``."""
    # Nesterov's variant is undefined without momentum, and torch refuses the pair.
    return torch.optim.SGD(groups, lr=0.0, momentum=momentum, nesterov=nesterov and momentum > 0, fused=True)


def adamw(groups: list[dict], betas: Sequence[float]) -> torch.optim.AdamW:
    """AdamW with decoupled weight decay."""
    return torch.optim.AdamW(groups, lr=0.0, betas=tuple(betas), foreach=True)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Writes ``rate`` into every parameter group, times its ``lr_scale`` where it has one."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("lr_scale", 1.0)
