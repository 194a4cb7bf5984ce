"""Label videos with a trained network: the best classes of each, with their probabilities.

VIDEO is a file, a URL, a folder (all videos in it, however deep), a pattern such as 'clips/**/*.mp4', or a list (.csv,
.txt). A network that was calibrated with a precision says "unsure" where its best class is not sure enough. Videos that
cannot be read are named with the reason, and the others are answered. Each answer is in the files as soon as it is
printed.
"""

import argparse

from video_rs.commands.network import add_engine, add_network, add_reading, add_views, load_network

EXAMPLES = (
    "--checkpoint runs/mine video.mp4",
    "--checkpoint runs/mine my_videos --csv answers.csv",
)
CODES = {
    0: "every video was answered",
    2: "some videos could not be read (the others were answered), or the input was refused: one line says why",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_network(parser)
    parser.add_argument("videos", nargs="+", metavar="VIDEO", help="a file, a URL, a folder, a pattern, or a list")
    parser.add_argument(
        "--start",
        type=float,
        metavar="SECONDS",
        help="where the part that is meant begins (default: the video's begin)",
    )
    parser.add_argument(
        "--end", type=float, metavar="SECONDS", help="where the part that is meant ends (default: the video's end)"
    )
    parser.add_argument(
        "--json",
        default="",
        metavar="OUT",
        help="file for an array of the answers, whole at any moment (default: none)",
    )
    parser.add_argument("--jsonl", default="", metavar="OUT", help="file for an answer a line (default: none)")
    parser.add_argument("--csv", default="", metavar="OUT", help="file for a table of the answers (default: none)")
    add_views(parser)
    add_engine(parser)
    add_reading(parser)
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
    from video_rs.inference.answer_files import answer_files
    from video_rs.inference.answer_text import AnswerPrinter, unread
    from video_rs.lists.chosen_videos import chosen_videos
    from video_rs.runtime.outputs import check_outputs
    from video_rs.runtime.progress import print_line, videos_with_progress
    from video_rs.runtime.workers import check_limits, usable_cores

    records = chosen_videos(args.videos, args.start, args.end)
    outputs = {"--json": args.json, "--jsonl": args.jsonl, "--csv": args.csv}
    network = args.checkpoint or args.model
    check_outputs(outputs, [*args.videos, *(record.path for record in records), network])
    processes = args.processes
    # A process of its own costs seconds, which a single video is not worth.
    if not processes and len(records) > 1:
        processes = usable_cores()
    check_limits(processes or 1, args.time_limit)

    predictor = load_network(args, args.views)
    if predictor.answers.multi_label:
        print_line("each label is judged by itself: the scores of a video need not sum to 100 %")

    failed = []
    printer = AnswerPrinter([record.id for record in records], predictor.answers.label_names)
    with answer_files({"json": args.json, "jsonl": args.jsonl, "csv": args.csv}) as files:
        answers = predictor.predict_records(records, Workers(processes, args.time_limit))
        for answer in videos_with_progress(answers, len(records), "videos"):
            for line in printer.lines(answer):
                print_line(line)
            for file in files:
                file.add(answer)
            if answer.error is not None:
                failed.append((answer.id or answer.video, answer.error))

    if failed:
        raise unread(failed, len(records))
