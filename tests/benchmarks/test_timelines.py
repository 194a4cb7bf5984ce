"""Long videos that a benchmark makes, and what it measures of their timelines."""

import contextlib
import io
import json
import subprocess
import sys
from types import SimpleNamespace

import av
import pytest

from video_rs.benchmarks import cold_prediction, eval_benchmark, timeline_worker, timelines
from video_rs.benchmarks.cold_prediction import STAGES, ColdPrediction
from video_rs.benchmarks.joined_clips import Pauses, join_clips, write_rows
from video_rs.benchmarks.timelines import (
    TimelineRow,
    TimelineSubject,
    make_long_video,
    measure_timeline,
    measure_timelines,
    timeline_lines,
)
from video_rs.lists.records import read_records
from video_rs.runtime.errors import InputError
from video_rs.video import open_video
from video_rs.video.index.packet_scan import scan


@pytest.fixture
def short_pieces(monkeypatch):
    monkeypatch.setattr(timelines, "PIECE_SECONDS", 2)


def test_a_long_video_is_a_piece_again_and_again(short_pieces, tmp_path):
    make_long_video(tmp_path / "new" / "x.mp4", 7)
    index = scan(tmp_path / "new" / "x.mp4")
    assert (len(index.pts), index.fps, index.times) == (175, 25, None)
    with open_video(tmp_path / "new" / "x.mp4") as reader:
        pictures = reader.frames([3, 53, 103, 153, 30])
    assert all((pictures[0] == picture).all() for picture in pictures[1:4])
    assert (pictures[0] != pictures[4]).any()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["x.mp4"]


def test_a_video_shorter_than_a_piece(tmp_path):
    make_long_video(tmp_path / "x.mp4", 1)
    with av.open(str(tmp_path / "x.mp4")) as container:
        assert container.streams.video[0].frames == 25


@pytest.fixture
def in_this_process(monkeypatch):
    """The worker runs in this process: a new one takes seconds to import torch."""

    def run(command, env, **_):
        assert command[:3] == [sys.executable, "-m", timelines.WORKER]
        assert (env["OMP_WAIT_POLICY"], "OMP_NUM_THREADS" in env) == ("PASSIVE", False)
        said = io.StringIO()
        with monkeypatch.context() as patch, contextlib.redirect_stdout(said):
            patch.setattr(sys, "argv", command[2:])
            timeline_worker.main()
        return subprocess.CompletedProcess(command, 0, said.getvalue())

    monkeypatch.setattr(timelines, "subprocess", SimpleNamespace(run=run))


def test_timelines_are_measured_one_after_the_other(short_pieces, in_this_process, tmp_path):
    """8 frames, 4 apart, are 1.28 s; windows begin each 0.64 s, and one ends with the video."""
    said = []
    rows = measure_timelines([2, 4], tmp_path, said.append, network="r3d_rs_tiny", classes=3, size=32)
    assert said[0] == f"making {tmp_path / 'long_2s.mp4'}"
    assert said[3] == "measuring the timeline of 0:04"
    assert [(row.seconds, row.windows) for row in rows] == [(2.0, 3), (4.0, 6)]
    assert all(row.peak_memory_mb > 100 for row in rows)
    shown = rows[1].to_dict()
    assert shown["name"] == "timeline 0:04"
    assert shown["realtime_factor"] == 4.0 / rows[1].wall_seconds


def test_what_is_said_of_timelines():
    rows = [TimelineRow(60.0, 92, 1.5, 812.4), TimelineRow(10800.0, 1, 43.2, None)]
    assert timeline_lines(rows) == [
        "",
        "timelines, each in a process of its own:",
        "  40.0  times as fast as it plays: 1:00, 92 windows in 1.5 s, 812 MiB",
        " 250.0  times as fast as it plays: 3:00:00, 1 window in 43.2 s",
    ]


def test_the_command_measures_timelines(tool, videos, trained, short_pieces, in_this_process, monkeypatch, tmp_path):
    """Beside testing and the first answer, which are left out here."""
    monkeypatch.setattr(eval_benchmark, "measure_eval", lambda *_: [])
    monkeypatch.setattr(eval_benchmark, "eval_lines", lambda _: [])
    cold = ColdPrediction("c", 1, {stage: [0.1] for stage in (*STAGES, "process_s")})
    monkeypatch.setattr(cold_prediction, "measure_cold", lambda *_: cold)
    told = {}
    tiny = ("--networks", "r3d_rs_50", "r3d_rs_tiny", "--frames", 4, "--size", 32)
    for name, network in (("fresh", tiny), ("trained", ("--checkpoint", trained))):
        out = tmp_path / f"{name}.json"
        done = tool("benchmark", "eval", "--list", videos, *network, "--timelines", 0.05, "--json", out)
        assert done.code == 0, done.err
        (row,) = json.loads(out.read_text())["timelines"]
        assert f"{row['realtime_factor']:6.1f}  times as fast as it plays: 0:03, {row['windows']} window" in done.out
        told[name] = (row["seconds"], row["windows"])
    # 4 frames, 4 apart, are 0.64 s; the checkpoint's are 4 frames, 2 apart.
    assert told == {"fresh": (3.0, 9), "trained": (3.0, 18)}


def test_lengths_that_no_video_has_are_refused(tool, videos):
    for length in ("0", "-1", "nan", "inf"):
        told = tool("benchmark", "eval", "--list", videos, "--timelines", 1, length)
        assert (told.code, told.err) == (2, f"error: --timelines has {length}; allowed: above 0\n")


def test_the_network_of_a_checkpoint_is_measured(trained):
    predictor = timeline_worker.build_predictor(TimelineSubject("x", checkpoint=str(trained)))
    assert predictor.answers.label_names == ("dark", "light")


def test_a_process_that_fails_says_why(monkeypatch):
    monkeypatch.setattr(timelines, "WORKER", "video_rs.benchmarks.none")
    with pytest.raises(InputError, match=r"^the timeline of x\.mp4 cannot be measured: .*No module named .*none"):
        measure_timeline(TimelineSubject("x.mp4"))


def test_joined_clips_are_a_film_of_which_the_truth_is_known(videos, tmp_path):
    """Clips of 12 frames at 10 per second, with pauses of 0.5 s."""
    records = read_records(str(videos), split="train")
    picks = [0, 5, 2]
    rows = join_clips(records, picks, tmp_path / "film.mp4", 10, Pauses(0.5, 0.5))
    write_rows(tmp_path / "list.csv", rows)
    read = read_records(str(tmp_path / "list.csv"), label_names=records.label_names, require_labels=False)
    times = [(record.start, record.end) for record in read.records]
    assert times == [(0, 0.5), (0.5, 1.7), (1.7, 2.2), (2.2, 3.4), (3.4, 3.9), (3.9, 5.1), (5.1, 5.6)]
    assert [record.labels for record in read.records] == [(), (0,), (), (1,), (), (0,), ()]
    with open_video(tmp_path / "film.mp4") as film, open_video(records.records[5].path) as clip:
        assert film.num_frames == 56
        shown, original = film.frames(range(22, 34)).float(), clip.frames(range(12)).float()
        assert (shown - original).abs().mean() < 4
        pause = film.frames(range(35, 39)).float()
        assert (pause - original[-1]).abs().mean() < 4
    assert Pauses(1, 4, seed=3).lengths(50, 10) == Pauses(1, 4, seed=3).lengths(50, 10)
    assert 10 <= min(Pauses(1, 4).lengths(50, 10)) < max(Pauses(1, 4).lengths(50, 10)) <= 40
