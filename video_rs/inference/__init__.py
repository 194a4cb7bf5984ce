"""From a checkpoint to answers; rebuilds model and preprocessing from its plain data, without a config."""

from video_rs.inference.accelerate import accelerate
from video_rs.inference.predictor import Prediction, Predictor

__all__ = ["Prediction", "Predictor", "accelerate"]
