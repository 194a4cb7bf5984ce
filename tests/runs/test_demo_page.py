"""The page for a network as Gradio serves it: in a real browser, for programs, and for attackers."""

import json
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from helpers.browser import browser_page, picture, until
from helpers.pages import ask, post, served
from helpers.videos import moving_square
from video_rs import Predictor
from video_rs.engine.checkpoint import load_checkpoint, save_checkpoint
from video_rs.video.encoding import write_video

pytest.importorskip("gradio", reason="Gradio is not installed: pip install 'video_rs[demo]'")


@pytest.fixture(scope="module")
def run(trained, tmp_path_factory):
    """A copy of a run whose network is sure of what it has learnt only, and never of dark videos."""
    folder = tmp_path_factory.mktemp("run") / "run"
    shutil.copytree(trained, folder)
    file = folder / "checkpoints" / "last.pth"
    save_checkpoint(file, {**load_checkpoint(file), "calibration": {"temperature": 1.0, "threshold": 0.999}})
    return folder


@pytest.fixture(scope="module")
def demo(run, tmp_path_factory):
    """The page with small limits."""
    with served(
        tmp_path_factory.mktemp("demo") / "job",
        *("demo_app", "--checkpoint", run, "--device", "cpu", "--examples", 3, "--processes", 2),
        *("--max-mb", 1, "--max-seconds", 5, "--max-waiting", 64, "--time-limit", 30),
    ) as page:
        yield page
    assert (page.folder / "err.txt").read_text().endswith("closing the page\n")


def uploads(page):
    """The folder of what visitors have sent."""
    (folder,) = (page.folder / "temporary").glob("video_rs_demo_*")
    return folder


def left(page):
    """The files of the folder, but the previews of the examples."""
    folder = uploads(page)
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.parent.name != "examples")


@pytest.fixture(scope="module")
def clip(videos):
    return videos.parent / "val" / "light" / "0.mp4"


def choose(page, path):
    page.wait_for_selector("#upload input[type=file]", state="attached")
    page.set_input_files("#upload input[type=file]", str(path))


def playable(page, selector):
    """Wait until a film can be played."""
    page.wait_for_selector(selector)
    until(lambda: page.eval_on_selector(selector, "film => film.readyState") >= 2)


def test_a_visitor_reads_the_top_label_off_the_page(demo, run, clip):
    expected = Predictor.from_checkpoint(run, "cpu").predict(clip)
    with browser_page() as page:
        page.goto(demo.url)
        choose(page, clip)
        best = page.wait_for_selector("#answer [data-testid=label-output-value]")
        label, score = expected.top[0]
        assert best.inner_text() == label
        assert f"{score:.0%}" in page.inner_text("#answer").split("\n")
        note = page.wait_for_selector("#note textarea")
        assert note.input_value() == "Unsure: the best class is not probable enough to be an answer."
        playable(page, "#player video")
        picture(page, "demo_answer")

        page.click("#look")
        playable(page, "#film video")
        assert page.input_value("#note textarea").startswith(f"{label}  ")
        picture(page, "demo_look")

        page.click("#when")
        page.wait_for_selector("#timeline .board")
        assert page.input_value("#note textarea") == "No segment was found: no class reaches 99.9% for 1 s."
        assert page.query_selector("#timeline .bar, #timeline table") is None
        picture(page, "demo_no_segment")

        page.click("#upload button[aria-label=Clear]")
        until(lambda: page.query_selector("#answer [data-testid=label-output-value]") is None)
        assert not page.is_visible("#film")
        assert not page.is_visible("#timeline")
        assert not page.is_visible("#player")


def test_examples_are_validation_videos_with_the_scores_of_testing(demo, run, videos):
    with browser_page() as page:
        page.goto(demo.url)
        page.wait_for_selector("#examples button")
        names = page.locator("#examples button").all_inner_texts()
        assert names == ["dark: 0.mp4", "dark: 1.mp4", "light: 0.mp4"]
        page.click("#examples button:has-text('dark: 1.mp4')")
        page.wait_for_selector("#answer [data-testid=label-output-value]")
        label, score = Predictor.from_checkpoint(run, "cpu").predict(videos.parent / "val/dark/1.mp4").top[0]
        assert page.inner_text("#answer [data-testid=label-output-value]") == label
        assert f"{score:.0%}" in page.inner_text("#answer").split("\n")
        playable(page, "#player video")
        picture(page, "demo_example")
        page.click("#look")
        page.wait_for_selector("#film video")


