"""The benchmark of whole training loops: each row does what it says, and ratios and table from literal numbers."""

import json

import pytest
import torch

from helpers.videos import moving_square
from video_rs.benchmarks import loop_calls
from video_rs.benchmarks.loop_calls import LoopCall
from video_rs.benchmarks.loop_subjects import (
    AVERAGED,
    BARE,
    LOOP,
    MEANINGS,
    OURS,
    THEIRS,
    loop_ratios,
    loop_subjects,
    loop_table,
)
from video_rs.models import create_model
from video_rs.video.encoding import write_video

CLIP = {"batch": 2, "frames": 4, "size": 32, "device": "cpu", "precision": "float32"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two videos of 60 frames, 64 x 64, and a list of them."""
    folder = tmp_path_factory.mktemp("loops")
    for seed in range(2):
        write_video(folder / f"{seed}.mp4", moving_square(seed, frames=60, size=64), fps=30)
    (folder / "list.csv").write_text("path\n0.mp4\n1.mp4\n")
    return folder


def subject(how, videos=()):
    network = "r3d_rs_tiny"
    return next(s for s in loop_subjects(network, list(videos), True, 1, CLIP) if s.how == how)


def test_the_rows_and_their_networks():
    assert [s.how for s in loop_subjects("r3d_rs_tiny", [], False, 2, CLIP)] == [BARE, LOOP, AVERAGED, OURS]
    peer = subject(THEIRS)
    assert (peer.network, peer.has_our_settings, peer.workers) == ("pytorchvideo slow_r50", False, 1)
    assert all(subject(how).has_our_settings for how in MEANINGS if how != THEIRS)


@pytest.mark.parametrize("how", [OURS, LOOP])
def test_a_round_of_ours_takes_four_steps(folder, how):
    call = LoopCall(subject(how, [str(folder / f"{i}.mp4") for i in range(2)]))
    for taken in (4, 8):
        answer = call()
        assert len(answer["seconds"]) == loop_calls.ROUND_STEPS == 4
        assert call.run.step.number == taken
        assert 0 <= answer["data_wait"] <= 1
    assert (call.run.step.average is not None) == (how == OURS)


@pytest.mark.parametrize("how", [BARE, THEIRS])
def test_a_round_of_the_others_takes_four_steps(folder, how, monkeypatch):
    """Every weight moves; the peer is a smaller one, of which the clip is not too small."""
    monkeypatch.setattr(loop_calls, "network_of", lambda _: create_model("r3d_rs_tiny", 400, width=0.125))
    steps = []
    step = torch.optim.SGD.step

    def counted(optimizer, *arguments):
        steps.append(optimizer)
        return step(optimizer, *arguments)

    monkeypatch.setattr(torch.optim.SGD, "step", counted)
    answer = LoopCall(subject(how, [str(folder / f"{i}.mp4") for i in range(2)]))()
    assert len(answer["seconds"]) == len(steps) == 4
    start = create_model("r3d_rs_tiny", 400, width=0.125)
    shapes = [p.shape for group in steps[0].param_groups for p in group["params"]]
    assert sorted(shapes) == sorted(p.shape for p in start.parameters())
    assert all(steps[0].state[p]["momentum_buffer"].any() for p in steps[0].state)


def test_a_checkpoint_is_written_in_the_round_that_is_to_have_one():
    call = LoopCall(subject(AVERAGED))
    answer = call()
    assert isinstance(answer["checkpoint_s"], float)
    written = torch.load(call.run.writer.last, weights_only=True)
    assert written["step"] == 4
    assert set(written) == {"model", "ema", "optimizer", "scaler", "step"}
    assert call.run.step.number == 8


ROWS = [
    {"name": BARE, "clips_per_s": 1.0, "gflops_per_s": 100.0},
    {"name": LOOP, "clips_per_s": 0.98, "gflops_per_s": 98.0},
    {"name": AVERAGED, "clips_per_s": 0.8, "gflops_per_s": 80.0, "checkpoint_s": 5.0},
    {"name": OURS, "clips_per_s": 0.75, "gflops_per_s": 75.0},
    {"name": THEIRS, "clips_per_s": 0.25, "gflops_per_s": 50.0},
]


def rows(count):
    more = {"gflop_per_clip": 1.0, "peak_memory_mb": 1000.0, "spread": 0.02, "data_wait": 0.031}
    return [
        {**row, **more, "subject": {"batch": 2, "frames": 8, "size": 224, "network": "net", "how": row["name"]}}
        for row in ROWS[:count]
    ]


def test_ratios():
    found = loop_ratios(rows(5))
    assert found == {
        "time of a step, our loop / bare step": pytest.approx(1 / 0.98),
        "time of a step, our loop, EMA / bare step": pytest.approx(1.25),
        # 100 steps of 2.5 s each, and 5 s more.
        "time of 100 steps, with a checkpoint / without": pytest.approx(1.02),
        "GFLOP/s, our run / pytorchvideo loop": 1.5,
        "clips/s, our run / pytorchvideo loop": 3.0,
    }
    assert list(loop_ratios(rows(4))) == list(found)[:3]


def test_the_table_to_the_letter():
    machine = {"processor": "AMD EPYC", "cores": 2, "torch": "2.14.1"}
    result = {"rows": rows(2), "ratios": {"time": 1.0204}, "machine": machine}
    assert loop_table(result).splitlines() == [
        "           network         clip  clips/s  GFLOP/s  data wait   MiB  spread",
        "bare step  net      2 x 8 x 224    1.000    100.0       3.1%  1000      2%",
        "our loop   net      2 x 8 x 224    0.980     98.0       3.1%  1000      2%",
        "",
        " 1.020  time",
        "",
        "bare step: forward, backward, optimizer; one batch in memory",
        "our loop: our trainer and loop without EMA; batches in memory",
        "",
        "AMD EPYC, 2 cores, torch 2.14.1",
    ]


def test_from_the_command_line(tool, folder, tmp_path):
    options = ("--network", "r3d_rs_tiny", "--size", 32, "--frames", 4, "--rounds", 1, "--json", tmp_path / "a.json")
    done = tool("benchmark", "train", "--list", folder / "list.csv", *options)
    assert done.code == 0, done.err
    result = json.loads((tmp_path / "a.json").read_text())
    assert [row["name"] for row in result["rows"]] == [BARE, LOOP, AVERAGED, OURS]
    for row in result["rows"]:
        assert row["gflops_per_s"] == pytest.approx(row["clips_per_s"] * row["gflop_per_clip"])
        assert (row["calls"], row["subject"]["videos"]) == (4, 2)
    assert done.out.startswith(loop_table(result))
    refused = tool("benchmark", "train", "--list", folder / "list.csv", "--plot", tmp_path / "a.png")
    assert (refused.code, refused.err) == (2, "error: --plot is for model and train without --list; leave it out\n")
