"""The benchmark: its arithmetic on made-up numbers, its processes, what its calls compute. Nothing here times."""

import dataclasses
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from matplotlib.text import Text

from helpers.benchmarks import InThisProcess
from helpers.networks import on_meta, refusal
from helpers.tools import ROOT
from video_rs import create_model
from video_rs.benchmarks import network_benchmark, network_calls, process
from video_rs.benchmarks.measuring import Measurement, Row, measure, row_of
from video_rs.benchmarks.network_benchmark import (
    gflop_per_clip,
    measure_networks,
    memory_per_clip,
    network_columns,
    network_ratios,
    network_subjects,
)
from video_rs.benchmarks.networks import PEERS
from video_rs.benchmarks.subject import FORWARD, LAYERS, LIMIT, OURS, PEER, TRAIN, Subject
from video_rs.benchmarks.table import table
from video_rs.models.table import gmac
from video_rs.reports.speed_plot import speed_plot
from video_rs.runtime.errors import InputError

TINY = Subject(FORWARD, OURS, "eager", 2, 2, 32, network="r3d_rs_tiny")
SMALL = ("--network", "r3d_rs_tiny", "--frames", 2, "--size", 32, "--rounds", 1, "--device", "cpu")
CPU = {"batch": 2, "frames": 8, "size": 224, "device": "cpu", "precision": "float32"}


def like(**changes):
    return dataclasses.replace(TINY, **changes)


def made_up(kind, side, way, network, speed, gflop, rate, memory=None, engine=""):
    subject = Subject(kind, side, way, 2, 8, 224, network=network, engine=engine)
    return Row(subject, speed, gflop, rate, 1000.4, 0.05, 3, {"memory_per_clip_mb": memory})


ROWS = [
    made_up(FORWARD, OURS, "eager", "net", 4.0, 40.0, 160.0, 300.0),
    made_up(FORWARD, OURS, "plain", "net", 2.0, 40.0, 80.0, 400.0),
    made_up(FORWARD, OURS, "checkpointed", "net", 3.0, 40.0, 120.0, 100.0),
    made_up(FORWARD, OURS, "accelerate", "net", 4.5, 40.0, 180.0, engine="openvino"),
    made_up(LAYERS, LIMIT, "layers", "net", None, None, 200.0),
    made_up(FORWARD, PEER, "as shipped", "pytorchvideo slow_r50", 1.25, 80.0, 100.0, 500.0),
]
RATIOS = {
    "net eager / net plain": 2.0,
    "net checkpointed / net eager": 0.75,
    "net eager / pytorchvideo slow_r50": 1.6,
    "net eager / best single layer": 0.8,
    "net accelerate openvino / pytorchvideo slow_r50": 1.8,
    "net accelerate openvino / best single layer": 0.9,
    "memory per clip, net eager / net plain": 0.75,
    "memory per clip, net eager / pytorchvideo slow_r50": 0.6,
    "memory per clip, net checkpointed / net plain": 0.25,
    "memory per clip, net checkpointed / pytorchvideo slow_r50": 0.2,
}

# ---- numbers


def test_ratios_of_speed_and_memory():
    assert network_ratios(ROWS) == RATIOS
    assert network_ratios(ROWS[:1]) == {}
    noise = dataclasses.replace(ROWS[0], more={"memory_per_clip_mb": -0.2})
    assert network_ratios([noise, ROWS[1]]) == {"net eager / net plain": 2.0}


def test_the_table_to_the_letter():
    machine = {"gpu": None, "processor": "Abacus", "cores": 2, "capability": "BEADS", "torch": "2.0"}
    some = [ROWS[0], ROWS[4], ROWS[5]]
    columns = network_columns(some)
    text = table(some, columns, {"a / b": 1.5}, [" 0.250  seconds to create"], machine)
    assert text.splitlines() == [
        "                              clip  GFLOP/clip  clips/s  GFLOP/s  of best layer  peak MiB  MiB/clip  spread",
        "net eager              2 x 8 x 224          40        4      160            80%      1000       300      5%",
        "best single layer                                            200           100%      1000                5%",
        "pytorchvideo slow_r50  2 x 8 x 224          80     1.25      100            50%      1000       500      5%",
        "",
        " 1.500  a / b",
        " 0.250  seconds to create",
        "",
        "Abacus, 2 cores, BEADS, torch 2.0",
    ]
    assert table(some, columns, {}, [], {**machine, "gpu": "Loom"}).endswith("Loom, 2 cores, BEADS, torch 2.0")


