"""The benchmark of a GPU: its parts and their order, its time on a clock of its own, and what it writes."""

import json

import pytest
import torch

from helpers.benchmarks import NO_CUDA, InThisProcess
from helpers.networks import refusal
from video_rs.benchmarks import gpu_benchmark, gpu_parts, process
from video_rs.benchmarks.gpu_benchmark import (
    GPU_COLUMNS,
    GpuBenchmark,
    NotMeasured,
    Results,
    Time,
    gpu_lines,
    gpu_ratios,
)
from video_rs.benchmarks.gpu_page import BEGIN, END, require_place, write_page
from video_rs.benchmarks.gpu_parts import Setting, gpu_subjects, product_subject
from video_rs.benchmarks.measuring import Measurement, Row
from video_rs.benchmarks.peaks import Peak, measured_peak, stated_peak
from video_rs.benchmarks.subject import EVAL, FORWARD, LAYERS, LIMIT, LOOP, OURS, PEER, PRODUCT, TRAIN, Subject
from video_rs.benchmarks.table import table
from video_rs.runtime.errors import InputError

SETTING = Setting("r3d_rs_tiny", ("a.mp4",), 2, False, 2, (4, 2), 32, "cpu", "float32")
ON_GPU = Setting("r3d_rs_50", ("a.mp4",), 16, True, 16, (32, 8), 224, "cuda", "bfloat16")
MACHINE = {"gpu": "Loom", "processor": "Abacus", "cores": 2, "capability": "BEADS", "cudnn": "9.24.0", "torch": "2.0"}

# ---- peaks


@pytest.mark.parametrize(
    ("name", "tflops"),
    [
        ("NVIDIA H100 80GB HBM3", 989),
        ("NVIDIA H100 PCIe", 756),
        ("NVIDIA H200", 989),
        ("NVIDIA H200 NVL", 835),
        ("NVIDIA A100-SXM4-40GB", 312),
        ("NVIDIA A100 80GB PCIe", 312),
        ("NVIDIA L4", 121),
        ("NVIDIA L40S", 362),
        ("NVIDIA GeForce RTX 4090", 165),
    ],
)
def test_the_peak_of_a_known_gpu_is_its_makers(name, tflops):
    assert stated_peak(name, "bfloat16") == Peak(1000 * tflops, f"{tflops} TFLOP/s, as the data sheet of {name} says")


@pytest.mark.parametrize(
    ("name", "precision"),
    [
        ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", "bfloat16"),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", "bfloat16"),
        ("NVIDIA L40", "bfloat16"),
        ("Loom", "bfloat16"),
        ("NVIDIA L4", "float32"),
        (None, "bfloat16"),
    ],
)
def test_no_peak_is_made_up(name, precision):
    assert stated_peak(name, precision) is None


def test_a_measured_peak_says_that_it_is_measured():
    words = "0.0812 TFLOP/s, measured by a large matrix product in float32: of this device no data sheet is known here"
    assert measured_peak(81.2, "float32") == Peak(81.2, words)


# ---- parts


def rows_of(setting):
    return [(subject.kind, subject.method, subject.batch, subject.frames) for subject in gpu_subjects(setting)]


def test_what_is_worth_most_comes_first():
    first = rows_of(ON_GPU)[:8]
    ways = [(TRAIN, "eager"), (TRAIN, "compiled"), (FORWARD, "eager"), (FORWARD, "compiled")]
    assert first == [
        (kind, f"r3d_rs_50 {way}", batch, frames) for batch, frames in ((16, 32), (64, 8)) for kind, way in ways
    ]


