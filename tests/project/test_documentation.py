"""Every command and Python block of README and docs runs, or says why no test runs it."""

import contextlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys

import pytest

from helpers.documentation import PAGES, blocks, commands, page_name
from helpers.runs import TINY
from helpers.tools import ROOT
from video_rs.commands.main import run_named
from video_rs.config import OPTIONS
from video_rs.runtime import cli

REASONS = {
    "needs eight GPUs and Kinetics",
    "needs a list of unlabelled videos",
    "installs",
    "make test and CI run it",
    "make test and CI run them",
    "writes into the home folder",
    "serves a page until Ctrl-C",
    "asks a page that is served",
    "takes minutes",
    "takes minutes to hours",
    "needs a data set",
    "needs a camera",
    "needs a data set and GPUs",
    "needs GPUs and a data set",
    "needs a GPU",
    "needs a checkpoint and TensorFlow",
    "needs the extra quantize",
    "downloads weights",
    "needs shards of several splits",
    "uses the file that the command above has written",
}
# What makes the runs on the pages runs of seconds; lists and folders stay those of the page.
SHORT = [word for key, value in {**TINY, "SOLVER.MAX_STEPS": "2"}.items() for word in (key, value)]
RUN = [path for path in PAGES if any(block.language == "sh" and block.reason is None for block in blocks(path))]


@pytest.fixture
def desk(trained, videos, tmp_path, monkeypatch):
    """A folder with what the pages speak of: own videos, a list, a video, and a run."""
    for name in ("train", "val"):
        shutil.copytree(videos.parent / name, tmp_path / name)
        shutil.copytree(videos.parent / name, tmp_path / "split_videos" / name)
    shutil.copy(videos, tmp_path / "list.csv")
    shutil.copytree(videos.parent / "train", tmp_path / "my_videos")
    shutil.copy(videos.parent / "val" / "dark" / "0.mp4", tmp_path / "video.mp4")
    shutil.copytree(trained, tmp_path / "runs" / "mine")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_reasons_are_known():
    given = {block.reason for path in PAGES for block in blocks(path) if block.reason}
    assert given == REASONS


@pytest.mark.parametrize("path", PAGES, ids=page_name)
def test_no_block_is_overlooked(path):
    """Blocks in other languages hold no commands, and every fence belongs to a block."""
    text = path.read_text(encoding="utf-8")
    fences = re.findall(r"^```(\w*)$", text, re.MULTILINE)
    assert set(fences) <= {"", "sh", "python"}
    assert len(fences) % 2 == 0
    assert len(blocks(path)) == fences.count("sh") + fences.count("python")
    # Of the other blocks, none begins a line with a command.
    for block in re.findall(
        r"^```\n(.*?)^```$", re.sub(r"^```\w+\n.*?^```$", "", text, flags=re.M | re.S), re.M | re.S
    ):
        assert not re.search(r"^(video-rs|python|pip|make) ", block, re.MULTILINE)


@pytest.mark.parametrize("path", RUN, ids=page_name)
def test_the_commands_run_in_their_order(path, desk, capfd):
    typed = [
        words for block in blocks(path) if block.language == "sh" and not block.reason for words in commands(block.code)
    ]
    if ["OUTPUT_DIR", "runs/mine"] in [words[-2:] for words in typed]:
        shutil.rmtree(desk / "runs" / "mine")
    for words in typed:
        assert words[0] == "video-rs", words
        short = SHORT if words[1] in ("train", "pretrain", "find_lr") else []
        with contextlib.suppress(SystemExit):
            run_named("video-rs", [*words[1:], *short])
            continue
        pytest.fail(f"{' '.join(words)} exited: {capfd.readouterr().err}")


def test_the_python_blocks_run_pasted_page_by_page(hub, desk):
    """All pages in one process: importing torch takes longer than most of them. timm's weights are in its cache."""
    pages = []
    for path in PAGES:
        code = [block.code for block in blocks(path) if block.language == "python" and not block.reason]
        if code:
            pages.append((page_name(path), "\n".join(code)))
    assert len(pages) >= 5
    # Shapes that the text promises.
    asked = {
        "docs/models.md": ["list(logits.shape)", "model.num_classes", "sorted(backbone.output_shape())"],
        "docs/detection.md": ["list(logits.shape)", "list(maps['res5'].shape)", "list(model(clips).shape)"],
        "docs/speed.md": ["list(logits.shape)"],
        "docs/features.md": ["list(views.shape)"],
        "docs/looking.md": ["list(found.heat.shape)", "[round(x, 1) for x in found.box]"],
        "docs/testing.md": ["len(prediction.top)"],
    }
    script = "\n".join(
        f"names = {{}}\nexec({code!r}, names)\nprint(*[eval(x, names) for x in {asked.get(name, [])}])"
        for name, code in pages
    )
    environment = {**os.environ, "HF_HOME": str(hub), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=desk, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    answers = dict(zip([name for name, _ in pages], done.stdout.splitlines(), strict=True))
    assert answers["docs/models.md"] == "[2, 400] 101 ['res3', 'res4', 'res5']"
    assert answers["docs/detection.md"] == "[1, 80] [2, 2048, 4, 4] [2, 2048, 4, 7, 7]"
    assert answers["docs/speed.md"] == "[2, 101]"
    assert answers["docs/features.md"] == "[6, 64]"
    assert answers["docs/looking.md"] == "[6, 40, 32] [4.8, 0.0, 43.2, 48.0]"
    assert answers["docs/testing.md"] == "2"


def test_every_option_is_in_the_table_that_the_site_shows():
    spec = importlib.util.spec_from_file_location("hooks", ROOT / "docs" / "hooks.py")
    hooks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hooks)
    shown = hooks.on_page_markdown((ROOT / "docs" / "training.md").read_text(encoding="utf-8"))
    assert hooks.MARKER not in shown
    for option in OPTIONS:
        assert shown.count(f"| `{option.key}` |") == 1
    assert "| `SOLVER.OPTIMIZING_METHOD` | `sgd` | optimizer (`sgd`, `adamw`) |" in shown


def test_the_readme_is_short_and_names_every_room():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(readme.splitlines()) <= 130
    rooms = {path.name for path in (ROOT / "video_rs").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert set(re.findall(r"^\| `(\w+)/` \|", readme, re.MULTILINE)) == rooms


@pytest.mark.parametrize("path", PAGES, ids=page_name)
def test_links_within_the_repository_lead_somewhere(path):
    text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
    # The page of lists is datasets/README.md, included by the site.
    for target in re.findall(r"\]\((?!https?://|#)([^)#\s]+)", text):
        assert (path.parent / target).exists(), target


def test_code_that_the_pages_name_is_there():
    """Paths of the package, of tests and of scripts in the text."""
    for path in PAGES:
        for name in re.findall(
            r"`(?:python )?((?:video_rs|tests|tools|examples|configs|datasets)/[\w/.]+?)[` ]", path.read_text()
        ):
            if "NAME" not in name:
                assert (ROOT / name).exists(), f"{path}: {name}"


def test_every_exit_code_is_explained():
    text = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    codes = re.findall(r"^\| (\d+) \|", text, re.MULTILINE)
    known = {0, 128 + signal.SIGINT, cli.FAILED, cli.REFUSED, cli.OUTPUT_CLOSED, cli.TERMINATED}
    assert sorted(map(int, codes)) == sorted(known)
