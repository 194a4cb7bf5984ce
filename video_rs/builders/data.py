"""DATA, AUG and TEST -> clips, views, transforms, their order and their loaders."""

from collections.abc import Callable
from functools import partial

import numpy as np

from video_rs.builders.lists import Lists
from video_rs.builders.naming import named_by_keys
from video_rs.config import Config
from video_rs.data.clip_pairs import CLIPS_OF_A_PAIR, PairReader
from video_rs.data.dataset import ClipReader, VideoSource, ViewReader
from video_rs.data.eval_transform import EvalTransform
from video_rs.data.loader import ClipLoader, ViewLoader, Workers
from video_rs.data.mixing import Mixing
from video_rs.data.order import SECOND_ORDER, ClipOrder, JoinedOrder, Partition, SecondList, balanced, permutation
from video_rs.data.preprocessing import ClipSpec, Preprocessing
from video_rs.data.second_view import SecondView, TwoViewReader
from video_rs.data.train_transform import TrainTransform
from video_rs.engine.schedule import Plan
from video_rs.lists.records import RecordList
from video_rs.runtime import distributed
from video_rs.runtime.errors import InputError
from video_rs.runtime.wording import pluralize
from video_rs.runtime.workers import share_of_cores
from video_rs.video.fetching import handler_names, register_handlers
from video_rs.video.probing.cache import ProbeCache


def build_clip_spec(config: Config) -> ClipSpec:
    """Return which frames make a clip.

    Raises:
        InputError: clips are to begin at certain frames, and are taken by time.
    """
    data = config.DATA
    by_time = data.TARGET_FPS > 0 or data.CLIP_SAMPLER == "pytorchvideo"
    if data.START_MULTIPLE > 1 and by_time:
        raise InputError(
            f"DATA.START_MULTIPLE: got {data.START_MULTIPLE}, but clips are taken by time, not by frame number; set it "
            "to 1, or DATA.TARGET_FPS 0 and DATA.CLIP_SAMPLER frames"
        )
    return ClipSpec(
        data.NUM_FRAMES,
        data.SAMPLING_RATE,
        data.SHORT_VIDEO,
        data.CLIP_SAMPLER,
        target_fps=data.TARGET_FPS,
        start_multiple=data.START_MULTIPLE,
    )


def build_train_transform(config: Config) -> TrainTransform:
    """Return cropping and augmentation of training clips."""
    data = config.DATA
    aug = config.AUG
    keys = {
        "crop_size": "DATA.TRAIN_CROP_SIZE",
        "area": "DATA.TRAIN_JITTER_AREA",
        "aspect": "DATA.TRAIN_JITTER_ASPECT",
        "short_side": "DATA.TRAIN_JITTER_SCALES",
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
            hue_jitter=aug.HUE_JITTER,
            color_jitter_prob=aug.COLOR_JITTER_PROB,
            grey=aug.GREY,
            blur=aug.BLUR,
            quick=data.TRAIN_RESIZE == "quick",
        )


def build_mixing(config: Config) -> Mixing | None:
    """Return the mixing of training clips with each other, or None where AUG mixes none: labels stay integers then."""
    aug = config.AUG
    mixing = Mixing(aug.MIXUP_ALPHA, aug.CUTMIX_ALPHA, aug.MIX_PROB)
    mixes = max(aug.MIXUP_ALPHA, aug.CUTMIX_ALPHA) > 0 and aug.MIX_PROB > 0
    return mixing if mixes else None


def build_preprocessing(config: Config) -> Preprocessing:
    """Return what testing and prediction do, with the views of TEST; a checkpoint stores it."""
    data = config.DATA
    with named_by_keys(short_side="DATA.TEST_SHORT_SIDE", crop_size="DATA.TEST_CROP_SIZE"):
        transform = EvalTransform(
            data.TEST_SHORT_SIDE, data.TEST_CROP_SIZE, config.TEST.NUM_SPATIAL_CROPS, data.ANTIALIAS
        )
    clips = config.TEST.NUM_ENSEMBLE_VIEWS
    mean, std = tuple(data.MEAN), tuple(data.STD)
    return Preprocessing(build_clip_spec(config), clips, transform, mean, std, config.TEST.VIEWS)


def build_source(config: Config) -> VideoSource:
    """Return what opens videos. A missing cache or handler is refused here, not by each video."""
    data = config.DATA
    if data.CACHE:
        ProbeCache(data.CACHE, read_only=True).close()
    handlers = handler_names(data.PATH_HANDLERS)
    register_handlers(handlers)
    return VideoSource(data.DECODER, data.CACHE, handlers)


def build_workers(config: Config, clips: int = 1) -> Workers:
    """Return the reading processes: DATA.NUM_WORKERS, -1 for this process's share of the machine's cores.

    Args:
        config: of the run.
        clips: how many clips of a video are read; the video has as many times DATA.TIME_LIMIT.
    """
    count = config.DATA.NUM_WORKERS
    if count < 0:
        count = share_of_cores()
    return Workers(count, config.DATA.TIME_LIMIT * clips)


