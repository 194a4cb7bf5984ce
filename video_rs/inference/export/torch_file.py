"""Networks as programs of ``torch.export``, whose file has the description as an extra file."""

import json
from pathlib import Path

import torch

from video_rs.engine.evaluation import Scorer
from video_rs.inference.conversion import quiet
from video_rs.inference.export.description import Description
from video_rs.inference.export.graph import build_graph
from video_rs.inference.export.network import TrainedNetwork

DESCRIPTION = "video_rs.json"


def write_torch(network: TrainedNetwork, path: Path) -> None:
    """Write a network as a ``.pt2`` file."""
    graph = build_graph(network)
    text = json.dumps(graph.description.to_texts(), ensure_ascii=False)
    torch.export.save(graph.program, path, extra_files={DESCRIPTION: text})


def read_torch(path: Path, _device: str) -> tuple[Scorer, Description]:
    """Return a ``.pt2`` file as a scorer, and its description; code in the file would run."""
    texts = {DESCRIPTION: ""}
    # What cannot be read is an error that says why; PyTorch would log it, too.
    with quiet("torch.export"):
        program = torch.export.load(path, extra_files=texts)

    # Where there is none, the text stays empty.
    description = Description.from_texts(json.loads(texts[DESCRIPTION] or "{}"), str(path))
    return program.module(), description
