"""Runs of seconds, and what they leave."""

import torch

from helpers.tools import ROOT
from video_rs.engine.checkpoint import load_checkpoint

TRAIN_NET = str(ROOT / "tools" / "train_net.py")

# A run of seconds: 4 frames of 32 x 32, batches of 4, two epochs.
TINY = {
    "MODEL.ARCH": "r3d_rs_tiny",
    "MODEL.WIDTH": "0.125",
    "DATA.NUM_WORKERS": "0",
    "DATA.NUM_FRAMES": "4",
    "DATA.TRAIN_CROP_SIZE": "32",
    "DATA.TEST_SHORT_SIDE": "40",
    "DATA.TEST_CROP_SIZE": "32",
    "TRAIN.BATCH_SIZE": "4",
    # Not what is faster here: runs are compared with each other, bit for bit.
    "TRAIN.PRECISION": "float32",
    "TRAIN.EVAL_PERIOD": "1",
    "TRAIN.LOG_PERIOD": "1",
    "TEST.NUM_ENSEMBLE_VIEWS": "2",
    "SOLVER.MAX_EPOCH": "2",
    "SOLVER.WARMUP_EPOCHS": "0",
    "SOLVER.BASE_LR": "0.05",
    "DEVICE": "cpu",
}


def tiny_run(list_path, output, **changes):
    """KEY VALUE arguments of a run of seconds; ``changes`` take ``__`` for the dot."""
    keys = {**TINY, "DATA.TRAIN_LIST": list_path, "DATA.VAL_LIST": list_path, "OUTPUT_DIR": output}
    keys.update({key.replace("__", "."): value for key, value in changes.items()})
    return [str(x) for pair in keys.items() for x in pair]


def weights(folder, name="last"):
    """The checkpoint of a run."""
    return load_checkpoint(folder / "checkpoints" / f"{name}.pth")


def assert_same_weights(a, b):
    """Weights and averages of two checkpoints are equal to the bit."""
    for part in ("model", "ema"):
        assert a[part].keys() == b[part].keys()
        for key, value in a[part].items():
            assert torch.equal(value, b[part][key]), (part, key)
