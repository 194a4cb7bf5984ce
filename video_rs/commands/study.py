"""Go on with a study: do its runs that are not finished, and write what all of them say.

A study is made by a command of its kind, such as additive_study. Finished runs are kept, killed ones are resumed, and a
run that fails is reported and tried again next time. --only does one run in this process: engines call it.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from video_rs.runtime import start
from video_rs.runtime.errors import InputError

if TYPE_CHECKING:
    from video_rs.studies.running import Resources

EXAMPLES = (
    "studies/additive --jobs 2",
    "studies/additive --engine slurm --processes 8",
)
STUDY_CODES = {
    0: "all runs are done, or the job is written",
    2: "the input was refused, or no run came to its end: one line says why",
    143: "stopped by SIGTERM, SIGHUP or Ctrl-C with the states of the runs saved: give the command again",
}
CODES = {**STUDY_CODES, 0: "all runs that were left are done, or the job is written, or --only's run is done"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("folder", metavar="FOLDER", help="of the study")
    parser.add_argument(
        "--only", metavar="RUN", default="", help="do this run alone, here (default: all that are left)"
    )
    # For engines: the run saves and stops when its standard input ends, and with it the process that started it.
    parser.add_argument("--with-parent", action="store_true", help=argparse.SUPPRESS)
    add_resources(parser)


def add_resources(parser: argparse.ArgumentParser) -> None:
    """Add what the runs of a study are done with."""
    parser.add_argument(
        "--engine",
        default="local",
        help="what does the runs: local; slurm, which writes an array job; or ray (default: %(default)s)",
    )
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time (default: %(default)s)")
    parser.add_argument(
        "--processes",
        type=int,
        default=1,
        help="processes of each run, one for each of its GPUs (default: %(default)s)",
    )


def add_study(parser: argparse.ArgumentParser) -> None:
    """Add what every study is made from."""
    parser.add_argument("--out", required=True, metavar="FOLDER", help="of the study: its runs and what they say")
    parser.add_argument(
        "--list",
        default="",
        help="list file with train and val rows (default: DATA.TRAIN_LIST and DATA.VAL_LIST of the configs)",
    )
    add_seeds(parser, "runs of each row")


def add_seeds(parser: argparse.ArgumentParser, meaning: str) -> None:
    """Add how many runs each row has, which ``meaning`` says, and how many threads each of them."""
    parser.add_argument("--seeds", type=int, default=1, help=f"{meaning} (default: %(default)s)")
    parser.add_argument(
        "--threads",
        type=int,
        default=1,
        help="threads of each run, a part of the study as seeds are: they order additions (default: %(default)s)",
    )


def overrides_of(args: argparse.Namespace) -> list[str]:
    """Return the KEY VALUE pairs for all runs of a study, its list included.

    Raises:
        InputError: a pair sets what the study sets itself.
    """
    from video_rs.studies.study import OWN_KEYS

    for key in args.overrides[::2]:
        if key in OWN_KEYS:
            raise InputError(f"{key} is set for each run by the study; give --out and --seeds, and leave it away")
    lists = []
    if getattr(args, "list", ""):
        lists = ["DATA.TRAIN_LIST", args.list, "DATA.VAL_LIST", args.list]
    return [*lists, *args.overrides]


def resources_of(args: argparse.Namespace) -> Resources:
    """Return what the runs of a study are done with."""
    from video_rs.studies.running import Resources

    return Resources(args.engine, args.jobs, args.processes)


def run(args: argparse.Namespace) -> None:
    """Go on with the study."""
    start.let_idle_threads_sleep()
    from video_rs.studies.study import load_study

    study = load_study(args.folder)
    if args.only:
        from video_rs.studies.one_run import do_run, stop_with_parent

        if args.with_parent:
            stop_with_parent()
        do_run(study, args.only)
        return
    if args.with_parent:
        raise InputError("--with-parent goes with --only")

    from video_rs.studies.running import go_on

    go_on(study, resources_of(args))
