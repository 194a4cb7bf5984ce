"""Exported networks for tests."""

import contextlib
import copy
from unittest import mock

import torch

from video_rs.inference.export import onnx_file, open_vino_file, torch_file
from video_rs.inference.export.formats import FORMATS
from video_rs.inference.export.graph import build_graph
from video_rs.inference.export.network import read_network
from video_rs.inference.export.writing import export_network

TEMPERATURE = 1.5
THRESHOLD = 0.8
MEAN = (0.45, 0.4, 0.5)
STD = (0.22, 0.25, 0.21)
GRAPHS = {}
# float32 sums in another order, as a difference of probabilities.
ROUNDING = 2e-6


def telling_state(state):
    """A checkpoint's state with a classifier of large weights, a calibration, and a mean and deviation of its own."""
    state = copy.deepcopy(state)
    generator = torch.Generator().manual_seed(0)
    for weights in (state["model"], state["ema"]):
        # Batch norms that do something, or folding them would be tested with nothing.
        for name, value in weights.items():
            if name.endswith(("running_mean", "bias")):
                value.uniform_(-0.3, 0.3, generator=generator)
            elif name.endswith("running_var"):
                value.uniform_(0.5, 1.5, generator=generator)
        weights["fc.weight"].normal_(std=3.0, generator=generator)
    state["calibration"] = {"temperature": TEMPERATURE, "threshold": THRESHOLD}
    state["preprocessing"] = {**state["preprocessing"], "mean": MEAN, "std": STD}
    return state


def spread_answers(state, probabilities):
    """Scale and shift the classifier until the logits of two classes differ by -2 to 2, over the temperature."""
    differences = (probabilities[:, 1] / probabilities[:, 0]).log()
    middle = float(differences.mean())
    scale = 2 / float((differences - middle).abs().max())
    for weights in (state["model"], state["ema"]):
        weights["fc.weight"] *= scale
        weights["fc.bias"] *= scale
        weights["fc.bias"][1] -= middle * scale * TEMPERATURE


def export(checkpoint, name, folder):
    """Write the network of a checkpoint as a file of a format, and return its path."""
    path = folder / f"model{FORMATS[name].ending}"
    with contextlib.ExitStack() as patches:
        # One graph for all formats: to capture it takes longer than all the rest.
        for module in (onnx_file, open_vino_file, torch_file):
            patches.enter_context(mock.patch.object(module, "build_graph", shared_graph))
        export_network(read_network(checkpoint), FORMATS[name], path, lambda rows: None)
    return path


def shared_graph(network):
    """The graph of a network, captured once."""
    key = network.description.checkpoint["sha256"]
    if key not in GRAPHS:
        GRAPHS[key] = build_graph(network)
    return GRAPHS[key]
