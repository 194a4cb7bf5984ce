"""The sources of a transfer study: the networks whose weights are tried on other data sets."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from video_rs.builders import build_architecture
from video_rs.config import Config
from video_rs.models import Architecture, VideoClassifier
from video_rs.models.weights.files import Weights
from video_rs.models.weights.inflate import is_image_state
from video_rs.models.weights.pretrained import IMAGE_LIBRARIES, LIBRARIES, load_pretrained
from video_rs.models.weights.strict import CLASSIFIER
from video_rs.runtime.errors import InputError
from video_rs.runtime.file_hash import file_hash
from video_rs.runtime.torch_files import find_checkpoint
from video_rs.runtime.wording import pluralize
from video_rs.studies.study import SOURCES, Study, StudyRun
from video_rs.studies.transfer.protocols import place_of

RANDOM = "random"
IMAGE = "image"
NAME = re.compile(r"[A-Za-z0-9_-]+")
"""Names of sources and targets are parts of the names of folders."""


@dataclass(frozen=True)
class Source:
    """Where networks start from.

    Attributes:
        name: of the source.
        weights: files, or the name of a library: one for all seeds, or one for each; none: fresh weights.
        about: what each file says of itself, see :class:`video_rs.models.weights.files.Weights`.
        missing: why there is nothing to be measured; "" where there is.
    """

    name: str
    weights: tuple[str, ...] = ()
    about: tuple[Any, ...] = ()
    missing: str = ""

    @property
    def is_random(self) -> bool:
        """Whether each seed has fresh weights of its own."""
        return self.name == RANDOM

    def weights_of(self, seed: int) -> str:
        """Return MODEL.PRETRAINED of the runs of a seed."""
        if self.is_random:
            return ""
        if len(self.weights) == 1:
            return self.weights[0]
        return self.weights[seed]

    def hashes(self) -> dict[str, str]:
        """Return the SHA-256 of each file as it is now, by its path; "" for the weights of a library."""
        return {weights: _hash(weights) for weights in self.weights}


def find_sources(texts: Sequence[str], config: Config, seeds: int) -> list[Source]:
    """Return the sources that are named on a command line, each file read and found to fit the network.

    Args:
        texts: ``NAME=CKPT``, ``NAME=CKPT,CKPT`` with a checkpoint for each seed, ``random``, ``image`` or
            ``image=FILE``.
        config: of the network.
        seeds: of the study.

    Raises:
        InputError: a text that means nothing, a name that is there twice, a file that is not there, weights of
            another network, or weights of videos under the name image.
    """
    architecture = build_architecture(config)
    sources: dict[str, Source] = {}
    for text in texts:
        source = _find_source(text, architecture, config.MODEL.INFLATION, seeds)
        if source.name in sources:
            raise InputError(f"--source {source.name} is given twice; give each source another name")
        sources[source.name] = source
    return list(sources.values())


def require_name(option: str, name: str) -> None:
    """Raise InputError for a name that cannot be a part of the name of a folder."""
    if not NAME.fullmatch(name):
        raise InputError(f"{option} has the name {name!r}; allowed are letters of a to z, digits, '-' and '_'")


def require_known_weights(study: Study, run: StudyRun) -> None:
    """Raise InputError where a run would start from other weights than the study has found at their path."""
    path = run.keys.get("MODEL.PRETRAINED", "")
    known = study.settings.get(SOURCES, {})
    if not known or not path:
        return

    source = place_of(run.row).source
    before = known.get(source, {}).get(path, "")
    # A file that is gone is refused where it is read.
    if before and Path(path).is_file() and _hash(path) != before:
        raise InputError(
            f"{path} is another file than --source {source} was when the study was made; put that one back, or give "
            "another --out"
        )


def _find_source(text: str, architecture: Architecture, inflation: str, seeds: int) -> Source:
    """Return the source of a text; see :func:`find_sources`."""
    if text == RANDOM:
        return Source(RANDOM)
    name, equals, value = text.partition("=")
    if name == IMAGE and (not equals or value in LIBRARIES):
        return _image_source(text, value, architecture, inflation)

    if not equals or not value:
        raise InputError(
            f"--source {text}: give NAME=CKPT, such as recipe=runs/recipe, or one of {RANDOM}, {IMAGE} and {IMAGE}=FILE"
        )
    require_name(f"--source {text}", name)
    if name == RANDOM:
        raise InputError(f"--source {text}: {RANDOM} stands for fresh weights; give the checkpoint another name")

    weights = tuple(value.split(","))
    if len(weights) not in (1, seeds):
        raise InputError(
            f"--source {name} has {pluralize(len(weights), 'checkpoint')} and --seeds is {seeds}; give one checkpoint, "
            "or one for each seed"
        )
    found = [_read_fitting(f"--source {name}", one, architecture, inflation) for one in weights]
    if name == IMAGE and not all(is_image_state(each.state) for each in found):
        raise _no_image_weights(text)
    return Source(name, tuple(map(_absolute, weights)), tuple(each.about for each in found))


def _image_source(text: str, library: str, architecture: Architecture, inflation: str) -> Source:
    """Return a library's image weights for the network, or the reason why there are none.

    Args:
        text: of the command line.
        library: "" for the one that has images' networks of this kind.
        architecture: of the network.
        inflation: how image weights are inflated.

    Raises:
        InputError: the library has weights of video networks.
    """
    if not library:
        library = "torchvision" if architecture.stem == "plain" else "timm"
    if library not in IMAGE_LIBRARIES:
        raise _no_image_weights(text)

    try:
        found = _read_fitting(f"--source {IMAGE}", library, architecture, inflation)
    except InputError as error:
        return Source(IMAGE, missing=str(error).removeprefix(f"--source {IMAGE}: "))
    return Source(IMAGE, (library,), (found.about,))


def _no_image_weights(text: str) -> InputError:
    """Return the refusal of a source that is called image, and is of videos."""
    return InputError(f"--source {text} holds no image weights; give the file of an image network, or another NAME")


def _read_fitting(option: str, weights: str, architecture: Architecture, inflation: str) -> Weights:
    """Return weights that fit a backbone.

    Raises:
        InputError: they cannot be had, or are of another network.
    """
    # Without memory: this is about names and shapes.
    with torch.device("meta"):
        backbone = VideoClassifier(architecture, 1).backbone
    module = nn.ModuleDict({"backbone": backbone})
    try:
        found, _ = load_pretrained(module, weights, inflation, skip=(CLASSIFIER,))
    except InputError as error:
        raise InputError(f"{option}: {error}") from error
    return found


def _absolute(weights: str) -> str:
    """Return weights as every process finds them: of a run's folder, the file that it stands for now."""
    if weights in LIBRARIES:
        return weights
    return str(Path(find_checkpoint(weights)).absolute())


def _hash(weights: str) -> str:
    """Return the SHA-256 of a file; "" for a library, whose weights lie nowhere that is known here."""
    if weights in LIBRARIES:
        return ""
    return file_hash(weights)
