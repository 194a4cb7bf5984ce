"""The page as Gradio draws it."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio

from video_rs.inference.prediction import Prediction
from video_rs.inference.predictor import part_of
from video_rs.lists.records import VideoRecord
from video_rs.runs.demo_app.answering import VideoAnswers
from video_rs.runs.demo_app.limits import Limits
from video_rs.runs.demo_app.upload_folder import UploadFolder
from video_rs.runtime.errors import InputError
from video_rs.runtime.task_service import Busy
from video_rs.video.plain_files import USUAL

TITLE = "Video classification"
WAIT = "Many videos wait for an answer. Try again in a minute."
# No font is fetched from elsewhere.
THEME_FONTS = ("system-ui", "sans-serif")
# Trimming would need a program that Gradio's page fetches from elsewhere.
STYLE = """
footer, #video button[aria-label*="rim" i], #video button[aria-label*="reset" i] { display: none !important; }
#note textarea { font-weight: 600; }
"""


@dataclass(frozen=True)
class Example:
    """A video of the run's own list.

    Attributes:
        record: of the video.
        name: as the page shows it.
        preview: an MP4 in the folder of uploads, which every browser plays.
    """

    record: VideoRecord
    name: str
    preview: Path


@dataclass(frozen=True)
class Chosen:
    """The video that a visitor has chosen.

    Attributes:
        record: of the video.
        is_upload: whether the visitor has sent it.
    """

    record: VideoRecord
    is_upload: bool


@dataclass(frozen=True)
class DemoPage:
    """What the events of the page do.

    Attributes:
        answers: for videos.
        examples: to choose from.
        folder: of uploads.
        limits: of uploads.
        about: a line on the network.
    """

    answers: VideoAnswers
    examples: Sequence[Example]
    folder: UploadFolder
    limits: Limits
    about: str

    def uploaded(self, path: str | None) -> list[Any]:
        """Return what the page shows of an upload: best classes, a note, the choice, no film."""
        if not path or not self.folder.holds(path):
            return self.cleared()
        try:
            with self.folder.new_file(same_as=path) as file:
                answer = self.answers.predict(part_of(str(file)))
        except Busy:
            return [None, note(WAIT), None, film("")]
        chosen = Chosen(part_of(path), is_upload=True) if answer.error is None else None
        return [*shown(answer), chosen, film("")]

    def example(self, number: int) -> list[Any]:
        """Return what the page shows of an example: the video, and what it shows of an upload."""
        if not isinstance(number, int) or not 0 <= number < len(self.examples):
            return [None, *self.cleared()]
        example = self.examples[number]
        try:
            answer = self.answers.predict(example.record, is_upload=False)
        except Busy:
            return [str(example.preview), None, note(WAIT), None, film("")]
        return [str(example.preview), *shown(answer), Chosen(example.record, is_upload=False), film("")]

    def look(self, chosen: Chosen | None) -> list[Any]:
        """Return a film of where the network looks, and a note."""
        if chosen is None:
            return [film(""), note("Choose a video first.")]
        place = self.folder.path / f"look_{uuid.uuid4().hex}.mp4"
        try:
            if not chosen.is_upload:
                text = self.answers.look(chosen.record, str(place), is_upload=False)
            elif self.folder.holds(chosen.record.path):
                with self.folder.new_file(same_as=chosen.record.path) as file:
                    text = self.answers.look(part_of(str(file)), str(place))
            else:
                return [film(""), note("The video is not kept any more. Send it again.")]
        except Busy:
            return [film(""), note(WAIT)]
        except InputError as error:
            return [film(""), note(f"This video cannot be read: {error}.")]
        return [film(str(place)), note(text)]

    def cleared(self) -> list[Any]:
        """Return what the page shows without a video."""
        return [None, note(""), None, film("")]


def film(path: str) -> Any:
    """Return the film of the page, which is not there without a path."""
    return gradio.update(value=path or None, visible=bool(path))


def note(text: str) -> Any:
    """Return the note of the page, which is not there without a text."""
    return gradio.update(value=text, visible=bool(text))


def shown(answer: Prediction) -> list[Any]:
    """Return the best classes and the note of an answer."""
    if answer.error is not None:
        return [None, note(f"This video cannot be read: {answer.error}.")]
    text = ""
    if answer.unsure:
        text = "Unsure: the best class is not probable enough to be an answer."
    return [dict(answer.top), note(text)]


def build_blocks(page: DemoPage) -> gradio.Blocks:
    """Return the page."""
    private = {"api_visibility": "private"}
    with gradio.Blocks(title=TITLE, analytics_enabled=False) as blocks:
        gradio.Markdown(f"# {TITLE}")
        gradio.Markdown(page.about)
        chosen = gradio.State()
        with gradio.Row():
            with gradio.Column():
                video = gradio.Video(label="Video", sources=["upload"], elem_id="video", height=360)
                limits = f"{page.limits.megabytes:g} MB and {page.limits.seconds:g} s"
                gradio.Markdown(f"{USUAL}; at most {limits}. What you send is removed after some minutes.")
            with gradio.Column():
                label = gradio.Label(label="Best classes", num_top_classes=5, elem_id="answer")
                remark = gradio.Textbox(
                    show_label=False, container=False, interactive=False, visible=False, elem_id="note", lines=1
                )
                button = gradio.Button("Where does the network look?", elem_id="look")
                # Its own first line says what it shows.
                looked = gradio.Video(show_label=False, interactive=False, visible=False, elem_id="film", loop=True)

        answer = [label, remark, chosen, looked]
        if page.examples:
            examples = gradio.Dataset(
                label="Examples: validation videos of the run, each with the class of its list",
                components=[gradio.Textbox(visible=False)],
                samples=[[example.name] for example in page.examples],
                type="index",
                elem_id="examples",
            )
            examples.click(page.example, examples, [video, *answer], **private)
        video.upload(page.uploaded, video, answer, **private)
        video.clear(page.cleared, None, answer, **private)
        button.click(page.look, chosen, [looked, remark], **private)

    # One more than these is told by Gradio that the queue is full.
    blocks.queue(max_size=page.limits.waiting, default_concurrency_limit=2, api_open=False)
    return blocks
