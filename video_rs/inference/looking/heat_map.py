"""The heat map of a video, put together from the Grad-CAM of all its views."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from video_rs.data.dataset import VideoSource
from video_rs.engine.evaluation import NetworkScorer, view_probabilities
from video_rs.inference.looking.gradcam import deepest_clear_stage, grad_cam
from video_rs.inference.looking.seen_frames import Box, SeenFrames, read_seen
from video_rs.inference.predictor import Predictor, Video, part_of
from video_rs.models.resnet3d import FEATURES
from video_rs.runtime.errors import InputError
from video_rs.runtime.wording import first_names, nearest, pluralize
from video_rs.video.readers.in_memory import InMemoryReader


@dataclass(frozen=True)
class HeatMap:
    """Where and when a network saw a class in a video.

    Attributes:
        video: path as given; of frames in memory, how many there were.
        label: the class.
        score: its probability, the mean over the views, as predicting gives it.
        best: (label, score) of the best class.
        stage: of the network whose maps were taken.
        heat: float32 ``[T, h, w]`` in [0, 1]: 1 is the hottest place of the whole video, and 0 does not speak for the
            class. Where nothing does, all of it is 0.
        pictures: uint8 ``[T, h, w, 3]``, what the network saw there, resized and cropped.
        frames: int64 ``[T]``, numbers of these frames in the video, rising.
        times: float64 ``[T]``, seconds of them from the video's first frame.
        box: where ``[h, w]`` lies in the original frames, as shown.
    """

    video: str
    label: str
    score: float
    best: tuple[str, float]
    stage: str
    heat: Tensor
    pictures: Tensor
    frames: Tensor
    times: np.ndarray
    box: Box


def look(
    predictor: Predictor,
    video: Video,
    label: str = "",
    stage: str = "",
    start: float | None = None,
    end: float | None = None,
) -> HeatMap:
    """Return where and when the network sees a class in a video.

    Args:
        predictor: with a network of this project.
        video: a path, a URL, or RGB frames uint8 ``[T, H, W, 3]``, which count as 30 a second.
        label, stage: as for :func:`look_at`.
        start, end: of the part that is meant, in seconds; None: from its begin, to its end.

    Raises:
        DecodeError: the video cannot be read, or has no frame in that part.
        InputError: as of :func:`look_at`, or frames of another dtype or shape.
    """
    # What cannot be asked is refused before the video is decoded.
    network_of(predictor)
    if label:
        class_id(label, predictor.answers.label_names)
    require_stage(stage)

    if isinstance(video, np.ndarray | Tensor):
        reader = InMemoryReader(video)
        record = part_of(pluralize(reader.num_frames, "frame"), start, end)
    else:
        record = part_of(video, start, end)
        reader = VideoSource(predictor.decoder).open(record.path)
    with reader:
        seen = read_seen(reader, predictor.preprocessing, record)
    return look_at(predictor, seen, label, stage)


def look_at(predictor: Predictor, seen: SeenFrames, label: str = "", stage: str = "") -> HeatMap:
    """Return where and when the network sees a class, by Grad-CAM of every view that predicting takes.

    The map of a view is spread (trilinearly) over the frames and the pixels of its clip and crop. Where several views
    show a place of a frame, the mean of their maps counts; a place that none shows, between crops, has no heat. All is
    divided once by the largest value of the video, so that frames can be compared.

    Args:
        predictor: with a network of this project.
        seen: of the video.
        label: name of the class; "": the best one.
        stage: "stem", "res2", "res3", "res4" or "res5"; "": the last of them whose map has at least 4 x 4 cells.

    Raises:
        InputError: no such label or stage, or a predictor without a network.
    """
    scorer = network_of(predictor)
    require_stage(stage)
    stage = stage or deepest_clear_stage(scorer.model, predictor.preprocessing.transform.crop_size)

    names = predictor.answers.label_names
    probabilities = view_probabilities(scorer, seen.views.views(predictor.batch)).mean
    best = int(probabilities.argmax())
    index = class_id(label, names) if label else best

    heat = mean_heat(scorer, seen, index, stage)
    hottest = heat.max()
    if hottest > 0:
        heat /= hottest
    return HeatMap(
        video=seen.views.video,
        label=names[index],
        score=float(probabilities[index]),
        best=(names[best], float(probabilities[best])),
        stage=stage,
        heat=heat,
        pictures=seen.pictures(),
        frames=seen.numbers,
        times=seen.times,
        box=seen.box(),
    )


def mean_heat(scorer: NetworkScorer, seen: SeenFrames, label: int, stage: str) -> Tensor:
    """Return the mean of the views' maps over the region of the crops, float32 ``[N, h, w]``, at least 0.

    Args:
        scorer: the network.
        seen: of the video.
        label: class id.
        stage: of the network.
    """
    region = seen.region()
    size = seen.views.transform.crop_size
    clips = seen.views.clips
    total = torch.zeros(len(seen.numbers), region.height, region.width)
    count = torch.zeros_like(total)

    # The views come crop by crop. One at a time: a backward pass of many would not fit into every memory.
    places = itertools.product(seen.corners(), clips)
    for ((top, left), clip), view in zip(places, seen.views.views(1), strict=True):
        cells = grad_cam(scorer.model, scorer.prepare(view), label, stage).cpu()
        spread = functional.interpolate(cells[None], (len(clip), size, size), mode="trilinear")[0, 0]

        rows = slice(top - region.top, top - region.top + size)
        columns = slice(left - region.left, left - region.left + size)
        # A clip may show a frame twice, where its video is short.
        total[:, rows, columns].index_add_(0, clip, spread)
        count[:, rows, columns].index_add_(0, clip, torch.ones_like(spread))

    return total / count.clamp(min=1)


def network_of(predictor: Predictor) -> NetworkScorer:
    """Return what scores views, which has to be a network with gradients.

    Raises:
        InputError: it is an exported model.
    """
    if not isinstance(predictor.scorer, NetworkScorer):
        raise InputError("an exported model has no gradients, which a heat map is made of; take its checkpoint")
    return predictor.scorer


def class_id(label: str, names: Sequence[str]) -> int:
    """Return the id of the class that is called ``label``.

    Raises:
        InputError: there is none.
    """
    if label in names:
        return names.index(label)

    allowed = f"; allowed: {first_names(names)}"
    meant = nearest(label, names)
    if meant is not None:
        allowed = f"; did you mean {meant!r}?"
    raise InputError(f"label {label!r} is none of the network's {pluralize(len(names), 'class', 'classes')}{allowed}")


def require_stage(stage: str) -> None:
    """Raise InputError unless ``stage`` is one of the network's, or empty."""
    if stage and stage not in FEATURES:
        raise InputError(f"stage is {stage!r}; allowed: {', '.join(FEATURES)}")
