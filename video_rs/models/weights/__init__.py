"""Weights of other sources in our networks: image networks, TensorFlow's Model Garden, files."""

from video_rs.models.weights.files import Weights, read_weights
from video_rs.models.weights.inflate import inflate_image_weights
from video_rs.models.weights.model_garden import from_model_garden
from video_rs.models.weights.pretrained import find_weights, load_pretrained
from video_rs.models.weights.strict import load_strictly

__all__ = [
    "Weights",
    "find_weights",
    "from_model_garden",
    "inflate_image_weights",
    "load_pretrained",
    "load_strictly",
    "read_weights",
]
