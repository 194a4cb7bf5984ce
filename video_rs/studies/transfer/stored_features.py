"""Features of a target's videos, computed once for each starting network and shared by the protocols that read them."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from video_rs.builders import build_preprocessing, build_training, single_view
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
from video_rs.models.stored import require_finite
from video_rs.runs.extract_features import Work, extract_shards
from video_rs.runs.start_weights import load_trained_weights
from video_rs.runtime import distributed
from video_rs.runtime.devices import pick_device
from video_rs.runtime.errors import InputError
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

    Args:
        config: of the run.
        lists: of the run.
        folder: of the features.

    Raises:
        InputError: the weights do not fit, or no training video could be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    train = Shards(folder / "train", len(lists.train), SHARD_VIDEOS)
    val = Shards(folder / "val", len(lists.val), SHARD_VIDEOS)
    parts = ((lists.train, train), (lists.val, val))
    # All processes have to take the same way, and one of them may have looked before another study's process was done.
    is_finished = _is_finished(train) and _is_finished(val)
    if not all(distributed.gather(is_finished)):
        network, preprocessing = _network(config, lists)
        for records, shards in parts:
            extract_shards(Work(network, config, records, preprocessing, shards, per="video"))
        distributed.barrier()

    stored = StoredFeatures(lists.train, _read(train))
    if not stored.readable:
        path, reason = stored.failures[0]
        videos = pluralize(len(lists.train), "training video")
        raise InputError(f"none of {videos} of {lists.train.source} could be read; first: {path}: {reason}")
    return stored, StoredFeatures(lists.val, _read(val))


def _network(config: Config, lists: Lists) -> tuple[StageFeatures, Preprocessing]:
    """Return the network that a run starts from, asked for its features, and the view that it is shown."""
    for records in (lists.train, lists.val):
        require_files(records)
    device = pick_device(config.DEVICE)
    training = build_training(config, device, load_teacher)
    training = load_trained_weights(training, finetune="")
    model = training.step.model
    require_finite(model)

    preprocessing = single_view(build_preprocessing(config))
    require_right_convolutions(model, preprocessing.clip_shape(config.TEST.BATCH_SIZE))
    return StageFeatures(model, partial(preprocessing.prepare, device=device)), preprocessing


def _is_finished(shards: Shards) -> bool:
    return all(shards.has(number) for number in range(len(shards)))


def _read(shards: Shards) -> FeatureRows:
    return joined([shards.read(number) for number in range(len(shards))])
