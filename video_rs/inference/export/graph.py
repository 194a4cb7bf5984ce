"""A trained network as one graph of any size, which the files of ONNX, PyTorch and OpenVINO are made of."""

import copy
import dataclasses
from typing import NamedTuple

import torch
from torch.export import ExportedProgram

from video_rs.inference.conversion import AXES, capture, smallest_sizes
from video_rs.inference.export.description import Description
from video_rs.inference.export.network import TrainedNetwork
from video_rs.inference.folding import fold_batch_norm

TRACED_SHAPE = (2, 3, 16, 64, 96)
"""Of the clips with which graphs are captured; no two open sizes are equal, and none is 1 in the deepest map."""


class Graph(NamedTuple):
    """A graph and what goes with it."""

    program: ExportedProgram
    description: Description


def build_graph(network: TrainedNetwork) -> Graph:
    """Return the graph from uint8 clips to probabilities, with batch norms folded into convolutions."""
    # A copy: what the file is compared with stays as it is.
    program = copy.deepcopy(network.program)
    fold_batch_norm(program)

    captured = capture(program, torch.zeros(TRACED_SHAPE, dtype=torch.uint8), open_axes=tuple(AXES))

    description = dataclasses.replace(network.description, smallest=smallest_sizes(captured))
    return Graph(captured, description)
