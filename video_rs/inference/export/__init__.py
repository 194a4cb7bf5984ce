"""Trained networks as programs of other runtimes: uint8 clips in, probabilities out, and what is needed to use them."""

from video_rs.inference.export.loading import load_program

__all__ = ["load_program"]