def test_the_parts_of_a_gpu():
    """Every kind of benchmark at both lengths, in every way, and every peer."""
    subjects = gpu_subjects(ON_GPU)
    for frames in (32, 8):
        some = [s for s in subjects if s.frames == frames]
        for kind in (TRAIN, FORWARD):
            ways = {s.way for s in some if s.kind == kind}
            assert {"eager", "plain", "channels-last", "compiled", "CUDA graphs", "as shipped"} <= ways
            assert ("checkpointed" in ways) is (kind == TRAIN)
        assert {s.name for s in some if s.kind == LOOP} == {"our run", "pytorchvideo loop"}
        assert {s.name for s in some if s.kind == EVAL} == {"ours, r3d_rs_50", "pytorchvideo, slow_r50"}
        assert {s.method for s in some if s.kind == gpu_parts.DATA} == {
            "ours pyav", "ours torchcodec_cuda", "pytorchvideo pyav",
        }  # fmt: skip
    assert {s.precision for s in subjects if s.kind != gpu_parts.DATA} == {"bfloat16"}
    assert {s.device for s in subjects if s.kind != gpu_parts.DATA} == {"cuda"}
    assert {s.network for s in subjects if s.side == PEER and s.kind == TRAIN} == set(gpu_parts.PEERS)


def test_without_peers_and_gpu_these_parts_are_left():
    subjects = gpu_subjects(SETTING)
    assert {s.side for s in subjects} == {OURS, LIMIT}
    assert "torchcodec_cuda" not in {s.decoder for s in subjects}
    assert {(s.batch, s.frames) for s in subjects if s.kind == TRAIN} == {(2, 4), (4, 2)}
    # What takes minutes there comes last.
    ways = [s.way for s in subjects]
    assert sorted(ways[-8:]) == ["CUDA graphs"] * 4 + ["compiled"] * 4
    assert product_subject(SETTING) == Subject(PRODUCT, LIMIT, "product", 2, 4, 32)


# ---- time


class Machine:
    """Measures in the place of processes, on a clock that only measuring moves.

    Args:
        seconds: that each part takes.
        trouble: way -> what is said instead of numbers.
    """

    def __init__(self, monkeypatch, seconds, trouble=None):
        self.now = 0.0
        self.seconds = seconds
        self.trouble = trouble or {}
        self.limits = []
        self.asked = []
        monkeypatch.setattr(gpu_benchmark, "measure_in_time", self.measure)

    def clock(self):
        return self.now

    def measure(self, subject, rounds, seconds, report):
        self.asked.append((subject.kind, subject.way, subject.batch))
        self.limits.append(seconds)
        self.now += min(self.seconds, seconds)
        text = self.trouble.get(subject.way, "")
        if text and (text != "OutOfMemoryError" or subject.batch > 1):
            raise InputError(text)
        end = {"peak_memory_mb": 5.0}
        if subject.kind in (PRODUCT, LAYERS):
            return Measurement(subject, {"gflops_per_s": [80.0]}, end=end)
        more = {"data_wait": [0.25]} if subject.kind == LOOP else {}
        if subject.kind == EVAL:
            more = {"wait_s": [0.1]}
        return Measurement(subject, {"clips_per_s": [4.0], **more}, end=end)

    def run(self, seconds, setting=SETTING, device_name=None):
        self.saved = []
        self.told = []

        def save(results):
            self.saved.append(json.loads(json.dumps(results.to_json())))

        time = Time(seconds, self.clock)
        return GpuBenchmark(device_name, 3, time, self.told.append, save).run(setting)


def test_all_parts_are_measured_where_there_is_time(monkeypatch):
    machine = Machine(monkeypatch, seconds=1.0)
    results = machine.run(8 * 60)
    assert results.not_measured == []
    assert [row.subject for row in results.rows] == [product_subject(SETTING), *gpu_subjects(SETTING)]
    assert results.peak == measured_peak(80.0, "float32")
    assert machine.told[:2] == ["limit, 4 frames, 480 s left:", "train, 4 frames, 479 s left:"]
    # What is known is written after each part.
    assert [len(saved["rows"]) for saved in machine.saved] == list(range(1, 1 + len(results.parts)))


