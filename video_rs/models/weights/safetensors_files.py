"""``.safetensors`` files: weights, and texts about them; reading one runs no code."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from video_rs.runtime.errors import InputError
from video_rs.runtime.torch_files import first_sentence


class SafeWeights(NamedTuple):
    """What a file holds.

    Attributes:
        state: names and tensors, on the CPU.
        texts: its metadata.
    """

    state: dict[str, Tensor]
    texts: dict[str, str]


def read_safetensors(path: Path) -> SafeWeights:
    """Return the tensors and the metadata of a file.

    Raises:
        InputError: safetensors is not installed, or the file is damaged or another one.
    """
    _require_package(path)
    from safetensors import safe_open

    try:
        with safe_open(path, framework="pt") as file:
            texts = file.metadata() or {}
            # Copies: a tensor of the file's own memory changes with the file, and lies at any address.
            state = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
            return SafeWeights(state, texts)
    except Exception as error:  # its own error type for foreign bytes, OSError and others for the rest
        raise InputError(f"{path} is damaged, cut short or no safetensors file ({first_sentence(error)})") from error


def write_safetensors(path: Path, state: Mapping[str, Tensor], texts: Mapping[str, str]) -> None:
    """Write weights, with texts about them as metadata.

    Raises:
        InputError: safetensors is not installed.
    """
    _require_package(path)
    from safetensors.torch import save

    # Files know one layout only.
    tensors = {name: value.cpu().contiguous() for name, value in state.items()}
    # Its own function for files makes private ones (0600).
    path.write_bytes(save(tensors, dict(texts)))


def _require_package(path: Path) -> None:
    """Raise InputError unless safetensors is installed."""
    try:
        import safetensors  # noqa: F401
    except ImportError as error:
        raise InputError(f"{path} needs safetensors: pip install 'video_rs[hub]', or give a .pth file") from error
