"""The model card of a run: its data, recipe, results and failures, from the checkpoint and the run's predictions."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from video_rs.config import Config, config_from_text, load_config
from video_rs.data.preprocessing import Preprocessing
from video_rs.engine.metrics import best_classes
from video_rs.evaluation.intervals import wilson
from video_rs.inference.calibration import NOT_CALIBRATED, Calibration
from video_rs.inference.predictions import Predictions
from video_rs.reports.model_card import ModelCard
from video_rs.runtime.errors import InputError
from video_rs.runtime.wording import pluralize

MOST = 5
"""Mistakes and confusions that a card shows."""

ALWAYS = (
    "TRAIN.BATCH_SIZE",
    "SOLVER.MAX_EPOCH",
    "SOLVER.BASE_LR",
    "SOLVER.OPTIMIZING_METHOD",
    "SOLVER.WEIGHT_DECAY",
    "RNG_SEED",
)
"""Options that a card says even where they have their defaults."""

PRIVATE = ("OUTPUT_DIR", "DEVICE")
"""Options that say something of the machine and nothing of the network; so do paths."""


def model_card(checkpoint: Mapping[str, Any], path: Path) -> ModelCard:
    """Return the card of a checkpoint.

    Args:
        checkpoint: as loaded.
        path: of its file. The predictions of its run are looked for where a run has them.
    """
    config = config_from_text(checkpoint["config"])
    names = checkpoint["label_names"]
    predictions = predictions_of(path, checkpoint["step"])
    facts = {}
    evaluated = "Not evaluated."
    failures = {}
    if predictions is not None:
        facts = results_of(predictions)
        evaluated = how_evaluated(predictions)
        failures = failures_of(predictions)

    return ModelCard(
        title=f"{config.MODEL.ARCH}, {pluralize(len(names), 'class', 'classes')}",
        label_names=names,
        data=data_of(config, checkpoint),
        recipe=recipe_of(config),
        input=input_of(checkpoint),
        results=facts,
        evaluated=evaluated,
        notes=notes_of(checkpoint),
        **failures,
    )


def predictions_of(path: Path, step: int) -> Predictions | None:
    """Return what a run's test, or else its last validation, said with this checkpoint; None without such a thing."""
    run = path.resolve().parent
    if run.name == "checkpoints":
        run = run.parent
    for folder in (run / "test", run):
        try:
            predictions = Predictions.read(folder)
        except InputError:
            continue
        if predictions.about.step == step and predictions.read_results:
            return predictions
    return None


def how_evaluated(predictions: Predictions) -> str:
    """Return on which videos, and with which views."""
    about = predictions.about
    return (
        f"On the {pluralize(len(predictions), 'video')} of `{Path(about.list).name}`, {about.views_in_words} each, "
        f"step {about.step}. "
        "Intervals are those of Wilson (1927), 95 %, over videos."
    )


def results_of(predictions: Predictions) -> dict[str, str]:
    """Return accuracies with their intervals."""
    # A video without a class has no part in accuracies, as in the test.
    results = [result for result in predictions.read_results if result.labels]
    facts = {}
    for k in (1, 5):
        if not results or (k > 1 and k >= len(predictions.label_names)):
            continue
        hits = 0
        for result in results:
            best = best_classes(result.probabilities, k).tolist()
            hits += bool(set(best) & set(result.labels))
        accuracy = wilson(hits, len(results))
        facts[f"top-{k}"] = f"{accuracy.mean:.1%} ({accuracy.low:.1%} to {accuracy.high:.1%}; {hits} of {len(results)})"
    failed = len(predictions.failures)
    if failed:
        facts["could not be read"] = pluralize(failed, "video")
    return facts


def failures_of(predictions: Predictions) -> dict[str, Any]:
    """Return the surest mistakes, the most frequent confusions, and the videos that could not be read."""
    names = predictions.label_names
    mistakes = []
    confused = Counter()
    for result in predictions.read_results:
        said = int(result.probabilities.argmax())
        if said in result.labels or not result.labels:
            continue
        truth = ";".join(names[label] for label in result.labels)
        mistakes.append((Path(result.video).name, truth, names[said], float(result.probabilities[said])))
        confused[truth, names[said]] += 1

    mistakes.sort(key=lambda mistake: -mistake[-1])
    unreadable = [(Path(result.video).name, result.error) for result in predictions.failures]
    return {
        "mistakes": mistakes[:MOST],
        "confused": [(truth, said, count) for (truth, said), count in confused.most_common(MOST) if count > 1],
        "unreadable": unreadable[:MOST],
    }


def data_of(config: Config, checkpoint: Mapping[str, Any]) -> dict[str, str]:
    """Return the lists by their names, and what tells whether a list is the same one."""
    facts = {}
    fingerprints = checkpoint.get("dataset") or {}
    for title, key, path in (
        ("training list", "train", config.DATA.TRAIN_LIST),
        ("validation list", "val", config.DATA.VAL_LIST),
        ("pseudo-labelled list", "pseudo", config.DATA.PSEUDO_LIST),
    ):
        if path:
            facts[title] = f"{Path(path).name}, fingerprint {str(fingerprints.get(key, 'unknown'))[:16]}"
    return facts


def recipe_of(config: Config) -> dict[str, str]:
    """Return the options that matter, and those that differ from their defaults; none that names a place."""
    defaults = load_config().flat()
    recipe = {}
    for key, value in config.flat().items():
        is_a_place = isinstance(value, str) and ("/" in value or "\\" in value)
        if key in PRIVATE or is_a_place or key.endswith(("_LIST", ".ROOT")):
            continue
        if key in ALWAYS or value != defaults[key]:
            recipe[key] = str(value)
    return recipe


def input_of(checkpoint: Mapping[str, Any]) -> dict[str, str]:
    """Return how a video becomes the network's input."""
    preprocessing = Preprocessing.from_dict(checkpoint["preprocessing"])
    clip = preprocessing.clip
    transform = preprocessing.transform
    rate = f" at {clip.target_fps:g} frames per second" if clip.target_fps else ""
    return {
        "frames": f"{clip.num_frames}, every {clip.sampling_rate}{rate}",
        "size": f"short side {transform.short_side}, crops of {transform.crop_size} x {transform.crop_size}",
        "views": f"{pluralize(preprocessing.num_clips, 'clip')} x {pluralize(transform.num_crops, 'crop')}, their mean"
        + ("" if preprocessing.views == "published" else f" ({preprocessing.views} views)"),
        "values": f"RGB, 0 to 1, less {list(preprocessing.mean)}, over {list(preprocessing.std)}",
    }


def notes_of(checkpoint: Mapping[str, Any]) -> list[str]:
    """Return what a reader should know before using the network."""
    notes = ["It knows its own classes only, and gives one of them to any video."]
    calibration = Calibration.of_checkpoint(checkpoint)
    if calibration.threshold is not None:
        notes.append(f"Below a probability of {calibration.threshold:.3f} its answer is `unsure`.")
    if calibration == NOT_CALIBRATED:
        notes.append("It is not calibrated: probabilities are no frequencies.")
    versions = checkpoint.get("versions") or {}
    if "video_rs" in versions:
        notes.append(f"Trained with video_rs {versions['video_rs']}, torch {versions.get('torch', 'unknown')}.")
    return notes
