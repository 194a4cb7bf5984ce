"""Weights of other sources in our networks: image networks, video networks, TensorFlow's Model Garden, files."""

from video_rs.models.weights.files import Weights, read_weights
from video_rs.models.weights.inflate import inflate_image_weights
from video_rs.models.weights.model_garden import from_model_garden
from video_rs.models.weights.pretrained import find_weights, load_pretrained
from video_rs.models.weights.strict import load_strictly
from video_rs.models.weights.video_networks import from_mmaction, from_pytorchvideo, from_slowfast

__all__ = [
    "Weights",
    "find_weights",
    "from_mmaction",
    "from_model_garden",
    "from_pytorchvideo",
    "from_slowfast",
    "inflate_image_weights",
    "load_pretrained",
    "load_strictly",
    "read_weights",
]
