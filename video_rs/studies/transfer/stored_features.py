"""Features of a target's videos, computed once for each starting network and shared by the protocols that read them.

``settings.json`` beside the shards says what they are features of.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from video_rs.builders import build_architecture, build_preprocessing, build_training
from video_rs.builders.lists import Lists
from video_rs.config import Config
from video_rs.data.preprocessing import Preprocessing
from video_rs.inference.features import StageFeatures
from video_rs.inference.features.rows import FeatureRows, joined
from video_rs.inference.features.shards import Shards
from video_rs.inference.teachers import load_teacher
from video_rs.lists.checks import require_files
from video_rs.lists.records import RecordList
from video_rs.models.convolution_check import require_right_convolutions
from video_rs.models.weights.pretrained import LIBRARIES
from video_rs.runs.extract_features import Work, extract_shards
from video_rs.runs.extraction_place import Extraction, checkpoint_facts, differing_settings, extraction_settings
from video_rs.runs.start_weights import load_trained_weights
from video_rs.runtime import distributed
from video_rs.runtime.devices import pick_device
from video_rs.runtime.errors import InputError
from video_rs.runtime.progress import print_line
from video_rs.runtime.torch_files import find_checkpoint
from video_rs.runtime.wording import pluralize

SHARD_VIDEOS = 64
"""Videos after which the work is safe, and that one process does."""


@dataclass(frozen=True)
class StoredFeatures:
    """Features of the pooled last stage, of one centre view of each video.

    Attributes:
        records: the videos.
        rows: one for each video, in their order; NaN and a reason where it could not be read.
    """

    records: RecordList
    rows: FeatureRows

    @property
    def readable(self) -> list[int]:
        """Which videos could be read."""
        return np.flatnonzero(self.rows.errors == "").tolist()

    @property
    def failures(self) -> list[tuple[str, str]]:
        """(path, reason) of the videos that could not be read."""
        found = []
        for index in np.flatnonzero(self.rows.errors != "").tolist():
            found.append((self.records.records[index].path, str(self.rows.errors[index])))
        return found

    def of_readable(self) -> np.ndarray:
        """Return the features of the videos that could be read, float32 ``[n, D]``."""
        return self.rows.features[self.readable]

    def labels(self) -> np.ndarray:
        """Return the class of each video that could be read, int64 ``[n]``."""
        return np.array([self.records.records[index].labels[0] for index in self.readable], np.int64)

    def groups(self) -> list[str]:
        """Return the group of each video that could be read."""
        return [self.records.records[index].group_or_file for index in self.readable]


def compute_features(config: Config, lists: Lists, folder: Path) -> tuple[StoredFeatures, StoredFeatures]:
    """Return the features of training and of validation videos; what is in the folder already is read from there.

    The network is the one that a run of this configuration starts from: MODEL.PRETRAINED, or fresh weights of RNG_SEED.
    Features of other weights, videos or views are removed. The process of rank 0 holds the lock of the folder.

    Args:
        config: of the run.
        lists: of the run.
        folder: of the features.

    Raises:
        InputError: the weights are not there any more or do not fit, a file of features is damaged, or no training
            video could be read.
    """
    preprocessing = build_preprocessing(config).single_view()
    weights = _weights_facts(config)
    parts = []
    for name, records in (("train", lists.train), ("val", lists.val)):
        asked = Extraction(config.MODEL.PRETRAINED, str(folder / name), shard_videos=SHARD_VIDEOS)
        shards = Shards(folder / name, len(records), asked.shard_videos)
        _remove_others(shards, extraction_settings(asked, config, records, preprocessing, weights))
        parts.append((records, shards, asked.per))
    distributed.barrier()

    # All processes have to take the same way.
    is_finished = all(_is_finished(shards) for _, shards, _ in parts)
    if not all(distributed.gather(is_finished)):
        network = _network(config, lists, preprocessing)
        for records, shards, per in parts:
            extract_shards(Work(network, config, records, preprocessing, shards, per))
        distributed.barrier()

    train, val = (StoredFeatures(records, _read(shards)) for records, shards, _ in parts)
    if not train.readable:
        path, reason = train.failures[0]
        videos = pluralize(len(lists.train), "training video")
        raise InputError(f"none of {videos} of {lists.train.source} could be read; first: {path}: {reason}")
    return train, val


def _weights_facts(config: Config) -> dict[str, Any]:
    """Return what tells the network that a run starts from, and how it was made, from others.

    Raises:
        InputError: the weights are not there any more.
    """
    source = config.MODEL.PRETRAINED
    how = {
        "architecture": dataclasses.asdict(build_architecture(config)),
        "inflation": config.MODEL.INFLATION,
    }
    if not source:
        return {"seed": config.RNG_SEED, **how}
    if source in LIBRARIES:
        return {"library": source, **how}

    file = find_checkpoint(source)
    if not file.is_file():
        raise InputError(f"{file} is not there any more; put it back, or start another study")
    return {**checkpoint_facts(file), **how}


def _remove_others(shards: Shards, settings: Mapping[str, Any]) -> None:
    """Remove features of other settings than these, and say so; every process calls this, and rank 0 does it."""
    if distributed.rank() > 0:
        return
    found = shards.settings()
    differences = [] if found is None else differing_settings(settings, found)
    if found is not None and not differences:
        return

    if differences:
        names = ", ".join(differences)
        print_line(f"note: the features in {shards.folder} were made with another {names}, and are computed again")
    # Shards of which nothing says what they are of go, too.
    shards.remove()
    shards.start(settings)


def _network(config: Config, lists: Lists, preprocessing: Preprocessing) -> StageFeatures:
    """Return the network that a run starts from, asked for its features."""
    for records in (lists.train, lists.val):
        require_files(records)
    device = pick_device(config.DEVICE)
    training = build_training(config, device, load_teacher)
    training = load_trained_weights(training, finetune="")
    model = training.step.model

    require_right_convolutions(model, preprocessing.clip_shape(config.TEST.BATCH_SIZE))
    return StageFeatures(model, partial(preprocessing.prepare, device=device))


def _is_finished(shards: Shards) -> bool:
    return all(shards.has(number) for number in range(len(shards)))


def _read(shards: Shards) -> FeatureRows:
    return joined([shards.read(number) for number in range(len(shards))])
