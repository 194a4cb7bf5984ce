"""Validation of a network that knows no classes: labelled videos near by, in its features, vote."""

import dataclasses
from typing import Any

from torch import nn

from video_rs.builders import Lists
from video_rs.config import Config
from video_rs.data.preprocessing import Preprocessing
from video_rs.engine.evaluation import gather_results
from video_rs.engine.metrics import VideoResult
from video_rs.runs.feature_memory import (
    FeatureExtractor,
    number_videos,
    remember,
    results_of_votes,
    votes_of_neighbours,
    without_luck,
)
from video_rs.runs.results import Evaluation


def neighbour_results(
    config: Config, model: nn.Module, lists: Lists, preprocessing: Preprocessing
) -> list[VideoResult]:
    """Return what the CONTRAST.KNN_K nearest videos of the memory say of each validation video, in its list's order.

    Videos of the memory that cannot be read have no vote, and fewer than K vote where not so many are left. All
    processes call this together.
    """
    extractor = FeatureExtractor(config, model, preprocessing)
    remembered, _ = remember(extractor, lists.memory)
    k = min(config.CONTRAST.KNN_K, len(remembered))

    ids = number_videos(lists.memory, lists.val)
    queries = extractor.features(lists.val, "validation")
    probabilities = votes_of_neighbours(queries, remembered, lists.memory, ids, k, extractor.device)
    return gather_results(results_of_votes(queries, lists.val, probabilities))


def neighbour_metrics(evaluation: Evaluation, lists: Lists, checkpoint: str) -> dict[str, Any]:
    """Return what metrics.json holds: the keys of any validation, ``neighbours`` (K) and ``memory`` (its videos)."""
    judged = dataclasses.replace(evaluation, results=without_luck(evaluation.results))
    return {
        **judged.metrics(checkpoint),
        "neighbours": evaluation.config.CONTRAST.KNN_K,
        "memory": len(lists.memory),
    }
