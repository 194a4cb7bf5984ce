"""The benchmark of networks: its arithmetic on made-up numbers, and what its calls compute. Nothing here times."""

import dataclasses

import pytest
import torch

from helpers.benchmarks import CPU, TINY, like
from helpers.networks import on_meta
from video_rs import create_model
from video_rs.benchmarks import network_benchmark, network_calls, process
from video_rs.benchmarks.measuring import Measurement, Row, row_of
from video_rs.benchmarks.network_benchmark import (
    gflop_per_clip,
    measure_networks,
    memory_per_clip,
    network_columns,
    network_ratios,
    network_subjects,
)
from video_rs.benchmarks.networks import PEERS
from video_rs.benchmarks.subject import FORWARD, LAYERS, LIMIT, LOOP, OURS, PEER, PRODUCT, TRAIN, Subject
from video_rs.benchmarks.table import table
from video_rs.inference import precision
from video_rs.models.table import gmac
from video_rs.runtime.errors import InputError


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
    "net accelerate openvino / net eager": 1.125,
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
    assert gflop_per_clip(like(kind=LOOP, way="our run")) == 3 * expected
    assert gflop_per_clip(like(kind=LAYERS)) is None
    slow = gflop_per_clip(Subject(FORWARD, PEER, "as shipped", 1, 8, 224, network="pytorchvideo slow_r50"))
    assert slow == pytest.approx(83.482, abs=5e-4)  # rounded to MFLOP
    assert slow == pytest.approx(83.8, rel=0.01)  # counted by another counter, which counts pooling and norms too


def test_rows_of_a_benchmark(monkeypatch):
    monkeypatch.setattr(precision, "has_bfloat16", lambda device: True)
    monkeypatch.setattr(network_benchmark, "missing", lambda packages: [])
    names = [s.name for s in network_subjects(FORWARD, "r3d_50", True, ["openvino", "onnxruntime"], CPU)]
    fast = [f"r3d_50 accelerate {way}" for way in ("openvino", "openvino bfloat16", "openvino int8", "onnxruntime")]
    assert names == ["r3d_50 eager", "r3d_50 plain", *fast, "best single layer", *PEERS]
    monkeypatch.setattr(network_benchmark, "missing", lambda packages: list(packages))
    names = [s.name for s in network_subjects(FORWARD, "r3d_50", False, ["openvino"], CPU)]
    assert names[2:] == ["r3d_50 accelerate openvino", "r3d_50 accelerate openvino bfloat16", "best single layer"]
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
    ways = ("eager", "plain", "channels-last", "checkpointed", "compiled", "CUDA graphs", "accelerate")
    assert [way for way in ways if not like(way=way).has_our_settings] == ["plain", "channels-last"]
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
    for way, engine in (("plain", ""), ("channels-last", ""), ("eager", ""), ("accelerate", "eager")):
        logits[way] = network_calls.forward_call(like(way=way, engine=engine, size=64))()
    assert logits["plain"].shape == (2, 400)
    scale = logits["plain"].abs().max()
    # Float32 sums in another order; 1e-4 is what accelerate allows itself.
    assert (logits["channels-last"] - logits["plain"]).abs().max() <= 1e-5 * scale
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


@pytest.mark.parametrize("kind", [FORWARD, TRAIN])
def test_ways_that_are_compiled_are_compiled_in_their_mode(network, monkeypatch, kind):
    modes = []

    def compile_nothing(model, mode):
        modes.append(mode)
        return model

    monkeypatch.setattr(torch, "compile", compile_nothing)
    make_call = network_calls.CALLS[kind]
    plain = make_call(like(kind=kind, way="eager"))()
    compiled = [make_call(like(kind=kind, way=way))() for way in ("compiled", "CUDA graphs")]
    assert modes == ["default", "reduce-overhead"]
    if kind == FORWARD:
        assert all(torch.equal(logits, plain) for logits in compiled)


def test_the_layout_alone_leaves_the_network_as_it_is(network):
    kept = network_calls.network_on_device(like(way="channels-last"))
    assert kept is network
    weight = next(p for p in kept.parameters() if p.ndim == 5 and min(p.shape[:2]) > 1)
    assert weight.is_contiguous(memory_format=torch.channels_last_3d)


def test_a_product_counts_its_work(monkeypatch):
    products = []
    monkeypatch.setattr(network_calls, "timed", lambda call, device: products.append(call()) or 0.25)
    rounds = network_calls.NetworkRounds(like(kind=PRODUCT, precision="bfloat16"))
    assert rounds.measure() == {"gflops_per_s": [2 * 1024**3 / 1e9 / 0.25]}
    assert [(product.shape, product.dtype) for product in products] == [((1024, 1024), torch.bfloat16)] * 3


def test_single_layers_count_their_work():
    run, gflop = network_calls.layer_run(TINY, 4, 6, (3, 1, 1), 2, 8)
    assert gflop == pytest.approx(2 * (2 * 2 * 8 * 8) * 6 * 4 * 3 / 1e9, rel=1e-12)  # batch, frames, side, side
    assert run().shape == (2, 6, 2, 8, 8)
    run, gflop = network_calls.layer_run(like(precision="bfloat16"), 4, 6, (1, 3, 3), 2, 8)
    assert gflop == pytest.approx(2 * (2 * 2 * 8 * 8) * 6 * 4 * 9 / 1e9, rel=1e-12)
    assert (run().shape, run().dtype) == ((4, 6, 8, 8), torch.bfloat16)


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
