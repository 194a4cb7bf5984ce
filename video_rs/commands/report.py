"""Say what predictions mean, without the network: accuracy with intervals, confusion, calibration, mistakes.

Reads predictions.parquet, which testing writes, and writes a page. With --against it compares two sets of predictions
of the same videos one by one. Views are compared where the test had TEST.KEEP_VIEWS.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from video_rs.runtime.errors import InputError
from video_rs.runtime.wording import pluralize

EXAMPLES = (
    "runs/mine --group folder",
    "runs/mine --against runs/other --out comparison.html",
)
CODES = {0: "the page is written", 2: "the input was refused: one line says why"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    source = "a predictions.parquet, or a folder that holds one: a run's, whose test counts before its last validation"
    parser.add_argument("predictions", metavar="RUN", help=source)
    parser.add_argument(
        "--against", default="", metavar="RUN", help="other predictions of the same videos (default: none)"
    )
    parser.add_argument(
        "--group",
        choices=["list", "file", "folder"],
        default="list",
        help="videos that intervals draw together: those of a group of the list's column group, or without one of a "
        "file; of a file; of a folder (default: %(default)s)",
    )
    parser.add_argument(
        "--out", default="", metavar="FILE", help="the page (default: predictions.html beside the predictions)"
    )
    parser.add_argument("--csv", default="", metavar="FILE", help="write the predictions as CSV, too (default: no)")
    parser.add_argument(
        "--jsonl", default="", metavar="FILE", help="write the predictions as JSON lines, too (default: no)"
    )


def run(args: argparse.Namespace) -> None:
    """Write the page."""
    from video_rs.inference.predictions import Predictions, predictions_file
    from video_rs.inference.predictions.text import TEXT_FORMATS
    from video_rs.reports.predictions_page import write_predictions_page
    from video_rs.reports.text_table import text_table
    from video_rs.runs.comparison import against
    from video_rs.runs.report import page_of
    from video_rs.runtime.outputs import check_outputs

    file = predictions_file(args.predictions)
    other = predictions_file(args.against) if args.against else None
    out = Path(args.out) if args.out else file.with_name("predictions.html")
    sources = [file, other] if other else [file]
    check_outputs({"--out": out, "--csv": args.csv, "--jsonl": args.jsonl}, sources)

    predictions = replace(Predictions.read(file), grouping=args.group)
    more: dict[str, object] = {}
    if other:
        more["against"] = against(predictions, Predictions.read(other))
    page = page_of(predictions, f"Predictions of {file}", more)

    write_predictions_page(out, page)
    for suffix in TEXT_FORMATS:
        target = getattr(args, suffix)
        if target:
            TEXT_FORMATS[suffix](predictions, Path(target))

    print(text_table(("", "", "95 %"), [list(number) for number in page.numbers]))
    if page.against is not None:
        print("\n".join(page.against.sentences))
    print(f"report: {out}")
    if not predictions.read_results:
        first = predictions.results[0]
        raise InputError(
            f"none of {pluralize(len(predictions), 'video')} could be read; first: {first.video}: {first.error}"
        )
