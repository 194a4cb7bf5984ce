"""The seam: config -> objects. Below here nothing sees a config; everything takes plain arguments."""

import contextlib
import dataclasses
import hashlib
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from video_rs.config import Config, config_from_text, flat, load_config
from video_rs.data.dataset import ClipReader, VideoSource, ViewReader
from video_rs.data.loader import ClipLoader, ViewLoader, Workers
from video_rs.data.mixing import Mixing
from video_rs.data.order import ClipOrder, Partition, balanced, permutation
from video_rs.data.preprocessing import ClipSpec, Preprocessing
from video_rs.data.transforms import EvalTransform, TrainTransform
from video_rs.engine import optim
from video_rs.engine.batch_norm import synchronize
from video_rs.engine.ema import Ema
from video_rs.engine.losses import SigmoidLoss, SoftmaxLoss, class_weights, positive_weights
from video_rs.engine.trainer import TrainSettings
from video_rs.lists.label_map import read_label_map
from video_rs.lists.records import RecordList, read_records
from video_rs.models import Architecture, VideoClassifier, architecture, freeze_stages
from video_rs.models.fast import speed_up
from video_rs.models.resnet3d import FEATURES
from video_rs.models.weights.pretrained import Weights, load_pretrained
from video_rs.runtime import distributed
from video_rs.runtime.errors import InputError
from video_rs.runtime.wording import pluralize
from video_rs.runtime.workers import usable_cores
from video_rs.video.fetching import absolute_path, handler_names, is_url, register_handlers
from video_rs.video.location import Location
from video_rs.video.probing.cache import ProbeCache

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
# Keys that may change between a run and its continuation: they say where and how, not what.
FREE_ON_RESUME = (
    "OUTPUT_DIR",
    "DEVICE",
    "DATA.NUM_WORKERS",
    "DATA.TIME_LIMIT",
    "DATA.CACHE",
    "DATA.PATH_HANDLERS",
    "TRAIN.LOG_PERIOD",
    "TRAIN.CHECKPOINT_STEPS",
    "TRAIN.CHECKPOINT_MINUTES",
    "TRAIN.KEEP_CHECKPOINTS",
    "TRAIN.PROFILE_STEPS",
    "TRAIN.ACTIVATION_CHECKPOINTING",
    "TRAIN.AUTO_BATCH",
)
DEMO_LIST = "motion_demo.csv"
# Keys that name files and folders, relative to where a command is called.
PATH_KEYS = ("OUTPUT_DIR", "DATA.TRAIN_LIST", "DATA.VAL_LIST", "DATA.ROOT", "DATA.LABEL_MAP", "DATA.CACHE")


def stored_config(config: Config) -> str:
    """Return the config as a run keeps it, in YAML: its files and folders are absolute, so that the run can be tested
    and continued from any folder.
    """
    values = flat(config)
    placed = {key: absolute_path(values[key]) for key in PATH_KEYS if values[key]}
    if os.path.exists(config.MODEL.PRETRAINED):  # else it may be the name of published weights
        placed["MODEL.PRETRAINED"] = absolute_path(config.MODEL.PRETRAINED)
    return config_from_text(config.dump(), placed).dump()


def build_architecture(config: Config) -> Architecture:
    """MODEL.ARCH with the MODEL keys that are set."""
    names = {field.name.upper(): field.name for field in dataclasses.fields(Architecture)}
    set_keys = {names[key]: value for key, value in config.MODEL.items() if key in names and value is not None}
    arch = architecture(config.MODEL.ARCH, **set_keys)
    if arch.norm_momentum == 1 and config.SOLVER.EMA_DECAY == 0:
        raise InputError(
            "MODEL.NORM_MOMENTUM 1.0 keeps the last batch's statistics only, which evaluation needs averaged; "
            "set SOLVER.EMA_DECAY above 0, or MODEL.NORM_MOMENTUM below 1, e.g. 0.1"
        )
    return arch


