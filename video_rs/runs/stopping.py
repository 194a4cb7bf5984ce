"""The rule by which adaptive views stop, made of the views of a calibration."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from video_rs.data.preprocessing import Preprocessing
from video_rs.engine.stopping import decidedness, looks, spread_out
from video_rs.evaluation import calibration
from video_rs.evaluation.calibrating import ScoredVideos
from video_rs.evaluation.stopping import Looks, fit_stop, on_other_groups, upper_bound
from video_rs.inference.calibration import StoppingRule
from video_rs.inference.video_scoring import refuse_several_labels
from video_rs.runtime.errors import InputError
from video_rs.runtime.wording import pluralize


def require_views_to_spare(preprocessing: Preprocessing, multi_label: bool) -> None:
    """Raise InputError where there is nothing to stop early: of one view, or of classes that are judged apart."""
    refuse_several_labels(multi_label)
    if preprocessing.num_clips * preprocessing.transform.num_crops < 2:
        raise InputError(
            "--adaptive chooses among the views of a video, and there is one; set TEST.NUM_ENSEMBLE_VIEWS 10"
        )


def stopping_rule(
    videos: ScoredVideos, preprocessing: Preprocessing, temperature: float, error: float
) -> dict[str, Any]:
    """Return what a calibration says of adaptive views.

    Args:
        videos: with all their views, crop-major; unknown ones count like others.
        preprocessing: which views those are.
        temperature: of the probabilities that prediction sees.
        error: share of the answers that may be others than those of all views.

    Raises:
        InputError: there are too few videos to know it, or no view can be spared.
    """
    crops = preprocessing.transform.num_crops
    found = _looks(videos.views, crops, temperature)
    stop_at = fit_stop(found, error)
    if stop_at is None:
        raise InputError(_why_none(error, len(videos.views)))
    same, views = found.stopped(stop_at)
    return {
        "stopping": StoppingRule(stop_at, preprocessing.num_clips, crops)._asdict(),
        "adaptive": {
            "error": error,
            "same": float(same.mean()),
            "views": float(views.mean()),
            "all_views": int(found.counts[-1]),
            "other_groups": on_other_groups(found, videos.groups, error),
        },
    }


def _why_none(error: float, videos: int) -> str:
    """Return why there is no rule."""
    least = upper_bound(0, videos)
    if least > error:
        return (
            f"--adaptive {error:g} cannot be known from {pluralize(videos, 'video')}: were no answer another one, the "
            f"share could still be {least:.3f} (95 % confidence); give more videos, or a higher share"
        )
    return (
        f"--adaptive {error:g}: no view of these {pluralize(videos, 'video')} can be spared, as answers that seem "
        "surest change; give a higher share, or leave it out"
    )


def stopping_sentences(content: Mapping[str, Any]) -> list[str]:
    """Return what a rule says."""
    found = content["adaptive"]
    lines = [
        f"adaptive: {found['views']:.1f} of {found['all_views']} views a video give the answer of all in "
        f"{100 * found['same']:.1f} % of the videos"
    ]
    others = found["other_groups"]
    if others is None:
        return [*lines, "note: there are too few groups, or videos, to say how it is on others"]
    share = f"{others['views']:.1f} views, the same answer in {100 * others['same']:.1f} %"
    return [*lines, f"on groups that the rule was not set by: {share}"]


def _looks(views: Sequence[np.ndarray], crops: int, temperature: float) -> Looks:
    """Return what is known after some views of each video, in the order in which they are taken.

    Args:
        views: of each video float ``[V, K]``, the same V for all, made with temperature 1.
        crops: of each clip.
        temperature: of the probabilities.
    """
    total = len(views[0])
    order = spread_out(total // crops, crops)
    counts = looks(total)
    decided = np.zeros((len(views), len(counts)))
    same = np.zeros((len(views), len(counts)), bool)
    for row, of_video in enumerate(views):
        ordered = calibration.with_temperature(of_video[order], temperature, multi_label=False)
        answer = ordered.mean(0).argmax()
        for column, count in enumerate(counts):
            mean = ordered[:count].mean(0)
            decided[row, column] = decidedness(torch.from_numpy(mean), count, total)
            same[row, column] = mean.argmax() == answer
    return Looks(np.array(counts), decided, same)
