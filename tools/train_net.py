"""Train a network: ``python tools/train_net.py --cfg kinetics_rs.yaml [KEY VALUE ...]``, also under torchrun."""

import argparse
import os

# Idle threads of one process must not spin on the cores that its reading processes need.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from video_rs import cli


def main() -> None:
    """Parses the command line and trains."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cfg", required=True, help="a YAML file, or a name under configs/")
    parser.add_argument("--resume", action="store_true", help="continue from the last checkpoint, else start")
    parser.add_argument("--overwrite", action="store_true", help="replace the run in the output folder")
    parser.add_argument("--finetune", metavar="CKPT", default="", help="start from the weights of a checkpoint")
    parser.add_argument("--allow-changes", action="store_true", help="resume although config or data set changed")
    parser.add_argument(
        "--find-lr", action="store_true", help="try learning rates, draw the losses, suggest one; no run"
    )
    parser.add_argument(
        "overrides", nargs="*", metavar="KEY VALUE", help="config keys to set; all of them: python -m video_rs.config"
    )
    args = parser.parse_intermixed_args()
    if args.resume and args.overwrite:
        parser.error("--resume continues a run and --overwrite replaces it; give one of them")
    if args.find_lr and (args.resume or args.overwrite):
        parser.error("--find-lr leaves no run behind, so --resume and --overwrite do not go with it; leave them out")
    if args.allow_changes and not args.resume:
        parser.error("--allow-changes goes with --resume")

    from video_rs.config import load_config
    from video_rs.jobs.rate_finding import find_rate
    from video_rs.jobs.training import run_training

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
