"""Strict loading of weights: every name and shape must agree, and a refusal prints both sides."""

import pickle
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from video_rs.errors import InputError


def load_pretrained(module: nn.Module, path: str, skip: tuple[str, ...] = ()) -> None:
    """Loads the EMA weights (else the raw ones) of a checkpoint into ``module``.

    Args:
        module: what to fill.
        path: a checkpoint: a dict with the state dicts "model" and "ema".
        skip: weights whose names start so are left out; all others must be in ``module``.

    Raises:
        InputError: the file cannot be read, or its weights do not fit.
    """
    state = read_state(path)
    load_strictly(module, {name: value for name, value in state.items() if not name.startswith(skip)}, path)


def read_state(path: str) -> dict[str, Tensor]:
    """The state dict "ema" of a checkpoint, or "model" where there is none; read without running code.

    Raises:
        InputError: the file cannot be read, or holds something else.
    """
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # torch's own text advises weights_only=False, which would run the file's code.
        raise InputError(f"cannot read weights from {path}: it holds more than tensors and plain data") from error
    except OSError as error:
        raise InputError(f"cannot read weights from {path}: {error.strerror}") from error
    except Exception as error:  # torch.load raises nearly anything on foreign bytes
        raise InputError(
            f"cannot read weights from {path}: damaged, cut short or no checkpoint ({type(error).__name__})"
        ) from error
    checkpoint = checkpoint if isinstance(checkpoint, dict) else {}
    state = checkpoint.get("ema") or checkpoint.get("model")
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(f"no weights in {path}; allowed: a dict with the state dicts 'model' and, optionally, 'ema'")
    return state


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
