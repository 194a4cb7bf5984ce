"""Networks as ``.safetensors``: the weights, and in the metadata what rebuilds the network and its answers."""

from functools import partial
from pathlib import Path

import torch

from video_rs.engine.evaluation import NetworkScorer, Scorer
from video_rs.inference.export.description import Description
from video_rs.inference.export.network import TrainedNetwork
from video_rs.models import VideoClassifier
from video_rs.models.fast import speed_up
from video_rs.models.weights import load_strictly
from video_rs.models.weights.safetensors_files import read_safetensors, write_safetensors
from video_rs.runtime.devices import pick_device


def write_weights(network: TrainedNetwork, path: Path) -> None:
    """Write the weights of a network with its description."""
    write_safetensors(path, network.model.state_dict(), network.description.to_texts())


def read_weights(path: Path, device: str) -> tuple[Scorer, Description]:
    """Return a file's network as a scorer on a device, and its description."""
    state, texts = read_safetensors(path)
    description = Description.from_texts(texts, str(path))
    picked = pick_device(device)

    # Without memory: drawing weights that are replaced at once takes a second and more.
    with torch.device("meta"):
        model = VideoClassifier(description.architecture, len(description.label_names))
    load_strictly(model, state, str(path))
    model = speed_up(model).to(picked, memory_format=torch.channels_last_3d).eval()
    prepare = partial(description.preprocessing.prepare, device=picked)
    return NetworkScorer(model, prepare, description.probabilities), description