def test_utilisation_and_data_wait(monkeypatch):
    results = Machine(monkeypatch, seconds=1.0).run(8 * 60)
    shares = {row.subject.kind: row.more["utilisation"] for row in results.rows if row.gflops_per_s is not None}
    gflop = {row.subject.kind: row.gflop_per_clip for row in results.rows if row.subject.frames == 2}
    assert (shares[PRODUCT], shares[LAYERS]) == (1.0, 1.0)
    assert shares[TRAIN] == pytest.approx(4 * gflop[TRAIN] / 80)
    assert gflop[TRAIN] == gflop[LOOP] == 3 * gflop[FORWARD] == 3 * gflop[EVAL]
    waits = {row.subject.kind: row.more["data_wait"] for row in results.rows}
    assert (waits[LOOP], waits[EVAL], waits[TRAIN]) == (0.25, 0.1 * 4.0, None)
    on_gpu = Machine(monkeypatch, seconds=1.0).run(8 * 60, device_name="NVIDIA L4")
    assert on_gpu.peak.source.startswith("0.08 TFLOP/s, measured")  # in float32 nothing is stated


def test_a_gpu_that_is_known_is_held_against_its_data_sheet(monkeypatch):
    results = Machine(monkeypatch, seconds=1.0).run(8 * 60, ON_GPU._replace(lengths=(8,), peers=False), "NVIDIA L4")
    assert results.peak == stated_peak("NVIDIA L4", "bfloat16")
    assert results.rows[0].more["utilisation"] == 80 / 121_000


def test_nothing_is_begun_when_the_time_is_up(monkeypatch):
    machine = Machine(monkeypatch, seconds=20.0)
    results = machine.run(60)
    # After 60 - 2 * 20 seconds there are 20 left, after the next part none.
    assert [(row.subject.kind, row.subject.way) for row in results.rows] == [
        (PRODUCT, "product"), (TRAIN, "eager"), (FORWARD, "eager"),
    ]  # fmt: skip
    assert {part.reason for part in results.not_measured} == {"the time was up"}
    assert len(results.parts) == 1 + len(gpu_subjects(SETTING))
    assert machine.now == 60


def test_no_part_takes_the_time_of_all_others(monkeypatch):
    machine = Machine(monkeypatch, seconds=1000.0)
    machine.run(8 * 60)
    assert machine.limits == [150.0, 150.0, 90.0, 45.0, 30.0, 15.0]


def test_a_part_that_fails_ends_no_other_one(monkeypatch):
    machine = Machine(monkeypatch, seconds=1.0, trouble={"compiled": "r3d_rs_tiny compiled cannot be measured: no C++"})
    results = machine.run(8 * 60)
    assert [part.subject.way for part in results.not_measured] == ["compiled"] * 4
    failed = next(row for row in machine.saved[-1]["rows"] if "error" in row)
    assert (failed["name"], failed["error"]) == ("r3d_rs_tiny compiled", "no C++")
    assert (failed["subject"]["kind"], failed["subject"]["videos"]) == (TRAIN, 0)


def test_without_a_product_there_is_no_utilisation(monkeypatch):
    results = Machine(monkeypatch, seconds=1.0, trouble={"product": "broken"}).run(8 * 60)
    assert results.peak is None
    assert gpu_lines(results) == ["not measured: limit, large matrix product, 2 x 4 x 32: broken"]
    assert not any("utilisation" in row.more for row in results.rows)


def test_where_memory_runs_out_half_of_the_clips_are_taken(monkeypatch):
    machine = Machine(monkeypatch, seconds=1.0, trouble={"eager": "OutOfMemoryError"})
    results = machine.run(8 * 60, SETTING._replace(batch=4, lengths=(4,)))
    assert results.not_measured == []
    tried = [batch for kind, way, batch in machine.asked if (kind, way) == (TRAIN, "eager")]
    assert tried == [4, 2, 1]
    assert "OutOfMemoryError; trying 2 clips at a time" in machine.told
    # The next ways of the same network begin with what there was memory for.
    assert next(batch for kind, way, batch in machine.asked if (kind, way) == (TRAIN, "compiled")) == 1


