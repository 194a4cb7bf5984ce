"""Optimizers of the published recipe (Bello et al. 2021, arXiv 2103.07579; Model Garden), and their groups."""

from collections.abc import Collection, Mapping, Sequence

import torch
from torch import nn


def parameter_groups(
    model: nn.Module,
    decayed: Collection[str],
    weight_decay: float,
    depths: Mapping[str, int] | None = None,
    layer_decay: float = 1.0,
) -> list[dict]:
    """Return two parameter groups: parameters with weight decay and parameters without. Frozen ones are in neither.

    Args:
        model: whose parameters.
        decayed: names of the parameters that get ``weight_decay``; all others get none.
        weight_decay: factor of the L2 term.
        depths: of each parameter, how many parts of the network lie above it. There are two groups for each depth then.
        layer_decay: a group of depth ``d`` has the rate of the optimizer times ``layer_decay ** d``, as ``lr_scale``.
    """
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    if depths is None:
        depths = dict.fromkeys(trained, 0)

    # In the order of the model's parameters: a checkpoint tells the optimizer's state by the order of groups.
    groups = []
    for depth in dict.fromkeys(depths[name] for name in trained) or [0]:
        names = [name for name in trained if depths[name] == depth]
        with_decay = [trained[name] for name in names if name in decayed]
        without_decay = [trained[name] for name in names if name not in decayed]
        scale = layer_decay**depth
        groups.append({"params": with_decay, "weight_decay": weight_decay, "lr_scale": scale})
        groups.append({"params": without_decay, "weight_decay": 0.0, "lr_scale": scale})
    return groups


def sgd(groups: list[dict], momentum: float, nesterov: bool) -> torch.optim.SGD:
    """Return SGD; its L2 term ``weight_decay * w`` is the gradient of the published ``weight_decay / 2 * |w|^2``."""
    # Nesterov's variant is undefined without momentum, and torch refuses the pair.
    return torch.optim.SGD(groups, lr=0.0, momentum=momentum, nesterov=nesterov and momentum > 0, fused=True)


def adamw(groups: list[dict], betas: Sequence[float]) -> torch.optim.AdamW:
    """Return AdamW, whose weight decay is decoupled from the gradient (Loshchilov & Hutter 2019)."""
    return torch.optim.AdamW(groups, lr=0.0, betas=tuple(betas), foreach=True)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Write a learning rate into every parameter group, times its ``lr_scale`` where the group has one."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("lr_scale", 1.0)
