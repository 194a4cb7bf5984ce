"""Optimizers of the published recipe (Bello et al. 2021, arXiv 2103.07579; Model Garden), and their groups."""

from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.optim.sgd import sgd as update_by_sgd


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


class Sgd(torch.optim.SGD):
    """SGD whose momentum holds every gradient times the learning rate of its own step, as published.

    With the gradient ``g`` (its L2 term included) and the learning rate ``r`` of the step, Keras and the Model Garden
    compute ``m = momentum * m + r * g``, then ``w = w - r * g - momentum * m`` with Nesterov's variant and
    ``w = w - m`` without. PyTorch's own SGD keeps ``r`` out of its momentum and multiplies the whole of it by the rate
    of the present step. Both are the same while the rate stays the same; in a warm-up, PyTorch's gives the gradients
    of the first steps rates that they never had (Goyal et al. 2017, arXiv 1706.02677, section 3, equations 9 and 10).
    """

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Take a step; the gradients are used up."""
        for group in self.param_groups:
            self._update(group)

    def _update(self, group: dict) -> None:
        """Change the weights and the momenta of a group."""
        weights = [weight for weight in group["params"] if weight.grad is not None]
        if not weights:
            return

        # PyTorch's update at a rate of 1, of gradients and of an L2 term that hold the rate already.
        rate = group["lr"]
        gradients = [weight.grad for weight in weights]
        torch._foreach_mul_(gradients, rate)
        update_by_sgd(
            weights,
            gradients,
            [self._momentum_of(weight, group) for weight in weights],
            fused=True,
            # Where the loss is scaled, the scaler says here whether the gradients overflowed.
            grad_scale=getattr(self, "grad_scale", None),
            found_inf=getattr(self, "found_inf", None),
            weight_decay=rate * group["weight_decay"],
            momentum=group["momentum"],
            lr=1.0,
            dampening=0.0,
            nesterov=group["nesterov"],
            maximize=False,
        )

    def _momentum_of(self, weight: Tensor, group: dict) -> Tensor | None:
        """Return the momentum of a weight, which is 0 at first; None in a group without momentum."""
        if group["momentum"] == 0:
            return None
        state = self.state[weight]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(weight)
        return state["momentum_buffer"]


def sgd(groups: list[dict], momentum: float, nesterov: bool) -> Sgd:
    """Return SGD; its L2 term ``weight_decay * w`` is the gradient of the published ``weight_decay / 2 * |w|^2``."""
    # Nesterov's variant is undefined without momentum, and torch refuses the pair.
    return Sgd(groups, lr=0.0, momentum=momentum, nesterov=nesterov and momentum > 0, fused=True)


def adamw(groups: list[dict], betas: Sequence[float]) -> torch.optim.AdamW:
    """Return AdamW, whose weight decay is decoupled from the gradient (Loshchilov & Hutter 2019)."""
    return torch.optim.AdamW(groups, lr=0.0, betas=tuple(betas), foreach=True)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Write a learning rate into every parameter group, times its ``lr_scale`` where the group has one."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("lr_scale", 1.0)
