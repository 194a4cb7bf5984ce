"""The page of a review over HTTP: the page, the videos as previews, and the decisions."""

import secrets
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from video_rs.data.dataset import VideoSource
from video_rs.lists.records import VideoRecord
from video_rs.reports.page import template
from video_rs.runs.review.session import Session
from video_rs.runtime.errors import InputError
from video_rs.runtime.task_service import Busy, TaskService
from video_rs.runtime.web_server import PageHandler, PageServer
from video_rs.video import DecodeError
from video_rs.video.preview import preview

MOST_WAITING = 16  # previews that are asked for and not yet begun


@dataclass(frozen=True)
class PreviewMaker:
    """Makes previews, in a worker process.

    Attributes:
        source: opens the videos.
    """

    source: VideoSource

    def __call__(self, record: VideoRecord) -> bytes | str:
        """Return an MP4, or why there is none."""
        try:
            with self.source.open(record.path) as reader:
                return preview(reader, record.path, record.start, record.end)
        except DecodeError as error:
            return error.reason


class ReviewServer(PageServer):
    """Serves one review.

    Args:
        host, port: where it listens.
        session: the review.
        previews: makes the previews.
    """

    def __init__(self, host: str, port: int, session: Session, previews: TaskService):
        super().__init__(host, port, ReviewHandler)
        self.session = session
        self.previews = previews


class ReviewHandler(PageHandler):
    """Answers the page. What it sends are this page, its own numbers and decoded pictures: no file is read for it."""

    server: ReviewServer

    def get(self, path: str) -> None:
        """Send the page, its content, or a preview."""
        if path == "":
            nonce = secrets.token_urlsafe(16)
            self.send_page(template("review.html.j2").render(nonce=nonce), nonce)
        elif path == "content":
            self.send_json(self.server.session.content())
        elif path.startswith("preview/"):
            self._send_preview(path.removeprefix("preview/"))
        else:
            self.refuse(HTTPStatus.NOT_FOUND, "there is nothing here")

    def post(self, path: str, value: Any) -> None:
        """Take a decision."""
        if path != "decide":
            self.refuse(HTTPStatus.NOT_FOUND, "there is nothing here")
            return

        try:
            self.send_json(self.server.session.decide(value))
        except InputError as error:
            self.refuse(HTTPStatus.BAD_REQUEST, str(error))
        except OSError as error:
            self.refuse(
                HTTPStatus.INSUFFICIENT_STORAGE, f"the list cannot be written ({error.strerror}); nothing was decided"
            )

    def _send_preview(self, text: str) -> None:
        """Send the preview of the video with a number."""
        items = self.server.session.items
        if not (text.isascii() and text.isdecimal() and len(text) < 9 and int(text) < len(items)):
            self.refuse(HTTPStatus.NOT_FOUND, "there is no such video")
            return

        try:
            made = self.server.previews.ask(items[int(text)].record)
        except Busy:
            self.refuse(HTTPStatus.SERVICE_UNAVAILABLE, "many videos are asked for; try again in a moment")
        except InputError as error:
            self.refuse(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))
        else:
            self.send(HTTPStatus.OK, "video/mp4", made)
