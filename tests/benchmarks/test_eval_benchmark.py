"""The benchmark of testing: each way tests the views that it says, and rows, ratios and table from literal numbers."""

import itertools
import json

import pytest
import torch

from helpers.benchmarks import NO_CUDA, InThisProcess
from helpers.networks import refusal
from helpers.videos import moving_square
from video_rs import create_model
from video_rs.benchmarks import cold_prediction, eval_calls, eval_peers, our_testing, process, stopwatch
from video_rs.benchmarks.cold_prediction import write_fresh_checkpoint
from video_rs.benchmarks.cold_worker import answer_for
from video_rs.benchmarks.eval_benchmark import (
    EVAL_COLUMNS,
    eval_lines,
    eval_ratios,
    eval_subjects,
    measure_eval,
    scaled_seconds,
)
from video_rs.benchmarks.eval_calls import DecodingRounds, TestingRounds, eval_rounds
from video_rs.benchmarks.eval_ways import OUR_TESTING, PER_VIEW, Pipeline
from video_rs.benchmarks.measuring import Row
from video_rs.benchmarks.our_testing import SingleViewReader, records_of, views_of
from video_rs.benchmarks.process import bare_environment, environment_of
from video_rs.benchmarks.published import published_views
from video_rs.benchmarks.stopwatch import Stopwatch
from video_rs.benchmarks.table import table
from video_rs.data import dataset
from video_rs.data.dataset import VideoSource, ViewReader
from video_rs.runtime.workers import Lost
from video_rs.video import open_video
from video_rs.video.encoding import write_video
from video_rs.video.readers.pyav import PyAVReader

