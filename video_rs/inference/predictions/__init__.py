"""What testing knows of each video: one object, one Parquet file, and the same as CSV or JSON lines."""

from video_rs.inference.predictions.labels import joined_labels
from video_rs.inference.predictions.parquet import predictions_file
from video_rs.inference.predictions.predictions import About, Predictions

__all__ = ["About", "Predictions", "joined_labels", "predictions_file"]
