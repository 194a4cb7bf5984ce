"""The frontier of accuracy and cost: what is published, how it is measured, what comes out."""

import csv
import dataclasses
import json
import random
import shutil
import sys

import pytest
import torch
from torch import nn

from helpers.benchmarks import TINY, InThisProcess
from helpers.networks import refusal
from video_rs import list_models
from video_rs.benchmarks import process
from video_rs.benchmarks.measuring import Measurement
from video_rs.benchmarks.networks import PEERS, TwoPathways, forward_gflop, make_network
from video_rs.models.table import gmac
from video_rs.runtime.errors import InputError
from video_rs.studies.frontier import measuring
from video_rs.studies.frontier.dominance import Point, best_instead, frontier
from video_rs.studies.frontier.measured import Measured, View
from video_rs.studies.frontier.measuring import REFERENCE, Setting, groups_of, measure_views
from video_rs.studies.frontier.own_runs import distinct_names, read_runs
from video_rs.studies.frontier.published import chosen_networks, published_networks
from video_rs.studies.frontier.result import Frontier
from video_rs.studies.frontier.rows import published_row, view_of
from video_rs.studies.frontier.verdict import how_measured

SETTING = Setting("cpu", "float32", "eager", False, 2, 3, 4)
TABLE = {network.name: network for network in published_networks()}


# ---- what is published


def test_names_and_titles_are_one_networks():
    networks = published_networks()
    assert len(networks) >= 50
    for words in ("name", "title"):
        assert len({getattr(network, words) for network in networks}) == len(networks)
    for network in networks:
        assert 50 < network.top1 < 95
        assert network.gflops > 0
        assert network.total_views in (1, 4, 5, 10, 12, 15, 30)
        assert network.source


def test_ours_are_models_and_peers_are_functions_of_their_libraries():
    from pytorchvideo.models import hub
    from torchvision.models import video

    places = {"pytorchvideo": hub, "torchvision": video}
    can_be_measured = [network for network in published_networks() if network.library]
    assert len(can_be_measured) >= 25
    for network in can_be_measured:
        if network.library == "video_rs":
            assert network.maker in list_models()
        else:
            assert callable(getattr(places[network.library], network.maker))


def test_torchvisions_numbers_are_those_of_its_weights():
    from torchvision.models import get_model_weights

    rows = [network for network in published_networks() if network.library == "torchvision"]
    assert len(rows) == 9
    for row in rows:
        weights = get_model_weights(row.maker)["KINETICS400_V1"]
        assert row.top1 == pytest.approx(weights.meta["_metrics"]["Kinetics-400"]["acc@1"], abs=0.006)
        assert row.params_m == pytest.approx(weights.meta["num_params"] / 1e6, abs=0.006)
        assert row.size == weights.transforms.keywords["crop_size"][0]
        assert row.source == f"torchvision {weights}"
        if not row.is_counted:
            assert row.gflops == pytest.approx(weights.meta["_ops"], abs=0.006)
        # "... estimated on video-level with parameters frame_rate=15, clips_per_video=5, and clip_len=16"
        assert f"clips_per_video={row.views}`" in weights.meta["_docs"]
        assert f"clip_len={row.frames}`" in weights.meta["_docs"]


@pytest.mark.parametrize("name", ["r3d_rs_50", "s3d", "slow_r50", "slowfast_r50", "mvit_base_16x4"])
def test_gflops_are_multiply_adds_of_one_view(name):
    row = TABLE[name]
    counted = forward_gflop(row.network, row.frames, row.size) / 2
    # pytorchvideo's counter counts pooling and norms, too, by which it is up to two per cent above ours.
    assert row.gflops == pytest.approx(counted, abs=0.06 if row.is_counted else 0.02 * counted)


