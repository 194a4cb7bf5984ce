"""Networks as OpenVINO's two files, ``.xml`` and ``.bin``, whose ``rt_info`` has the description."""

from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from video_rs.engine.evaluation import Scorer
from video_rs.inference.conversion import INPUT, OpenVinoRun, open_vino, to_open_vino
from video_rs.inference.export.description import NAMES, OUTPUT_CONTRACT, Description
from video_rs.inference.export.graph import build_graph
from video_rs.inference.export.network import TrainedNetwork
from video_rs.inference.quantization import quantize
from video_rs.runtime.errors import InputError

if TYPE_CHECKING:
    import openvino

SECTION = "video_rs"
"""Of ``rt_info``."""


def write_open_vino(network: TrainedNetwork, path: Path) -> None:
    """Write a network as ``NAME.xml``, and its weights in float32 as ``NAME.bin`` beside it."""
    graph = build_graph(network)
    _save(to_open_vino(graph.program), graph.description, path)


def write_quantized(network: TrainedNetwork, path: Path, views: Tensor) -> None:
    """Write a network in int8, with ranges taken from uint8 views ``[N, 3, T, h, w]``, as two such files."""
    graph = build_graph(network)
    _save(quantize(to_open_vino(graph.program), views.split(1), lambda view: view), graph.description, path)


def _save(model: "openvino.Model", description: Description, path: Path) -> None:
    """Write a graph with its description."""
    import openvino

    # Its own name for the answer is that of the last operation.
    model.inputs[0].set_names({INPUT})
    model.outputs[0].set_names({OUTPUT_CONTRACT["name"]})
    for name, text in description.to_texts().items():
        model.set_rt_info(text, [SECTION, name])

    # By default weights would be rounded to half precision.
    openvino.save_model(model, path, compress_to_fp16=False)


def read_open_vino(path: Path, _device: str) -> tuple[Scorer, Description]:
    """Return a pair of files as a scorer by OpenVINO, and its description."""
    weights = path.with_suffix(".bin")
    if not weights.is_file():
        raise InputError(f"{path} has its weights in {weights}, which is not there; copy both files")

    model = open_vino().read_model(path, weights)
    texts = {}
    # To ask for what is not there is an error.
    if model.has_rt_info([SECTION]):
        for name in NAMES:
            if model.has_rt_info([SECTION, name]):
                texts[name] = model.get_rt_info([SECTION, name]).astype(str)
    return OpenVinoRun(model), Description.from_texts(texts, str(path))
