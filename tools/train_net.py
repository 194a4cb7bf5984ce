"""Train a network on a list of videos; also under torchrun, on several GPUs or machines.

A config says what to train and how; keys after it change it. The run is written to OUTPUT_DIR. SIGTERM, a closed
terminal and the first Ctrl-C finish the step and save the state; --resume goes on from there.
"""

from video_rs.runtime import start

start.take_interrupts()

import os

# Idle threads of one process must not spin on the cores that its reading processes need.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from video_rs.runtime import cli

EXAMPLES = (
    "python tools/train_net.py --cfg small_scratch.yaml DATA.TRAIN_LIST list.csv DATA.VAL_LIST list.csv",
    "python tools/train_net.py --cfg runs/mine --resume",
)
CODES = {
    0: "trained to the end, or finished before",
    2: "the input was refused: one line says why",
    130: "interrupted by Ctrl-C, in training by a second one: nothing more was saved",
    143: "stopped by SIGTERM, SIGHUP or Ctrl-C with the state saved: go on with --resume",
}


def main() -> None:
    """Parse the command line and train."""
    parser = cli.command_line(__doc__, EXAMPLES, CODES)
    parser.add_argument(
        "--cfg",
        required=True,
        help="a YAML file, a name under configs/, or a folder with a config.yaml in it, such as that of a run",
    )
    parser.add_argument(
        "--resume", action="store_true", help="continue from the last checkpoint, or start where there is none"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the run in the output folder")
    parser.add_argument(
        "--finetune",
        metavar="CKPT",
        default="",
        help="start from the weights of another run: its folder, or a .pth file of it (default: fresh weights)",
    )
    parser.add_argument(
        "--allow-changes", action="store_true", help="with --resume: go on although config or data set have changed"
    )
    parser.add_argument(
        "--find-lr", action="store_true", help="try learning rates, draw the losses and suggest one; no run"
    )
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="KEY VALUE",
        help="config keys to set (default: as in the config); python -m video_rs.config lists them all",
    )
    args = parser.parse_intermixed_args()
    if args.resume and args.overwrite:
        parser.error("--resume continues a run and --overwrite replaces it; give one of them")
    if args.find_lr and (args.resume or args.overwrite):
        parser.error("--find-lr leaves no run behind, so --resume and --overwrite do not go with it; leave them out")
    if args.allow_changes and not args.resume:
        parser.error("--allow-changes goes with --resume")

    from video_rs.config import load_config
    from video_rs.runs.find_lr import find_rate
    from video_rs.runs.train import run_training

    config = load_config(args.cfg, args.overrides)
    if args.find_lr:
        find_rate(config, finetune=args.finetune)
        return
    run_training(
        config,
        resume=args.resume,
        overwrite=args.overwrite,
        finetune=args.finetune,
        allow_changes=args.allow_changes,
    )


if __name__ == "__main__":
    cli.run(main)