def test_networks_are_asked_for_by_name():
    networks = published_networks()
    assert [one.name for one in chosen_networks(["x3d_m", "r3d_rs_50"], networks)] == ["r3d_rs_50", "x3d_m"]
    assert len(chosen_networks([], networks)) == len([one for one in networks if one.library])
    assert refusal(chosen_networks, ["x3d_q"], networks) == "--networks has no 'x3d_q'; did you mean 'x3d_s'?"
    message = refusal(chosen_networks, ["?"], networks)
    assert message.startswith("--networks has no '?'; allowed: r3d_rs_50, r3d_rs_101, ")
    message = refusal(chosen_networks, ["hiera_b"], networks)
    why = "only its published numbers are here, and they are drawn without asking; allowed: r3d_rs_50, "
    assert message.startswith(f"hiera_b cannot be measured: {why}")


# ---- networks of two pathways


class Noting(nn.Module):
    def forward(self, pathways):
        return [clips[0, 0, :, 0, 0].tolist() for clips in pathways]


def test_the_slow_pathway_gets_every_fourth_frame():
    clips = torch.arange(32.0).reshape(1, 1, 32, 1, 1)
    slow, fast = TwoPathways(Noting(), 4)(clips)
    assert slow == [0, 4, 8, 13, 17, 22, 26, 31]  # as torch.linspace(0, 31, 8).long() has them
    assert fast == list(range(32))


def test_the_peers_of_benchmarks_stay_as_they_are():
    assert [*PEERS] == [
        *("pytorchvideo slow_r50", "pytorchvideo r2plus1d_r50", "pytorchvideo x3d_m"),
        *("torchvision r3d_18", "torchvision mvit_v2_s"),
    ]
    with torch.device("meta"):
        network = make_network("pytorchvideo slowfast_r50")
    assert isinstance(network, TwoPathways)


# ---- which points nothing beats


@pytest.mark.parametrize("seed", range(4))
def test_the_frontier_is_what_nothing_beats(seed):
    draw = random.Random(seed)
    points = [Point(str(i), draw.randint(1, 9), draw.randint(1, 9)) for i in range(25)]
    kept = frontier(points)
    costs = [point.cost for point in kept]
    assert costs == sorted(costs)
    for point in points:
        better = [
            other
            for other in points
            if (other.cost < point.cost and other.top1 >= point.top1)
            or (other.cost <= point.cost and other.top1 > point.top1)
        ]
        assert (point in kept) == (not better)
        instead = best_instead(point, points)
        assert (instead is None) == (not better)
        if better:
            assert instead.cost == min(other.cost for other in better)


def test_equal_points_are_both_on_the_frontier():
    points = [Point("a", 1.0, 60.0), Point("b", 1.0, 60.0), Point("c", 2.0, 60.0)]
    assert [point.name for point in frontier(points)] == ["a", "b"]
    assert frontier([]) == []


# ---- measuring


def view(name, **more):
    return View(name, False, name, 8, 112, **more)


@pytest.fixture
def machine(monkeypatch):
    """Fakes the benchmarks; ``machine.slowness`` is by how much the machine is slower in each group."""

    class Machine:
        def __init__(self):
            self.slowness = [1.0, 2.0, 1.0]
            self.measured = []

        def measure(self, subjects, rounds, report):
            names = [subject.network for subject in subjects]
            if "bad" in names:
                raise InputError("bad cannot be measured: no memory")
            self.measured.append(names)
            slow = self.slowness[len(self.measured) - 1]
            found = []
            for subject in subjects:
                # One clip takes two seconds, a batch of two takes three; the reference takes one.
                seconds = {1: 2.0, 2: 3.0}[subject.batch]
                if subject.network == REFERENCE.network:
                    seconds = 1.0
                found.append(Measurement(subject, {"seconds": [seconds * slow] * 3}, 7.0, {"peak_memory_mb": 9.0}))
            return found

    fake = Machine()
    monkeypatch.setattr(measuring, "measure", fake.measure)
    return fake


