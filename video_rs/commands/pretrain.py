"""Train a network on videos without labels: it learns which clips are of one video. Also under torchrun.

A config says what to train and how; keys after it change it. The run is written to OUTPUT_DIR like any other one. What
it leaves has no classifier: video-rs train --finetune, knn and extract_features start from it.
"""

import argparse

from video_rs.commands.overrides import add_overrides
from video_rs.commands.train import CODES, add_config, add_continuation, require_one_continuation
from video_rs.runtime import start

EXAMPLES = (
    "--cfg pretrain/small_cvrl.yaml DATA.TRAIN_LIST unlabelled.csv DATA.VAL_LIST list.csv CONTRAST.KNN_LIST list.csv",
    "--cfg runs/mine --resume",
)

__all__ = ["CODES", "EXAMPLES", "add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_config(parser)
    add_continuation(parser)
    add_overrides(parser, "config keys to set (default: as in the config)")


def run(args: argparse.Namespace) -> None:
    """Train."""
    require_one_continuation(args)

    start.let_idle_threads_sleep()
    from video_rs.config import load_config
    from video_rs.runs.train import run_training

    run_training(
        load_config(args.cfg, [*args.overrides, "CONTRAST.ENABLED", "true"]),
        resume=args.resume,
        overwrite=args.overwrite,
        allow_changes=args.allow_changes,
    )
