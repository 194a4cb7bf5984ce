"""What happens when in a visitor's video: the frames come from the worker in parts, the rest is the timeline's own."""

import numpy as np
import pytest

from helpers.timelines import brightness_predictor, write_damaged, write_levels
from video_rs import Predictor
from video_rs.data.dataset import VideoSource
from video_rs.inference.predictor import part_of
from video_rs.inference.timeline.files import timeline_dict
from video_rs.inference.timeline.making import make_timeline
from video_rs.inference.timeline.settings import TimelineSettings
from video_rs.lists.records import VideoRecord
from video_rs.runs.demo_app import timeline_reading
from video_rs.runs.demo_app.answering import UploadReader, VideoAnswers
from video_rs.runs.demo_app.limits import Limits
from video_rs.runs.demo_app.timeline_reading import read_footage
from video_rs.runs.demo_app.upload_folder import UploadFolder
from video_rs.runtime.errors import InputError
from video_rs.runtime.task_service import Busy, TaskService


@pytest.fixture(scope="module")
def levels(tmp_path_factory):
    """2 s of dark, 3 s of light, 2 s of dark."""
    return write_levels(tmp_path_factory.mktemp("levels") / "upload.mp4", (20, 20), (230, 30), (20, 20))


@pytest.fixture
def ask(monkeypatch):
    """``ask(path)`` gives the timeline of an upload whose frames come 16 at a time."""
    monkeypatch.setattr(timeline_reading, "PART_FRAMES", 16)

    def answer(path, predictor=None, record=None, is_upload=True, **limits):
        predictor = predictor or brightness_predictor()
        reader = UploadReader(predictor.preprocessing, VideoSource(), Limits(**limits))
        with TaskService(reader, 1, 30.0, 4) as reading:
            return VideoAnswers(predictor, reading).timeline(record or part_of(path), is_upload)

    return answer


def assert_same(found, expected):
    assert timeline_dict(found) == timeline_dict(expected)
    assert found.segments == expected.segments
    assert np.array_equal(found.windows.smoothed.scores, expected.windows.smoothed.scores, equal_nan=True)
    assert found.fps == expected.fps


def test_the_timeline_is_that_of_the_command(ask, levels):
    found = ask(levels)
    assert_same(found, make_timeline(brightness_predictor(), levels, TimelineSettings()))
    assert [segment.label for segment in found.segments] == [0, 1, 0]
    assert [segment.start for segment in found.segments] == pytest.approx([0, 2, 5], abs=0.4)


def test_a_network_of_several_crops_sees_the_centre_of_windows(ask, levels):
    predictor = brightness_predictor(crops=3)
    assert_same(ask(levels, predictor), make_timeline(predictor, levels, TimelineSettings()))


def test_a_trained_network_gives_the_same_probabilities(ask, trained, videos):
    predictor = Predictor.from_checkpoint(trained, "cpu")
    clip = videos.parent / "val" / "light" / "1.mp4"
    assert_same(ask(clip, predictor), make_timeline(predictor, clip, TimelineSettings()))


def test_a_segment_of_the_run_s_list_has_the_times_of_its_video(ask, levels):
    found = ask(levels, record=VideoRecord(str(levels), (), 3.0, 6.0, "row"), is_upload=False)
    assert_same(found, make_timeline(brightness_predictor(), levels, TimelineSettings(), 3.0, 6.0))
    assert (found.start, found.end) == (3, 6)


def test_each_frame_is_asked_for_once_and_few_at_a_time(levels, monkeypatch):
    monkeypatch.setattr(timeline_reading, "PART_FRAMES", 16)
    parts = []

    class Notes(TaskService):
        def submit(self, record, is_upload, read):
            parts.append(getattr(read, "numbers", ()))
            return super().submit(record, is_upload, read)

    predictor = brightness_predictor()
    with Notes(UploadReader(predictor.preprocessing, VideoSource(), Limits()), 1, 30.0, 4) as reading:
        VideoAnswers(predictor, reading).timeline(part_of(levels))
    # Frames 2 apart of 70, with a stride of 4 frames. Nothing of them is read before the video is measured.
    assert [len(part) for part in parts] == [0, 16, 16, 3]
    assert [number for part in parts for number in part] == list(range(0, 70, 2))


def test_a_gap_is_where_it_is_for_the_command(ask, tmp_path):
    write_damaged(tmp_path / "x.mp4")
    found = ask(tmp_path / "x.mp4")
    assert_same(found, make_timeline(brightness_predictor(), tmp_path / "x.mp4", TimelineSettings()))
    assert 0 < found.windows.unread < len(found.windows)


def test_a_video_of_very_many_windows_is_looked_at_in_larger_steps(ask, levels, monkeypatch):
    monkeypatch.setattr(timeline_reading, "MOST_STEPS", 4)
    found = ask(levels)
    assert_same(found, make_timeline(brightness_predictor(), levels, TimelineSettings(stride=7 / 4)))
    assert len(found.windows) == 5


