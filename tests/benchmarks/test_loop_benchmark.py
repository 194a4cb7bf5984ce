"""The benchmark of whole training loops: each row does what it says, and ratios and table from literal numbers."""

import json

import pytest
import torch

from helpers.benchmarks import InThisProcess
from helpers.videos import moving_square
from video_rs.benchmarks import loop_calls, process
from video_rs.benchmarks.loop_benchmark import (
    AVERAGED,
    BARE,
    IN_MEMORY,
    LOOP_COLUMNS,
    MEANINGS,
    ON_FILES,
    PEER_LOOP,
    loop_lines,
    loop_ratios,
    loop_subjects,
    measure_loops,
)
from video_rs.benchmarks.loop_calls import LoopRounds
from video_rs.benchmarks.measuring import Row
from video_rs.benchmarks.subject import LOOP, OURS, Subject
from video_rs.benchmarks.table import table
from video_rs.engine.optimizer import Sgd
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


def subject(way, videos=()):
    return next(s for s in loop_subjects("r3d_rs_tiny", list(videos), True, 1, CLIP) if s.way == way)


def test_the_rows_and_their_networks():
    rows = loop_subjects("r3d_rs_tiny", [], False, 2, CLIP)
    assert [s.name for s in rows] == [BARE, IN_MEMORY, AVERAGED, ON_FILES]
    peer = subject(PEER_LOOP)
    assert (peer.network, peer.has_our_settings, peer.workers) == ("pytorchvideo slow_r50", False, 1)
    assert all(subject(way).has_our_settings for way in MEANINGS if way != PEER_LOOP)


@pytest.mark.parametrize("way", [ON_FILES, IN_MEMORY])
def test_a_round_of_ours_takes_four_steps(folder, way):
    rounds = LoopRounds(subject(way, [str(folder / f"{i}.mp4") for i in range(2)]))
    for taken in (4, 8):
        answer = rounds.measure()
        assert len(answer["seconds"]) == loop_calls.ROUND_STEPS == 4
        assert rounds.loop.step.number == taken
        assert 0 <= answer["data_wait"][0] <= 1
    assert (rounds.loop.step.average is not None) == (way == ON_FILES)


@pytest.mark.parametrize(("way", "optimizer"), [(BARE, Sgd), (PEER_LOOP, torch.optim.SGD)])
def test_a_round_of_the_others_takes_four_steps(folder, way, optimizer, monkeypatch):
    """Every weight moves; the peer is a smaller one, of which the clip is not too small."""
    monkeypatch.setattr(loop_calls, "network_on_device", lambda _: create_model("r3d_rs_tiny", 400, width=0.125))
    steps = []
    step = optimizer.step

    def counted(used, *arguments):
        steps.append(used)
        return step(used, *arguments)

    monkeypatch.setattr(optimizer, "step", counted)
    answer = LoopRounds(subject(way, [str(folder / f"{i}.mp4") for i in range(2)])).measure()
    assert len(answer["seconds"]) == len(steps) == 4
    start = create_model("r3d_rs_tiny", 400, width=0.125)
    shapes = [p.shape for group in steps[0].param_groups for p in group["params"]]
    assert sorted(shapes) == sorted(p.shape for p in start.parameters())
    assert all(steps[0].state[p]["momentum_buffer"].any() for p in steps[0].state)


def test_a_checkpoint_is_written_in_the_round_that_is_to_have_one():
    rounds = LoopRounds(subject(AVERAGED))
    answer = rounds.measure()
    assert isinstance(answer["checkpoint_s"][0], float)
    written = torch.load(rounds.loop.writer.last, weights_only=True)
    assert written["step"] == 4
    assert set(written) == {"model", "ema", "optimizer", "scaler", "step"}
    assert rounds.loop.step.number == 8


def made_up(way, clips_per_s, gflops_per_s, **more):
    subject = Subject(LOOP, OURS, way, 2, 8, 224, network="net")
    return Row(subject, clips_per_s, 1.0, gflops_per_s, 1000.0, 0.02, 4, {"data_wait": 0.031, **more})


ROWS = [
    made_up(BARE, 1.0, 100.0),
    made_up(IN_MEMORY, 0.98, 98.0),
    made_up(AVERAGED, 0.8, 80.0, checkpoint_s=5.0),
    made_up(ON_FILES, 0.75, 75.0),
    made_up(PEER_LOOP, 0.25, 50.0),
]


def test_ratios():
    found = loop_ratios(ROWS)
    assert found == {
        "time of a step, our loop / bare step": pytest.approx(1 / 0.98),
        "time of a step, our loop, EMA / bare step": pytest.approx(1.25),
        # 100 steps of 2.5 s each, and 5 s more.
        "time of 100 steps, with a checkpoint / without": pytest.approx(1.02),
        "GFLOP/s, our run / pytorchvideo loop": 1.5,
        "clips/s, our run / pytorchvideo loop": 3.0,
    }
    assert list(loop_ratios(ROWS[:4])) == list(found)[:3]


def test_the_table_to_the_letter():
    machine = {"gpu": None, "processor": "AMD EPYC", "cores": 2, "capability": "AVX", "torch": "2.14.1"}
    text = table(ROWS[:2], LOOP_COLUMNS, {"time": 1.0204}, loop_lines(ROWS[:2]), machine)
    assert text.splitlines() == [
        "           network         clip  clips/s  GFLOP/s  data wait   MiB  spread",
        "bare step  net      2 x 8 x 224    1.000    100.0       3.1%  1000      2%",
        "our loop   net      2 x 8 x 224    0.980     98.0       3.1%  1000      2%",
        "",
        " 1.020  time",
        "",
        "bare step: forward, backward, optimizer; one batch in memory",
        "our loop: our step and loop without EMA; batches in memory",
        "",
        "AMD EPYC, 2 cores, AVX, torch 2.14.1",
    ]


def test_a_loop_in_a_process_of_its_own(folder):
    wanted = subject(ON_FILES, [str(folder / f"{i}.mp4") for i in range(2)])
    (row,) = measure_loops([wanted], 1, lambda line: None)
    assert row.gflops_per_s == pytest.approx(row.clips_per_s * row.gflop_per_clip)
    assert (row.calls, row.subject.name) == (4, ON_FILES)
    assert row.peak_memory_mb > 50


def test_from_the_command_line(tool, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(process, "Process", InThisProcess)
    options = ("--network", "r3d_rs_tiny", "--size", 32, "--frames", 4, "--rounds", 1, "--json", tmp_path / "a.json")
    done = tool("benchmark", "loop", "--list", folder / "list.csv", *options)
    assert done.code == 0, done.err
    result = json.loads((tmp_path / "a.json").read_text())
    assert [row["name"] for row in result["rows"]] == [BARE, IN_MEMORY, AVERAGED, ON_FILES]
    for row in result["rows"]:
        assert row["gflops_per_s"] == pytest.approx(row["clips_per_s"] * row["gflop_per_clip"])
        assert (row["calls"], row["subject"]["videos"]) == (4, 2)
    for name, value in result["ratios"].items():
        assert f"{value:6.3f}  {name}\n" in done.out
    refused = tool("benchmark", "loop", "--list", folder / "list.csv", "--plot", tmp_path / "a.png")
    assert refused.code == 2
    assert refused.err.startswith(f"error: unrecognized arguments: --plot {tmp_path / 'a.png'}; ")
