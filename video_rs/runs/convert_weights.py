"""Convert published weights into a file of this project's format."""

import contextlib
import dataclasses
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from video_rs.config import OPTIONS, load_config
from video_rs.engine.checkpoint import save_checkpoint
from video_rs.models.classifier import VideoClassifier
from video_rs.models.weights import model_garden
from video_rs.models.weights.inflate import image_preprocessing, inflate_image_weights
from video_rs.models.weights.pretrained import find_weights
from video_rs.models.zoo import architecture, create_model
from video_rs.runtime.errors import InputError
from video_rs.runtime.torch_files import first_sentence
from video_rs.runtime.wording import pluralize

# Model Garden's trainer swaps weights and averages before it writes files of this name.
SWAPPED = "average_weights-"
# The published networks take values in [0, 1]; of frames and sizes a checkpoint says nothing.
MODEL_GARDEN_PREPROCESSING = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}


@dataclass(frozen=True)
class WeightSource:
    """Weights to convert, and the network that they are for.

    Args:
        kind: ``model_garden`` or ``timm``.
        checkpoint: a path, or for timm the word timm, which downloads the weights.
        arch: name of the network.
        num_classes: of the last layer; None for as many as the checkpoint has.
        average: whether to take the moving averages of the weights; None takes them where there are any.
        overrides: fields of the network, as KEY and VALUE in turn.
    """

    kind: str
    checkpoint: str
    arch: str
    num_classes: int | None = None
    average: bool | None = None
    overrides: Sequence[str] = ()


@dataclass(frozen=True)
class Converted:
    """A network, its weights in this project's names, and the preprocessing of its input."""

    model: VideoClassifier
    state: dict[str, Tensor]
    preprocessing: dict[str, Any]


def convert_weights(source: WeightSource, output: Path) -> None:
    """Write the converted weights to ``output``, whole or not at all, and print what they are.

    Raises:
        InputError: the source cannot be read or does not fit the network, or the output cannot be written.
    """
    if output.is_dir():
        raise InputError(f"--output {output} is a folder; give a file in it, e.g. {output / 'out.pth'}")

    fields = architecture_fields(source.overrides)
    # What is wrong with them is said before a large checkpoint is read.
    architecture(source.arch, **fields)

    if source.kind == "timm":
        converted = _convert_timm(source, fields)
    else:
        converted = _convert_model_garden(source, fields)

    classes = converted.model.num_classes
    checkpoint = {
        "model": converted.state,
        "ema": None,
        "architecture": dataclasses.asdict(converted.model.backbone.architecture),
        "num_classes": classes,
        "preprocessing": converted.preprocessing,
    }
    save_checkpoint(output, checkpoint, then="convert again")
    print(f"wrote {output}: {source.arch}, {pluralize(classes, 'class', 'classes')}")


def architecture_fields(overrides: Sequence[str]) -> dict[str, Any]:
    """Return ``{"se_ratio": 0.2}`` for ``["MODEL.SE_RATIO", "0.2"]``; MODEL. and capitals may be left out."""
    if len(overrides) % 2:
        raise InputError(f"overrides come as KEY VALUE pairs; {overrides[-1]!r} has no value")

    fields = {}
    for key, text in zip(overrides[::2], overrides[1::2], strict=True):
        name = key.lower().removeprefix("model.")
        fields[name] = _field_value(name, text)
    return fields


def _field_value(name: str, text: str) -> Any:
    """Return what a text means as a field's value, as a config reads it; names of no field are refused later."""
    key = f"MODEL.{name.upper()}"
    if key in {option.key for option in OPTIONS}:
        return load_config(overrides={key: text}).flat()[key]
    # A field that no config has: in_channels.
    return int(text) if text.isdecimal() else text


def _convert_model_garden(source: WeightSource, fields: dict[str, Any]) -> Converted:
    """Convert a TensorFlow checkpoint of Model Garden's 3D ResNets."""
    variables = read_tensorflow_checkpoint(source.checkpoint)
    classes = source.num_classes
    if classes is None:
        classes = model_garden.number_of_classes(variables)
    model = create_model(source.arch, classes, **fields)

    average = source.average
    if average is None:
        swapped = Path(source.checkpoint).name.startswith(SWAPPED)
        average = model_garden.has_averages(variables) and not swapped
    state = model_garden.from_model_garden(variables, model, average)

    which = "moving averages of the weights" if average else "weights as they are"
    print(f"read {source.checkpoint}: {len(model_garden.model_garden_names(model))} variables, {which}")
    return Converted(model, state, MODEL_GARDEN_PREPROCESSING)


def _convert_timm(source: WeightSource, fields: dict[str, Any]) -> Converted:
    """Inflate timm's image weights, in a file or downloaded, in time."""
    image, _, name = find_weights(source.checkpoint, architecture(source.arch, **fields))
    classes = source.num_classes
    if classes is None and "fc.weight" not in image:
        raise InputError(f"{name} has no classifier (fc.weight); give --num-classes")
    if classes is None:
        classes = len(image["fc.weight"])

    model = create_model(source.arch, classes, **fields)
    state = inflate_image_weights(image, model, source=name)
    print(f"read {name}: {len(image)} tensors of an image network, inflated in time")
    return Converted(model, state, image_preprocessing(model.backbone.architecture))


def read_tensorflow_checkpoint(path: str) -> dict[str, Any]:
    """Return ``{key: array}`` of a checkpoint's weights and their averages.

    Raises:
        InputError: there is no checkpoint, it cannot be read, or TensorFlow is not installed.
    """
    if not Path(f"{path}.index").is_file():
        raise InputError(f"no TensorFlow checkpoint at {path}: no file {path}.index; give the path without .index")

    try:
        with _silent_stderr():
            import tensorflow

            reader = tensorflow.train.load_checkpoint(path)
            arrays = {}
            for key in reader.get_variable_to_shape_map():
                if not model_garden.is_bookkeeping(key):
                    arrays[key] = reader.get_tensor(key)
    except ImportError as error:
        why = first_sentence(error)
        raise InputError(f"reading {path} needs TensorFlow: pip install 'video_rs[tensorflow]' ({why})") from error
    except Exception as error:  # TensorFlow raises nearly anything on foreign bytes, and all of it is the file's fault
        why = first_sentence(error)
        raise InputError(f"{path} is damaged, incomplete or no TensorFlow checkpoint ({why})") from error
    return arrays


@contextlib.contextmanager
def _silent_stderr() -> Iterator[None]:
    """Drop what is written to the process's stderr: TensorFlow notes its drivers there before any setting acts."""
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
