"""Label videos with a trained network: the five best classes of each, with their probabilities.

A network that was calibrated with a precision says "unsure" where its best class is not sure enough. A folder stands
for all videos in it, however deep. Videos that cannot be read are named with the reason, and the others are answered.
With --json each answer is in the file as soon as it is printed.
"""

import argparse
import contextlib
from pathlib import Path

from video_rs.commands.test import add_checkpoint
from video_rs.runtime.errors import InputError
from video_rs.runtime.wording import pluralize

EXAMPLES = (
    "--checkpoint runs/mine video.mp4",
    "--checkpoint runs/mine my_videos --json answers.json",
)
CODES = {
    0: "every video was answered",
    2: "some videos could not be read (the others were answered), or the input was refused: one line says why",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_checkpoint(parser)
    parser.add_argument(
        "videos", nargs="+", metavar="VIDEO", help="a video, a URL, a folder of frames, or a folder with videos in it"
    )
    parser.add_argument(
        "--json",
        default="",
        metavar="OUT",
        help="file for the answers, an array with one object for each video, whole at any moment (default: none)",
    )
    parser.add_argument(
        "--device",
        default="auto",
        choices=("auto", "cpu", "cuda", "mps"),
        help="where the network runs; auto takes CUDA, then Apple's MPS, then the CPU (default: %(default)s)",
    )
    parser.add_argument(
        "--decoder",
        default="auto",
        help="pyav, decord, torchcodec, torchcodec_cuda, or auto, which is pyav (default: %(default)s)",
    )
    parser.add_argument(
        "--processes",
        type=int,
        default=0,
        help="videos read at once, each in a process of its own (default: one on each core; a single video is read "
        "without)",
    )
    parser.add_argument(
        "--time-limit",
        type=float,
        default=600.0,
        metavar="SECONDS",
        help="for reading one video in such a process; of one that takes longer, that is its answer "
        "(default: %(default)g)",
    )


def run(args: argparse.Namespace) -> None:
    """Print and write the answers."""
    from video_rs.data.loader import Workers
    from video_rs.inference import Predictor
    from video_rs.lists.video_search import videos_at
    from video_rs.runtime.workers import check_limits, usable_cores

    videos = []
    for path in args.videos:
        videos += videos_at(path)

    processes = args.processes
    # A process of its own costs seconds, which a single video is not worth.
    if not processes and len(videos) > 1:
        processes = usable_cores()
    check_limits(processes or 1, args.time_limit)

    predictor = Predictor.from_checkpoint(args.checkpoint, args.device, args.decoder)
    if predictor.answers.multi_label:
        print("each label is judged by itself: the scores of a video need not sum to 100 %")

    failed = 0
    with answer_file(args.json) as answers:
        for answer in predictor.predict_many(videos, Workers(processes, args.time_limit)):
            print_answer(answer)
            if answers is not None:
                answers.append(answer.to_dict())
            if answer.error is not None:
                failed += 1

    if failed:
        raise InputError(
            f"{failed} of {pluralize(len(videos), 'video')} could not be read; each is named above with its reason"
        )


def answer_file(path: str) -> contextlib.AbstractContextManager:
    """Open the file for the answers before the work starts; None where no file is asked for.

    Raises:
        InputError: the file cannot be written.
    """
    from video_rs.runtime.atomic import JsonArray

    if not path:
        return contextlib.nullcontext()
    try:
        return JsonArray(Path(path))
    except OSError as error:
        raise InputError(f"--json {path} cannot be written ({error.strerror}); take another file") from error


def print_answer(answer) -> None:
    """Print the name of a video, and below it the best classes or the reason why it could not be read."""
    if answer.error is not None:
        print(f"{answer.video}\n  error: {answer.error}", flush=True)
        return

    lines = [answer.video]
    if answer.unsure:
        lines.append("  unsure")
    for label, score in answer.top:
        lines.append(f"  {score:7.2%}  {label}")
    print("\n".join(lines), flush=True)
