"""``video-rs benchmark``: what it prints and writes, and what it refuses before anything is measured."""

import json
import sys

import pytest
import torch

from helpers.benchmarks import NO_CUDA, SMALL, InThisProcess
from helpers.networks import refusal
from video_rs import create_model
from video_rs.benchmarks import network_benchmark, process
from video_rs.inference import precision


@pytest.mark.parametrize(
    ("what", "options", "ways"),
    [
        ("model", ("--engines", "eager"), ["eager", "plain", "accelerate eager"]),
        ("train", (), ["eager", "plain", "checkpointed"]),
    ],
)
def test_a_benchmark_from_the_command_line(tool, tmp_path, monkeypatch, what, options, ways):
    monkeypatch.setattr(process, "Process", InThisProcess)
    # Each engine has a row for each precision that the processor has.
    monkeypatch.setattr(precision, "has_bfloat16", lambda device: False)
    out, plot = tmp_path / "new" / "speed.json", tmp_path / "speed.png"
    told = tool("benchmark", what, *SMALL, *options, "--json", out, "--plot", plot)
    assert told.code == 0, told.err
    result = json.loads(out.read_text())
    *ours, layers = result["rows"]
    assert [row["name"] for row in ours] == [f"r3d_rs_tiny {way}" for way in ways]
    for row in ours:
        assert min(row[key] for key in ("clips_per_s", "gflop_per_clip", "gflops_per_s", "peak_memory_mb")) > 0
        assert isinstance(row["memory_per_clip_mb"], float) is (what == "train")
    assert (layers["name"], layers["clips_per_s"], layers["gflop_per_clip"]) == ("best single layer", None, None)
    assert layers["gflops_per_s"] > 0
    assert {"r3d_rs_tiny eager / r3d_rs_tiny plain", "r3d_rs_tiny eager / best single layer"} <= set(result["ratios"])
    assert (result["machine"]["torch"], result["machine"]["gpu"]) == (torch.__version__, None)
    assert result.get("create_seconds", 1) > 0
    for row in result["rows"]:
        assert any(line.startswith(row["name"]) for line in told.out.splitlines())
    for name, value in result["ratios"].items():
        assert f"{value:6.3f}  {name}\n" in told.out
    assert "building" not in told.out
    assert "round 1 of 1\n" in told.err
    assert plot.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


REFUSALS = [
    (("model", "--batch", 0), "--batch is 0; allowed: 1 or more"),
    (("train", "--rounds", -1), "--rounds is -1; allowed: 1 or more"),
    (("model", "--engines", "tensorrt"), "engine is 'tensorrt'; installed here: compile, eager"),
    (
        ("model", "--precision", "bfloat16", "--engines", "eager"),
        "--engines is for a CPU in float32; leave it out",
    ),
    (("model", "--device", "cuda"), NO_CUDA),
]


@pytest.mark.parametrize(("options", "message"), REFUSALS)
def test_refusals_come_before_anything_starts(tool, pids, monkeypatch, options, message):
    monkeypatch.setattr(network_benchmark, "missing", lambda packages: list(packages))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    told = tool("benchmark", *options)
    assert (told.code, told.out, told.err) == (2, "", f"error: {message}\n")
    assert pids == []


def test_an_unknown_network_is_refused(tool, pids):
    told = tool("benchmark", "model", "--network", "r3d_rs_51")
    assert (told.code, told.err) == (2, f"error: {refusal(create_model, 'r3d_rs_51', 400)}\n")
    assert pids == []


def test_outputs_that_cannot_be_written_are_refused_first(tool, tmp_path, pids):
    (tmp_path / "file").write_text("")
    folder = f"--json {tmp_path}/file/out.json: its folder cannot be written (File exists); take another"
    there = f"--plot {tmp_path}: what is there cannot be written over; take another name"
    for option, path, text in (("--json", tmp_path / "file" / "out.json", folder), ("--plot", tmp_path, there)):
        told = tool("benchmark", "model", *SMALL, option, path)
        assert (told.code, told.err) == (2, f"error: {text}\n")
    assert ([path.name for path in tmp_path.iterdir()], pids) == (["file"], [])


def test_what_peers_forbid_is_refused_first(tool, pids, monkeypatch):
    told = tool("benchmark", "model", *SMALL, "--peers")
    why = "input image (T: 2 H: 1 W: 1) smaller than kernel size (kT: 8 kH: 7 kW: 7)"
    text = f"pytorchvideo slow_r50 does not take clips of 2 x 32 x 32: {why}; take larger ones, or leave out --peers"
    assert (told.code, told.err) == (2, f"error: {text}\n")
    monkeypatch.setitem(sys.modules, "pytorchvideo", None)
    monkeypatch.setitem(sys.modules, "pytorchvideo.models", None)
    told = tool("benchmark", "model", *SMALL, "--peers")
    why = "import of pytorchvideo.models halted; None in sys.modules"
    text = f"pytorchvideo slow_r50 is not there: {why}; pip install pytorchvideo, or leave out --peers"
    assert (told.code, told.err) == (2, f"error: {text}\n")
    assert pids == []
