"""What the commands share that work through the files of a list and write a folder."""

import argparse

from video_rs.runtime.errors import InputError
from video_rs.runtime.wording import pluralize


def add_list(parser: argparse.ArgumentParser) -> None:
    """Add the list, and the folder that is written."""
    parser.add_argument("list", metavar="LIST", help="list file, or folder of class folders")
    parser.add_argument("--out", required=True, metavar="FOLDER", help="folder for what is written")


def add_root(parser: argparse.ArgumentParser) -> None:
    """Add the folder that relative paths start from."""
    parser.add_argument(
        "--root",
        default="",
        metavar="FOLDER",
        help="what relative paths start from (default: the list's own folder)",
    )


def add_path_handlers(parser: argparse.ArgumentParser) -> None:
    """Add what reads URLs."""
    parser.add_argument(
        "--path-handlers",
        default="",
        metavar="NAMES",
        help="iopath handlers of URLs, module:Class with commas between them, as DATA.PATH_HANDLERS (default: http)",
    )


def add_time_limit(parser: argparse.ArgumentParser, seconds: float) -> None:
    """Add the time that one file may take."""
    parser.add_argument(
        "--time-limit", type=float, default=seconds, metavar="SECONDS", help="for one file (default: %(default)g)"
    )


def require_all_done(failed: int, total: int, done: str, folder: str) -> None:
    """Raise InputError where some files failed, which ends the command with exit code 2.

    Args:
        failed: number of files that failed.
        total: number of files.
        done: what was done with the others, such as "packed".
        folder: the one with the reasons.
    """
    if failed:
        raise InputError(f"{failed} of {pluralize(total, 'file')} could not be {done}; {folder}/failures.csv says why")
