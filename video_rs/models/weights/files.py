"""Files of weights: checkpoints of this project, state dicts that torch.save wrote, and ``.safetensors``."""

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from video_rs.models.weights.safetensors_files import read_safetensors
from video_rs.models.weights.strict import warn
from video_rs.runtime.errors import InputError
from video_rs.runtime.torch_files import find_checkpoint, read_torch_file

# What DistributedDataParallel and Lightning put before all names; none of ours, and none of timm's, starts so.
WRAPPER_PREFIXES = ("module.", "model.")
# Under what other projects' files hold their weights: Lightning and MMAction2; SlowFast and pytorchvideo.
STATE_KEYS = ("state_dict", "model_state")
# What a checkpoint may say of its weights.
DESCRIPTION_KEYS = ("architecture", "label_names", "preprocessing", "config", "started_from", "teacher")


class Weights(NamedTuple):
    """Weights from somewhere.

    Attributes:
        state: names and tensors, on the CPU.
        about: what a checkpoint says beside them, as far as it does: ``architecture``, ``label_names``,
            ``preprocessing``, ``config``, ``started_from`` and ``teacher``.
        source: where they are from, for messages.
    """

    state: dict[str, Tensor]
    about: Mapping[str, Any]
    source: str


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Return the state dict in a file, on the CPU, read without running code.

    Args:
        path: a checkpoint of this project (its "ema", or "model" where there is none), a state dict that torch.save
            wrote, plain or under "state_dict" or "model_state", or a ``.safetensors`` file. "module." or "model."
            before all names is taken away. A warning says what was not plain.

    Raises:
        InputError: the file cannot be read, or holds something else.
    """
    return read_file(path).state


def read_file(path: str | Path) -> Weights:
    """Return the weights in a file with what it says of them; arguments and errors as for :func:`read_weights`."""
    path = find_checkpoint(path)
    if not path.is_file():
        raise InputError(
            f"no weights at {path}; give a .pth, .pyth, .pt or .safetensors file, or 'timm', 'torchvision' or "
            "'pytorchvideo'"
        )
    if path.suffix == ".safetensors":
        state, texts = read_safetensors(path)
        return Weights(_without_wrapper_prefix(state, path), _described(texts), str(path))

    content = _read_content(path)
    about = {}
    where = ""

    if isinstance(content, dict) and ("model" in content or "ema" in content):
        about = {key: content[key] for key in DESCRIPTION_KEYS if key in content}
        # The average predicts better, where one was kept.
        content = content.get("ema") or content.get("model")
    elif isinstance(content, dict):
        for key in STATE_KEYS:
            if isinstance(content.get(key), dict):
                content = content[key]
                where = f"from {key!r}"
                break

    if not _is_state_dict(content):
        raise InputError(
            f"no weights in {path}; allowed: a state dict, plain or under 'state_dict' or 'model_state', or a dict of "
            "state dicts 'model' and 'ema'"
        )
    return Weights(_without_wrapper_prefix(content, path, where), about, str(path))


def _read_content(path: Path) -> Any:
    """Return what a file of torch.save holds; Caffe2's pickles, which SlowFast publishes too, are refused by name."""
    try:
        return read_torch_file(path)
    except InputError as error:
        if path.suffix != ".pkl":
            raise
        raise InputError(
            f"{path} is no file of torch.save but a pickle, as Caffe2 writes them, and reading it could run its code; "
            "take the .pyth file of the same network, or pretrained 'pytorchvideo'"
        ) from error


def _is_state_dict(content: Any) -> bool:
    """Return whether something read from a file is a dict from names to tensors, and not an empty one."""
    if not isinstance(content, dict) or not content:
        return False
    return all(isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items())


def _without_wrapper_prefix(state: Mapping[str, Tensor], path: Path, where: str = "") -> dict[str, Tensor]:
    """Return ``state`` without what a wrapper put before all names, and log what was not plain.

    Args:
        state: names and tensors.
        path: of the file, for the log.
        where: in the file the weights were, for the log; "" where they were the file's content.
    """
    changes = []
    if where:
        changes.append(where)

    found = ""
    for prefix in WRAPPER_PREFIXES:
        if state and all(name.startswith(prefix) for name in state):
            found = prefix
            changes.append(f"without {prefix!r} before their names")
            break

    if changes:
        warn(f"weights of {path}: taken {', '.join(changes)}")
    return {name.removeprefix(found): value for name, value in state.items()}


def _described(texts: Mapping[str, str]) -> dict[str, Any]:
    """Return what the metadata of a ``.safetensors`` file says of its weights; that of other projects says nothing."""
    about = {}
    for key in DESCRIPTION_KEYS:
        with contextlib.suppress(KeyError, ValueError):
            about[key] = json.loads(texts[key])
    return about