def test_groups_are_joined_by_the_reference(machine, tmp_path):
    views = [view(name) for name in ("a", "b", "c", "d", "e")]
    measured = Measured(tmp_path / "measured.json", {})
    assert measure_views(views, SETTING, measured, lambda line: None) == {}
    assert machine.measured == [["r3d_50", *"aabb"], ["r3d_50", *"ccdd"], ["r3d_50", *"ee"]]
    costs = measured.costs(views, 2)
    # The second group met a machine half as fast; the reference says so.
    assert [cost.seconds for cost in costs.values()] == pytest.approx([2.0] * 5)
    assert [cost.views_per_s for cost in costs.values()] == pytest.approx([2 / 3] * 5)
    assert (costs["a"].spread, costs["a"].peak_memory_mb) == (0.0, 9.0)


def test_what_is_measured_is_kept(machine, tmp_path):
    path = tmp_path / "measured.json"
    measure_views([view("a")], SETTING, Measured(path, {"engine": "eager"}), lambda line: None)
    again = Measured(path, {"engine": "eager"})
    changed = view("a", built_of="another network")
    assert [again.has(one) for one in (view("a"), changed)] == [True, False]
    lines = []
    measure_views([view("a"), view("b")], SETTING, again, lines.append)
    assert machine.measured == [["r3d_50", *"aa"], ["r3d_50", *"bb"]]
    assert lines == ["group 1 of 1, 1 network: b"]
    # The machine was half as fast for b as for a: 1.5 times as slow as in the middle of both.
    assert [cost.seconds for cost in again.costs([view("a"), view("b")], 2).values()] == pytest.approx([3.0, 3.0])
    before = path.read_text()
    other = Measured(path, {"engine": "openvino"})
    assert (other.dropped, other.has(view("a")), again.dropped) == (True, False, False)
    measure_views([view("a"), view("b")], SETTING, other, lines.append)
    assert (tmp_path / "measured_before.json").read_text() == before
    path.write_text('{"setting": {}, "groups": [{"views": [1]}]}')
    assert (
        refusal(Measured, path, {})
        == f"cannot read {path}: TypeError(\"argument of type 'int' is not iterable\"); remove it to measure anew"
    )
    path.write_text("{")
    message = refusal(Measured, path, {})
    assert message.startswith(f"cannot read {path}: JSONDecodeError(")
    assert message.endswith("; remove it to measure anew")


def test_one_that_cannot_be_measured_costs_no_other(machine, tmp_path):
    measured = Measured(tmp_path / "measured.json", {})
    lines = []
    views = [view("a"), view("bad"), view("b")]
    assert measure_views(views, SETTING, measured, lines.append) == {"bad": "bad cannot be measured: no memory"}
    assert [*measured.costs(views, 2)] == ["a", "b"]
    assert lines[1] == "bad cannot be measured: no memory; measuring this group one by one"


def test_with_a_batch_of_one_the_rate_is_that_of_one_view(machine, tmp_path):
    setting = dataclasses.replace(SETTING, batch=1)
    assert [len(group) for group in groups_of([view(str(i)) for i in range(6)], setting)] == [4, 2]
    measured = Measured(tmp_path / "measured.json", {})
    measure_views([view("a")], setting, measured, lambda line: None)
    assert machine.measured == [["r3d_50", "a"]]
    assert measured.costs([view("a")], 1)["a"].views_per_s == 0.5


