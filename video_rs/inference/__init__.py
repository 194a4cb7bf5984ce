"""From a checkpoint to answers: model and preprocessing are rebuilt from its plain data, without a config."""

from video_rs.inference.accelerate import accelerate
from video_rs.inference.prediction import Prediction
from video_rs.inference.predictor import Predictor

__all__ = ["Prediction", "Predictor", "accelerate"]
