"""What is behind the page for a network: reading, answers, the folder and the gate. None of it needs Gradio."""

import asyncio
import json
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from helpers.films import shown
from video_rs import Predictor
from video_rs.data.dataset import VideoSource
from video_rs.inference.looking import read_seen
from video_rs.inference.predictor import part_of
from video_rs.runs.demo_app import demo_app
from video_rs.runs.demo_app.answering import UploadReader, VideoAnswers
from video_rs.runs.demo_app.gate import Gate
from video_rs.runs.demo_app.limits import Limits
from video_rs.runs.demo_app.upload_folder import EXAMPLES, UploadFolder
from video_rs.runtime.errors import InputError
from video_rs.runtime.task_service import Busy, TaskService


@pytest.fixture(scope="module")
def predictor(trained):
    return Predictor.from_checkpoint(trained, "cpu")


@pytest.fixture
def clip(videos, tmp_path):
    """A copy of a validation clip under a name that says nothing."""
    return shutil.copy(videos.parent / "val" / "light" / "1.mp4", tmp_path / "upload")


@pytest.fixture
def answers(predictor):
    reader = UploadReader(predictor.preprocessing, VideoSource(), Limits(seconds=1.25))
    with TaskService(reader, 1, 30.0, 64) as reading:
        yield VideoAnswers(predictor, reading)


def test_the_answers_are_those_of_predict(answers, predictor, clip):
    expected = predictor.predict(clip)
    answer = answers.predict(part_of(clip))
    assert answer.top == expected.top
    assert answer.error is None
    # The same views give the same scores, whoever asks at the same time.
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(answers.predict, [part_of(clip)] * 16))
    assert [one.top for one in found] == [expected.top] * 16


def test_the_film_shows_the_frames_that_are_seen(answers, clip, tmp_path):
    line = answers.look(part_of(clip), str(tmp_path / "film.mp4"))
    label = answers.predict(part_of(clip)).top[0][0]
    assert line.startswith(f"{label}  ")
    assert "frames from 0.00 s" in line
    seconds, pixels = shown(tmp_path / "film.mp4")
    assert f"{len(seconds)} frames" in line
    assert pixels.shape[2] > pixels.shape[1]


def test_every_browser_plays_the_preview(answers, clip, tmp_path):
    (tmp_path / "preview.mp4").write_bytes(answers.preview(part_of(clip)))
    assert len(shown(tmp_path / "preview.mp4")[0]) == 12
    (tmp_path / "text").write_text("text")
    with pytest.raises(InputError, match="no video file, or a damaged one"):
        answers.preview(part_of(str(tmp_path / "text")))


def test_uploads_that_cannot_be_answered_are_told_why(answers, videos, tmp_path):
    (tmp_path / "text").write_text("#EXTM3U\n")
    refused = answers.predict(part_of(str(tmp_path / "text")))
    assert refused.error.startswith("no video file, or a damaged one; allowed: MP4, ")
    with pytest.raises(InputError, match="no video file, or a damaged one"):
        answers.look(part_of(str(tmp_path / "text")), str(tmp_path / "film.mp4"))
    whole = (videos.parent / "val" / "light" / "1.mp4").read_bytes()
    (tmp_path / "half").write_bytes(whole[: len(whole) // 2])
    assert answers.predict(part_of(str(tmp_path / "half"))).error.startswith("no video file, or a damaged one")
    # A video of the run's own list is not measured, and is opened as in training.
    assert (
        answers.predict(part_of(str(tmp_path / "text")), is_upload=False).error
        == "invalid data found when processing input"
    )


def test_a_longer_video_is_refused(predictor, clip):
    reader = UploadReader(predictor.preprocessing, VideoSource(), Limits(seconds=1.1))
    assert reader(part_of(clip), is_upload=True, read=read_seen) == "it lasts 1 s; allowed: 1.1 s"


def test_a_video_on_which_reading_hangs_costs_a_line(predictor, clip):
    class Hangs:
        def __call__(self, record, is_upload, read):
            while True:
                pass

    with TaskService(Hangs(), 1, 0.2, 1) as reading:
        answer = VideoAnswers(predictor, reading).predict(part_of(clip))
    assert answer.error == "not read within 0.2 s; its process was stopped"


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"megabytes": 0}, "--max-mb is 0; allowed: above 0"),
        ({"seconds": float("nan")}, "--max-seconds is nan; allowed: above 0"),
        ({"waiting": 0}, "--max-waiting is 0; allowed: from 1"),
    ],
)
def test_limits_that_are_none(limits, message):
    with pytest.raises(InputError, match=message):
        Limits(**limits)


