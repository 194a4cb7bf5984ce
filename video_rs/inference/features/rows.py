"""From the features of a video's views to rows: of the video, of each clip, or of each view."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

ALL = -1
"""Stands for a clip, or a crop, in a row that is a mean over all of them, or of a video that could not be read."""


@dataclass(frozen=True)
class FeatureRows:
    """Rows of features, in the order of the list.

    Attributes:
        features: float32 ``[R, D]``; NaN where the video could not be read.
        videos: int64 ``[R]``, which row of the list it is of.
        clips, crops: int64 ``[R]``, from 0, or :data:`ALL`.
        errors: text ``[R]``, why the video could not be read, or "".
    """

    features: np.ndarray
    videos: np.ndarray
    clips: np.ndarray
    crops: np.ndarray
    errors: np.ndarray

    def __len__(self) -> int:
        return len(self.videos)


def rows_of_video(index: int, views: Tensor, num_crops: int, per: str) -> FeatureRows:
    """Return the rows of a video.

    Args:
        index: of the video in its list.
        views: float32 ``[V, D]``; the clips of the first crop come first.
        num_crops: of each clip.
        per: "video", "clip" or "view"; the rows of a clip, and of a video, are means.
    """
    if per == "video":
        return _rows(index, views.mean(0, keepdim=True), [ALL], [ALL])

    num_clips = len(views) // num_crops
    if per == "clip":
        by_crop = views.reshape(num_crops, num_clips, -1)
        return _rows(index, by_crop.mean(0), range(num_clips), [ALL] * num_clips)

    crops, clips = np.divmod(np.arange(len(views)), num_clips)
    return _rows(index, views, clips, crops)


def row_of_failure(index: int, error: str, channels: int) -> FeatureRows:
    """Return the row of a video that could not be read."""
    features = np.full((1, channels), np.nan, np.float32)
    place = np.array([ALL])
    return FeatureRows(features, np.array([index]), place, place, np.array([error]))


def _rows(index: int, features: Tensor, clips: Sequence[int], crops: Sequence[int]) -> FeatureRows:
    """Return the rows of a video that could be read."""
    count = len(features)
    return FeatureRows(
        features.numpy(),
        np.full(count, index, np.int64),
        np.array(clips, np.int64),
        np.array(crops, np.int64),
        np.full(count, "", "U1"),
    )


def joined(parts: Sequence[FeatureRows]) -> FeatureRows:
    """Return the rows of several parts, at least one, in one."""
    return FeatureRows(
        np.concatenate([part.features for part in parts]),
        np.concatenate([part.videos for part in parts]),
        np.concatenate([part.clips for part in parts]),
        np.concatenate([part.crops for part in parts]),
        np.concatenate([part.errors for part in parts]),
    )