def test_videos_that_have_no_timeline_are_told_why(ask, levels, tmp_path, monkeypatch):
    (tmp_path / "list").write_text("#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n")
    with pytest.raises(InputError, match="no video file, or a damaged one; allowed: MP4"):
        ask(tmp_path / "list")
    with pytest.raises(InputError, match=r"it lasts 7 s; allowed: 1\.25 s"):
        ask(levels, seconds=1.25)
    # A video of the run's own list is not measured.
    assert ask(levels, seconds=1.25, is_upload=False).segments

    write_damaged(tmp_path / "x.mp4", slice(None))
    with pytest.raises(InputError, match="frame 0 of 190: its data is damaged"):
        ask(tmp_path / "x.mp4")
    monkeypatch.setattr(timeline_reading, "MOST_SECONDS", -1.0)
    with pytest.raises(InputError, match="its timeline is not made within -1 s"):
        ask(levels)


def test_a_part_on_which_reading_hangs_costs_a_line(levels):
    class Hangs:
        def __call__(self, record, is_upload, read):
            while True:
                pass

    with TaskService(Hangs(), 1, 0.2, 1) as reading, pytest.raises(InputError, match=r"not read within 0\.2 s"):
        VideoAnswers(brightness_predictor(), reading).timeline(part_of(levels))


def test_whoever_would_wait_too_long_is_told_so(levels):
    # Nobody has begun to work: whoever is first waits, and there is no place for more.
    reading = TaskService(read_footage, 1, 30.0, 1)
    reading.submit()
    with pytest.raises(Busy):
        VideoAnswers(brightness_predictor(), reading).timeline(part_of(levels))


class Answers:
    """Answers as a page gets them; the timeline is that of a file of grey levels."""

    def __init__(self, error=None, before=lambda: None):
        self._error = error
        self._before = before

    def timeline(self, record, is_upload):
        self._before()
        if self._error:
            raise self._error
        return make_timeline(brightness_predictor(threshold=0.95), record.path, TimelineSettings())

    def look(self, record, film, is_upload):
        self.timeline(record, is_upload)
        return "seen"


@pytest.fixture
def page(levels):
    """``page(answers)`` shows these answers, and holds one upload."""
    pytest.importorskip("gradio", reason="Gradio is not installed: pip install 'video_rs[demo]'")
    from video_rs.runs.demo_app.page import Chosen, DemoPage

    with UploadFolder(2**20) as folder:
        upload = folder.path / "upload.mp4"
        upload.write_bytes(levels.read_bytes())

        def of(answers):
            return DemoPage(answers, (), folder, Limits(), ""), Chosen(part_of(str(upload)), is_upload=True), upload

        yield of


def shown(answer):
    """(what is drawn, the note) of an answer of the page."""
    drawn, note = answer
    assert drawn["visible"] == bool(drawn["value"])
    assert note["visible"] == bool(note["value"])
    return drawn["value"] or "", note["value"]


def timeline(page, chosen):
    """What the page shows of the timeline of a video, after it has said that the network is at work."""
    (_, at_work), (made, _) = page.timeline(chosen)
    assert at_work["value"] == "The network goes through the whole video, which may take a while."
    return shown(page.show_timeline(chosen, made))


@pytest.mark.parametrize(
    ("error", "note"),
    [
        (Busy(), "Many videos wait for an answer. Try again in a minute."),
        (InputError("frame 3 is damaged"), "This video cannot be read: frame 3 is damaged."),
    ],
)
def test_what_the_page_says_where_there_is_no_answer(page, error, note):
    shows, chosen, _ = page(Answers(error))
    assert timeline(shows, chosen) == ("", note)
    assert shown(shows.look(chosen)) == ("", note)
    assert timeline(shows, None) == ("", "Choose a video first.")


def test_what_the_page_says_of_a_video_that_is_gone(page):
    note = "The video is not kept any more. Send it again."
    shows, chosen, upload = page(Answers(InputError("no such file"), before=lambda: upload.unlink()))
    # It goes while it is read, then it is gone.
    for _ in range(2):
        assert timeline(shows, chosen) == ("", note)
    assert shown(shows.look(chosen)) == ("", note)


def test_what_the_page_says_of_a_video_without_a_segment(page):
    """Grey levels of 20 and 230 are 92 and 90 % dark and light."""
    shows, chosen, upload = page(Answers())
    drawn, note = timeline(shows, chosen)
    assert note == "No segment was found: no class reaches 95% for 1 s."
    assert "<path" in drawn
    assert str(upload.parent) not in drawn


def test_what_the_page_says_of_a_gap(page):
    shows, chosen, upload = page(Answers())
    write_damaged(upload)
    _, note = timeline(shows, chosen)
    assert "windows could not be read; first: frame " in note


def test_a_timeline_is_not_shown_beside_another_video(page):
    shows, chosen, _ = page(Answers())
    *_, (made, _) = shows.timeline(chosen)
    for other in (None, type(chosen)(chosen.record, is_upload=False)):
        assert [one.get("value") for one in shows.show_timeline(other, made)] == [None, None]
    assert [one.get("value") for one in shows.show_timeline(chosen, None)] == [None, None]
    assert shown(shows.show_timeline(chosen, made))[0]