def test_a_row_holds_medians():
    measured = Measurement(TINY, {"seconds": [1.0, 8.0, 0.5]}, end={"peak_memory_mb": 7.0})
    row = row_of(measured, gflop=3.0, other=2.0).to_json()
    wanted = {"clips_per_s": 2.0, "gflop_per_clip": 3.0, "gflops_per_s": 6.0, "calls": 3, "peak_memory_mb": 7.0}
    assert {"name": "r3d_rs_tiny eager", "other": 2.0, **wanted}.items() <= row.items()
    assert row["spread"] == 3.75  # quartiles 0.75 and 4.5 around 1
    assert row["subject"] == {**dataclasses.asdict(TINY), "videos": 0}
    layers = row_of(Measurement(like(kind=LAYERS), {"gflops_per_s": [5.0]}, end={"peak_memory_mb": 7.0}), None)
    assert (layers.gflops_per_s, layers.clips_per_s, layers.spread) == (5.0, None, 0.0)
    reading = row_of(Measurement(TINY, {"clips_per_s": [5.0, 7.0]}, end={"peak_memory_mb": None}), None)
    assert (reading.clips_per_s, reading.gflops_per_s, reading.peak_memory_mb) == (6.0, None, None)


def test_work_of_networks():
    expected = 2 * gmac(on_meta("r3d_rs_tiny"), 2, 32)
    for way in ("eager", "plain", "accelerate"):
        assert gflop_per_clip(like(way=way)) == expected
    assert gflop_per_clip(like(kind=TRAIN, way="checkpointed")) == 3 * expected
    assert gflop_per_clip(like(kind=LAYERS)) is None
    slow = gflop_per_clip(Subject(FORWARD, PEER, "as shipped", 1, 8, 224, network="pytorchvideo slow_r50"))
    assert slow == pytest.approx(83.482, abs=5e-4)  # rounded to MFLOP
    assert slow == pytest.approx(83.8, rel=0.01)  # counted by another counter, which counts pooling and norms too


def test_rows_of_a_benchmark():
    names = [s.name for s in network_subjects(FORWARD, "r3d_50", True, ["openvino"], CPU)]
    ours = ["r3d_50 eager", "r3d_50 plain", "r3d_50 accelerate openvino", "best single layer"]
    assert names == [*ours, *PEERS]
    rows = network_subjects(TRAIN, "r3d_50", False, [], {**CPU, "device": "cuda"})
    assert [s.way for s in rows] == ["eager", "plain", "compiled", "checkpointed", "layers"]
    rows = network_subjects(TRAIN, "r3d_50", True, [], CPU)
    clips = {s.name.split()[-1]: (s.batch, s.frames, s.size) for s in rows}
    assert clips["eager"] == clips["slow_r50"] == clips["r3d_18"] == (2, 8, 224)
    assert clips["x3d_m"] == clips["mvit_v2_s"] == clips["r2plus1d_r50"] == (2, 16, 224)


# ---- what is measured


@pytest.fixture
def network(monkeypatch):
    """The tiny network that the next calls are about, the same one for each."""
    torch.manual_seed(0)
    model = create_model("r3d_rs_tiny", 400)
    monkeypatch.setattr(network_calls, "make_network", lambda name: model)
    return model


