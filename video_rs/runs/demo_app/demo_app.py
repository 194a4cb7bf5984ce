"""Serve the page for a checkpoint until it is closed."""

import os
import socket
import threading
import time
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING

from video_rs.config import config_from_text
from video_rs.data.dataset import VideoSource
from video_rs.engine.checkpoint import load_checkpoint
from video_rs.inference.predictor import Predictor
from video_rs.runs.acceleration import PLAIN, EngineChoice, accelerated_predictor
from video_rs.runs.demo_app.answering import UploadReader, VideoAnswers
from video_rs.runs.demo_app.examples import example_records, make_examples
from video_rs.runs.demo_app.limits import Limits
from video_rs.runs.demo_app.upload_folder import UploadFolder
from video_rs.runtime.errors import InputError
from video_rs.runtime.task_service import TaskService
from video_rs.runtime.torch_files import find_checkpoint
from video_rs.runtime.web_server import LOCAL, announce, check_address, names_of, wait_for_stop
from video_rs.runtime.wording import pluralize
from video_rs.runtime.workers import check_limits
from video_rs.video.fetching import handler_names

if TYPE_CHECKING:
    from video_rs.runs.demo_app.page import DemoPage

PACKAGES = ("gradio", "fastapi", "uvicorn")


@dataclass(frozen=True)
class DemoJob:
    """What to serve, and where.

    Attributes:
        checkpoint: a .pth file of a run, or the run's folder.
        host, port: where the page is; port 0 takes any free one.
        device: where the network runs.
        examples: how many validation videos to choose from; 0: none.
        limits: of uploads.
        processes: how many videos are read at once.
        choice: what computes the network.
    """

    checkpoint: str
    host: str = LOCAL
    port: int = 7860
    device: str = "auto"
    examples: int = 8
    limits: Limits = field(default_factory=Limits)
    processes: int = 1
    choice: EngineChoice = PLAIN


def run_demo_app(job: DemoJob) -> None:
    """Serve the page until Ctrl-C.

    Raises:
        InputError: bad input, or a package is missing.
    """
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise InputError(f"the page needs {', '.join(missing)}, not installed; pip install 'video_rs[demo]'")
    if job.examples < 0:
        raise InputError(f"--examples is {job.examples}; allowed: from 0")

    check_limits(job.processes, job.limits.time_limit)
    check_address(job.host, job.port)

    checkpoint = load_checkpoint(find_checkpoint(job.checkpoint))
    config = config_from_text(checkpoint["config"])
    predictor = Predictor.from_checkpoint(job.checkpoint, job.device, views="published")
    predictor = accelerated_predictor(predictor, job.choice, job.checkpoint)
    source = VideoSource(path_handlers=handler_names(config.DATA.PATH_HANDLERS))
    records = example_records(config, predictor.answers.label_names, job.examples)
    reader = UploadReader(predictor.preprocessing, source, job.limits)
    about = f"{config.MODEL.ARCH}, {pluralize(len(predictor.answers.label_names), 'class', 'classes')}"

    with (
        UploadFolder(job.limits.folder_bytes) as folder,
        TaskService(reader, job.processes, job.limits.time_limit, job.limits.waiting) as reading,
    ):
        # Gradio reads these where it is imported, and makes folders then. It takes seconds, and may be missing.
        os.environ["GRADIO_TEMP_DIR"] = str(folder.path)
        os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
        from video_rs.runs.demo_app.page import DemoPage

        examples = make_examples(records, source, predictor.answers.label_names, folder.path)
        page = DemoPage(VideoAnswers(predictor, reading), examples, folder, job.limits, about)
        _serve(page, job)


def _serve(page: "DemoPage", job: DemoJob) -> None:
    """Say where the page is, and answer until somebody wants to stop."""
    from video_rs.runs.demo_app.web import build_application, build_server

    with socket.create_server((job.host, job.port), family=_family(job.host), backlog=256) as listener:
        port = listener.getsockname()[1]
        server = build_server(build_application(page, names_of(job.host, port)), job.host, port)
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()

        while not server.started and thread.is_alive():
            time.sleep(0.05)

        announce(
            job.host,
            f"the page: http://{f'[{job.host}]' if ':' in job.host else job.host}:{port}/",
            "whoever reaches this machine sends videos to it and sees the examples",
        )
        wait_for_stop()
        server.should_exit = True
        thread.join(10.0)


def _family(host: str) -> socket.AddressFamily:
    return socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0][0]
