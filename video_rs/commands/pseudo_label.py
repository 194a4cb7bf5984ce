"""Label videos by a teacher: its probabilities for each video of a list, in shards.

A teacher is a run, a file of video-rs export, or a video classifier of the Hugging Face hub. Videos that cannot be read
have a row with the reason. Under torchrun the processes share the work, and with --engine ray the machines of a
cluster; labelling that was stopped goes on when it is started again, with any engine. select_pseudo_labels then
chooses the videos that a student learns from.
"""

import argparse

from video_rs.commands.file_work import add_root
from video_rs.commands.network import add_reading
from video_rs.commands.shard_work import add_shards, add_split
from video_rs.runtime import start

EXAMPLES = (
    "--teacher runs/mine --list unlabelled.csv --out runs/answers",
    "--teacher hub/videomae --labels classes.txt --only-common --list my_videos --out runs/answers --engine ray",
)
CODES = {
    0: "labelled; videos that could not be read have a row with the reason",
    2: "no video could be read, or the input was refused: one line says why",
    143: "--engine ray was stopped by SIGTERM or SIGHUP; finished shards are kept: give the command again",
}
NUMBERS = (
    ("--clips", 0, "clips of each video, spread over it (default: as many as the teacher has, 4 of the hub's)"),
    ("--crops", 0, "crops of each clip, 1 or 3 (default: as many as the teacher has)"),
    ("--stride", 0, "frames from one frame of a clip to the next (default: the teacher's)"),
    ("--top", 0, "classes of a video that are kept, the most probable ones, 0 for all (default: %(default)s)"),
    ("--batch", 8, "views per forward pass (default: %(default)s)"),
    ("--processes", 0, "that read videos, for each teacher (default: one for each core, shared with its neighbours)"),
)
"""Options that take a whole number: name, default, help."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "--teacher",
        required=True,
        metavar="T",
        help="a run's folder, a .pth file, a file of video-rs export, or a folder or repository OWNER/NAME of a video "
        "classifier",
    )
    parser.add_argument(
        "--trusted", action="store_true", help="take a .pt2 file of your own, which can run code as it is read"
    )
    parser.add_argument("--list", required=True, help="list file, or folder of videos; labels do not matter")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for the shards")
    add_split(parser)
    add_root(parser)
    parser.add_argument(
        "--labels",
        default="",
        metavar="MAP",
        help="file with the student's classes, one a line, in the names of the teacher (default: all of the teacher's)",
    )
    parser.add_argument(
        "--only-common", action="store_true", help="leave out classes that only the teacher or only the student has"
    )
    for name, default, text in NUMBERS:
        parser.add_argument(name, type=int, default=default, metavar="N", help=text)
    add_reading(parser)
    parser.add_argument(
        "--time-limit",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="for reading one video; one that takes longer has failed (default: %(default)g)",
    )
    parser.add_argument(
        "--engine",
        default="local",
        choices=("local", "ray"),
        help="what does the work: local, this process and those beside it under torchrun; or ray (default: "
        "%(default)s)",
    )
    parser.add_argument(
        "--actors",
        type=int,
        default=0,
        metavar="N",
        help="processes on Ray with a teacher each (default: one for each GPU of the cluster, or for each machine of "
        "one without GPUs)",
    )
    add_shards(parser)


def run(args: argparse.Namespace) -> None:
    """Label the videos."""
    start.let_idle_threads_sleep()
    from video_rs.runs.pseudo_label import Labelling, run_pseudo_label

    names = Labelling.__dataclass_fields__
    run_pseudo_label(Labelling(**{name: getattr(args, name) for name in names}))
