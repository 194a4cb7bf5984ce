"""The trained network of a checkpoint as what is exported: from uint8 clips to probabilities."""

import importlib.metadata
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from video_rs.data.normalisation import to_float
from video_rs.data.preprocessing import Preprocessing
from video_rs.engine.checkpoint import load_checkpoint
from video_rs.inference.calibration import Calibration
from video_rs.inference.export.description import Description
from video_rs.models import VideoClassifier
from video_rs.models.fast import make_plain
from video_rs.models.stored import load_classifier
from video_rs.runtime.file_hash import file_hash
from video_rs.runtime.torch_files import find_checkpoint
from video_rs.runtime.version import __version__

PACKAGES = ("torch", "onnx", "onnxscript", "onnxruntime", "openvino", "safetensors")


class Program(nn.Module):
    """A network with all that testing puts around it.

    ``forward``: uint8 ``[B, 3, T, H, W]``, RGB -> probabilities float32 ``[B, K]``.
    """

    def __init__(self, model: nn.Module, description: Description):
        super().__init__()
        self.model = model
        self.mean = description.preprocessing.mean
        self.std = description.preprocessing.std
        self.probabilities = description.probabilities

    def forward(self, clips: Tensor) -> Tensor:
        logits = self.model(to_float(clips, self.mean, self.std))
        return self.probabilities(logits)


@dataclass(frozen=True)
class TrainedNetwork:
    """A network and what goes with it.

    Attributes:
        model: the plain one, on the CPU, in evaluation mode.
        description: of it.
    """

    model: VideoClassifier
    description: Description

    @property
    def program(self) -> Program:
        """What gives the numbers that every exported file has to give."""
        return Program(self.model, self.description).eval()


def read_network(path: str | Path) -> TrainedNetwork:
    """Return the network of a checkpoint, with its EMA weights.

    Raises:
        InputError: there is no readable checkpoint of this project at ``path``.
    """
    checkpoint = load_checkpoint(path)
    model = make_plain(load_classifier(checkpoint, torch.device("cpu")))
    # The default layout, as other runtimes have it.
    model = model.to(memory_format=torch.contiguous_format).requires_grad_(False)

    description = Description(
        tuple(checkpoint["label_names"]),
        Preprocessing.from_dict(checkpoint["preprocessing"]),
        model.backbone.architecture,
        checkpoint["multi_label"],
        Calibration.of_checkpoint(checkpoint),
        {"sha256": file_hash(find_checkpoint(path)), "step": checkpoint["step"]},
        installed_versions(),
    )
    return TrainedNetwork(model, description)


def installed_versions() -> dict[str, str]:
    """Return the versions of this project and of those packages of :data:`PACKAGES` that are installed."""
    versions = {"video_rs": __version__}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
