"""The first answer of a fresh process: its stages, and what is said of them."""

import sys

import pytest
import torch

from helpers.networks import refusal
from helpers.videos import moving_square
from video_rs.benchmarks import cold_prediction, cold_worker
from video_rs.benchmarks.cold_prediction import ColdPrediction, cold_lines, measure_cold, write_fresh_checkpoint
from video_rs.benchmarks.published import published_views
from video_rs.engine.checkpoint import load_checkpoint
from video_rs.inference import Predictor
from video_rs.video.encoding import write_video

STAGES = ["torch_s", "import_s", "load_s", "decode_s", "compute_s"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A video of 30 frames, 64 x 64, and a checkpoint with two clips by three crops."""
    folder = tmp_path_factory.mktemp("cold")
    write_video(folder / "a.mp4", moving_square(0, frames=30, size=64), fps=30)
    write_fresh_checkpoint(folder / "fresh.pth", "r3d_rs_tiny", published_views(4, 32, 2, 3))
    return folder


def test_a_fresh_checkpoint_is_one_of_this_project(folder):
    views = published_views(4, 32, 2, 3)
    checkpoint = load_checkpoint(folder / "fresh.pth")
    assert all(torch.equal(checkpoint["ema"][name], value) for name, value in checkpoint["model"].items())
    predictor = Predictor.from_checkpoint(folder / "fresh.pth", "cpu")
    assert predictor.preprocessing == views
    assert len(predictor.predict(folder / "a.mp4").top) == 5


def test_a_process_says_what_its_stages_take(folder):
    said = []
    cold = measure_cold(folder / "fresh.pth", str(folder / "a.mp4"), "cpu", 1, said.append)
    assert said == ["cold prediction, process 1 of 1"]
    assert (cold.checkpoint, cold.views) == ("fresh.pth", 6)
    assert list(cold.samples) == [*STAGES, "process_s"]
    stages = [cold.median(stage) for stage in STAGES]
    assert min(stages) > 0
    # Starting Python and ending take time, too.
    assert sum(stages) < cold.median("process_s")


def test_what_goes_wrong_is_said_in_a_line(folder, monkeypatch):
    monkeypatch.setattr(cold_prediction, "WORKER", "video_rs.no_such_module")
    message = refusal(measure_cold, folder / "fresh.pth", "a.mp4", "cpu", 1, lambda line: None)
    assert message.startswith("cold prediction cannot be measured: ")
    assert message.endswith("No module named video_rs.no_such_module")


@pytest.mark.parametrize(
    ("checkpoint", "why"),
    [
        ("fresh.pth", "{folder}/gone.mp4 cannot be read: no such file"),
        ("gone.pth", "no checkpoint at {folder}/gone.pth; train first, or give the path of a .pth file"),
    ],
)
def test_the_process_ends_with_its_reason(folder, monkeypatch, checkpoint, why):
    arguments = [str(folder / checkpoint), str(folder / "gone.mp4"), "cpu"]
    monkeypatch.setattr(sys, "argv", ["cold_worker", *arguments])
    with pytest.raises(SystemExit) as ended:
        cold_worker.main()
    assert ended.value.code == why.format(folder=folder)


def test_medians_and_their_lines():
    samples = {
        "torch_s": [4.0, 2.0, 3.0],
        "import_s": [0.2, 0.9, 0.3],
        "load_s": [1.0, 0.1, 2.0],
        "decode_s": [0.5, 0.6, 0.7],
        "compute_s": [8.0, 9.0, 7.0],
        "process_s": [15.0, 13.0, 14.0],
    }
    cold = ColdPrediction("best.pth", 30, samples)
    # Ready: 1.2, 1.0 and 2.3 s.
    assert cold.to_json() == {
        "checkpoint": "best.pth",
        "views": 30,
        "processes": 3,
        "ready_s": 1.2,
        "torch_s": 3.0,
        "import_s": 0.3,
        "load_s": 1.0,
        "decode_s": 0.6,
        "compute_s": 8.0,
        "process_s": 14.0,
    }
    assert cold_lines(cold) == [
        "",
        "cold prediction of a video by 30 views, best.pth, median of 3 processes:",
        " 3.000  seconds to import torch and torchvision",
        " 0.300  seconds to import what predict needs of video_rs",
        " 1.000  seconds to load the checkpoint",
        " 0.600  seconds to decode and resize the video",
        " 8.000  seconds to compute",
        " 1.200  seconds over importing torch and torchvision until the network is ready: import and load",
        "14.000  seconds for the whole process",
    ]