# Views of 4 frames, every second one: two clips by three crops.
TESTING = {"batch": 4, "frames": 4, "size": 32, "clips_per_video": 2, "crops": 3, "device": "cpu", "workers": 0}
NAMES = [
    "ours, r3d_rs_tiny",
    "per view, r3d_rs_tiny",
    "pytorchvideo, slow_r50",
    "ours, decoding alone",
    "per view, decoding alone",
    "pytorchvideo, decoding alone",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two videos of 60 frames, 48 x 64, and a list of them."""
    folder = tmp_path_factory.mktemp("eval")
    for seed in range(2):
        write_video(folder / f"{seed}.mp4", moving_square(seed, frames=60, size=64)[:, :48], fps=30)
    (folder / "list.csv").write_text("path\n0.mp4\n1.mp4\n")
    return folder


@pytest.fixture
def one_thread():
    """Decoding alone takes one thread, and the process of the tests goes on."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def subject(folder, name, **changes):
    videos = tuple(str(folder / f"{number}.mp4") for number in range(2))
    subjects = eval_subjects(["r3d_rs_tiny"], True, {**TESTING, "videos": videos, **changes})
    return next(one for one in subjects if one.name == name)


class Recorder(torch.nn.Module):
    """A network that keeps its views."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, views):
        self.seen.append(views.clone())
        return views.mean((2, 3, 4))


@pytest.fixture
def seen(monkeypatch):
    """What the network of our ways gets."""
    network = Recorder()
    monkeypatch.setattr(our_testing, "network_on_device", lambda _: network)
    return network.seen


def test_the_rows(folder):
    testing = {**TESTING, "videos": ()}
    assert [one.name for one in eval_subjects(["r3d_rs_tiny"], True, testing)] == NAMES
    without = [one.name for one in eval_subjects(["r3d_rs_50", "r3d_rs_tiny"], False, testing)]
    assert without == ["ours, r3d_rs_50", "per view, r3d_rs_50", *NAMES[:2], *NAMES[3:5]]
    assert all(subject(folder, name).views == 6 for name in NAMES)


def test_ours_has_the_settings_of_the_command_and_the_peer_has_none(folder):
    ours, per_view, peer = (subject(folder, name) for name in NAMES[:3])
    assert [one.has_our_settings for one in (ours, per_view, peer)] == [True, True, False]
    assert environment_of(peer) == bare_environment()
    for one in (ours, per_view):
        assert environment_of(one) == {**bare_environment(), "OMP_WAIT_POLICY": "PASSIVE"}


@pytest.mark.parametrize("workers", [0, 1])
def test_ours_and_the_loop_score_the_same_pixels(folder, seen, workers):
    """The twelve views of two videos, in the same order, whoever reads them."""
    found = {}
    for name in NAMES[:2]:
        rounds = TestingRounds(subject(folder, name, workers=workers))
        scored = 0
        while scored < 12:
            scored += next(rounds.pipeline.scored)
        assert scored == 12
        found[name] = torch.cat(seen)
        seen.clear()
    ours, per_view = found.values()
    assert ours.shape == (12, 3, 4, 32, 32)
    assert torch.equal(ours, per_view)
    # No two views are alike.
    assert len({view.numpy().tobytes() for view in ours}) == 12


@pytest.mark.parametrize("name", NAMES[:3])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_networks_compute_in_the_precision_that_is_asked_for(folder, monkeypatch, name, precision):
    dtypes = []

    class Product(torch.nn.Linear):
        def forward(self, views):
            found = super().forward(views.mean((2, 3, 4)))
            dtypes.append(found.dtype)
            return found

    for module in (our_testing, eval_peers):
        monkeypatch.setattr(module, "network_on_device", lambda _: Product(3, 5))
    rounds = TestingRounds(subject(folder, name, precision=precision))
    assert next(rounds.pipeline.scored) > 0
    assert set(dtypes) == {getattr(torch, precision)}


@pytest.mark.parametrize(("name", "ahead"), [(NAMES[0], 2 * 2 * 6), (NAMES[1], 2 * 4), (NAMES[2], 2 * 2 * 4)])
def test_views_that_may_have_been_read_ahead(folder, monkeypatch, name, ahead):
    """Two workers with two videos, views or batches each."""
    for module in (our_testing, eval_peers):
        monkeypatch.setattr(module, "network_on_device", lambda _: Recorder())
    assert TestingRounds(subject(folder, name, workers=2)).pipeline.ahead == ahead
    assert TestingRounds(subject(folder, name, workers=0)).pipeline.ahead == 0


def test_a_single_view_is_that_of_testing(folder):
    views = views_of(subject(folder, NAMES[0]))
    record = records_of(subject(folder, NAMES[0]))[1]
    ours = torch.cat(list(ViewReader(views, VideoSource())(record, 0).views(4)))
    alone = SingleViewReader(views, VideoSource())
    assert torch.equal(torch.stack([alone(record, number) for number in range(6)]), ours)


@pytest.mark.parametrize(("name", "opened"), [(NAMES[0], 1), (NAMES[1], 6)])
def test_how_often_a_video_is_opened(folder, seen, monkeypatch, name, opened):
    calls = []
    monkeypatch.setattr(dataset, "open_video", lambda *given: calls.append(given[0]) or open_video(*given))
    rounds = TestingRounds(subject(folder, name, batch=6))
    assert next(rounds.pipeline.scored) == 6
    assert calls == [str(folder / "0.mp4")] * opened


# 60 frames, span 8: our clips start at 0 and 52. pytorchvideo takes all frames of 8 / 30 s, twice.
@pytest.mark.parametrize(("name", "pictures"), [(NAMES[3], 8), (NAMES[4], 24), (NAMES[5], 16)])
def test_pictures_that_are_decoded_for_a_video(folder, one_thread, name, pictures):
    rounds = eval_rounds(subject(folder, name))
    assert isinstance(rounds, DecodingRounds)
    assert list(itertools.islice(rounds.pictures, 3)) == [pictures] * 3


def test_frames_that_views_share_are_decoded_once(folder, one_thread, monkeypatch):
    made = []
    picture = PyAVReader._picture
    monkeypatch.setattr(PyAVReader, "_picture", lambda self, *given: made.append(given) or picture(self, *given))
    # Ten clips of span 40 over 60 frames start at 0, 2, 4, 6, 8, 11, 13, 15, 17 and 20.
    starts = [0, 2, 4, 6, 8, 11, 13, 15, 17, 20]
    needed = {start + 2 * frame for start in starts for frame in range(20)}
    counts = []
    for name in NAMES[3:5]:
        rounds = eval_rounds(subject(folder, name, frames=20, clips_per_video=10))
        counts.append((next(rounds.pictures), len(made)))
        made.clear()
    assert counts == [(len(needed), len(needed)), (600, 600)]


def test_a_round_of_decoding(folder, one_thread, monkeypatch):
    monkeypatch.setattr(eval_calls, "ROUND_SECONDS", 0.0)
    rounds = eval_rounds(subject(folder, NAMES[3]))
    rounds.warm_up()
    answer = rounds.measure()
    assert torch.get_num_threads() == 1
    assert answer["pictures"] == [8]
    assert answer["clips_per_s"][0] > 0
    assert rounds.end() == {}


class Clock:
    """In the place of ``time``: each part of the work says how long it takes."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self):
        return self.now

    def takes(self, seconds, value=None):
        self.now += seconds
        return value


def test_a_round_of_testing(folder, monkeypatch):
    """Batches of 4 views: 1 s to read, 2 s to compute, 0.5 s between; two of them may have been read ahead."""
    clock = Clock()
    monkeypatch.setattr(eval_calls, "time", clock)
    monkeypatch.setattr(stopwatch, "time", clock)

    def test(_, waiting, computing):
        items = (clock.takes(1.0, number) for number in itertools.count())
        score = computing.timed(lambda: clock.takes(2.0))

        def scored():
            for _ in waiting.waits(items):
                score()
                clock.takes(0.5)
                yield 4

        return Pipeline(scored(), ahead=8)

    monkeypatch.setitem(eval_calls.WAYS, OUR_TESTING, eval_calls.Way(test, None))
    rounds = eval_rounds(subject(folder, NAMES[0]))
    rounds.warm_up()
    # Six views are a video: two batches, 8 views in 7 s.
    for _ in range(2):
        assert rounds.measure() == {"clips_per_s": [8 / 7], "wait_s": [2 / 8], "compute_s": [4 / 8]}
    # The first batch, and in each round two more that are not measured.
    assert clock.now == 9 * 3.5


def test_a_stopwatch_adds_up_what_it_is_given_and_no_more(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(stopwatch, "time", clock)
    watch = Stopwatch()
    for item in watch.waits(clock.takes(2.0, number) for number in range(3)):
        clock.takes(10.0 * item)
    assert watch.seconds == 6.0

    def fail(seconds):
        raise ValueError(clock.takes(seconds))

    with pytest.raises(ValueError, match="None"):
        watch.timed(fail)(1.0)
    assert watch.seconds == 7.0
    watch.reset()
    assert watch.seconds == 0


def test_a_video_that_cannot_be_read_ends_the_benchmark(folder, seen, tmp_path):
    (tmp_path / "broken.mp4").write_bytes(b"not a video")
    broken = str(tmp_path / "broken.mp4")
    with pytest.raises(dataset.DecodeError) as caught:
        open_video(broken)
    ours, per_view = (TestingRounds(subject(folder, name, videos=(broken,))) for name in NAMES[:2])
    why = caught.value.reason
    assert refusal(ours.warm_up) == f"{broken} cannot be read: {why}; take it off the list"
    assert refusal(per_view.warm_up) == f"{caught.value}; take it off the list"
    lost = [Lost("it took longer than 600 s", True)]
    assert refusal(our_testing._stacked, lost) == "a view cannot be read: it took longer than 600 s"


def row(way, network, views_per_s, gflop=None, **more):
    side = "peer" if way == "pytorchvideo" else "ours"
    videos = ("a.mp4",)
    one = next(
        one
        for one in eval_subjects([network], True, {**TESTING, "batch": 8, "videos": videos, "workers": 2})
        if (one.way, one.side, bool(one.network)) == (way, side, gflop is not None)
    )
    more = {"wait_s": None, "compute_s": None, "videos_per_s": views_per_s / 6, "pictures_per_video": 80.4, **more}
    gflops = None if gflop is None else views_per_s * gflop
    return Row(one, views_per_s, gflop, gflops, 1000.4, 0.031, 5, more)


ROWS = [
    # A video in 2, 4 and 8 s.
    row(OUR_TESTING, "r3d_rs_50", 3.0, 10.0, wait_s=0.1, compute_s=1.8, decode_s=0.5),
    row(PER_VIEW, "r3d_rs_50", 1.5, 10.0, wait_s=2.0, compute_s=2.0, decode_s=4.0),
    row(OUR_TESTING, "r3d_rs_tiny", 12.0, 0.2, wait_s=0.1, compute_s=0.2, decode_s=0.5),
    row("pytorchvideo", "r3d_rs_tiny", 0.75, 20.0, wait_s=1.0, compute_s=6.0, decode_s=5.0),
    row(OUR_TESTING, "r3d_rs_tiny", 12.0, decode_s=0.5),
    row(PER_VIEW, "r3d_rs_tiny", 1.5, decode_s=4.0),
    row("pytorchvideo", "r3d_rs_tiny", 1.2, decode_s=5.0),
]


def test_a_peer_is_scaled_to_the_arithmetic_of_ours():
    peer = ROWS[3]
    # Half of the arithmetic: 8 - 3 s. A hundredth: 8 - 5.94 s, but two processes need 2.5 s to decode.
    assert scaled_seconds(peer, 10.0) == pytest.approx(5.0)
    assert scaled_seconds(peer, 0.2) == 2.5
    # With more arithmetic, a video takes longer.
    assert scaled_seconds(peer, 40.0) == pytest.approx(14.0)


def test_ratios():
    assert eval_ratios(ROWS) == pytest.approx(
        {
            "videos/s, ours, r3d_rs_50 / per view, r3d_rs_50": 2.0,
            "videos/s, ours, r3d_rs_50 / pytorchvideo, slow_r50 at the same GFLOP": 2.5,
            "videos/s, ours, r3d_rs_tiny / pytorchvideo, slow_r50 at the same GFLOP": 5.0,
            "decoding, ours / per view": 8.0,
            "decoding, ours / pytorchvideo": 10.0,
        }
    )


def test_the_table_to_the_letter():
    rows = [ROWS[0], ROWS[4]]
    machine = {"gpu": None, "processor": "AMD EPYC", "cores": 2, "capability": "AVX", "torch": "2.14.1"}
    text = table(rows, EVAL_COLUMNS, {"videos/s": 2.0}, eval_lines(rows), machine)
    assert text.splitlines() == [
        "                      videos/s  GFLOP/view  GFLOP/s  pictures  decode  wait  compute   MiB  spread",
        "ours, r3d_rs_50            0.5          10       30        80     25%    5%      90%  1000      3%",
        "ours, decoding alone         2                             80                         1000      3%",
        "",
        " 2.000  videos/s",
        "",
        "2 x 3 views of 4 x 32 x 32, 8 at a time, 2 reading processes",
        "ours: each video decoded once, each frame resized once, as video-rs test does",
        "pictures: decoded for a video; decode: seconds of one thread for it, over those a video takes",
        "wait: the network waits for views; compute: it computes",
        "",
        "AMD EPYC, 2 cores, AVX, torch 2.14.1",
    ]


def test_rows_of_subjects(folder, one_thread, monkeypatch):
    monkeypatch.setattr(process, "Process", InThisProcess)
    monkeypatch.setattr(eval_calls, "ROUND_SECONDS", 0.0)
    rows = measure_eval([subject(folder, name) for name in (*NAMES[:2], *NAMES[3:])], 1, lambda line: None)
    assert [one.more["pictures_per_video"] for one in rows] == [8, 24, 8, 24, 16]
    for one in rows[:2]:
        assert one.gflops_per_s == pytest.approx(one.clips_per_s * one.gflop_per_clip)
        assert one.more["videos_per_s"] == pytest.approx(one.clips_per_s / 6)
        # Nobody reads beside the network.
        seconds = one.more["wait_s"] + one.more["compute_s"]
        assert 0 < seconds < 1 / one.more["videos_per_s"]
    for one in rows[2:]:
        assert (one.more["wait_s"], one.more["compute_s"], one.gflops_per_s) == (None, None, None)
        assert one.more["decode_s"] == pytest.approx(1 / one.more["videos_per_s"])


LITTLE = ("--networks", "r3d_rs_tiny", "--clips", 2, "--crops", 1, "--frames", 4, "--size", 32, "--batch", 3)


@pytest.mark.parametrize("checkpoint", ["", "mine.pth"])
def test_from_the_command_line(tool, folder, tmp_path, one_thread, monkeypatch, checkpoint):
    monkeypatch.setattr(process, "Process", InThisProcess)
    monkeypatch.setattr(cold_prediction, "_answer", lambda arguments: answer_for(*arguments))
    monkeypatch.setattr(eval_calls, "ROUND_SECONDS", 0.0)
    options = [*LITTLE, "--workers", 0, "--device", "cpu", "--rounds", 1, "--json", tmp_path / "a.json"]
    if checkpoint:
        # Of other views than those that are tested.
        write_fresh_checkpoint(tmp_path / checkpoint, "r3d_rs_tiny", published_views(2, 32, 5, 1))
        options += ["--checkpoint", tmp_path / checkpoint]
    done = tool("benchmark", "eval", "--list", folder / "list.csv", *options)
    assert done.code == 0, done.err
    result = json.loads((tmp_path / "a.json").read_text())
    assert [row["name"] for row in result["rows"]] == [*NAMES[:2], *NAMES[3:5]]
    for row in result["rows"]:
        asked = [row["subject"][key] for key in ("batch", "frames", "size", "clips_per_video", "crops", "videos")]
        assert asked == [3, 4, 32, 2, 1, 2]
        assert (row["subject"]["workers"], row["subject"]["device"], row["clips_per_s"] > 0) == (0, "cpu", True)
    assert list(result["ratios"]) == [
        "videos/s, ours, r3d_rs_tiny / per view, r3d_rs_tiny",
        "decoding, ours / per view",
    ]
    for name, value in result["ratios"].items():
        assert f"{value:6.3f}  {name}\n" in done.out
    cold = result["cold"]
    expected = ("mine.pth", 5, 1) if checkpoint else ("r3d_rs_tiny.pth", 2, 1)
    assert (cold["checkpoint"], cold["views"], cold["processes"]) == expected
    assert f"{cold['ready_s']:6.3f}  seconds over importing torch and torchvision" in done.out
    assert "cold prediction, process 1 of 1\n" in done.err


REFUSALS = [
    (("--clips", 0), "--clips is 0; allowed: 1 or more"),
    (("--frames", 0), "--frames is 0; allowed: 1 or more"),
    (("--batch", 0), "--batch is 0; allowed: 1 or more"),
    (("--size", -3), "--size is -3; allowed: 1 or more"),
    (("--rounds", 0), "--rounds is 0; allowed: 1 or more"),
    (("--workers", -2), "--workers is -2; allowed: -1 or more"),
    (("--device", "cuda"), NO_CUDA),
]


@pytest.mark.parametrize(("options", "message"), REFUSALS)
def test_refusals_come_before_anything_starts(tool, folder, pids, monkeypatch, options, message):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    told = tool("benchmark", "eval", "--list", folder / "list.csv", *options)
    assert (told.code, told.out, told.err, pids) == (2, "", f"error: {message}\n", [])


def test_what_cannot_be_tested_is_refused_first(tool, folder, tmp_path, pids):
    listed = ("benchmark", "eval", "--list", folder / "list.csv")
    told = tool(*listed, "--networks", "r3d_rs_51")
    assert (told.code, told.err) == (2, f"error: {refusal(create_model, 'r3d_rs_51', 400)}\n")
    told = tool(*listed, *LITTLE, "--peers")
    why = "input image (T: 4 H: 1 W: 1) smaller than kernel size (kT: 8 kH: 7 kW: 7)"
    text = f"pytorchvideo slow_r50 does not take clips of 4 x 32 x 32: {why}; take larger ones, or leave out --peers"
    assert (told.code, told.err) == (2, f"error: {text}\n")
    gone = tmp_path / "gone.pth"
    told = tool(*listed, *LITTLE, "--checkpoint", gone)
    text = f"no checkpoint at {gone}; train first, or give the path of a .pth file"
    assert (told.code, told.err, pids) == (2, f"error: {text}\n", [])