def build_records(config: Config) -> tuple[RecordList, RecordList | None, tuple[str, ...]]:
    """Training records, validation records if there is a VAL_LIST, and one name for each class.

    Classes beyond the named ones (a list with fewer labels than NUM_CLASSES) are called by their number.
    """
    data, classes = config.DATA, config.MODEL.NUM_CLASSES
    if not data.TRAIN_LIST:
        raise InputError(
            "DATA.TRAIN_LIST is empty; give a CSV (path,label), a 'path label' list or a folder of class folders; "
            "datasets/README.md says how to prepare Kinetics and your own videos"
        )
    register_handlers(handler_names(data.PATH_HANDLERS))  # lists may be behind them too
    names = read_label_map(data.LABEL_MAP) if data.LABEL_MAP else None
    read = partial(read_records, root=data.ROOT, num_classes=classes or None, require_labels=not data.MULTI_LABEL)
    train = read(data.TRAIN_LIST, split="train", label_names=names)
    val = read(data.VAL_LIST, split="val", label_names=names or train.label_names) if data.VAL_LIST else None
    for records in filter(None, (train, val)):
        require_labels(records, data.MULTI_LABEL)
    return train, val, class_names(train.label_names, classes)


def class_names(names: tuple[str, ...], num_classes: int) -> tuple[str, ...]:
    """``names`` filled up to ``num_classes`` (0: as many as there are); reading has refused more names than that."""
    return (*names, *(str(i) for i in range(len(names), num_classes)))


def require_labels(
    records: RecordList, multi_label: bool, for_several: str = "train with DATA.MULTI_LABEL true"
) -> None:
    """Raises InputError unless each record has one label; with ``multi_label`` some record has to have any.

    ``for_several`` is what somebody can do whose videos have several.
    """
    several = next((r for r in records.records if len(r.labels) > 1), None)
    if several is not None and not multi_label:
        raise InputError(
            f"{records.source}: {several.path} has {len(several.labels)} labels; give it one, or {for_several}"
        )
    none = [r for r in records.records if not r.labels]
    if none and not multi_label:
        raise InputError(f"{records.source}: {none[0].path} has no label; give it one, or remove its row")
    if len(none) == len(records):
        raise InputError(f"{records.source}: no video has a label; give some of them labels")


