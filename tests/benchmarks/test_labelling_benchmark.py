"""``video-rs benchmark pseudo_label``: whole commands on real files, and what is said of them."""

import json
import sys

import pytest

from helpers.networks import refusal
from video_rs.benchmarks import labelling
from video_rs.benchmarks.labelling import LabelledFiles, LabellingRow, labelling_ratios, labelling_text, make_files

MACHINE = {"gpu": None, "processor": "CPU", "cores": 2, "capability": "AVX2", "torch": "2"}


@pytest.fixture
def paths(videos):
    return [str(path) for path in sorted(videos.parent.glob("val/*/*.mp4"))]


def test_files_are_the_lists_again_and_again(paths, tmp_path):
    files = make_files("T", paths, len(paths) + 1, tmp_path)
    names = files.lines.read_text().split()
    assert len(set(names)) == files.count == len(paths) + 1
    assert files.listed.read_text().split() == ["path", *names]
    with open(names[-1], "rb") as last, open(paths[0], "rb") as first:
        assert last.read() == first.read()


def test_ways_are_measured_from_the_command_line(tool, trained, videos, tmp_path, monkeypatch):
    # Starting two processes under torchrun takes longer than all the rest.
    monkeypatch.setattr(labelling, "TORCHRUN", labelling.ONE)
    out = tmp_path / "speed.json"
    said = tool(
        "benchmark", "pseudo_label", "--teacher", trained, "--list", videos, "--files", 3, "--rounds", 1, "--json", out
    )
    assert said.code == 0, said.err
    result = json.loads(out.read_text())
    assert [(row["name"], row["rounds"]) for row in result["rows"]] == [("plain loop", 1), ("one process", 1)]
    plain, one = result["rows"]
    assert plain["files_per_s"] > 0
    assert plain["peak_memory_mb"] > 50  # PyTorch alone
    ratio = one["files_per_s"] / plain["files_per_s"]
    assert result["ratios"] == {"files/s, one process / plain loop": pytest.approx(ratio)}
    assert f"{ratio:6.3f}  files/s, one process / plain loop\n" in said.out
    assert said.err == "round 1 of 1: plain loop\nround 1 of 1: one process\n"


def test_a_command_that_fails_says_why(paths, tmp_path):
    files = make_files(str(tmp_path / "gone.pth"), paths, 2, tmp_path)
    message = refusal(labelling.measure_labelling, files, [labelling.ONE], 1, lambda line: None)
    assert message == (
        f"one process cannot be measured: error: no checkpoint at {tmp_path}/gone.pth; train first, or give the path "
        "of a .pth file"
    )


def test_the_ways_are_the_commands_that_a_user_types(tmp_path):
    files = LabelledFiles("T", 5, tmp_path / "list.csv", tmp_path / "paths.txt")
    typed = {way: labelling._command(way, files, tmp_path) for way in labelling.MEANINGS}
    common = [
        "pseudo_label",
        "--teacher",
        "T",
        "--list",
        str(tmp_path / "list.csv"),
        "--out",
        str(tmp_path / "answers"),
    ]
    ends = {
        labelling.ONE: ["--device", "cpu", "--processes", "2"],
        labelling.TORCHRUN: ["--device", "cpu", "--processes", "1"],
        labelling.RAY: ["--device", "cpu", "--processes", "1", "--engine", "ray", "--actors", "2"],
    }
    for way, end in ends.items():
        assert typed[way][-len(common) - len(end) :] == [*common, *end]
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "video_rs"]
    assert typed[labelling.TORCHRUN][:8] == [sys.executable, *launcher]


def test_medians_and_ratios(tmp_path):
    rows = [LabellingRow("plain loop", [10.0, 30.0, 20.0], 100.4), LabellingRow("one process", [50.0, 40.0, 30.0])]
    assert labelling_ratios(rows) == {"files/s, one process / plain loop": 2.0}
    text = labelling_text(rows, LabelledFiles("T", 5, tmp_path, tmp_path), MACHINE)
    assert text.splitlines()[:5] == [
        "5 files, start of the command included, median of 3 rounds, one thread each:",
        "",
        "                           files/s     MiB  spread",
        "plain loop                    20.0     100     50%",
        "one process                   40.0             25%",
    ]
    assert text.endswith("\n\nCPU, 2 cores, AVX2, torch 2")


@pytest.mark.parametrize("option", ["--files", "--rounds"])
def test_a_number_of_nothing_is_refused(tool, videos, option):
    said = tool("benchmark", "pseudo_label", "--teacher", "T", "--list", videos, option, 0)
    assert (said.code, said.err) == (2, f"error: {option} is 0; allowed: 1 or more\n")


def test_without_ray_the_extra_is_named_before_anything_starts(tool, videos, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    said = tool("benchmark", "pseudo_label", "--teacher", "T", "--list", videos, "--ray")
    assert (said.code, said.err) == (
        2,
        "error: --engine ray needs Ray; install it with: pip install 'video_rs[ray]'\n",
    )