def test_what_the_folder_holds_and_forgets(tmp_path):
    with UploadFolder(100) as folder:
        file = folder.path / "sub" / "a.mp4"
        file.parent.mkdir()
        file.write_bytes(b"x" * 60)
        (tmp_path / "secret").write_text("secret")
        (folder.path / "link").symlink_to(tmp_path / "secret")
        (folder.path / "up").symlink_to(tmp_path)
        assert folder.holds(str(file))
        for path in (
            *(str(tmp_path / "secret"), f"{folder.path}/link", f"{folder.path}/up/secret", str(folder.path)),
            *(f"{folder.path}/sub/../../secret", f"{folder.path}/../{tmp_path.name}/secret", "a.mp4"),
            *("", "\0", "http://127.0.0.1/a.mp4", f"{folder.path}/{'x' * 5000}", f"{folder.path}x/a"),
        ):
            assert not folder.holds(path), path

        # 60 of 100 bytes are taken.
        with folder.room_for(40) as has_room, folder.room_for(1) as has_more:
            assert (has_room, has_more) == (True, False)
        with folder.room_for(41) as has_room:
            assert not has_room

        with folder.new_file(same_as=str(file)) as same:
            assert same.read_bytes() == file.read_bytes()
            assert same.suffix == ""
        assert not same.exists()
        (folder.path / EXAMPLES).mkdir()
        (folder.path / EXAMPLES / "0.mp4").write_text("stays")
        folder.remove_older(600)
        assert file.exists()
        folder.remove_older(-1)
        assert not file.parent.exists()
        assert (folder.path / EXAMPLES / "0.mp4").exists()
        assert (tmp_path / "secret").exists()
    assert not folder.path.exists()
    assert (tmp_path / "secret").read_text() == "secret"


class Behind:
    """An application that says what reached it."""

    def __init__(self):
        self.body = b""

    async def __call__(self, scope, receive, send):
        more = True
        while more:
            message = await receive()
            self.body += message.get("body", b"")
            more = message.get("more_body", False)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"let through"})


NAMES = {"127.0.0.1:7860"}


@pytest.fixture
def folder():
    with UploadFolder(2**20) as made:
        yield made


def through(folder, method, path, body=b"", names=NAMES, **headers):
    """Send a request through a gate; returns status, body, and what reached the application."""
    sent = []
    behind = Behind()
    chunks = [body[:5], body[5:]]

    async def receive():
        if not chunks:
            return {"type": "http.disconnect"}
        chunk = chunks.pop(0)
        return {"type": "http.request", "body": chunk, "more_body": bool(chunks)}

    async def send(message):
        sent.append(message)

    given = {"host": "127.0.0.1:7860", "content_length": str(len(body)), **headers}
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in given.items() if value is not None]
    scope = {"type": "http", "method": method, "path": path, "headers": raw}
    asyncio.run(Gate(behind, folder, Limits(megabytes=0.5), names)(scope, receive, send))
    return sent[0]["status"], sent[1]["body"], behind.body


