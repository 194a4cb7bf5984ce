"""Review a list: the page until it is closed, and what was decided."""

import threading
from dataclasses import dataclass
from pathlib import Path

from video_rs.config import Config, load_config
from video_rs.data.dataset import VideoSource
from video_rs.inference.predictions import Predictions, predictions_file
from video_rs.lists.revised_list import RevisedList
from video_rs.runs.review.serving import MOST_WAITING, PreviewMaker, ReviewServer
from video_rs.runs.review.session import Session
from video_rs.runs.test import is_same_place
from video_rs.runtime.errors import InputError
from video_rs.runtime.progress import print_line
from video_rs.runtime.task_service import TaskService
from video_rs.runtime.web_server import LOCAL, LOOK, announce, check_address, wait_for_stop
from video_rs.runtime.wording import pluralize
from video_rs.runtime.workers import check_limits
from video_rs.video.fetching import handler_names, register_handlers

NAME = "reviewed.csv"


@dataclass(frozen=True)
class ReviewJob:
    """What to review, and where the page is.

    Attributes:
        predictions: a file of predictions, or the folder of a run.
        list: that was tested; "": the one that the predictions name.
        root: what relative paths of the list start from; "": as in the run, or the list's own folder.
        out: the new list; "": reviewed.csv beside the predictions.
        most: videos of each kind to look at.
        host, port: where the page is.
        time_limit: seconds for making the preview of one video.
        path_handlers: iopath handlers that fetch URLs, with commas between them; "": as in the run.
    """

    predictions: str
    list: str = ""
    root: str = ""
    out: str = ""
    most: int = 200
    host: str = LOCAL
    port: int = 7861
    time_limit: float = 60.0
    path_handlers: str = ""


def run_review(job: ReviewJob) -> None:
    """Serve the page until Ctrl-C.

    Raises:
        InputError: bad input.
    """
    if job.most < 1:
        raise InputError(f"--most is {job.most}; allowed: from 1")

    check_limits(1, job.time_limit)
    check_address(job.host, job.port)
    file = predictions_file(job.predictions)
    predictions = Predictions.read(file)
    source, root, handlers = _places(job, file, predictions.about.list)
    register_handlers(handlers)

    out = Path(job.out) if job.out else file.with_name(NAME)
    revised = RevisedList.open(source, root, out, predictions.label_names)
    session = Session(predictions, revised, job.most)

    if session.left_out:
        print_line(f"note: {pluralize(session.left_out, 'video')} of the predictions not in {source}, and left out")

    _write_first(revised)

    maker = PreviewMaker(VideoSource(path_handlers=handlers))

    with (
        TaskService(maker, 1, job.time_limit, MOST_WAITING) as previews,
        ReviewServer(job.host, job.port, session, previews) as server,
    ):
        _serve(server, len(session.items))

    right, relabelled, broken = session.decided()
    print_line(f"{right} right, {relabelled} relabelled, {broken} broken, of {pluralize(len(session.items), 'video')}")
    print_line(f"new list: {out}")


def _places(job: ReviewJob, file: Path, tested: str) -> tuple[str, str, tuple[str, ...]]:
    """Return the list, what its paths start from, and the handlers of its URLs: those of the call, or of the run."""
    source = job.list or tested
    if not source:
        raise InputError(f"{file} does not say which list was tested; give it with --list")

    root = job.root
    handlers = job.path_handlers
    config = _config_beside(file)

    if config is not None:
        is_its_list = any(is_same_place(source, own) for own in (config.DATA.VAL_LIST, config.DATA.TRAIN_LIST) if own)
        if not root and is_its_list:
            root = config.DATA.ROOT
        handlers = handlers or config.DATA.PATH_HANDLERS

    return source, root, handler_names(handlers)


def _config_beside(file: Path) -> Config | None:
    """Return the configuration of the run that predictions lie in, or None."""
    # In the run's folder, in its folder test, or in one of another list in that.
    for folder in list(file.resolve().parents)[:3]:
        if (folder / "config.yaml").is_file() and (folder / "log.jsonl").is_file():
            return load_config(folder / "config.yaml")
    return None


def _write_first(revised: RevisedList) -> None:
    """Write the list before anybody works for it."""
    try:
        revised.write()
    except OSError as error:
        raise InputError(f"--out {revised.path} cannot be written ({error.strerror}); take another file") from error


def _serve(server: ReviewServer, videos: int) -> None:
    """Say where the page is, and answer until somebody wants to stop."""
    announce(
        server.host,
        f"{pluralize(videos, 'video')} to look at: {server.url}",
        "whoever has its address sees the videos and changes the new list",
    )
    print_line("Ctrl-C closes the page; what is decided is in the list at once")
    threading.Thread(target=server.serve_forever, args=(LOOK,), daemon=True).start()
    wait_for_stop()
    server.shutdown()
