"""How a video is answered: by the views, or the one pass, that a preprocessing asks for."""

from torch import nn

from video_rs.data.preprocessing import Preprocessing
from video_rs.engine.evaluation import NetworkScorer, Scorer, VideoScorer
from video_rs.inference.adaptive import AdaptiveScorer
from video_rs.inference.calibration import StoppingRule
from video_rs.inference.dense import DenseScorer, frames_of_a_part
from video_rs.models.temporal_reach import temporal_reach
from video_rs.runtime.errors import InputError
from video_rs.runtime.wording import pluralize


def video_scorer(
    scorer: Scorer, preprocessing: Preprocessing, stopping: StoppingRule | None, batch: int, multi_label: bool = False
) -> Scorer | VideoScorer:
    """Return what answers for the videos that a preprocessing gives.

    Args:
        scorer: views -> probabilities.
        preprocessing: of the videos.
        stopping: of a calibration; None: it has no rule for adaptive views.
        batch: views at a time.
        multi_label: whether each class is judged by itself.

    Raises:
        InputError: these views cannot be had.
    """
    require_views(preprocessing, stopping, multi_label)
    if preprocessing.views == "adaptive":
        return AdaptiveScorer(scorer, _rule(stopping, preprocessing).stop_at, batch)
    if preprocessing.views != "dense":
        return scorer

    if not isinstance(scorer, NetworkScorer):
        raise InputError(
            "views 'dense' need the network's inside, and an exported file has its answers alone; allowed here: "
            "published, full, adaptive; give the --checkpoint, or choose other --views"
        )
    return DenseScorer(scorer, preprocessing.clip.num_frames)


def require_views(preprocessing: Preprocessing, stopping: StoppingRule | None, multi_label: bool) -> None:
    """Raise InputError unless the views can be had; arguments as for :func:`video_scorer`."""
    if preprocessing.views == "adaptive":
        refuse_several_labels(multi_label)
        _rule(stopping, preprocessing)


def refuse_several_labels(multi_label: bool) -> None:
    """Raise InputError where each class is judged by itself: there is no best one that could be decided."""
    if multi_label:
        raise InputError(
            "adaptive views stop where the best class is decided, and with DATA.MULTI_LABEL each class is judged by "
            "itself; allowed: published, full, dense"
        )


def require_clips(preprocessing: Preprocessing) -> None:
    """Raise InputError unless all views have as many frames, as an engine is made for."""
    if preprocessing.views == "dense":
        raise InputError(
            "views 'dense' are parts of videos, and an engine is made for clips of one length; allowed with --engine "
            "and --precision: published, full, adaptive; take one of them, or leave the engine out"
        )


def largest_clips(model: nn.Module, preprocessing: Preprocessing, batch: int) -> tuple[int, int, int, int, int]:
    """Return the shape of the most that the network gets at a time, [B, 3, T, h, w]; of whole frames those of 16:9."""
    shape = preprocessing.clip_shape(batch)
    if preprocessing.views not in ("full", "dense"):
        return shape
    short = preprocessing.transform.short_side
    size = preprocessing.transform.whole_size(short, short * 16 // 9)
    if preprocessing.views == "full":
        return *shape[:3], *size
    reach = temporal_reach(model.backbone.architecture)
    return 1, 3, frames_of_a_part(shape[2], reach), *size


def _rule(stopping: StoppingRule | None, preprocessing: Preprocessing) -> StoppingRule:
    """Return a rule to stop by; raise InputError where there is none, or one for other views."""
    if stopping is None:
        raise InputError(
            "views 'adaptive' need a rule to stop by, which this network does not have; make one: video-rs calibrate "
            "--checkpoint CKPT --adaptive 0.01 (and export an exported one anew)"
        )
    views = (preprocessing.num_clips, preprocessing.transform.num_crops)
    if views != (stopping.clips, stopping.crops):
        raise InputError(
            f"the rule for adaptive views was made for {_count(stopping.clips, stopping.crops)}, and these are "
            f"{_count(*views)}; take those, or calibrate with these"
        )
    return stopping


def _count(clips: int, crops: int) -> str:
    """Return so many views in words."""
    return f"{pluralize(clips, 'clip')} x {pluralize(crops, 'crop')}"