def partition() -> Partition:
    """Return this process's part of the work."""
    return Partition(distributed.rank(), distributed.world_size())


def build_epoch_order(config: Config, records: RecordList) -> Callable[[int], list[int]]:
    """Return what an epoch consists of, from its number: DATA.CLASS_BALANCE."""
    balance = config.DATA.CLASS_BALANCE
    if balance == 0:
        return partial(permutation, seed=config.RNG_SEED, num_samples=len(records))
    if config.DATA.MULTI_LABEL:
        raise InputError(
            f"DATA.CLASS_BALANCE {balance:g} is for videos of one label; with DATA.MULTI_LABEL set it to 0, and weigh "
            "the classes in the loss: SOLVER.CLASS_WEIGHTS"
        )
    if not all(record.labels for record in records.records):
        raise InputError(
            f"DATA.CLASS_BALANCE {balance:g} needs the label of each video, which {records.source} does not have; set "
            "it to 0"
        )
    labels = np.array([record.labels[0] for record in records.records])
    return partial(balanced, seed=config.RNG_SEED, labels=labels, balance=balance)


def clips_of_a_video(config: Config) -> int:
    """Return how many training clips each reading of a video gives."""
    if config.CONTRAST.ENABLED:
        return CLIPS_OF_A_PAIR
    return config.DATA.CLIPS_PER_VIDEO


def build_clip_order(config: Config, lists: Lists, plan: Plan, first_step: int, last_step: int) -> ClipOrder:
    """Return which clips this process reads when, from ``first_step`` to before ``last_step``."""
    order = {
        "epoch_order": build_epoch_order(config, lists.train),
        "num_samples": len(lists.train),
        "batch_size": plan.batch_size,
        "accumulation": plan.micro_batches,
        "partition": partition(),
        "first_step": first_step,
        "last_step": last_step,
        "clips_per_video": clips_of_a_video(config),
    }
    if lists.pseudo is None:
        return ClipOrder(**order)

    # As listed: whoever chose the pseudo-labelled videos has balanced them.
    count = len(lists.pseudo)
    epoch_order = partial(permutation, seed=config.RNG_SEED, num_samples=count, stream=SECOND_ORDER)
    return JoinedOrder(SecondList(epoch_order, count, plan.further_clips // config.DATA.CLIPS_PER_VIDEO), **order)


def pseudo_clips(config: Config) -> int:
    """Return how many clips of a step are of DATA.PSEUDO_LIST: the whole videos nearest to DATA.PSEUDO_SHARE.

    Raises:
        InputError: there are none of one of the lists.
    """
    data = config.DATA
    if not data.PSEUDO_LIST:
        return 0
    videos = config.TRAIN.BATCH_SIZE // data.CLIPS_PER_VIDEO
    count = round(data.PSEUDO_SHARE * videos)
    if 0 < count < videos:
        return count * data.CLIPS_PER_VIDEO

    whose = "DATA.PSEUDO_LIST" if count <= 0 else "DATA.TRAIN_LIST"
    raise InputError(
        f"DATA.PSEUDO_SHARE {data.PSEUDO_SHARE:g} of the {pluralize(videos, 'video')} of a step (TRAIN.BATCH_SIZE "
        f"{config.TRAIN.BATCH_SIZE}) leaves none for {whose}; give a share of at least one video and less than all, "
        "or set DATA.PSEUDO_LIST ''"
    )


def build_train_loader(
    config: Config, lists: Lists, order: ClipOrder, pin: bool, second: SecondView | None = None
) -> ClipLoader:
    """Return the micro-batches of an order.

    Args:
        config: of the run.
        lists: of the run; the records of the training list come first, then those of the pseudo-labelled one.
        order: which clips are read when.
        pin: whether clips lie in memory from which a GPU copies while it works.
        second: the form in which each clip is given once more; None: it is not.
    """
    clips = clips_of_a_video(config)
    reader = ClipReader
    if second is not None:
        reader = partial(TwoViewReader, second=second)
    elif config.CONTRAST.ENABLED:
        reader = partial(PairReader, power=config.CONTRAST.DISTANCE_POWER)
    read = reader(
        build_clip_spec(config),
        build_train_transform(config),
        build_source(config),
        config.RNG_SEED,
        clips,
    )

    records = [record for part in lists.trained() for record in part.records]
    return ClipLoader(
        records,
        read,
        order,
        build_workers(config, clips),
        pin,
        len(lists.label_names) if config.DATA.MULTI_LABEL else 0,
        None if second is None else second.shape,
    )


def build_view_loader(
    config: Config, records: RecordList, preprocessing: Preprocessing, part: Partition | None = None
) -> ViewLoader:
    """Return the test videos of this process.

    Args:
        config: of the run.
        records: a list as read.
        preprocessing: the views of each video.
        part: which of the records are this process's; None: its equal share.
    """
    read = ViewReader(preprocessing, build_source(config))
    return ViewLoader(records.records, read, part or partition(), build_workers(config, preprocessing.num_clips))
