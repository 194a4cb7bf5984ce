"""Export a checkpoint for another runtime, and show that it gives the same probabilities."""

import json
from collections.abc import Sequence
from pathlib import Path

from video_rs.engine.checkpoint import load_checkpoint
from video_rs.inference.export.formats import ENDINGS, FORMATS, Format, format_by_ending
from video_rs.inference.export.network import TrainedNetwork, read_network
from video_rs.inference.export.parity import TOLERANCE, Parity
from video_rs.inference.export.writing import export_network
from video_rs.models.hub import CONFIG, WEIGHTS, write_config
from video_rs.reports.model_card import card_text
from video_rs.reports.text_table import text_table
from video_rs.runs.model_card import model_card
from video_rs.runtime.atomic import replace_text
from video_rs.runtime.errors import InputError
from video_rs.runtime.torch_files import find_checkpoint
from video_rs.runtime.wording import pluralize

HUB = "hub"


def run_export(checkpoint: str, out: str, name: str = "") -> None:
    """Write a checkpoint's network to a file, and print how near its probabilities come to the network's.

    Args:
        checkpoint: a .pth file of a run, or the run's folder.
        out: path of the file, or for the hub of a folder.
        name: of the format, or "hub" for a folder as the Hugging Face hub takes it; "": that of the ending of ``out``.

    Raises:
        InputError: bad input.
        CheckFailed: the file gives other probabilities; it is not kept.
    """
    path = Path(out)
    if name == HUB:
        refuse_other_model(path)
        path = path / WEIGHTS
    kind = format_for(path, "" if name == HUB else name)
    kind.require_for_writing(path)
    network = read_network(checkpoint)
    export_network(network, kind, path, print_comparison)
    if name == HUB:
        write_hub_files(path.parent, checkpoint, network)

    classes = pluralize(len(network.description.label_names), "class", "classes")
    print(f"wrote {path}: uint8 clips [B, 3, T, H, W] -> probabilities [B, K], {classes}")


def refuse_other_model(folder: Path) -> None:
    """Raise InputError where a folder for the hub has the files of another model."""
    path = folder / CONFIG
    if not path.exists():
        return
    try:
        is_ours = "preprocessing" in json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        is_ours = False
    if not is_ours:
        raise InputError(
            f"--out {folder} has a {CONFIG} of something else, which would be replaced; take another folder"
        )


def write_hub_files(folder: Path, checkpoint: str, network: TrainedNetwork) -> None:
    """Write what a repository of the hub has beside the weights: ``config.json``, and a model card unless one is there.

    Args:
        folder: of the weights.
        checkpoint: as for :func:`run_export`.
        network: of it.
    """
    write_config(folder, network.description.to_texts())

    card = folder / "README.md"
    if card.exists():
        print(f"{card} is there, and stays as it is")
        return
    content = model_card(load_checkpoint(checkpoint), find_checkpoint(checkpoint))
    replace_text(card, card_text(content))


def format_for(path: Path, name: str) -> Format:
    """Return the format of a file by its name, or by the file's ending.

    Raises:
        InputError: the path has not the ending of the format, or is a folder.
    """
    if path.is_dir():
        raise InputError(f"--out {path} is a folder; give a file in it, e.g. {path / 'model.onnx'}")
    if not name:
        kind = format_by_ending(path)
        if kind is None:
            raise InputError(f"--out {path} has the ending of no format; allowed: {ENDINGS}")
        return kind

    kind = FORMATS[name]
    if path.suffix != kind.ending:
        raise InputError(f"--out {path}: files of --format {name} end in {kind.ending}; give {path.stem}{kind.ending}")
    return kind


def print_comparison(rows: Sequence[Parity]) -> None:
    """Print how the file's probabilities differ from the network's, a line for each shape."""
    cells = []
    for row in rows:
        shape = " x ".join(map(str, row.shape))
        cells.append([shape, f"{row.largest:.4f}", f"{row.difference:.1e}", f"{row.allowed:.1e}"])
    heads = ["clips", "largest probability", "difference", f"allowed ({TOLERANCE:.0e} of it)"]
    print(text_table(heads, cells), flush=True)
