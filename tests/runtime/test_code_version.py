"""What tells one state of the code from another, and that runs record it."""

import json
import subprocess

import pytest

from helpers.runs import tiny_run
from video_rs.engine.checkpoint import load_checkpoint
from video_rs.runtime import code_version


def test_the_digest_follows_names_and_contents(tmp_path):
    def digest(files):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        return code_version.source_digest(folder)

    first = digest({"a.py": "1", "b/c.py": "2"})
    assert digest({"b/c.py": "2", "a.py": "1", "notes.txt": "x", "a.pyc": "y"}) == first
    others = [{"a.py": "1"}, {"a.py": "1", "b/d.py": "2"}, {"a.py": "12", "b/c.py": ""}, {"a.py": "1", "b/c.py": "3"}]
    assert len({first, *map(digest, others)}) == 5


def test_the_commit_is_that_of_the_checkout_itself(tmp_path):
    git = ("git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=b")
    assert code_version.checked_out_commit(tmp_path) == ""
    subprocess.run([*git, "init", "-q"], check=True)
    assert code_version.checked_out_commit(tmp_path) == ""  # there is no commit yet
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    head = subprocess.run([*git, "log", "--format=%H"], capture_output=True, text=True, check=True).stdout.strip()
    assert code_version.checked_out_commit(tmp_path) == head
    (tmp_path / "environment").mkdir()
    assert code_version.checked_out_commit(tmp_path / "environment") == ""


@pytest.mark.parametrize("changed", [False, True])
def test_a_run_records_its_code_and_data_and_notes_other_code(
    tool, videos, config_file, tmp_path, monkeypatch, changed
):
    arguments = tiny_run(videos, tmp_path / "run", SOLVER__MAX_STEPS=2)
    assert tool("train_net", "--cfg", config_file, *arguments).code == 0
    state = load_checkpoint(tmp_path / "run/checkpoints/last.pth")
    assert state["versions"] == code_version.code_version()
    before = state["versions"]["source"]
    if changed:
        monkeypatch.setattr(code_version, "source_digest", lambda _: "0123456789abcdef")
    result = tool("train_net", "--cfg", config_file, "--resume", "--allow-changes", *arguments, "SOLVER.MAX_STEPS", 3)
    assert result.code == 0
    note = f"note: the code is not what the run was made with so far (source: {before!r} -> '0123456789abcdef')"
    assert (note in result.out) == changed
    events = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    events = [line for line in events if line["kind"] == "event"]
    assert [(line["event"], line["step"]) for line in events] == [("started", 0), ("resumed", 2)]
    assert events[0]["versions"] == state["versions"]
    assert events[0]["dataset"] == events[1]["dataset"] == state["dataset"]
    assert (events[1]["versions"] != events[0]["versions"]) == changed
