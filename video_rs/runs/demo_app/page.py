"""What the events of the page do, in the values that Gradio shows."""

import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import gradio

from video_rs.inference.prediction import Prediction
from video_rs.inference.predictor import part_of
from video_rs.inference.timeline.timeline import Timeline
from video_rs.lists.records import VideoRecord
from video_rs.runs.demo_app.answering import VideoAnswers
from video_rs.runs.demo_app.examples import Example
from video_rs.runs.demo_app.limits import Limits
from video_rs.runs.demo_app.upload_folder import UploadFolder
from video_rs.runs.timeline_page import notes_of, timeline_panel_of
from video_rs.runtime.errors import InputError
from video_rs.runtime.task_service import Busy

WAIT = "Many videos wait for an answer. Try again in a minute."
GONE = "The video is not kept any more. Send it again."
AT_WORK = "The network goes through the whole video, which may take a while."


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
class MadeTimeline:
    """A timeline that has been made, or not.

    Attributes:
        chosen: the video.
        panel: HTML; "": there is no timeline.
        note: what is to be said.
    """

    chosen: Chosen | None
    panel: str = ""
    note: str = ""


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
        """Return what the page shows of an upload: best classes, a note, the choice, and nothing else yet."""
        if not path or not self.folder.holds(path):
            return self.cleared()

        try:
            with self.folder.new_file(same_as=path) as file:
                answer = self.answers.predict(part_of(str(file)))
        except Busy:
            return [None, note(WAIT), None, *nothing_yet(), film("")]

        chosen = None
        if answer.error is None:
            chosen = Chosen(part_of(path), is_upload=True)

        return [*shown(answer), chosen, *nothing_yet(), film("")]

    def play(self, chosen: Chosen | None) -> Any:
        """Return a film of an upload that every browser plays, whatever the upload is."""
        if chosen is None or not self.folder.holds(chosen.record.path):
            return film("")

        place = self.folder.path / f"play_{uuid.uuid4().hex}.mp4"
        try:
            with self.folder.new_file(same_as=chosen.record.path) as file:
                place.write_bytes(self.answers.preview(part_of(str(file))))
        except (Busy, InputError):
            # The answer is there; only the film is not.
            return film("")

        return film(str(place))

    def example(self, number: int) -> list[Any]:
        """Return what the page shows of an example: no upload, then what it shows of one, with its film."""
        if not isinstance(number, int) or not 0 <= number < len(self.examples):
            return [None, *self.cleared()]

        example = self.examples[number]
        player = film(str(example.preview))

        try:
            answer = self.answers.predict(example.record, is_upload=False)
        except Busy:
            return [None, None, note(WAIT), None, *nothing_yet(), player]

        return [None, *shown(answer), Chosen(example.record, is_upload=False), *nothing_yet(), player]

    def look(self, chosen: Chosen | None) -> list[Any]:
        """Return a film of where the network looks, and a note."""
        place = self.folder.path / f"look_{uuid.uuid4().hex}.mp4"
        text, problem = self._ask(chosen, lambda record, is_upload: self.answers.look(record, str(place), is_upload))
        if problem:
            return [film(""), note(problem)]

        return [film(str(place)), note(text)]

    def timeline(self, chosen: Chosen | None) -> Iterator[list[Any]]:
        """Yield that the network is at work, then the timeline of the video."""
        yield [None, note(AT_WORK)]

        timeline, problem = self._ask(chosen, self.answers.timeline)
        made = MadeTimeline(chosen, note=problem)
        if not problem:
            made = MadeTimeline(chosen, timeline_panel_of(timeline), " ".join(remarks(timeline)))

        yield [made, gradio.skip()]

    def show_timeline(self, chosen: Chosen | None, made: MadeTimeline | None) -> list[Any]:
        """Return a timeline and its note, unless another video has been chosen since somebody asked for it."""
        if made is None or made.chosen != chosen:
            return [gradio.skip(), gradio.skip()]

        return [panel(made.panel), note(made.note)]

    def _ask(self, chosen: Chosen | None, question: Callable[[VideoRecord, bool], Any]) -> tuple[Any, str]:
        """Return the answer to a question about a video, and why there is none, or ""."""
        if chosen is None:
            return None, "Choose a video first."

        try:
            if not chosen.is_upload:
                return question(chosen.record, False), ""
            if not self.folder.holds(chosen.record.path):
                return None, GONE
            with self.folder.new_file(same_as=chosen.record.path) as file:
                return question(part_of(str(file)), True), ""
        except Busy:
            return None, WAIT
        except InputError as error:
            # Its time may have run out meanwhile.
            if chosen.is_upload and not self.folder.holds(chosen.record.path):
                return None, GONE
            return None, f"This video cannot be read: {error}."

    def cleared(self) -> list[Any]:
        """Return what the page shows without a video."""
        return [None, note(""), None, *nothing_yet(), film("")]


def nothing_yet() -> list[Any]:
    """Return the film of where the network looks, and the timeline, before somebody asks for them."""
    return [film(""), panel("")]


def film(path: str) -> Any:
    """Return the film of the page, which is not there without a path."""
    return gradio.update(value=path or None, visible=bool(path))


def panel(text: str) -> Any:
    """Return the timeline of the page, which is not there without HTML."""
    return gradio.update(value=text, visible=bool(text))


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


def remarks(timeline: Timeline) -> list[str]:
    """Return sentences on a timeline: that it has no segment, and what of the video could not be read."""
    sentences = [f"{line}." for line in notes_of(timeline)]
    if not timeline.segments:
        rules = timeline.rules
        sentences.insert(0, f"No segment was found: no class reaches {100 * rules.on:.4g}% for {rules.shortest:g} s.")

    return sentences
