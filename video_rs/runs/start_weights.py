"""How a run starts from trained weights: whose classes they are for, and what they were trained with."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from video_rs.builders import Training, load_start_weights
from video_rs.config import Config, config_from_text
from video_rs.engine.checkpoint import is_of_pretraining, load_checkpoint
from video_rs.models.weights.pretrained import LIBRARIES
from video_rs.models.weights.strict import classifier_by_name, load_strictly, without_projection
from video_rs.runs.changes import model_differences
from video_rs.runtime.errors import InputError
from video_rs.runtime.file_hash import file_hash
from video_rs.runtime.progress import print_line
from video_rs.runtime.torch_files import find_checkpoint
from video_rs.video.fetching import absolute_path

# What of the preprocessing weights depend on, by its name in a checkpoint that no run wrote.
PREPROCESSING_KEYS = {
    "mean": "DATA.MEAN",
    "std": "DATA.STD",
    "num_frames": "DATA.NUM_FRAMES",
    "sampling_rate": "DATA.SAMPLING_RATE",
    "crop_size": "DATA.TRAIN_CROP_SIZE",
}


def load_trained_weights(training: Training, finetune: str) -> Training:
    """Load the weights that a run starts from, if there are any; the average starts there, too.

    Args:
        training: with fresh weights.
        finetune: checkpoint of another run; empty for MODEL.PRETRAINED, which may be empty, too.

    Returns:
        The training, which knows now what it started from. Its step is the same object.

    Raises:
        InputError: the weights cannot be had or read, or they do not fit.
    """
    if finetune:
        _start_from_run(finetune, training)
    elif training.config.MODEL.PRETRAINED:
        _start_from_weights(training)
    else:
        return training

    # An average that started from zeros would forget the trained weights.
    step = training.step
    if step.average is not None:
        step.average.start_at(step.model)
    source = finetune or training.config.MODEL.PRETRAINED
    return dataclasses.replace(training, started_from=_start_facts(source))


def _start_facts(source: str) -> dict[str, str]:
    """Return what a checkpoint keeps of weights that a run started from; of those of a library, the name alone."""
    if source in LIBRARIES:
        return {"source": source, "sha256": ""}
    path = find_checkpoint(source)
    return {"source": absolute_path(str(path)), "sha256": file_hash(path)}


def _start_from_run(path: str, training: Training) -> None:
    """Load the weights of another run's checkpoint, its average where it has one, and say what differs there."""
    saved = load_checkpoint(path, needs_classes=False)
    identity = training.identity()
    differences = model_differences(saved, identity, path)
    if differences:
        raise InputError(f"{path} holds another model ({'; '.join(differences)}); set the same MODEL keys")

    model = training.step.model
    weights = saved["ema"] or saved["model"]
    if is_of_pretraining(saved):
        weights, words = without_projection(weights, model)
    else:
        weights, words = classifier_by_name(weights, model, saved["label_names"], identity["label_names"])
    load_strictly(model, weights, path)
    _say_start(f"fine-tuning from {path}", words)
    _say_other_preprocessing(saved, training.config)


def _start_from_weights(training: Training) -> None:
    """Load MODEL.PRETRAINED and say what differs there."""
    config = training.config
    model = training.step.model
    found, words = load_start_weights(config, model, training.lists.label_names)
    _say_start(f"starting from the weights of {config.MODEL.PRETRAINED}", words)
    _say_other_preprocessing(found.about, config)


def _say_start(line: str, words: str) -> None:
    """Print where the run starts, and what became of the classifier where that is worth a word."""
    print_line(f"{line}; {words}" if words else line)


def _say_other_preprocessing(about: Mapping[str, Any], config: Config) -> None:
    """Print what of the clips that weights were trained on differs from those of this run."""
    before = trained_with(about)
    now = config.flat()
    differences = []
    for key, value in before.items():
        if value != now[key]:
            differences.append(f"{key} {_text(value)}, here {_text(now[key])}")

    # Mean and deviation may differ, and the values that pixels become still be the same.
    if "DATA.MEAN" in before and "DATA.STD" in before:
        range_before = _range(before["DATA.MEAN"], before["DATA.STD"])
        range_now = _range(now["DATA.MEAN"], now["DATA.STD"])
        if range_before != range_now:
            differences.append(f"so that pixels had values {range_before}, here {range_now}")

    if differences:
        print_line(
            f"note: these weights were trained with {'; '.join(differences)}; set the same unless the difference is "
            "meant"
        )


def trained_with(about: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a checkpoint says of the clips that its weights were trained on, as config keys and values.

    Args:
        about: ``config`` and ``preprocessing`` of a checkpoint, if it has them.
    """
    if about.get("config"):
        try:
            stored = config_from_text(about["config"]).flat()
            return {key: stored[key] for key in PREPROCESSING_KEYS.values()}
        except InputError:
            # The config is of another version, with other keys.
            pass

    known = about.get("preprocessing") or {}
    known = {**known, **known.get("clip", {})}
    found = {}
    for name, key in PREPROCESSING_KEYS.items():
        if name in known:
            value = known[name]
            found[key] = list(value) if isinstance(value, tuple) else value
    return found


def _text(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return " ".join(f"{part:g}" for part in value)
    return f"{value:g}"


def _range(mean: Sequence[float], std: Sequence[float]) -> str:
    """Return between which values pixels lie after normalisation."""
    lowest = min((0 - m) / s for m, s in zip(mean, std, strict=True))
    highest = max((1 - m) / s for m, s in zip(mean, std, strict=True))
    return f"from {lowest:.3g} to {highest:.3g}"