@pytest.mark.parametrize(
    ("changes", "ours", "peer"),
    [
        ({}, ("accelerate", "eager"), ("as shipped", "")),
        ({"engine": "auto", "same_engine": True}, ("accelerate", "auto"), ("accelerate", "auto")),
        ({"precision": "bfloat16", "engine": "auto", "device": "cuda"}, ("compiled", ""), ("as shipped", "")),
        ({"precision": "bfloat16", "engine": "eager", "device": "cuda"}, ("eager", ""), ("as shipped", "")),
        ({"precision": "bfloat16", "engine": "auto"}, ("eager", ""), ("as shipped", "")),
    ],
)
def test_ours_run_by_an_engine_and_peers_as_shipped(changes, ours, peer):
    setting = dataclasses.replace(SETTING, **changes)
    of_ours, of_peer = (setting.subject(view_of(TABLE[name]), 1) for name in ("r3d_rs_200_48", "x3d_l"))
    assert ((of_ours.way, of_ours.engine), (of_peer.way, of_peer.engine)) == (ours, peer)
    assert (of_ours.side, of_ours.network, of_ours.frames, of_ours.size) == ("ours", "r3d_rs_200", 48, 256)
    assert (of_peer.side, of_peer.network, of_peer.frames, of_peer.size) == ("peer", "pytorchvideo x3d_l", 16, 356)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"engine": "auto"}, "in float32; ours by the engine auto, the others as their libraries ship them."),
        (
            {"precision": "bfloat16", "engine": "auto", "device": "cuda", "same_engine": True},
            "in bfloat16; ours compiled, the others by the same.",
        ),
        (
            {"precision": "bfloat16", "engine": "auto"},
            "in bfloat16; ours eager, the others as their libraries ship them.",
        ),
    ],
)
def test_the_page_says_how_ours_ran(changes, words, tmp_path):
    """accelerate, which has engines, computes in float32 alone."""
    setting = dataclasses.replace(SETTING, **changes)
    found = Frontier(tmp_path, [], False, 3, {"a": "no memory"}, setting, {"gpu": None, "processor": "P", "cores": 2})
    assert how_measured(found) == f"2 networks measured on P, 2 cores, {words}"


def test_a_video_costs_all_its_views():
    row = published_row(TABLE["r3d_rs_50"], None)
    assert (row.mark, row.video_seconds, row.total_views) == ("published", None, 30)
    assert row.video_gflops == pytest.approx(30 * 114.97)


# ---- the command, with processes that measure nothing


def table_of(folder):
    with (folder / "table.csv").open(newline="") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