def test_our_settings_belong_to_ours_alone():
    ways = ("eager", "plain", "checkpointed", "compiled", "accelerate")
    assert [way for way in ways if not like(way=way).has_our_settings] == ["plain"]
    assert like(kind=LAYERS, side=LIMIT).has_our_settings
    peer = like(side=PEER, network="torchvision r3d_18", way="as shipped")
    assert not peer.has_our_settings
    assert network_calls.network_on_device(peer).stem[0].weight.is_contiguous()

    ours = network_calls.network_on_device(TINY)
    assert ours.state_dict().keys() == create_model("r3d_rs_tiny", 400).state_dict().keys()
    weight = next(p for p in ours.parameters() if p.ndim == 5 and min(p.shape[:2]) > 1)
    assert weight.is_contiguous(memory_format=torch.channels_last_3d)


def test_every_way_gives_the_same_logits(network):
    logits = {}
    for way, engine in (("plain", ""), ("eager", ""), ("accelerate", "eager")):
        logits[way] = network_calls.forward_call(like(way=way, engine=engine, size=64))()
    assert logits["plain"].shape == (2, 400)
    scale = logits["plain"].abs().max()
    # Float32 sums in another order; 1e-4 is what accelerate allows itself.
    assert (logits["eager"] - logits["plain"]).abs().max() <= 1e-5 * scale
    assert (logits["accelerate"] - logits["plain"]).abs().max() <= 1e-4 * scale
    half = network_calls.forward_call(like(precision="bfloat16", size=64))()
    assert half.dtype == torch.bfloat16


def test_a_training_call_moves_every_weight_and_recomputing_changes_nothing(network):
    start = {name: value.clone() for name, value in network.state_dict().items()}
    moved = {}
    for way in ("eager", "checkpointed"):
        network.load_state_dict(start)
        call = network_calls.train_call(like(kind=TRAIN, way=way, size=64))
        torch.manual_seed(1)  # dropout and stochastic depth
        call()
        call()
        moved[way] = {name: (p.detach() - start[name]) for name, p in network.named_parameters()}
    trained = [name for name, change in moved["eager"].items() if change.abs().max() > 0]
    assert trained == list(moved["eager"])
    for name, change in moved["eager"].items():
        # The same arithmetic: only the order of sums over clips may differ.
        assert (moved["checkpointed"][name] - change).abs().max() <= 1e-4 * change.abs().max() + 1e-9, name


def test_single_layers_count_their_work():
    run, gflop = network_calls.layer_run(TINY, 4, 6, (3, 1, 1), 2, 8)
    assert gflop == pytest.approx(2 * (2 * 2 * 8 * 8) * 6 * 4 * 3 / 1e9, rel=1e-12)  # batch, frames, side, side
    assert run().shape == (2, 6, 2, 8, 8)
    run, gflop = network_calls.layer_run(like(precision="bfloat16"), 4, 6, (1, 3, 3), 2, 8)
    assert gflop == pytest.approx(2 * (2 * 2 * 8 * 8) * 6 * 4 * 9 / 1e9, rel=1e-12)
    assert (run().shape, run().dtype) == ((4, 6, 8, 8), torch.bfloat16)


# ---- processes


def test_subjects_take_turns(monkeypatch):
    calls = []

    class Fake:
        warm_memory_mb = 1.0

        def __init__(self, subject, name):
            self.name = name

        def __getattr__(self, what):
            calls.append(f"{what} {self.name}")
            answers = {"measure": {"seconds": [float(len(calls))]}, "end": {"peak_memory_mb": 5.0}}
            return lambda: answers.get(what)

    monkeypatch.setattr(process, "Process", Fake)
    lines = []
    subjects = [like(network="a", way=""), like(network="b", way="")]
    measured = measure(subjects, 2, lines.append)
    turns = "wait_until_warm a,wait_until_warm b,measure a,measure b,measure a,measure b,end a,end b,close a,close b"
    assert calls == turns.split(",")
    assert lines == ["building a", "building b", "round 1 of 2", "round 2 of 2"]
    assert [one.samples["seconds"] for one in measured] == [[3.0, 5.0], [4.0, 6.0]]
    assert [(one.warm_memory_mb, one.end) for one in measured] == [(1.0, {"peak_memory_mb": 5.0})] * 2


