"""The state that a checkpoint holds."""

import torch

from video_rs.engine.checkpoint import FORMAT


def state(step=1):
    """A whole checkpoint with weights that name its step."""
    weights = {"fc.weight": torch.full((2, 3), float(step)), "bn.num_batches_tracked": torch.tensor(step)}
    return {
        "format": FORMAT,
        "model": weights,
        "ema": {name: value * 2 for name, value in weights.items()},
        "architecture": {"depths": (1, 1, 1, 1), "width": 0.25},
        "num_classes": 2,
        "multi_label": False,
        "label_names": ["ja", "näh"],
        "preprocessing": {"clip": {"num_frames": 8}},
        "config": "MODEL: {}",
        "step": step,
    }