@pytest.mark.xdist_group("processes")
def test_published_networks_from_the_command_line(tool, quick, tmp_path):
    out = tmp_path / "new" / "frontier"
    arguments = ("--out", out, "--networks", "r3d_rs_50", "slow_r50", "x3d_xs", "--device", "cpu", "--rounds", 1)
    done = tool("pareto", *arguments, "--engine", "eager")
    assert done.code == 0, done.err
    assert "group 1 of 2, 2 networks: r3d_rs_50, slow_r50\n" in done.err
    assert "3 networks measured on " in done.out
    assert "in float32; ours by the engine eager, the others as their libraries ship them.\n" in done.out
    # Each view takes half a second in these processes, and all three have thirty.
    by_time = "Frontier, trained on Kinetics-400 alone, by measured seconds of a whole video: "
    assert f"{by_time}R3D-RS-50 (78.2 %, 15.0 s).\n" in done.out
    by_work = "Frontier of all, by published GFLOPs of a whole video: MoViNet-A0 (69.4 %, 2.70 GFLOPs); MoViNet-A1 "
    assert by_work in done.out
    assert done.out.endswith(f"report: {out}/report.html\n")

    assert (out / "frontier.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert "<svg " in (out / "frontier.svg").read_text()
    page = (out / "report.html").read_text()
    assert "3 of 3 networks are measured" in page
    assert "github.com/facebookresearch/pytorchvideo docs/source/model_zoo.md" in page
    rows = table_of(out)
    assert rows.keys() == TABLE.keys()
    slow, mae, ours = rows["slow_r50"], rows["videomae_v2_s"], rows["r3d_rs_50"]
    assert [row["mark"] for row in (slow, mae, ours)] == ["both", "published", "both"]
    assert [slow[key] for key in ("seconds_per_view", "seconds_per_video", "views_per_s", "batch")] == [
        *("0.5", "15.0", "4.0", "2")
    ]
    assert (slow["passed_by"], ours["frontier_by_seconds"], mae["frontier_by_gflops"]) == ("r3d_rs_50", "yes", "yes")
    assert (mae["seconds_per_video"], mae["other_data"]) == ("", "UnlabeledHybrid and K710")
    assert json.loads((out / "measured.json").read_text())["setting"]["engine"] == "eager"


@pytest.mark.xdist_group("processes")
def test_the_same_command_measures_what_is_left(tool, quick, pids, tmp_path, blank_charts):
    arguments = ("--out", tmp_path, "--device", "cpu", "--rounds", 1, "--batch", 1)
    assert tool("pareto", *arguments, "--networks", "x3d_xs").code == 0
    assert len(pids) == 2
    more = tool("pareto", *arguments, "--networks", "x3d_xs", "x3d_s")
    assert "1 network of 2 measured before; remove measured.json to measure anew\n" in more.err
    assert len(pids) == 4
    other = tool("pareto", *arguments, "--networks", "x3d_xs", "--engine", "eager")
    said = f"{tmp_path}/measured.json is of another machine or setting: all is measured anew, and it is "
    said += "kept as measured_before.json\n"
    assert said in other.err
    assert len(pids) == 6
    (tmp_path / "measured.json").unlink()
    foreign = tool("pareto", *arguments, "--networks", "x3d_xs")
    assert foreign.err == (
        f"error: --out {tmp_path} has a table.csv of something else, which would be replaced; take another folder\n"
    )


REFUSALS = [
    (("--networks", "x3d_q"), "--networks has no 'x3d_q'; did you mean 'x3d_s'?"),
    (("--rounds", 0), "--rounds is 0; allowed: 1 or more"),
    (("--at-once", 0), "--at-once is 0; allowed: 1 or more"),
    (("--batch", -1), "--batch is -1; allowed: 1 or more"),
    (("--list", "list.csv"), "--list is what --runs are tested on; give --runs, or leave it out"),
    (
        ("--networks", "x3d_m", "--runs", "runs/a"),
        "give --networks or --runs: published networks and own runs have no accuracy in common",
    ),
    (
        ("--engine", "tensorrt", "--precision", "bfloat16"),
        "--engine is 'tensorrt'; allowed on cpu in bfloat16, and installed: auto, eager, compile",
    ),
]


@pytest.mark.parametrize(("options", "message"), REFUSALS)
def test_refusals_come_before_anything_starts(tool, pids, tmp_path, options, message):
    told = tool("pareto", "--out", tmp_path, "--device", "cpu", *options)
    assert (told.code, told.out, told.err, pids) == (2, "", f"error: {message}\n", [])


def test_without_pytorchvideo_others_can_be_measured(tool, pids, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorchvideo", None)
    told = tool("pareto", "--out", tmp_path, "--device", "cpu", "--networks", "r3d_18", "x3d_s", "slow_r50")
    message = (
        "pytorchvideo is not installed, and slow_r50, x3d_s are of it; pip install pytorchvideo, or name other "
        "networks with --networks"
    )
    assert (told.code, told.err, pids) == (2, f"error: {message}\n", [])


def test_where_nothing_can_be_measured_nothing_is_drawn(tool, monkeypatch, tmp_path):
    def fail(*_):
        raise InputError("X3D-S cannot be measured: no memory")

    monkeypatch.setattr(measuring, "measure", fail)
    told = tool("pareto", "--out", tmp_path, "--device", "cpu", "--networks", "x3d_s")
    assert told.code == 2
    why = "none of 1 network could be measured; x3d_s: X3D-S cannot be measured: no memory"
    assert told.err.splitlines()[-1] == f"error: {why}"
    assert [path.name for path in tmp_path.iterdir()] == []


# ---- one's own runs


@pytest.fixture
def run(trained, tmp_path):
    """A copy of a trained run that has not been tested."""
    folder = tmp_path / "runs" / "mine"
    shutil.copytree(trained, folder, ignore=shutil.ignore_patterns("test*", "knn*"))
    return folder


def test_own_runs_from_the_command_line(tool, run, videos, tmp_path, monkeypatch):
    monkeypatch.setattr(process, "Process", InThisProcess)
    monkeypatch.setattr(measuring, "REFERENCE", TINY)
    other = run.with_name("other")
    shutil.copytree(run, other)
    out = tmp_path / "out"
    options = ("--device", "cpu", "--engine", "eager", "--rounds", 1, "--batch", 1)
    done = tool("pareto", "--out", out, "--runs", run, other, "--list", videos, *options)
    assert done.code == 0, done.err
    assert "group 1 of 1, 1 network: mine\n" in done.err  # both runs are of one network
    assert "2 runs measured on " in done.out
    rows = table_of(out)
    assert [*rows] == ["mine", "other"]
    metrics = json.loads((run / "test" / "metrics.json").read_text())
    for row in rows.values():
        assert (row["mark"], float(row["top1"])) == ("measured", 100 * metrics["top1"])
        # Two clips and three crops of 4 x 32 x 32, as the run is tested.
        assert [row[key] for key in ("frames", "size", "views", "crops", "videos")] == [
            *("4", "32", str(metrics["clips"]), str(metrics["crops"]), "4")
        ]
        views = metrics["clips"] * metrics["crops"]
        assert float(row["seconds_per_video"]) == pytest.approx(views * float(row["seconds_per_view"]))
        assert float(row["seconds_per_view"]) > 0
        assert row["frontier_by_seconds"] == "yes"
    assert "2 of 2 runs are measured" in (out / "report.html").read_text()
    assert "Published" not in (out / "report.html").read_text()


def test_the_work_of_a_run_is_that_of_its_views(run, videos, monkeypatch):
    monkeypatch.setattr("video_rs.studies.frontier.own_runs.run_test", lambda *_: {"clips": 2, "crops": 3, "top1": 0.5})
    (found,) = read_runs([str(run), f"{run}/"], "list.csv")
    with torch.device("meta"):
        from video_rs import create_model

        model = create_model("r3d_rs_tiny", 2, width=0.125)
    assert (found.name, found.total_views, found.top1) == ("mine", 6, 50.0)
    assert found.gmac == pytest.approx(gmac(model, 4, 32))
    assert found.parameters == sum(weight.numel() for weight in model.parameters())
    assert (found.view.frames, found.view.size, found.view.is_ours) == (4, 32, True)


def test_runs_that_cannot_be_compared_are_refused(run, tmp_path):
    other = run.with_name("other")
    shutil.copytree(run, other)
    message = refusal(read_runs, [str(run)])
    assert message == (
        f"{run} has not been tested: run video-rs test --checkpoint {run}, or name a list for all runs with --list"
    )
    for folder, path in ((run, "/a.csv"), (other, "/b.csv")):
        (folder / "test").mkdir()
        metrics = {"top1": 0.5, "clips": 2, "crops": 3, "list": path, "views": "published"}
        (folder / "test" / "metrics.json").write_text(json.dumps(metrics))
    message = refusal(read_runs, [str(run), str(other)])
    assert message == "mine was tested on /a.csv, and other on /b.csv; name one list for all runs with --list"
    (run / "test" / "metrics.json").write_text(json.dumps({**metrics, "views": "dense"}))
    assert refusal(read_runs, [str(run)]) == (
        f"{run} was tested with TEST.VIEWS dense, whose cost is no number of clips and crops; test it again: video-rs "
        f"test --checkpoint {run} TEST.VIEWS published"
    )
    (run / "test" / "metrics.json").write_text("{}")
    message = refusal(read_runs, [str(run)])
    assert message.startswith(f"cannot read {run}/test/metrics.json: KeyError(")
    assert message.endswith(f"; test the run again: video-rs test --checkpoint {run}")
    message = refusal(read_runs, [str(tmp_path / "nothing")])
    assert message == f"no checkpoint at {tmp_path}/nothing; train first, or give the path of a .pth file"
    (tmp_path / "empty").mkdir()
    message = refusal(read_runs, [str(run), str(tmp_path / "empty")])
    assert message.startswith(f"folder {tmp_path}/empty holds no checkpoint (checkpoints/last.pth); train first")


def test_names_of_runs_are_as_short_as_they_can_be(tmp_path):
    assert distinct_names([tmp_path / "a", tmp_path / "b"]) == ["a", "b"]
    assert distinct_names([tmp_path / "x" / "a", tmp_path / "y" / "a"]) == ["x/a", "y/a"]
    other = tmp_path / "other"
    assert refusal(distinct_names, [other, tmp_path, tmp_path]) == f"{tmp_path} is given twice; name each run once"