# ---- what is written


def row(kind, side, way, network, speed, gflop, frames=8, **more):
    subject = Subject(kind, side, way, 2, frames, 224, network=network)
    return Row(subject, speed, gflop, speed * gflop, 1000.4, 0.05, 3, more)


ROWS = [
    row(TRAIN, OURS, "eager", "net", 4.0, 40.0, utilisation=0.4),
    row(TRAIN, OURS, "compiled", "net", 5.0, 40.0, utilisation=0.5),
    row(LOOP, OURS, "our run", "net", 3.0, 40.0, utilisation=0.3, data_wait=0.125),
    row(TRAIN, PEER, "as shipped", "pytorchvideo slow_r50", 2.5, 64.0, utilisation=0.4),
]
LATE = NotMeasured(Subject(FORWARD, OURS, "eager", 2, 8, 224, network="net"), "the time was up")
RATIOS = {
    "train, 8 frames, GFLOP/s, net compiled / pytorchvideo slow_r50": 1.25,
    "train, 8 frames, clips/s, net compiled / pytorchvideo slow_r50": 2.0,
}
TABLE = """
       way                           clip  clips/s  GFLOP/s    MFU  data wait  peak MiB  spread
train  net eager              2 x 8 x 224        4      160  40.0%                 1000      5%
train  net compiled           2 x 8 x 224        5      200  50.0%                 1000      5%
loop   our run                2 x 8 x 224        3      120  30.0%      12.5%      1000      5%
train  pytorchvideo slow_r50  2 x 8 x 224      2.5      160  40.0%                 1000      5%

 1.250  train, 8 frames, GFLOP/s, net compiled / pytorchvideo slow_r50
 2.000  train, 8 frames, clips/s, net compiled / pytorchvideo slow_r50
MFU: of 0.4 TFLOP/s, as somebody says
not measured: model, net eager, 2 x 8 x 224: the time was up

Loom, 2 cores, BEADS, torch 2.0
"""
PAGE = f"""# Speed

{BEGIN}
Loom, 2 cores, BEADS, torch 2.0, cuDNN 9.24.0:

|  | way | clip | clips/s | GFLOP/s | MFU | data wait | peak MiB | spread |
| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
| train | net eager | 2 x 8 x 224 | 4 | 160 | 40.0% |  | 1000 | 5% |
| train | net compiled | 2 x 8 x 224 | 5 | 200 | 50.0% |  | 1000 | 5% |
| loop | our run | 2 x 8 x 224 | 3 | 120 | 30.0% | 12.5% | 1000 | 5% |
| train | pytorchvideo slow_r50 | 2 x 8 x 224 | 2.5 | 160 | 40.0% |  | 1000 | 5% |

- MFU: of 0.4 TFLOP/s, as somebody says
- not measured: model, net eager, 2 x 8 x 224: the time was up
- train, 8 frames, GFLOP/s, net compiled / pytorchvideo slow_r50: 1.25
- train, 8 frames, clips/s, net compiled / pytorchvideo slow_r50: 2.00
{END}

The end.
"""


def made_up():
    return Results(Peak(400.0, "0.4 TFLOP/s, as somebody says"), [*ROWS, LATE])


def test_the_table_to_the_letter():
    results = made_up()
    assert gpu_ratios(results.rows) == RATIOS
    text = table(results.rows, GPU_COLUMNS, RATIOS, gpu_lines(results), MACHINE)
    assert f"\n{text}\n" == TABLE


def test_the_page_to_the_letter(tmp_path):
    """Its place is written again and again; what stands around it stays."""
    page = tmp_path / "speed.md"
    page.write_text(f"# Speed\n\n{BEGIN}\nold\n{END}\n\nThe end.\n")
    for _ in range(2):
        write_page(page, made_up(), MACHINE)
        assert page.read_text() == PAGE