def test_a_film_that_no_browser_plays_is_shown(demo, run, videos, tmp_path):
    write_video(tmp_path / "old.avi", moving_square(3, light=True), fps=10, codec="mpeg4")
    with browser_page() as page:
        page.goto(demo.url)
        choose(page, tmp_path / "old.avi")
        playable(page, "#player video")
        label, _ = Predictor.from_checkpoint(run, "cpu").predict(tmp_path / "old.avi").top[0]
        assert page.inner_text("#answer [data-testid=label-output-value]") == label
        assert page.query_selector("[data-testid=toast-body]") is None


@pytest.mark.parametrize("content", ["no film", "#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n"])
def test_a_broken_file_gets_one_clear_message(demo, tmp_path, content):
    (tmp_path / "broken.mp4").write_text(content)
    with browser_page() as page:
        page.goto(demo.url)
        choose(page, tmp_path / "broken.mp4")
        note = page.wait_for_selector("#note textarea")
        assert note.input_value().startswith("This video cannot be read: no video file, or a damaged one; allowed: MP4")
        # Nothing else is said of it.
        assert page.query_selector("[data-testid=toast-body]") is None
        assert page.query_selector("#answer [data-testid=label-output-value]") is None
        picture(page, "demo_broken")
        page.click("#look")
        until(lambda: note.input_value() == "Choose a video first.")


def test_narrow_pages_and_four_hundred_classes(run, videos, tmp_path):
    """A network that knows 400 classes, by new names of a wider layer."""
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    file = folder / "checkpoints" / "last.pth"
    checkpoint = load_checkpoint(file)
    for part in ("model", "ema"):
        for key, value in checkpoint[part].items():
            if value.ndim and value.shape[0] == 2 and key.startswith("fc."):
                checkpoint[part][key] = value[:1].repeat(400, *[1] * (value.ndim - 1))
    names = tuple(f"a class with a long name, number {number}" for number in range(400))
    save_checkpoint(file, {**checkpoint, "num_classes": 400, "label_names": names})
    with served(tmp_path / "job", "demo_app", "--checkpoint", folder, "--examples", 0) as demo:
        assert "no examples" not in demo.out
        with browser_page(width=420) as page:
            page.goto(demo.url)
            choose(page, videos.parent / "val/dark/0.mp4")
            page.wait_for_selector("#answer [data-testid=label-output-value]")
            assert page.inner_text("#answer").count("a class with a long name") == 6
            assert page.query_selector("#examples") is None
            picture(page, "demo_400_classes_420")


def test_programs_send_a_video(demo, run, clip):
    expected = Predictor.from_checkpoint(run, "cpu").predict(clip)
    before = left(demo)
    status, content, _ = ask(demo.url, "api/predict", clip.read_bytes())
    answer = json.loads(content)
    assert status == 200
    assert [(one["label"], one["score"]) for one in answer["top"]] == list(expected.top)
    assert (answer["error"], answer["unsure"], sorted(answer)) == (None, True, ["error", "top", "unsure"])
    status, content, _ = ask(demo.url, "api/predict", b"no film")
    assert status == 422
    assert json.loads(content)["error"].startswith("no video file, or a damaged one; allowed: MP4")
    status, content, _ = ask(demo.url, "api/predict", bytes(2**21))
    assert (status, json.loads(content)) == (413, {"error": "the file is too large; allowed: 1 MB"})
    assert left(demo) == before


def test_an_engine_answers_as_the_network_does(run, clip, tmp_path):
    expected = dict(Predictor.from_checkpoint(run, "cpu").predict(clip).top)
    options = ["--checkpoint", run, "--device", "cpu", "--examples", 0, "--engine", "openvino"]
    with served(tmp_path / "job", "demo_app", *options) as page:
        assert "computed by openvino in float32\n" in page.out
        status, content, _ = ask(page.url, "api/predict", clip.read_bytes())
    assert status == 200
    assert {one["label"]: one["score"] for one in json.loads(content)["top"]} == pytest.approx(expected, abs=1e-5)


