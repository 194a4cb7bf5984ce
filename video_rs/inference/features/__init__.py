"""Features: what a stage of a network makes of videos, computed, put into rows, written and read back."""

from video_rs.inference.features.network import StageFeatures, features_of_video, features_of_views
from video_rs.inference.features.reading import Features, read_features
from video_rs.inference.features.writing import FORMATS

__all__ = [
    "FORMATS",
    "Features",
    "StageFeatures",
    "features_of_video",
    "features_of_views",
    "read_features",
]
