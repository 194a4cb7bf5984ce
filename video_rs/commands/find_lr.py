"""Try learning rates on the first steps of a run, draw the losses and suggest a SOLVER.BASE_LR.

Network, data and batches are those that training with the same config would take. Leaves lr_finder.json and
lr_finder.png in OUTPUT_DIR, and no run.
"""

import argparse

from video_rs.commands.overrides import add_overrides
from video_rs.commands.train import add_config, add_finetune
from video_rs.runtime import start

EXAMPLES = (
    "--cfg small_scratch.yaml DATA.TRAIN_LIST list.csv",
    "--cfg data/mine/config.yaml --finetune runs/other OUTPUT_DIR runs/mine",
)
CODES = {0: "a learning rate is suggested, or there is none to suggest", 2: "the input was refused: one line says why"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_config(parser)
    add_finetune(parser)
    add_overrides(parser, "config keys to set (default: as in the config)")


def run(args: argparse.Namespace) -> None:
    """Find a learning rate."""
    start.let_idle_threads_sleep()
    from video_rs.config import load_config
    from video_rs.runs.find_lr import find_rate

    find_rate(load_config(args.cfg, args.overrides), finetune=args.finetune)