def test_fifty_at_once_are_answered_or_told_to_wait(demo, clip):
    before = left(demo)
    film = clip.read_bytes()
    with ThreadPoolExecutor(50) as threads:
        asked = list(threads.map(lambda _: ask(demo.url, "api/predict", film), range(50)))
    assert {status for status, *_ in asked} <= {200, 503}
    answers = {content for status, content, _ in asked if status == 200}
    assert len(answers) == 1
    assert all(headers["Retry-After"] == "30" for status, _, headers in asked if status == 503)
    assert left(demo) == before


def upload(demo, name, content):
    """Send a file as the page does; returns the path that Gradio gives it."""
    body = (
        f'--b\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n'
        f"Content-Type: video/mp4\r\n\r\n{content}\r\n--b--\r\n"
    )
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    status, answer, _ = ask(demo.url, "gradio_api/upload", body, headers=headers)
    assert status == 200, answer
    return json.loads(answer)[0]


def test_names_of_uploads_lead_nowhere_else(demo, tmp_path):
    folder = uploads(demo)
    for name in (f"../../../{tmp_path.name}/a.mp4", f"{tmp_path}/b.mp4", "..\\c.mp4", "x.tar#0+10", "%2e%2e%2fd.mp4"):
        path = Path(upload(demo, name, "text"))
        assert folder in path.parents
        assert path.resolve() == path
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "path",
    [
        *("/gradio_api/file=/etc/passwd", "/gradio_api/file=../../../../etc/passwd", "/file=/etc/passwd"),
        *("/assets/..%2f..%2froutes.py", "/assets/../../routes.py", "/static/..%2f..%2f..%2froutes.py"),
        *("/svelte/..%2froutes.py", "/assets/%252e%252e/routes.py", "/gradio_api/proxy=http://127.0.0.1:1/"),
        *("//etc/passwd", "/gradio_api/info", "/gradio_api/openapi.json", "/docs", "/gradio_api/vibe-code"),
    ],
)
def test_nothing_of_the_disk_is_sent(demo, path):
    status, content, _ = ask(demo.url, path)
    assert status == 404
    assert b"root:" not in content
    assert b"import" not in content


def test_links_and_other_files_are_neither_sent_nor_read(demo, tmp_path):
    folder = uploads(demo)
    (tmp_path / "secret.mp4").write_text("secret")
    link = folder / "link.mp4"
    link.symlink_to(tmp_path / "secret.mp4")
    try:
        assert ask(demo.url, f"gradio_api/file={link}")[0] == 404
        for path in (str(link), str(tmp_path / "secret.mp4"), "http://127.0.0.1:9/a.mp4"):
            data = [{"path": path, "meta": {"_type": "gradio.FileData"}}]
            value = {"data": data, "fn_index": 1, "session_hash": "abc"}
            status, answer = post(demo.url, "gradio_api/queue/join", value)
            assert (status, answer) == (403, {"error": "this file was not uploaded here"})
    finally:
        link.unlink()


def test_others_are_told_of_and_the_port_is_free_again(run, tmp_path):
    with served(tmp_path / "job", "demo_app", "--checkpoint", run, "--examples", 0, "--host", "0.0.0.0") as demo:
        assert (
            "note: the page listens on 0.0.0.0, not for this machine alone: whoever reaches this machine sends videos "
            "to it and sees the examples\n"
        ) in demo.out
        url = demo.url.replace("0.0.0.0", "127.0.0.1")
        assert ask(url, "")[0] == 200
        assert not re.search(rb"https?://(?!www\.w3\.org)[^\s\"']*(googleapis|cdn)", ask(url, "config")[1])


def test_examples_that_cannot_be_had_are_left_out_with_a_note(run, videos, tmp_path):
    """A run whose list has gone."""
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    file = folder / "checkpoints" / "last.pth"
    checkpoint = load_checkpoint(file)
    gone = checkpoint["config"].replace(str(videos), str(tmp_path / "gone.csv"))
    save_checkpoint(file, {**checkpoint, "config": gone})
    with served(tmp_path / "job", "demo_app", "--checkpoint", folder) as demo:
        assert "note: no examples: list " in demo.out
        assert "gone.csv does not exist" in demo.out