@pytest.mark.parametrize(
    "path", ["/", "/config", "/assets/index.js", "/theme.css", "/gradio_api/queue/data", "/gradio_api/heartbeat/ab12"]
)
def test_the_gate_lets_the_page_through(folder, path):
    assert through(folder, "GET", path)[:2] == (200, b"let through")


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/gradio_api/file=/etc/passwd",
            "/gradio_api/file=",
            "/gradio_api/file=../../etc/passwd",
            "/file=/etc/passwd",
        ),
        *("/gradio_api/proxy=http://127.0.0.1/", "/gradio_api/file=http://127.0.0.1/", "/gradio_api/info", "/docs"),
        *("/assets/../routes.py", "/static/../../etc/passwd", "/gradio_api/vibe-code", "/gradio_api/dev/reload"),
        *("//etc/passwd", "/monitoring", "/gradio_api/stream/a/1/2/playlist.m3u8", "/gradio_api/upload", "/login"),
        *(
            "/gradio_api/call/predict/1",
            "/gradio_api/openapi.json",
            "/api/predict",
            "/config/x",
            "/gradio_api/heartbeat/",
        ),
    ],
)
def test_the_gate_lets_nothing_else_through(folder, path):
    assert through(folder, "GET", path) == (404, b'{"error": "there is nothing here"}', b"")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("POST", "/"), ("POST", "/gradio_api/component_server"), ("POST", "/gradio_api/run/predict")),
        *(("PUT", "/gradio_api/upload"), ("DELETE", "/"), ("OPTIONS", "/api/predict"), ("POST", "/login")),
    ],
)
def test_nor_other_methods(folder, method, path):
    assert through(folder, method, path, b"{}")[0] == 404


def test_files_of_the_folder_are_sent_and_may_be_named(folder, tmp_path):
    file = folder.path / "a.mp4"
    file.write_text("film")
    assert through(folder, "GET", f"/gradio_api/file={file}")[0] == 200
    (folder.path / "link.mp4").symlink_to(tmp_path)
    assert through(folder, "GET", f"/gradio_api/file={folder.path}/link.mp4")[0] == 404

    for path, status in ((str(file), 200), (f"{folder.path}/link.mp4", 403), ("/etc/passwd", 403), ("http://x/", 403)):
        body = json.dumps({"data": [[{"deep": [{"path": path, "url": "http://127.0.0.1:7860/"}]}]]}).encode()
        got, content, reached = through(folder, "POST", "/gradio_api/queue/join", body)
        assert got == status, path
        assert reached == (body if status == 200 else b"")
        if status == 403:
            assert json.loads(content) == {"error": "this file was not uploaded here"}


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        (b"no json", 400, "this is no JSON"),
        (b"[" * 60_000, 400, "this is no JSON"),
        (b"x" * 70_000, 413, "too much was sent"),
    ],
)
def test_what_the_script_sends_is_small_json(folder, body, status, error):
    assert through(folder, "POST", "/gradio_api/queue/join", body)[:2] == (
        status,
        json.dumps({"error": error}).encode(),
    )


@pytest.mark.parametrize("path", ["/api/predict", "/gradio_api/upload"])
def test_uploads_are_measured_before_they_come(folder, path):
    assert through(folder, "POST", path, b"film") == (200, b"let through", b"film")
    for size, status, error in (
        (None, 411, "say how large the file is (Content-Length)"),
        ("-5", 411, "say how large the file is (Content-Length)"),
        ("700000", 413, "the file is too large; allowed: 0.5 MB"),
        ("9" * 5000, 413, "the file is too large; allowed: 0.5 MB"),
    ):
        got, content, reached = through(folder, "POST", path, b"film", content_length=size)
        assert (got, json.loads(content), reached) == (status, {"error": error}, b"")
    (folder.path / "full").write_bytes(b"x" * (2**20 - 3))
    got, content, reached = through(folder, "POST", path, b"film")
    assert (got, reached) == (503, b"")
    assert json.loads(content) == {"error": "many videos are being sent; try again in a minute"}


