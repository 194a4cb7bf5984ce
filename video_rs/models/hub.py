"""Networks as folders that the Hugging Face hub takes: ``model.safetensors``, which rebuilds the network.

A folder works offline; ``huggingface_hub`` is imported where a repository is named.
"""

import dataclasses
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Self

import torch

from video_rs.models.architecture import Architecture
from video_rs.models.weights.pretrained import stored_architecture
from video_rs.models.weights.safetensors_files import read_safetensors, write_safetensors
from video_rs.models.weights.strict import load_strictly
from video_rs.runtime.atomic import write_json
from video_rs.runtime.errors import InputError
from video_rs.runtime.torch_files import first_sentence

if TYPE_CHECKING:
    from torch import nn

WEIGHTS = "model.safetensors"
CONFIG = "config.json"
FILE_ENDINGS = (".pth", ".pt", ".pt2", ".onnx", ".safetensors", ".xml", ".bin", ".json")


class HubMixin:
    """``save_pretrained`` and ``from_pretrained``, of a class made of an architecture and a number of classes."""

    def save_pretrained(self: "nn.Module", folder: str | Path, texts: Mapping[str, str] | None = None) -> None:
        """Write the network into a folder: ``model.safetensors``, and ``config.json`` for readers.

        Args:
            folder: is made; files of these names in it are replaced.
            texts: JSON texts that go with the weights, by name; the network's own are added.

        Raises:
            InputError: safetensors is not installed.
        """
        own = {"architecture": dataclasses.asdict(self.backbone.architecture), "num_classes": self.num_classes}
        texts = {**(texts or {}), **{name: json.dumps(value) for name, value in own.items()}}

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_safetensors(folder / WEIGHTS, self.state_dict(), texts)
        write_config(folder, texts)

    @classmethod
    def from_pretrained(
        cls, name: str | Path, revision: str | None = None, cache_dir: str | None = None, token: str | None = None
    ) -> Self:
        """Return a network that :meth:`save_pretrained` or ``video-rs export`` has written, in evaluation mode.

        Args:
            name: a folder, a ``.safetensors`` file, or a repository of the hub, OWNER/NAME.
            revision: of the repository: a branch, a tag or a commit.
            cache_dir: where downloads go; None: as ``huggingface_hub`` has it.
            token: for private repositories; None: as ``huggingface_hub`` has it.

        Raises:
            InputError: there is no such network, or it cannot be read or does not fit.
        """
        path = Path(name)
        if path.is_dir():
            path = path / WEIGHTS
            if not path.is_file():
                raise InputError(f"folder {name} has no {WEIGHTS} in it; write one with save_pretrained")
        elif not path.is_file():
            path = download(str(name), revision, cache_dir, token)

        state, texts = read_safetensors(path)
        architecture, num_classes = network_of(texts, str(path))
        # Without memory: drawing weights that are replaced at once takes a second and more.
        with torch.device("meta"):
            model = cls(architecture, num_classes)
        load_strictly(model, state, str(path))
        return model.eval()


def write_config(folder: Path, texts: Mapping[str, str]) -> None:
    """Write ``config.json``, which the hub shows, and whose downloads it counts."""
    write_json(folder / CONFIG, {name: json.loads(text) for name, text in sorted(texts.items())})


def network_of(texts: Mapping[str, str], source: str) -> tuple[Architecture, int]:
    """Return architecture and number of classes from what a file says of its weights.

    Raises:
        InputError: it does not say them.
    """
    try:
        fields = json.loads(texts["architecture"])
        num_classes = json.loads(texts["num_classes"])
    except (KeyError, ValueError) as error:
        raise InputError(
            f"{source} does not say which network its weights are for; allowed: what save_pretrained or video-rs "
            "export has written; or name the network: create_model(NAME, pretrained=FILE)"
        ) from error

    return stored_architecture(fields, source), num_classes


def is_repository(name: str) -> bool:
    """Return whether a name can be that of a repository of the hub, and is not that of a missing file.

    A path whose first folder is there, or that ends as files of networks do, is one of this machine.
    """
    if re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", name) is None:
        return False
    owner, _ = name.split("/")
    return not os.path.isdir(owner) and not name.lower().endswith(FILE_ENDINGS)


def download(name: str, revision: str | None = None, cache_dir: str | None = None, token: str | None = None) -> Path:
    """Return the weights of a repository of the hub, from its cache where they are there already.

    Raises:
        InputError: there is no such repository or no network, or huggingface_hub is not installed.
    """
    if not is_repository(name):
        raise InputError(f"no folder or file {name}; give one, or a repository of the hub, OWNER/NAME")
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise InputError(
            f"no folder or file {name}; a repository of the hub needs huggingface_hub: pip install 'video_rs[hub]'"
        ) from error

    try:
        return Path(hf_hub_download(name, WEIGHTS, revision=revision, cache_dir=cache_dir, token=token))
    except Exception as error:  # the hub, the network and the cache have errors of their own
        raise InputError(
            f"no folder or file {name}, and the hub does not give {WEIGHTS} of such a repository "
            f"({first_sentence(error)}); give a folder, or OWNER/NAME"
        ) from error
