"""How a run starts from trained weights: whose classes they are for, and what they were trained with."""

from collections.abc import Mapping, Sequence
from typing import Any

from video_rs import builders
from video_rs.config import Config, config_from_text, flat
from video_rs.engine.checkpoint import load_checkpoint
from video_rs.engine.optim import learning_rate
from video_rs.engine.trainer import TrainSettings
from video_rs.runtime.errors import InputError
from video_rs.runs.changes import model_differences
from video_rs.runtime.progress import print_line
from video_rs.models import VideoClassifier
from video_rs.models.weights.inflate import image_preprocessing, is_image_state
from video_rs.models.weights.strict import classifier_by_name, load_strictly

# What of the preprocessing weights depend on, and how a checkpoint that no run wrote calls it.
PREPROCESSING = {
    "mean": "DATA.MEAN",
    "std": "DATA.STD",
    "num_frames": "DATA.NUM_FRAMES",
    "sampling_rate": "DATA.SAMPLING_RATE",
    "crop_size": "DATA.TRAIN_CROP_SIZE",
}
# A smaller change of the rate is no jump, relative to the rate.
STEADY = 0.01


def start_from_run(path: str, model: VideoClassifier, identity: Mapping[str, Any], config: Config) -> None:
    """Load the weights of another run's checkpoint, its average where it has one, and say what is other there.

    Args:
        path: the checkpoint.
        model: to load into.
        identity: of this run, as its checkpoints will have it.
        config: of this run.

    Raises:
        InputError: there is no checkpoint, or it holds another model.
    """
    state = load_checkpoint(path)
    if differences := model_differences(state, identity):
        raise InputError(f"{path} holds another model ({'; '.join(differences)}); set the same MODEL keys")

    theirs, ours = state["label_names"], identity["label_names"]
    weights, words = classifier_by_name(state["ema"] or state["model"], model, theirs, ours)
    load_strictly(model, weights, path)

    print_line("; ".join(filter(None, (f"fine-tuning from {path}", words))))
    _say_other_preprocessing(state, config)


def start_from_weights(model: VideoClassifier, names: Sequence[str], config: Config) -> None:
    """Load MODEL.PRETRAINED and say what is other there; ``names`` are the classes of this run.

    Raises:
        InputError: the weights cannot be had or read, or they do not fit.
    """
    found, words = builders.load_start_weights(config, model, names)
    about = found.about
    if is_image_state(found.state) and "preprocessing" not in about:
        about = {"preprocessing": image_preprocessing(model.backbone.architecture)}

    print_line("; ".join(filter(None, (f"starting from the weights of {config.MODEL.PRETRAINED}", words))))
    _say_other_preprocessing(about, config)


def _say_other_preprocessing(about: Mapping[str, Any], config: Config) -> None:
    """Print what of the clips that weights were trained on differs from this run's."""
    theirs, ours = trained_with(about), flat(config)
    others = [f"{key} {_text(value)}, here {_text(ours[key])}" for key, value in theirs.items() if value != ours[key]]
    if "DATA.MEAN" in theirs and "DATA.STD" in theirs:
        ranges = [_range(values["DATA.MEAN"], values["DATA.STD"]) for values in (theirs, ours)]
        if ranges[0] != ranges[1]:
            others.append(f"so that pixels had values {ranges[0]}, here {ranges[1]}")
    if others:
        print_line(f"note: these weights were trained with {'; '.join(others)}; set the same unless the difference is meant")


def trained_with(about: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a checkpoint says of the clips that its weights were trained on, as config keys and values.

    Args:
        about: ``config`` and ``preprocessing`` of a checkpoint, if it has them.
    """
    if about.get("config"):
        try:
            stored = flat(config_from_text(about["config"]))
            return {key: stored[key] for key in PREPROCESSING.values()}
        except InputError:
            pass  # of another version, whose keys we do not know

    known = about.get("preprocessing") or {}
    known = {**known, **known.get("clip", {})}
    found = {key: known[name] for name, key in PREPROCESSING.items() if name in known}
    return {key: list(value) if isinstance(value, tuple) else value for key, value in found.items()}


def jump_of_rate(state: Mapping[str, Any], settings: TrainSettings) -> str:
    """Return a sentence on a learning rate that does not go on where a run stopped; nothing where it does.

    Args:
        state: of the run's checkpoint, whose optimizer has the rate of the last step taken.
        settings: that the run goes on with.
    """
    step = state["step"]
    groups = [group for group in state["optimizer"]["param_groups"] if group.get("lr_scale", 1.0) > 0]
    if not step or not groups:
        return ""

    before = max(group["lr"] / group.get("lr_scale", 1.0) for group in groups)
    schedule = (settings.base_lr, settings.total_steps, settings.warmup_steps)
    same_step, coming = (learning_rate(number, *schedule) for number in (step - 1, step))
    if abs(same_step - before) <= STEADY * max(same_step, before):
        return ""
    return (
        f"the learning rate jumps: it was {before:.3g} at step {step}, and goes on with {coming:.3g}; its schedule "
        "follows the number of steps and SOLVER's keys"
    )


def _text(value: Any) -> str:
    return " ".join(f"{part:g}" for part in value) if isinstance(value, (list, tuple)) else f"{value:g}"


def _range(mean: Sequence[float], std: Sequence[float]) -> str:
    """Return between which values pixels lie after normalisation."""
    lowest = min((0 - m) / s for m, s in zip(mean, std, strict=True))
    highest = max((1 - m) / s for m, s in zip(mean, std, strict=True))
    return f"from {lowest:.3g} to {highest:.3g}"