def test_an_upload_that_does_not_come_is_given_up(folder, monkeypatch):
    from video_rs.runs.demo_app import gate

    async def waits(scope, receive, send):
        await asyncio.sleep(60)

    sent = []

    async def send(message):
        sent.append(message)

    monkeypatch.setattr(gate, "UPLOAD_SECONDS", 0.01)
    scope = {"type": "http", "method": "POST", "path": "/api/predict", "headers": [(b"content-length", b"9")]}
    asyncio.run(Gate(waits, folder, Limits(), None)(scope, None, send))
    assert (sent[0]["status"], json.loads(sent[1]["body"])) == (408, {"error": "the file did not come within 0.01 s"})


def test_other_pages_and_names_are_refused(folder):
    assert through(folder, "GET", "/", host="evil.example")[0] == 403
    assert through(folder, "GET", "/", host="evil.example", names=None)[0] == 200
    got, content, _ = through(folder, "POST", "/api/predict", b"film", origin="http://evil.example")
    assert (got, json.loads(content)) == (403, {"error": "this request comes from another page"})
    assert through(folder, "POST", "/api/predict", b"film", origin="http://127.0.0.1:7860")[0] == 200


def test_a_missing_package_is_said_in_a_line(tool, trained, monkeypatch):
    monkeypatch.setattr(demo_app, "PACKAGES", ("no_such_package", "torch"))
    result = tool("demo_app", "--checkpoint", trained)
    assert (result.code, result.err) == (
        2,
        "error: the page needs no_such_package, not installed; pip install 'video_rs[demo]'\n",
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--examples", -1], "--examples is -1; allowed: from 0"),
        (["--processes", 0], "--processes: got 0, allowed: from 1"),
        (["--time-limit", 0], "--time-limit: got 0.0, allowed: above 0"),
        (["--port", 99999], "--port is 99999; allowed: 0 to 65535"),
        (["--host", "192.0.2.1"], "cannot listen at 192.0.2.1"),
        (["--max-mb", 0], "--max-mb is 0; allowed: above 0"),
        (["--max-seconds", -1], "--max-seconds is -1; allowed: above 0"),
        (["--max-waiting", 0], "--max-waiting is 0; allowed: from 1"),
        (["--device", "cuda:9"], "invalid choice: 'cuda:9'"),
    ],
)
def test_refusals(tool, trained, monkeypatch, arguments, message):
    monkeypatch.setattr(demo_app, "PACKAGES", ())
    result = tool("demo_app", "--checkpoint", trained, *arguments)
    assert result.code == 2
    assert message in result.err


def test_a_folder_without_a_checkpoint_is_refused(tool, tmp_path, monkeypatch):
    monkeypatch.setattr(demo_app, "PACKAGES", ())
    result = tool("demo_app", "--checkpoint", tmp_path)
    assert "holds no checkpoint" in result.err
    assert os.listdir(tmp_path) == []


def test_too_many_videos_are_told_to_wait(predictor, clip, tmp_path):
    class Waits:
        def __call__(self, record, is_upload, read):
            while not (tmp_path / "go").exists():
                time.sleep(0.01)
            return "enough"

    # None is given up while the others are still on their way, however busy the machine is.
    with TaskService(Waits(), 1, 600.0, 1) as reading, ThreadPoolExecutor(8) as threads:
        answers = VideoAnswers(predictor, reading)
        asked = [threads.submit(answers.predict, part_of(clip)) for _ in range(8)]
        told = 0
        deadline = time.monotonic() + 120
        while told < 6 and time.monotonic() < deadline:
            time.sleep(0.01)
            told = sum(one.done() and isinstance(one.exception(), Busy) for one in asked)
        (tmp_path / "go").touch()
        rest = [one.result() for one in asked if one.exception() is None]
    assert {one.error for one in rest} == {"enough"}
    assert (told, len(rest)) == (6, 2)