@pytest.mark.parametrize("text", ["", f"{BEGIN}\n", f"{END}\n{BEGIN}\n", f"{BEGIN}\n{END}\n{BEGIN}\n{END}\n", None])
def test_a_page_without_a_place_is_refused(tmp_path, text):
    page = tmp_path / "speed.md"
    if text is not None:
        page.write_text(text)
    assert refusal(require_place, page) == (
        f"--markdown {page}: the file has no place for the numbers; allowed: a text with the lines {BEGIN} and {END}, "
        "once each and in this order"
    )


# ---- the command

SMALL = ("--device", "cpu", "--network", "r3d_rs_tiny", "--frames", 2, "--size", 32, "--batch", 2, "--rounds", 1)


def test_from_the_command_line(tool, tmp_path, monkeypatch):
    """Two parts that are computed, and one that fails."""
    parts = ((TRAIN, "eager"), (FORWARD, "CUDA graphs"), (FORWARD, "plain"))
    monkeypatch.setattr(gpu_parts, "GROUPS", (parts,))
    monkeypatch.setattr(process, "Process", InThisProcess)

    def no_compiler(network, mode):
        raise InputError("no compiler")

    monkeypatch.setattr(torch, "compile", no_compiler)
    page, out = tmp_path / "speed.md", tmp_path / "new" / "gpu.json"
    page.write_text(f"{BEGIN}\n{END}\n")
    told = tool("benchmark", "gpu", *SMALL, "--minutes", 5, "--json", out, "--markdown", page)
    assert told.code == 0, told.err

    result = json.loads(out.read_text())
    assert [row["name"] for row in result["rows"]] == [
        "large matrix product", "r3d_rs_tiny eager", "r3d_rs_tiny plain", "r3d_rs_tiny CUDA graphs",
    ]  # fmt: skip
    assert [row.get("error") for row in result["rows"]] == [None, None, None, "no compiler"]
    product, eager, plain, _ = result["rows"]
    assert result["peak"]["gflops_per_s"] == product["gflops_per_s"]
    for computed in (eager, plain):
        assert computed["utilisation"] == computed["gflops_per_s"] / product["gflops_per_s"]
    assert (result["machine"]["gpu"], result["machine"]["cudnn"], result["ratios"]) == (None, None, {})
    late = "not measured: model, r3d_rs_tiny CUDA graphs, 2 x 2 x 32: no compiler"
    assert f"\n{late}\n" in told.out
    assert f"\n- {late}\n{END}\n" in page.read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), NO_CUDA),
        (("--device", "cpu", "--minutes", 0), "--minutes is 0; allowed: above 0"),
        (("--device", "cpu", "--minutes", "inf"), "--minutes is inf; allowed: above 0"),
        (("--device", "cpu", "--batch", 0), "--batch is 0; allowed: 1 or more"),
        (("--device", "cpu", "--frames", 8, 0), "--frames is 0; allowed: 1 or more"),
        (("--device", "cpu", "--network", "r3d_rs_51"), "r3d_rs_51"),
        (("--device", "cpu", "--list", "nowhere.csv"), "nowhere.csv"),
        (("--device", "cpu", "--json", __file__, "--markdown", __file__), "--json and --markdown are both"),
        (("--device", "cpu", "--markdown", __file__), f"--markdown {__file__}: the file has no place"),
    ],
)
def test_refusals_come_before_anything_starts(tool, pids, monkeypatch, options, message):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    told = tool("benchmark", "gpu", *options)
    assert (told.code, told.out, pids) == (2, "", [])
    assert told.err.count("\n") == 1
    assert message in told.err


def test_a_batch_is_never_empty():
    """Of clips twice as long there are half as many; every way of one length has the same clips."""
    odd = SETTING._replace(batch=1, lengths=(2, 8))
    assert {(s.batch, s.frames) for s in gpu_subjects(odd) if s.kind == TRAIN} == {(4, 2), (1, 8)}
