"""A predictor from whatever holds a trained network."""

import os
from pathlib import Path

from video_rs.inference.export.formats import format_by_ending
from video_rs.inference.export.loading import load_program
from video_rs.inference.predictor import Predictor
from video_rs.models.hub import WEIGHTS, is_repository


def load_predictor(
    path: str | os.PathLike, device: str = "auto", decoder: str = "auto", trusted: bool = False
) -> Predictor:
    """Return a predictor.

    Args:
        path: a run's folder or a .pth file of one; a file of ``video-rs export``; a folder of ``save_pretrained``; or a
            repository of the Hugging Face hub, OWNER/NAME.
        device: "auto", "cpu", "cuda" or "mps".
        decoder: one of :data:`video_rs.video.DECODERS`.
        trusted: whether a .pt2 file, which can run code as it is read, is taken.

    Raises:
        InputError: there is no network at ``path``, or it cannot be read.
    """
    place = Path(path)
    is_exported = format_by_ending(place) is not None or (place / WEIGHTS).is_file()
    is_remote = not place.exists() and not place.suffix and is_repository(str(path))
    if is_exported or is_remote:
        return load_program(path, device, decoder, trusted=trusted)
    return Predictor.from_checkpoint(path, device, decoder)