def test_memory_per_clip_is_that_of_ours_and_the_main_peer(monkeypatch):
    def fake(subject, name):
        one = type("Fake", (), {"wait_until_warm": lambda self: None, "close": lambda self: None})()
        one.warm_memory_mb = 100.0 + 7.0 * subject.batch
        return one

    monkeypatch.setattr(process, "Process", fake)
    lines = []
    known = {}
    for subject in network_subjects(TRAIN, "r3d_50", True, [], CPU):
        memory = memory_per_clip(Measurement(subject, warm_memory_mb=114.0), lines.append)
        if memory is not None:
            known[subject.name] = memory
    names = ["r3d_50 eager", "r3d_50 plain", "r3d_50 checkpointed", "pytorchvideo slow_r50"]
    assert known == dict.fromkeys(names, 7.0)
    assert lines == [f"building {name}, 8 clips" for name in names]


def test_a_larger_batch_that_fails_leaves_the_row(monkeypatch):
    why = "r3d_rs_tiny eager, 8 clips cannot be measured: its process was killed"

    def started(subjects, report, suffix):
        raise InputError(why)

    monkeypatch.setattr(network_benchmark, "started", started)
    measured = Measurement(like(kind=TRAIN), {"seconds": [1.0]}, 100.0, {"peak_memory_mb": 7.0})
    monkeypatch.setattr(network_benchmark, "measure", lambda *_: [measured])
    lines = []
    (row,) = measure_networks([like(kind=TRAIN)], 1, lines.append)
    assert row.clips_per_s == 2.0
    assert row.more == {"memory_per_clip_mb": None}
    assert lines == [f"no memory per clip for r3d_rs_tiny eager: {why}"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere the peak is that of getrusage")
def test_peak_memory_is_that_of_the_process_and_not_of_its_parent():
    child = "from video_rs.benchmarks.memory import peak_memory_mb; print(peak_memory_mb('cpu'))"
    parent = (
        "import subprocess, sys; x = b'x' * 2**31; del x\n"  # 2 GiB, more than the libraries take
        f"subprocess.run([sys.executable, '-c', {child!r}], check=True)"
    )
    told = subprocess.run([sys.executable, "-c", parent], capture_output=True, text=True, check=True)
    assert 50 < float(told.stdout) < 1500


def test_processes_start_without_settings(monkeypatch):
    for name in ("OMP_NUM_THREADS", "MALLOC_ARENA_MAX", "MKL_NUM_THREADS", "TORCH_LOGS", "LD_PRELOAD"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("KEPT_SETTING", "1")
    environment = process.bare_environment()
    code = "import json, os; print(json.dumps(dict(os.environ)))"
    told = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    inside = json.loads(told.stdout)
    assert inside["KEPT_SETTING"] == "1"
    assert [name for name in inside if name.startswith(process.SETTINGS)] == []


@pytest.fixture
def pids(monkeypatch):
    """Numbers of the processes that were started."""
    numbers = []

    class Noted(process.Process):
        def __init__(self, subject, name):
            super().__init__(subject, name)
            numbers.append(self.process.pid)

    monkeypatch.setattr(process, "Process", Noted)
    return numbers


def alive(numbers):
    def there(number):
        try:
            os.kill(number, 0)
        except ProcessLookupError:
            return False
        return True

    return [number for number in numbers if there(number)]


def test_a_subject_that_fails_is_named_and_nothing_is_left(pids):
    # Batch norm in training needs more than one value a channel.
    failing = like(kind=TRAIN, side=PEER, batch=1, frames=1, size=16, network="torchvision r3d_18")
    message = refusal(measure, [TINY, failing], 1, lambda line: None)
    why = (
        "ValueError: Expected more than 1 value per channel when training, got input size torch.Size([1, 512, 1, 1, 1])"
    )
    assert message == f"torchvision r3d_18 cannot be measured: {why}"
    assert (len(pids), alive(pids)) == (2, [])


@pytest.mark.parametrize("ending", ["killed", "interrupted"])
def test_a_process_that_is_killed_and_an_interruption_leave_nothing(pids, ending):
    def report(line):
        if line.startswith("round"):
            assert alive(pids) == pids
            if ending == "interrupted":
                raise KeyboardInterrupt
            os.kill(pids[0], signal.SIGKILL)

    if ending == "interrupted":
        with pytest.raises(KeyboardInterrupt):
            measure([TINY], 1, report)
    else:
        message = refusal(measure, [TINY], 1, report)
        why = "its process was killed, most likely because memory ran out; take a smaller --batch"
        assert message == f"r3d_rs_tiny eager cannot be measured: {why}"
    assert (len(pids), alive(pids)) == (1, [])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_sigterm_takes_the_processes_along():
    command = [sys.executable, str(ROOT / "tools/benchmark.py"), "model", *map(str, SMALL), "--engines", ""]
    tool = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert tool.stderr.readline() == "building r3d_rs_tiny eager\n"
    children = Path(f"/proc/{tool.pid}/task/{tool.pid}/children")
    ends = time.monotonic() + 30
    while not (numbers := [int(number) for number in children.read_text().split()]):
        assert time.monotonic() < ends
    tool.terminate()
    assert (tool.wait(30), tool.stderr.read()) == (143, "")
    # One that was just being started is not killed: it ends by itself, as nobody reads its answers.
    while alive(numbers):
        assert time.monotonic() < ends


# ---- the tool


@pytest.mark.parametrize(
    ("what", "options", "ways"),
    [
        ("model", ("--engines", "eager"), ["eager", "plain", "accelerate eager"]),
        ("train", (), ["eager", "plain", "checkpointed"]),
    ],
)
def test_a_benchmark_from_the_command_line(tool, tmp_path, monkeypatch, what, options, ways):
    if what == "train":  # model has processes
        monkeypatch.setattr(process, "Process", InThisProcess)
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
    (("model", "--device", "cuda"), "--device is cuda, and PyTorch finds no such GPU here; allowed: auto, cpu"),
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


# ---- the plot


PLAIN = [row.to_json() for row in ROWS]


def test_the_plot_shows_every_network_once_the_fastest_first():
    axes, listing = speed_plot(PLAIN, 200.0).axes
    *points, line = [*axes.lines[1:], axes.lines[0]]
    shown = sorted((row for row in PLAIN if row["clips_per_s"]), key=lambda row: -row["clips_per_s"])
    assert [(p.get_xdata()[0], p.get_ydata()[0]) for p in points] == [
        (row["gflop_per_clip"], row["clips_per_s"]) for row in shown
    ]
    assert len({p.get_color() for p in points}) == 2
    assert line.get_xdata() * line.get_ydata() == pytest.approx([200.0, 200.0])
    assert line.get_label() == "best single layer, 200 GFLOP/s"
    texts = [text.get_text() for text in listing.texts]
    assert texts[5:10] == ["1", "net accelerate openvino", "4.50", "180", "8 x 224"]
    assert [text for text in texts if text in {row["name"] for row in PLAIN}] == [row["name"] for row in shown]
    assert speed_plot(PLAIN[:1], None).axes[0].get_legend() is None


@pytest.mark.parametrize("aside", [1.0, 1.05, 1.15], ids=["above", "slanted", "beside"])
def test_numbers_touch_neither_one_another_nor_a_point(aside):
    rows = [{**PLAIN[0], "clips_per_s": 4.0 - 0.01 * i, "gflop_per_clip": 40.0 / aside**i} for i in range(6)]
    axes = speed_plot(rows, None).axes[0]
    axes.figure.draw_without_rendering()
    boxes = [Text.get_window_extent(number) for number in axes.texts]  # without its line
    assert len(boxes) == 6
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
    centres = [axes.transData.transform((row["gflop_per_clip"], row["clips_per_s"])) for row in rows]
    assert not any(box.contains(*centre) for box in boxes for centre in centres)
