"""Write a checkpoint's network in int8, and show what that does to its answers."""

import time
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

from video_rs.builders import build_source, build_workers
from video_rs.config import Config, config_from_text
from video_rs.data.dataset import ViewReader
from video_rs.engine.checkpoint import load_checkpoint
from video_rs.engine.evaluation import Scorer
from video_rs.evaluation.calibration import calibration_error
from video_rs.evaluation.classification import hits, log_losses
from video_rs.inference.export.network import TrainedNetwork, read_network
from video_rs.inference.export.open_vino_file import read_open_vino, write_quantized
from video_rs.inference.export.writing import folder_beside, put_files_in_place
from video_rs.inference.precision import Loss
from video_rs.inference.predictions import Predictions
from video_rs.inference.quantization import require_nncf
from video_rs.inference.sample_views import sample_views
from video_rs.lists.checks import require_labels, segments
from video_rs.lists.records import RecordList
from video_rs.reports.text_table import text_table
from video_rs.runs.acceleration import records_to_choose_by
from video_rs.runs.comparison import against
from video_rs.runs.export import format_for
from video_rs.runs.results import Evaluation, evaluate_records
from video_rs.runs.test import records_to_test
from video_rs.runtime.atomic import write_json
from video_rs.runtime.errors import CheckFailed, InputError
from video_rs.runtime.progress import print_line, print_notes
from video_rs.runtime.torch_files import find_checkpoint
from video_rs.runtime.wording import pluralize

REPEATS = 9
"""Of the timed passes, of which the median counts."""


def run_quantize(checkpoint_path: str, out: str, list_path: str = "") -> dict[str, Any]:
    """Write ``NAME.xml`` and ``NAME.bin`` in int8, test both networks, and write ``NAME.json`` of what came out.

    Ranges are taken from training rows of the list, and both networks are tested on its validation rows.

    Args:
        checkpoint_path: a .pth file of a run, or the run's folder.
        out: path of the .xml file.
        list_path: list of videos; "": those of the run.

    Returns:
        What NAME.json holds.

    Raises:
        InputError: bad input, or no video to test could be read; nothing is kept.
        CheckFailed: int8 changes too much; nothing is kept.
    """
    path = Path(out)
    kind = format_for(path, "openvino")
    # Its extra brings the format's package, too.
    require_nncf()
    kind.require_for_writing(path)
    checkpoint = load_checkpoint(find_checkpoint(checkpoint_path))
    config = config_from_text(checkpoint["config"])
    tested = records_to_test(config, list_path, checkpoint["label_names"], root_given=False)
    require_labels(tested, config.DATA.MULTI_LABEL)
    calibrated = records_to_choose_by(list_path, checkpoint, "--list")
    print_notes([*tested.notes, *_doubts(tested, calibrated)])

    network = read_network(checkpoint_path)
    preprocessing = network.description.preprocessing.published_views()
    read = ViewReader(preprocessing, build_source(config))
    calibration, check = sample_views(calibrated.records, calibrated.source, read, build_workers(config))
    with folder_beside(path) as folder:
        written = folder / path.name
        write_quantized(network, written, calibration)
        quantized, _ = read_open_vino(written, "cpu")
        loss = _loss(network, quantized, check, config.TEST.BATCH_SIZE)
        print_line(f"int8 against float32: {loss}")
        if not loss.is_allowed:
            raise CheckFailed(f"int8 changes too much: {loss}; nothing was kept; stay with float32")

        before, after = (
            _predictions(scorer, title, tested, config, network)
            for scorer, title in ((network.program, "float32"), (quantized, "int8"))
        )
        sentences = _compared(before, after, tested)
        seconds = _seconds(network.program, quantized, check[: config.TEST.BATCH_SIZE])
        rows = {
            name: {**_quality(predictions), "seconds_per_view": spent}
            for name, predictions, spent in zip(("float32", "int8"), (before, after), seconds, strict=True)
        }
        found = {**rows, "against_float32": loss._asdict(), "calibrated_on": len(calibration)}
        # All three together: old numbers beside a new network would be taken for its own.
        write_json(written.with_suffix(".json"), found)
        put_files_in_place(folder, path)

    wrote = f"wrote {path}, {path.with_suffix('.bin').name} and {path.with_suffix('.json').name}"
    for line in (_table(rows), *sentences, wrote):
        print_line(line)
    return found


def _doubts(tested: RecordList, calibrated: RecordList) -> list[str]:
    """Return a note where videos may be calibrated on and are tested as well."""
    both = len(segments(tested) & segments(calibrated))
    if not both:
        return []
    return [
        f"{both} of {pluralize(len(tested), 'tested video')} of {tested.source} may be calibrated on, too: a list of "
        "both kinds needs a column split"
    ]


@torch.inference_mode()
def _loss(network: TrainedNetwork, quantized: Scorer, check: Tensor, batch: int) -> Loss:
    """Return what int8 changes of the probabilities of views."""
    batches = check.split(batch)
    return Loss.between(map(network.program, batches), map(quantized, batches))


def _predictions(
    scorer: Scorer, title: str, tested: RecordList, config: Config, network: TrainedNetwork
) -> Predictions:
    """Return what a network says of the tested videos, by the run's own test."""
    description = network.description
    preprocessing = description.preprocessing.published_views()
    results = evaluate_records(config, scorer, tested, preprocessing, title)
    names = list(description.label_names)
    evaluation = Evaluation(config, tested.records, names, preprocessing, results, description.calibration)
    return evaluation.predictions(evaluation.metrics(title), description.checkpoint["step"])


def _quality(predictions: Predictions) -> dict[str, float]:
    """Return accuracy, cross-entropy in nats and calibration error of predictions."""
    probabilities = predictions.probabilities
    truth = predictions.truth
    right = hits(probabilities, truth, 1)
    return {
        "top1": float(right.mean()),
        "cross_entropy": float(log_losses(probabilities, truth, predictions.about.multi_label).mean()),
        "calibration_error": calibration_error(probabilities.max(1), right),
    }


@torch.inference_mode()
def _seconds(program: Scorer, quantized: Scorer, views: Tensor) -> tuple[float, float]:
    """Return the seconds that each takes for a view, in turns: the median of some passes after a first one."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(1 + REPEATS):
        for scorer, spent in zip((program, quantized), times, strict=True):
            started = time.perf_counter()
            scorer(views)
            spent.append((time.perf_counter() - started) / len(views))
    return median(times[0][1:]), median(times[1][1:])


def _compared(before: Predictions, after: Predictions, tested: RecordList) -> list[str]:
    """Return the difference with its interval, where videos have one class.

    Raises:
        InputError: there is nothing to compare.
    """
    if not before.read_results:
        raise InputError(
            f"none of {pluralize(len(tested), 'video')} to test of {tested.source} can be read; nothing was kept; "
            "correct the list, or give another --list"
        )
    if before.about.multi_label:
        return []
    names = {result.id or result.video for result in before.results}
    if len(names) < len(before.results):
        return [f"note: rows of {tested.source} stand twice, so that the two are not compared video by video"]
    return against(after, before).sentences


def _table(rows: dict[str, dict[str, float]]) -> str:
    """Return accuracy, calibration and speed of both."""
    cells = [
        [
            name,
            f"{100 * row['top1']:.2f} %",
            f"{row['cross_entropy']:.4f}",
            f"{row['calibration_error']:.4f}",
            f"{1000 * row['seconds_per_view']:.2f} ms",
        ]
        for name, row in rows.items()
    ]
    return text_table(["", "top1", "cross-entropy", "calibration error", "a view"], cells)
