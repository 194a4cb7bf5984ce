"""The page as Gradio draws it."""

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
STYLE = "footer { display: none !important; } #note textarea { font-weight: 600; }"


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
            return [None, note(WAIT), None, None]
        chosen = Chosen(part_of(path), is_upload=True) if answer.error is None else None
        return [*shown(answer), chosen, None]

    def example(self, number: int) -> list[Any]:
        """Return what the page shows of an example: the video, and what it shows of an upload."""
        if not isinstance(number, int) or not 0 <= number < len(self.examples):
            return [None, *self.cleared()]
        example = self.examples[number]
        try:
            answer = self.answers.predict(example.record, is_upload=False)
        except Busy:
            return [str(example.preview), None, note(WAIT), None, None]
        return [str(example.preview), *shown(answer), Chosen(example.record, is_upload=False), None]

    def look(self, chosen: Chosen | None) -> list[Any]:
        """Return a film of where the network looks, and a note."""
        if chosen is None:
            return [None, note("Choose a video first.")]
        film = self.folder.path / f"look_{id(chosen):x}.mp4"
        try:
            if not chosen.is_upload:
                return [str(film), note(self.answers.look(chosen.record, str(film), is_upload=False))]
            if not self.folder.holds(chosen.record.path):
                return [None, note("The video is not kept any more. Send it again.")]
            with self.folder.new_file(same_as=chosen.record.path) as file:
                return [str(film), note(self.answers.look(part_of(str(file)), str(film)))]
        except Busy:
            return [None, note(WAIT)]
        except InputError as error:
            return [None, note(f"This video cannot be read: {error}.")]

    def cleared(self) -> list[Any]:
        """Return what the page shows without a video."""
        return [None, note(""), None, None]


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
        gradio.Textbox(page.about, show_label=False, container=False, interactive=False, lines=1, elem_id="about")
        chosen = gradio.State()
        with gradio.Row():
            with gradio.Column():
                video = gradio.Video(label="Video", sources=["upload"], elem_id="video", height=360)
                limits = f"{page.limits.megabytes:g} MB and {page.limits.seconds:g} s"
                gradio.Markdown(f"{USUAL}; at most {limits}. What you send is removed after some minutes.")
            with gradio.Column():
                label = gradio.Label(label="Best classes", num_top_classes=5, elem_id="answer")
                remark = gradio.Textbox(show_label=False, interactive=False, visible=False, elem_id="note", lines=1)
                button = gradio.Button("Where does the network look?", elem_id="look")
                film = gradio.Video(label="Where it looks", interactive=False, elem_id="film", height=260)

        answer = [label, remark, chosen, film]
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
        button.click(page.look, chosen, [film, remark], **private)

    # One more than these is told by Gradio that the queue is full.
    blocks.queue(max_size=page.limits.waiting, default_concurrency_limit=2, api_open=False)
    return blocks
