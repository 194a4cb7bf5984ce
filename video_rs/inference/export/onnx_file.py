"""Networks as ONNX files, whose ``metadata_props`` are the description; ``NAME.onnx.json`` beside them repeats it."""

from pathlib import Path

from video_rs.engine.evaluation import Scorer
from video_rs.inference.conversion import OnnxRun, to_onnx
from video_rs.inference.export.description import OUTPUT_CONTRACT, Description
from video_rs.inference.export.graph import build_graph
from video_rs.inference.export.network import TrainedNetwork
from video_rs.runtime.atomic import write_json
from video_rs.runtime.errors import InputError
from video_rs.runtime.wording import pluralize


def write_onnx(network: TrainedNetwork, path: Path) -> None:
    """Write a network as an ONNX file."""
    graph = build_graph(network)

    onnx = to_onnx(graph.program, OUTPUT_CONTRACT["name"])
    onnx.model.metadata_props.update(graph.description.to_texts())
    onnx.save(path)

    # JavaScript's ONNX Runtime gives no access to the metadata.
    beside = path.with_name(path.name + ".json")
    write_json(beside, graph.description.to_plain_data())


def read_onnx(path: Path, _device: str) -> tuple[Scorer, Description]:
    """Return an ONNX file as a scorer by ONNX Runtime, and its description."""
    run = OnnxRun(path)
    texts = run.session.get_modelmeta().custom_metadata_map
    description = Description.from_texts(texts, str(path))
    _require_contract(run, description, path)
    return run, description


def _require_contract(run: OnnxRun, description: Description, path: Path) -> None:
    """Raise InputError where a program takes and gives something else than its description says."""
    taken = [(value.type, len(value.shape)) for value in run.session.get_inputs()]
    given = [(value.type, value.shape[-1:]) for value in run.session.get_outputs()]
    classes = len(description.label_names)
    if taken != [("tensor(uint8)", 5)] or given != [("tensor(float)", [classes])]:
        raise InputError(
            f"{path} takes {taken} and gives {given}, and says that it takes uint8 clips and gives float32 "
            f"probabilities of {pluralize(classes, 'class', 'classes')}; export it anew"
        )