def require_files(records: RecordList) -> None:
    """Raises InputError where none of some of the files is there: the folder is another, and every clip would fail."""
    some = records.records[:: max(1, len(records) // 20)]
    if not any(is_url(r.path) or os.path.exists(Location.parse(r.path).file) for r in some):
        raise InputError(
            f"{records.source}: none of {pluralize(len(some), 'file')} looked at is there, such as {some[0].path}; "
            "give the folder that relative paths start from as DATA.ROOT, or correct the list"
        )


def dataset_fingerprint(records: RecordList | None) -> str:
    """A hash of every video's id, labels and segment, in order: the same data set gives the same text."""
    if records is None:
        return ""
    digest = hashlib.sha256()
    for r in records.records:
        digest.update(repr((r.id, r.labels, r.start, r.end)).encode())
    return digest.hexdigest()


def build_clip_spec(config: Config) -> ClipSpec:
    """Which frames make a clip."""
    data = config.DATA
    return ClipSpec(
        data.NUM_FRAMES, data.SAMPLING_RATE, data.SHORT_VIDEO, data.CLIP_SAMPLER, target_fps=data.TARGET_FPS
    )


@contextlib.contextmanager
def named_by_keys(**keys: str) -> Iterator[None]:
    """Let refusals from inside name the config keys in the place of the arguments that they became."""
    try:
        yield
    except InputError as error:
        names = "|".join(keys)
        raise InputError(re.sub(rf"\b({names})\b", lambda name: keys[name[1]], str(error))) from error


def build_train_transform(config: Config) -> TrainTransform:
    """Cropping and augmentation of training clips."""
    data, aug = config.DATA, config.AUG
    keys = {
        "crop_size": "DATA.TRAIN_CROP_SIZE",
        "area": "DATA.TRAIN_JITTER_AREA",
        "aspect": "DATA.TRAIN_JITTER_ASPECT",
        "short_side": "DATA.TRAIN_JITTER_SCALES",
        "color_jitter": "AUG.COLOR_JITTER",
    }
    with named_by_keys(**keys):
        return TrainTransform(
            crop_size=data.TRAIN_CROP_SIZE,
            crop=data.TRAIN_CROP,
            area=tuple(data.TRAIN_JITTER_AREA),
            aspect=tuple(data.TRAIN_JITTER_ASPECT),
            short_side=tuple(data.TRAIN_JITTER_SCALES),
            antialias=data.ANTIALIAS,
            flip=0.5 if data.RANDOM_FLIP else 0.0,
            color_jitter=aug.COLOR_JITTER,
            rand_augment_layers=aug.RAND_AUGMENT_LAYERS,
            rand_augment_magnitude=aug.RAND_AUGMENT_MAGNITUDE,
            random_erasing=aug.RANDOM_ERASING,
        )


def build_mixing(config: Config) -> Mixing | None:
    """Mixing of training clips with each other, or None where AUG mixes none: the targets then stay integers."""
    aug = config.AUG
    mixing = Mixing(aug.MIXUP_ALPHA, aug.CUTMIX_ALPHA, aug.MIX_PROB)
    return mixing if max(aug.MIXUP_ALPHA, aug.CUTMIX_ALPHA) > 0 and aug.MIX_PROB > 0 else None


def build_loss(config: Config, records: RecordList, num_classes: int) -> SoftmaxLoss | SigmoidLoss:
    """Softmax, or with DATA.MULTI_LABEL sigmoids; SOLVER.CLASS_WEIGHTS by how often each class is in ``records``."""
    solver, power = config.SOLVER, config.SOLVER.CLASS_WEIGHTS
    if power and config.DATA.CLASS_BALANCE:
        raise InputError(
            f"SOLVER.CLASS_WEIGHTS {power:g} and DATA.CLASS_BALANCE {config.DATA.CLASS_BALANCE:g} both make up for "
            "rare classes; set one of them to 0"
        )
    counts = np.bincount([label for r in records.records for label in r.labels], minlength=num_classes).tolist()
    if config.DATA.MULTI_LABEL:
        weights = positive_weights(counts, len(records), power) if power else None
        return SigmoidLoss(solver.LABEL_SMOOTHING, weights)
    return SoftmaxLoss(num_classes, solver.LABEL_SMOOTHING, class_weights(counts, power) if power else None)


def build_preprocessing(config: Config) -> Preprocessing:
    """What testing and prediction do, with TEST's views; a checkpoint stores it."""
    data = config.DATA
    with named_by_keys(short_side="DATA.TEST_SHORT_SIDE", crop_size="DATA.TEST_CROP_SIZE"):
        transform = EvalTransform(
            data.TEST_SHORT_SIDE, data.TEST_CROP_SIZE, config.TEST.NUM_SPATIAL_CROPS, data.ANTIALIAS
        )
    views = config.TEST.NUM_ENSEMBLE_VIEWS
    return Preprocessing(build_clip_spec(config), views, transform, tuple(data.MEAN), tuple(data.STD))


def single_view(preprocessing: Preprocessing) -> Preprocessing:
    """The same with one centre clip and one centre crop: validation during training."""
    transform = dataclasses.replace(preprocessing.transform, num_crops=1)
    return dataclasses.replace(preprocessing, num_clips=1, transform=transform)


def build_model(config: Config, arch: Architecture, num_classes: int, device: torch.device) -> VideoClassifier:
    """A classifier whose fresh weights depend on RNG_SEED alone, with the parts that are frozen or recomputed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.RNG_SEED)
        model = VideoClassifier(arch, num_classes)
    freeze_stages(model.backbone, config.MODEL.FROZEN_STAGES)
    model.backbone.checkpoint_activations(FEATURES[: config.TRAIN.ACTIVATION_CHECKPOINTING])
    if config.TRAIN.SYNC_BATCH_NORM:
        synchronize(model)
    return speed_up(model).to(device, memory_format=torch.channels_last_3d)


def load_start_weights(config: Config, model: VideoClassifier, names: Sequence[str]) -> tuple[Weights, str]:
    """MODEL.PRETRAINED into ``model``, whose classes have these names; returns what :func:`load_pretrained` does."""
    return load_pretrained(model, config.MODEL.PRETRAINED, config.MODEL.INFLATION, label_names=names)


def build_optimizer(config: Config, model: VideoClassifier) -> torch.optim.Optimizer:
    """SOLVER.OPTIMIZING_METHOD over two parameter groups: decayed kernels, and all else; two of each part of the
    network with SOLVER.LAYER_DECAY.
    """
    solver = config.SOLVER
    depths = model.layer_depths() if solver.LAYER_DECAY != 1 else None
    groups = optim.parameter_groups(model, model.weight_decay_names(), solver.WEIGHT_DECAY, depths, solver.LAYER_DECAY)
    if solver.OPTIMIZING_METHOD == "adamw":
        return optim.adamw(groups, solver.BETAS)
    return optim.sgd(groups, solver.MOMENTUM, solver.NESTEROV)


def build_ema(config: Config, model: nn.Module) -> Ema | None:
    """The running average, or None where EMA_DECAY is 0."""
    return Ema(model, config.SOLVER.EMA_DECAY) if config.SOLVER.EMA_DECAY > 0 else None


def build_precision(config: Config, device: torch.device) -> torch.dtype:
    """dtype of the forward pass: bfloat16 where the GPU has it; a CPU without matrix units is far slower in it."""
    if config.TRAIN.PRECISION != "auto":
        return PRECISIONS[config.TRAIN.PRECISION]
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


def build_settings(config: Config, num_samples: int) -> TrainSettings:
    """Steps from epochs: ``ceil(MAX_EPOCH * videos / BATCH_SIZE)``, 73,682 with 1,050 of warm-up as published."""
    solver, train = config.SOLVER, config.TRAIN
    per_epoch = num_samples / train.BATCH_SIZE
    # The published warm-up counts whole steps of an epoch (5 x 210), its training does not (350 x 210.5).
    whole = math.floor(per_epoch) or per_epoch
    return TrainSettings(
        total_steps=solver.MAX_STEPS or math.ceil(solver.MAX_EPOCH * per_epoch),
        batch_size=train.BATCH_SIZE,
        num_samples=num_samples,
        base_lr=base_rate(config),
        warmup_steps=math.floor(solver.WARMUP_EPOCHS * whole),
        accumulation=train.ACCUMULATION_STEPS,
        clip_norm=solver.CLIP_GRAD_L2NORM,
        max_failed_share=config.DATA.MAX_FAILED_SHARE,
        skip_non_finite=train.NON_FINITE == "skip",
        eval_epochs=train.EVAL_PERIOD,
        checkpoint_steps=train.CHECKPOINT_STEPS,
        checkpoint_minutes=train.CHECKPOINT_MINUTES,
        log_steps=train.LOG_PERIOD,
        seed=config.RNG_SEED,
    )


def base_rate(config: Config) -> float:
    """SOLVER.BASE_LR, in proportion to the batch (Goyal et al. 2017) where LR_FOR_BATCH_SIZE says for which it is."""
    meant = config.SOLVER.LR_FOR_BATCH_SIZE
    return config.SOLVER.BASE_LR * config.TRAIN.BATCH_SIZE / meant if meant else config.SOLVER.BASE_LR


def build_workers(config: Config, clips: int = 1) -> Workers:
    """DATA.NUM_WORKERS; -1 divides the cores that this process may use among the machine's training processes.

    A video of which ``clips`` clips are read has so many times DATA.TIME_LIMIT.
    """
    count = config.DATA.NUM_WORKERS
    if count < 0:
        count = max(1, usable_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    return Workers(count, config.DATA.TIME_LIMIT * clips)


def partition() -> Partition:
    """This process's part."""
    return Partition(distributed.rank(), distributed.world_size())


def build_epoch_order(config: Config, records: RecordList) -> Callable[[int], list[int]]:
    """What an epoch consists of: DATA.CLASS_BALANCE."""
    seed, balance = config.RNG_SEED, config.DATA.CLASS_BALANCE
    if balance == 0:
        return partial(permutation, seed=seed, num_samples=len(records))
    if config.DATA.MULTI_LABEL:
        raise InputError(
            f"DATA.CLASS_BALANCE {balance:g} is for videos of one label; with DATA.MULTI_LABEL set it to 0, and weigh "
            "the classes in the loss: SOLVER.CLASS_WEIGHTS"
        )
    return partial(balanced, seed=seed, labels=np.array([r.labels[0] for r in records.records]), balance=balance)


def build_train_loader(
    config: Config,
    records: RecordList,
    num_classes: int,
    settings: TrainSettings,
    first_step: int,
    pin: bool,
    last_step: int | None = None,
) -> ClipLoader:
    """Micro-batches from ``first_step`` to before ``last_step``, by default to the run's end."""
    data = config.DATA
    read = ClipReader(
        build_clip_spec(config),
        build_train_transform(config),
        build_source(config),
        config.RNG_SEED,
        data.CLIPS_PER_VIDEO,
    )
    order = ClipOrder(
        build_epoch_order(config, records),
        len(records),
        settings.batch_size,
        settings.accumulation,
        partition(),
        first_step,
        settings.total_steps if last_step is None else last_step,
        data.CLIPS_PER_VIDEO,
    )
    workers = build_workers(config, data.CLIPS_PER_VIDEO)
    return ClipLoader(records.records, read, order, workers, pin, num_classes if data.MULTI_LABEL else 0)


def build_view_loader(config: Config, records: RecordList, preprocessing: Preprocessing) -> ViewLoader:
    """Test videos of this process."""
    read = ViewReader(preprocessing, build_source(config))
    return ViewLoader(records.records, read, partition(), build_workers(config, preprocessing.num_clips))


def build_source(config: Config) -> VideoSource:
    """What opens videos. A cache or a handler that is not there is refused here, not by each video."""
    data = config.DATA
    if data.CACHE:
        ProbeCache(data.CACHE, read_only=True).close()
    handlers = handler_names(data.PATH_HANDLERS)
    register_handlers(handlers)
    return VideoSource(data.DECODER, data.CACHE, handlers)


def without_demo(config: Config, announce: Callable[[str], None]) -> Config:
    """Return the config without what belongs to the demo clips where DATA.TRAIN_LIST is another list than theirs.

    A validation list that goes with that is announced.
    """
    if config.DATA.DEMO != "motion" or Path(config.DATA.TRAIN_LIST).name == DEMO_LIST:
        return config
    ours, demo = flat(config), flat(load_config("motion_demo"))
    left_out = {key: "" for key in ("DATA.DEMO", "DATA.VAL_LIST", "DATA.LABEL_MAP") if ours[key] == demo[key]}
    if "DATA.VAL_LIST" in left_out:
        announce(
            f"note: without validation, as the demo's videos are none of {config.DATA.TRAIN_LIST}; set DATA.VAL_LIST "
            "for one"
        )
    return config_from_text(config.dump(), left_out)


def ensure_demo_clips(config: Config, announce: Callable[[str], None]) -> None:
    """Writes the demo clips that DATA.DEMO asks for where they are not complete, and announces it first in one line."""
    train_list = Path(config.DATA.TRAIN_LIST)
    if config.DATA.DEMO != "motion" or (train_list.parent / "motion_demo.json").is_file():
        return
    from video_rs.curation.motion_demo.data_set import make_motion_demo

    announce(f"the demo clips are missing and are written to {train_list.parent}: about half a minute")
    make_motion_demo(train_list.parent)


def checkpoint_identity(config: Config, arch: Architecture, names: tuple[str, ...]) -> Mapping[str, Any]:
    """What prediction needs beside the weights, as plain data."""
    return {
        "architecture": dataclasses.asdict(arch),
        "num_classes": len(names),
        "label_names": list(names),
        "multi_label": config.DATA.MULTI_LABEL,
        "preprocessing": build_preprocessing(config).to_dict(),
        "config": stored_config(config),
    }
