"""Train a network on a list of videos; also under torchrun, on several GPUs or machines.

A config says what to train and how; keys after it change it. The run is written to OUTPUT_DIR. SIGTERM, a closed
terminal and the first Ctrl-C finish the step and save the state; --resume goes on from there.
"""

import argparse

from video_rs.commands.overrides import add_overrides
from video_rs.runtime import start
from video_rs.runtime.errors import InputError

EXAMPLES = (
    "--cfg small_scratch.yaml DATA.TRAIN_LIST list.csv DATA.VAL_LIST list.csv",
    "--cfg runs/mine --resume",
)
CODES = {
    0: "trained to the end, or finished before",
    2: "the input was refused: one line says why",
    130: "interrupted by Ctrl-C, in training by a second one: nothing more was saved",
    143: "stopped by SIGTERM, SIGHUP or Ctrl-C with the state saved: go on with --resume",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_config(parser)
    add_continuation(parser)
    add_finetune(parser)
    add_overrides(parser, "config keys to set (default: as in the config)")


def add_config(parser: argparse.ArgumentParser) -> None:
    """Add the configuration of a run."""
    parser.add_argument(
        "--cfg",
        required=True,
        help="a YAML file, a name under configs/, or a folder with a config.yaml in it, such as that of a run",
    )


def add_continuation(parser: argparse.ArgumentParser) -> None:
    """Add what is done with a run that is there already."""
    parser.add_argument(
        "--resume", action="store_true", help="continue from the last checkpoint, or start where there is none"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the run in the output folder")
    parser.add_argument(
        "--allow-changes", action="store_true", help="with --resume: go on although config or data set have changed"
    )


def require_one_continuation(args: argparse.Namespace) -> None:
    """Raise InputError where arguments of :func:`add_continuation` contradict each other."""
    if args.resume and args.overwrite:
        raise InputError("--resume continues a run and --overwrite replaces it; give one of them")
    if args.allow_changes and not args.resume:
        raise InputError("--allow-changes goes with --resume")


def add_finetune(parser: argparse.ArgumentParser) -> None:
    """Add the run whose weights another one starts from."""
    parser.add_argument(
        "--finetune",
        metavar="CKPT",
        default="",
        help="start from the weights of another run: its folder, or a .pth file of it (default: fresh weights)",
    )


def run(args: argparse.Namespace) -> None:
    """Train."""
    require_one_continuation(args)

    start.let_idle_threads_sleep()
    from video_rs.config import load_config
    from video_rs.runs.train import run_training

    config = load_config(args.cfg, args.overrides)
    if config.CONTRAST.ENABLED:
        raise InputError(
            f"CONTRAST.ENABLED is true, as --cfg {args.cfg} or a key after it says: video-rs pretrain trains such a "
            "run; to train from what it has learned, give a config of your own and --finetune RUN"
        )
    run_training(
        config,
        resume=args.resume,
        overwrite=args.overwrite,
        finetune=args.finetune,
        allow_changes=args.allow_changes,
    )
