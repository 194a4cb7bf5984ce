"""Bring published weights into this project's format.

Sources are TensorFlow checkpoints of Model Garden's 3D ResNets (needs TensorFlow) and weights of timm's image networks
resnetrs*, which are inflated in time. MODEL.PRETRAINED OUT.pth, and video_rs.create_model(..., pretrained="OUT.pth"),
load the result.
"""

from video_rs.runtime import start

start.take_interrupts()

import argparse
import contextlib
import dataclasses
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from video_rs.runtime import cli
from video_rs.runtime.errors import InputError
from video_rs.runtime.wording import pluralize

EXAMPLES = (
    "python tools/convert_weights.py --source model_garden ckpt-73682 --arch r3d_rs_50 --output r3d_rs_50.pth",
    "python tools/convert_weights.py --source timm timm --arch inflated_rs_50 --output inflated_rs_50.pth",
)
CODES = {0: "converted", 2: "the input was refused: one line says why"}
AVERAGE = {"auto": "auto", "yes": True, "no": False}
# Model Garden's trainer swaps weights and averages before it writes these.
SWAPPED = "average_weights-"
# The published networks take values in [0, 1]; of frames and sizes a checkpoint says nothing.
MODEL_GARDEN_PREPROCESSING = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}


def main() -> None:
    """Parse the command line, convert, and write the result whole or not at all."""
    parser = cli.command_line(__doc__, EXAMPLES, CODES)
    parser.add_argument("--source", required=True, choices=tuple(SOURCES), help="whose weights CHECKPOINT holds")
    parser.add_argument(
        "checkpoint",
        metavar="CHECKPOINT",
        help="of model_garden: the checkpoint without its .index ending; of timm: a file of weights, or the word timm, "
        "which downloads them",
    )
    parser.add_argument(
        "--arch", required=True, metavar="NAME", help="the network; python -m video_rs.models lists them"
    )
    parser.add_argument("--num-classes", type=int, help="of the last layer (default: as many as the checkpoint has)")
    parser.add_argument(
        "--average",
        default="auto",
        choices=tuple(AVERAGE),
        help="whether to take the moving averages of the weights; auto takes them where there are any "
        "(default: %(default)s)",
    )
    parser.add_argument("--output", required=True, metavar="OUT.pth", help="file to write")
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="KEY VALUE",
        help="fields of the network to set, se_ratio 0.2 or as in a config MODEL.SE_RATIO 0.2 (default: its own)",
    )
    args = parser.parse_intermixed_args()

    if Path(args.output).is_dir():
        raise InputError(f"--output {args.output} is a folder; give a file in it, e.g. {Path(args.output) / 'out.pth'}")
    from video_rs.engine.checkpoint import save_checkpoint
    from video_rs.models.zoo import architecture as architecture_of

    fields = fields_of(args.overrides)
    architecture_of(args.arch, **fields)  # refused before a large checkpoint is read
    model, state, preprocessing = SOURCES[args.source](args, fields)
    architecture = dataclasses.asdict(model.backbone.architecture)
    result = {
        "model": state,
        "ema": None,
        "architecture": architecture,
        "num_classes": model.num_classes,
        "preprocessing": preprocessing,
    }
    save_checkpoint(Path(args.output), result, then="convert again")
    print(f"wrote {args.output}: {args.arch}, {pluralize(model.num_classes, 'class', 'classes')}")


def convert_model_garden(args: argparse.Namespace, fields: dict[str, Any]):
    """The model, its state dict and its preprocessing from a TensorFlow checkpoint."""
    import video_rs
    from video_rs.models.weights import model_garden as convert

    variables = read_tensorflow_checkpoint(args.checkpoint)
    classes = convert.number_of_classes(variables) if args.num_classes is None else args.num_classes
    model = video_rs.create_model(args.arch, classes, **fields)
    average = AVERAGE[args.average]
    if average == "auto":
        average = convert.has_averages(variables) and not Path(args.checkpoint).name.startswith(SWAPPED)
    state = convert.from_model_garden(variables, model, average)
    which = "moving averages of the weights" if average else "weights as they are"
    print(f"read {args.checkpoint}: {len(convert.model_garden_names(model))} variables, {which}")
    return model, state, MODEL_GARDEN_PREPROCESSING


def read_tensorflow_checkpoint(path: str) -> dict[str, Any]:
    """``{key: array}`` of a checkpoint's weights and their averages.

    Raises:
        InputError: there is no checkpoint, it cannot be read, or TensorFlow is not installed.
    """
    from video_rs.models.weights.model_garden import is_bookkeeping
    from video_rs.runtime.torch_files import first_sentence

    if not Path(f"{path}.index").is_file():
        raise InputError(f"no TensorFlow checkpoint at {path}: no file {path}.index; give the path without .index")
    try:
        with silent_stderr():
            import tensorflow

            reader = tensorflow.train.load_checkpoint(path)
            keys = [key for key in reader.get_variable_to_shape_map() if not is_bookkeeping(key)]
            return {key: reader.get_tensor(key) for key in keys}
    except ImportError as error:
        why = first_sentence(error)
        raise InputError(f"reading {path} needs TensorFlow: pip install tensorflow ({why})") from error
    except Exception as error:  # TensorFlow raises nearly anything on foreign bytes, and all of it is the file's fault
        why = first_sentence(error)
        raise InputError(f"{path} is damaged, incomplete or no TensorFlow checkpoint ({why})") from error


@contextlib.contextmanager
def silent_stderr() -> Iterator[None]:
    """Drops what is written to the process's stderr: TensorFlow notes its drivers there before any setting acts."""
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


def convert_timm(args: argparse.Namespace, fields: dict[str, Any]):
    """The model, its state dict and its preprocessing from timm's image weights, in a file or downloaded."""
    import video_rs
    from video_rs.models.weights.inflate import image_preprocessing, inflate_image_weights
    from video_rs.models.weights.pretrained import find_weights
    from video_rs.models.zoo import architecture

    image, _, source = find_weights(args.checkpoint, architecture(args.arch, **fields))
    if args.num_classes is None and "fc.weight" not in image:
        raise InputError(f"{source} has no classifier (fc.weight); give --num-classes")
    classes = len(image["fc.weight"]) if args.num_classes is None else args.num_classes
    model = video_rs.create_model(args.arch, classes, **fields)
    state = inflate_image_weights(image, model, source=source)
    print(f"read {source}: {len(image)} tensors of an image network, inflated in time")
    return model, state, image_preprocessing(model.backbone.architecture)


SOURCES = {"model_garden": convert_model_garden, "timm": convert_timm}


def fields_of(overrides: Sequence[str]) -> dict[str, Any]:
    """``["MODEL.SE_RATIO", "0.2"]`` -> ``{"se_ratio": 0.2}``; MODEL. and capitals may be left out."""
    if len(overrides) % 2:
        raise InputError(f"overrides come as KEY VALUE pairs; {overrides[-1]!r} has no value")
    names = [key.lower().removeprefix("model.") for key in overrides[::2]]
    return {name: value_of(name, text) for name, text in zip(names, overrides[1::2], strict=True)}


def value_of(name: str, text: str) -> Any:
    """What ``text`` means as a field's value, as a config reads it; names of no field are refused later."""
    from video_rs.config import OPTIONS, load_config

    key = f"MODEL.{name.upper()}"
    if any(option.key == key for option in OPTIONS):
        return load_config(overrides={key: text}).flat()[key]
    return int(text) if text.isdecimal() else text  # in_channels, which no config has


if __name__ == "__main__":
    cli.run(main)
