"""Predictions as their JSON lines have them."""

from video_rs.inference.predictions import Predictions
from video_rs.inference.predictions.text import json_row


def rows(folder):
    """A dict for each video: video, id, label, top, probabilities, error."""
    predictions = Predictions.read(folder / "predictions.parquet")
    return [json_row(result, predictions.label_names) for result in predictions.results]
