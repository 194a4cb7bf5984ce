"""What the benchmark of a GPU measures, by worth: who has the machine for minutes gets what comes first."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from video_rs.benchmarks.data_benchmark import Way, data_subject
from video_rs.benchmarks.data_files import ORIGINALS, Files
from video_rs.benchmarks.eval_benchmark import eval_subjects
from video_rs.benchmarks.eval_ways import OUR_TESTING, PYTORCHVIDEO
from video_rs.benchmarks.loop_benchmark import ON_FILES, PEER_LOOP, loop_subjects
from video_rs.benchmarks.network_benchmark import peer_subject
from video_rs.benchmarks.network_calls import COMPILED
from video_rs.benchmarks.networks import PEERS
from video_rs.benchmarks.subject import (
    DATA,
    EVAL,
    FORWARD,
    LAYERS,
    LIMIT,
    LOOP,
    MAIN_PEER,
    OURS,
    PEER,
    PRODUCT,
    TRAIN,
    Subject,
)

AS_SHIPPED = "as shipped"
# (kind, way) of the parts. A group is measured for all lengths of clips before the next one. The way of reading is its
# decoder.
GROUPS = (
    (
        (TRAIN, "eager"),
        (TRAIN, "compiled"),
        (FORWARD, "eager"),
        (FORWARD, "compiled"),
    ),
    (
        (LOOP, ON_FILES),
        (TRAIN, AS_SHIPPED),
        (FORWARD, AS_SHIPPED),
        (EVAL, OUR_TESTING),
        (DATA, "pyav"),
        (DATA, "torchcodec_cuda"),
    ),
    (
        (TRAIN, "CUDA graphs"),
        (FORWARD, "CUDA graphs"),
        (TRAIN, "channels-last"),
        (FORWARD, "channels-last"),
    ),
    (
        (TRAIN, "checkpointed"),
        (TRAIN, "plain"),
        (FORWARD, "plain"),
        (LAYERS, "layers"),
        (LOOP, PEER_LOOP),
        (EVAL, PYTORCHVIDEO),
        (DATA, "pytorchvideo"),
    ),
)
PEER_WAYS = (AS_SHIPPED, PEER_LOOP, PYTORCHVIDEO, "pytorchvideo")


class Setting(NamedTuple):
    """What all parts have in common.

    Attributes:
        network: ours.
        videos: paths.
        workers: reading processes of the parts that compute.
        peers: whether peers are measured, too.
        batch: clips of a call, of the longest clips; of shorter ones there are more, as many frames together.
        lengths: frames of a clip, in the order in which they are measured.
        size: pixels of a side.
        device: "cpu" or "cuda".
        precision: "float32" or "bfloat16".
    """

    network: str
    videos: tuple[str, ...]
    workers: int
    peers: bool
    batch: int
    lengths: tuple[int, ...]
    size: int
    device: str
    precision: str

    def clip(self, frames: int) -> dict[str, Any]:
        """Return batch, frames, size, device and precision of :class:`Subject`, for clips of so many frames."""
        batch = self.batch * max(self.lengths) // frames
        return {
            "batch": batch,
            "frames": frames,
            "size": self.size,
            "device": self.device,
            "precision": self.precision,
        }


def product_subject(setting: Setting) -> Subject:
    """Return the large matrix product, which says what the device can do at most."""
    return Subject(PRODUCT, LIMIT, "product", **setting.clip(setting.lengths[0]))


def gpu_subjects(setting: Setting) -> list[Subject]:
    """Return all parts, those that are worth most first."""
    subjects = []
    for parts in GROUPS:
        for frames in setting.lengths:
            for kind, way in parts:
                if _is_wanted(way, setting):
                    subjects.append(_subject(kind, way, frames, setting))

    # A CPU is there to show that all parts run, and compiling takes it minutes: that comes after them.
    if setting.device == "cpu":
        subjects.sort(key=lambda subject: subject.way in COMPILED)

    # Networks that are further from ours, most of which take clips of their own alone.
    if setting.peers:
        clip = setting.clip(setting.lengths[0])
        others = [name for name in PEERS if name != MAIN_PEER]
        subjects += [peer_subject(name, kind, clip) for name in others for kind in (TRAIN, FORWARD)]
    return subjects


def _is_wanted(way: str, setting: Setting) -> bool:
    """Return whether a way is asked for, and one of this device."""
    if way == "torchcodec_cuda":
        return setting.device == "cuda"
    return setting.peers or way not in PEER_WAYS


def _subject(kind: str, way: str, frames: int, setting: Setting) -> Subject:
    """Return one part at one length of clips."""
    clip = setting.clip(frames)
    if kind == LOOP:
        loops = loop_subjects(setting.network, setting.videos, setting.peers, setting.workers, clip)
        return _of_way(way, loops)
    if kind == EVAL:
        return _of_way(way, _testing(clip, setting))
    if kind == DATA:
        return _reading(way, frames, setting)
    if kind == LAYERS:
        return Subject(LAYERS, LIMIT, way, network=setting.network, **clip)
    if way == AS_SHIPPED:
        return peer_subject(MAIN_PEER, kind, clip)
    return Subject(kind, OURS, way, network=setting.network, **clip)


def _testing(clip: Mapping[str, Any], setting: Setting) -> list[Subject]:
    """Return the ways of testing by ten clips of three crops each, as published."""
    testing = {**clip, "clips_per_video": 10, "crops": 3, "videos": setting.videos, "workers": setting.workers}
    return eval_subjects([setting.network], setting.peers, testing)


def _reading(way: str, frames: int, setting: Setting) -> Subject:
    """Return reading by one process with a decoder, or as pytorchvideo does."""
    reading = Way(OURS, "loader", way)
    if way == "pytorchvideo":
        reading = Way(PEER, "dataset", "pyav")
    return data_subject(reading, Files(ORIGINALS, setting.videos, cache=""), frames, setting.size)


def _of_way(way: str, subjects: Sequence[Subject]) -> Subject:
    """Return the first of the subjects that is measured in a way."""
    return next(subject for subject in subjects if subject.way == way)
