"""How a video is answered: by the views, or the one pass, that a preprocessing asks for."""

from video_rs.data.preprocessing import Preprocessing
from video_rs.engine.evaluation import NetworkScorer, Scorer, VideoScorer
from video_rs.inference.adaptive import AdaptiveScorer
from video_rs.inference.dense import DenseScorer
from video_rs.runtime.errors import InputError


def video_scorer(
    scorer: Scorer, preprocessing: Preprocessing, stop_at: float | None, batch: int
) -> Scorer | VideoScorer:
    """Return what answers for the videos that a preprocessing gives.

    Args:
        scorer: views -> probabilities.
        preprocessing: of the videos.
        stop_at: of a calibration with a rule to stop by; None: it has none.
        batch: views at a time.

    Raises:
        InputError: these views cannot be had.
    """
    views = preprocessing.views
    if views == "adaptive":
        return AdaptiveScorer(scorer, _rule(stop_at), batch)
    if views == "published":
        return scorer

    if views == "full":
        return scorer
    if not isinstance(scorer, NetworkScorer):
        raise InputError(
            "views 'dense' need the network's inside, and an exported file has its answers alone; allowed here: "
            "published, full, adaptive; give the --checkpoint"
        )
    return DenseScorer(scorer, preprocessing.clip.num_frames)


def require_one_size(preprocessing: Preprocessing) -> None:
    """Raise InputError unless all views have the size that an engine is made for."""
    if preprocessing.views in ("full", "dense"):
        raise InputError(
            f"views {preprocessing.views!r} are whole frames, and an engine is made for clips of one size; allowed "
            "with --engine and --precision: published, adaptive; take one of them, or leave the engine out"
        )


def _rule(stop_at: float | None) -> float:
    """Return a rule to stop by, or raise InputError where there is none."""
    if stop_at is None:
        raise InputError(
            "views 'adaptive' need a rule to stop by, which this checkpoint does not have; make one: video-rs "
            "calibrate --checkpoint CKPT --adaptive 0.01"
        )
    return stop_at
