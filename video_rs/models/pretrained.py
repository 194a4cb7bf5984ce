"""Strict loading of weights: every name and shape must agree, and a refusal prints both sides."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from video_rs.errors import InputError


def load_pretrained(module: nn.Module, path: str, prefix: str = "") -> None:
    """Loads the EMA weights (else the raw ones) of a checkpoint into ``module``.

    Args:
        module: what to fill.
        path: a checkpoint: a dict with the state dicts "model" and "ema".
        prefix: only weights under this prefix are taken, without it.

    Raises:
        InputError: the file cannot be read, or its weights do not fit.
    """
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        state = checkpoint.get("ema") or checkpoint["model"]
    except (OSError, RuntimeError, KeyError, AttributeError, TypeError, ValueError) as error:
        raise InputError(f"cannot read weights from {path}: {first_line(error)}") from error
    load_strictly(module, {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}, path)


def load_strictly(module: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Copies ``state`` into ``module``.

    Raises:
        InputError: a weight is missing, left over or of another shape; the line names the first of each.
    """
    own = module.state_dict()
    problems = []
    if missing := [name for name in own if name not in state]:
        problems.append(f"{len(missing)} missing (first {missing[0]})")
    if extra := [name for name in state if name not in own]:
        problems.append(f"{len(extra)} unknown (first {extra[0]})")
    wrong = [name for name in own if name in state and own[name].shape != state[name].shape]
    if wrong:
        name = wrong[0]
        shapes = f"{list(state[name].shape)} there, {list(own[name].shape)} here"
        problems.append(f"{len(wrong)} of another shape (first {name}: {shapes})")
    if problems:
        raise InputError(f"weights in {source} do not fit the model: {'; '.join(problems)}")
    module.load_state_dict(state)


def first_line(error: BaseException) -> str:
    """An error's first line, or its type where it has no text."""
    return str(error).strip().split("\n")[0] or type(error).__name__
