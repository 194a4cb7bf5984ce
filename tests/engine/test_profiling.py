"""TRAIN.PROFILE_STEPS on real files: what a trace holds, that it changes nothing, and what a short run leaves."""

import contextlib
import io
import itertools
import json
import re
from collections import Counter
from dataclasses import replace

import pytest
import torch

from helpers.calls import Calls
from helpers.charts import blank_charts
from helpers.runs import tiny_run
from helpers.training import make_batch, make_plan, make_step, plain_network, run_fit
from video_rs.config import load_config
from video_rs.engine.checkpoint import load_checkpoint
from video_rs.engine.profiling import SKIPPED, StepProfiler
from video_rs.runs.train import run_training

# One after the other: what is profiled once would be profiled by both workers.
pytestmark = [pytest.mark.xdist_group("profiling"), pytest.mark.usefixtures("blank_charts")]

RANGES = ("data wait", "forward", "backward", "optimizer")


def events(folder):
    """Events of the trace that have a beginning and a duration, by name."""
    trace = json.loads((folder / "trace_rank0.json").read_text())
    named = {}
    for event in trace["traceEvents"]:
        if event.get("ph") == "X" and event.get("cat") != "gpu_user_annotation":
            named.setdefault(event["name"], []).append(event)
    return named


def steps_of(named):
    """Names of the traced steps, in order."""
    return sorted((name for name in named if name.startswith("ProfilerStep#")), key=lambda name: int(name[13:]))


def assert_within(named, counts):
    """Each of the ranges lies in a step, so many times in every one (the trace's microseconds have fractions)."""
    for name in steps_of(named):
        assert len(named[name]) == 1
        step, found = named[name][0], Counter()
        for part in RANGES:
            for event in named[part]:
                begins_in = step["ts"] <= event["ts"] <= step["ts"] + step["dur"]
                found[part] += begins_in
                assert not begins_in or event["ts"] + event["dur"] <= step["ts"] + step["dur"] + 1
        assert found == counts


@pytest.fixture(scope="module")
def profiled(videos, config_file, tmp_path_factory):
    """A run of seven steps without profile, and the same with one of two steps: (folders, what each printed)."""
    folder, printed = tmp_path_factory.mktemp("profiled"), []
    for name, steps in (("plain", 0), ("traced", 2)):
        keys = {"SOLVER__MAX_STEPS": 7, "TRAIN__ACCUMULATION_STEPS": 2, "TRAIN__PROFILE_STEPS": steps}
        varied = {"MODEL__DROPOUT": 0.3, "AUG__RAND_AUGMENT_LAYERS": 2, "AUG__MIXUP_ALPHA": 0.2}
        with contextlib.redirect_stdout(io.StringIO()) as out, blank_charts():
            run_training(load_config(config_file, tiny_run(videos, folder / name, **keys, **varied)))
        printed.append(out.getvalue())
    return folder / "plain", folder / "traced", *printed


def test_a_trace_has_the_steps_asked_for_and_what_they_did(profiled):
    named = events(profiled[1] / "profile")
    assert steps_of(named) == ["ProfilerStep#3", "ProfilerStep#4"]
    assert_within(named, {"data wait": 1, "forward": 2, "backward": 2, "optimizer": 1})
    assert sorted(path.name for path in (profiled[1] / "profile").iterdir()) == ["table.txt", "trace_rank0.json"]


def test_the_table_has_the_operators_by_their_own_time(profiled):
    lines = (profiled[1] / "profile" / "table.txt").read_text().splitlines()
    rules = [i for i, line in enumerate(lines) if line.startswith("-----")]
    rows = lines[rules[1] + 1 : rules[2]]
    assert len(rows) == 30
    assert any("convolution_backward" in row for row in rows)
    assert any(re.search(r"aten::\w*convolution ", row) for row in rows)
    shares = [float(re.search(r"([\d.]+)%", row)[1]) for row in rows]
    assert shares == sorted(shares, reverse=True)


def test_one_line_says_where(profiled):
    plain, traced, silent, said = profiled
    where = traced / "profile"
    assert [line for line in said.splitlines() if "trace_rank0.json" in line] == [
        f"steps traced: 2 of 2, in {where}/trace_rank0.json (open it in ui.perfetto.dev); operators by their own time: "
        f"{where}/table.txt"
    ]
    assert len(said.splitlines()) == len(silent.splitlines()) + 1
    assert not (plain / "profile").exists()


def test_profiling_changes_no_bit(profiled):
    plain, traced = (load_checkpoint(folder / "checkpoints" / "last.pth") for folder in profiled[:2])
    assert plain["step"] == traced["step"] == 7
    for part in ("model", "ema"):
        assert plain[part].keys() == traced[part].keys()
        assert all(torch.equal(value, traced[part][key]) for key, value in plain[part].items())


@pytest.mark.parametrize(
    ("total", "asked", "traced"), [(8, 2, [3, 4]), (5, 2, [3, 4]), (5, 9, [3, 4]), (4, 2, [3]), (3, 2, []), (1, 2, [])]
)
def test_runs_that_are_long_enough_and_too_short(tmp_path, total, asked, traced):
    said = []
    profiler = StepProfiler(asked, tmp_path / "profile", torch.device("cpu"), said.append)
    plan = make_plan(total_steps=total, batch_size=2, num_samples=400)
    hooks = replace(Calls().hooks(), begin_step=profiler.begin_step)
    batches = (make_batch(seed, 2) for seed in itertools.count())
    with torch.random.fork_rng(devices=[]):
        run_fit(make_step(plain_network()), batches, plan, hooks)
    profiler.close()
    profiler.close()
    if not traced:
        assert said == [f"nothing is traced: the first 3 steps are left out, and no more than {total} were run"]
        assert not (tmp_path / "profile").exists()
        return
    named = events(tmp_path / "profile")
    assert steps_of(named) == [f"ProfilerStep#{number}" for number in traced]
    assert_within(named, dict.fromkeys(RANGES, 1))
    assert [line.split(",")[0] for line in said] == [f"steps traced: {len(traced)} of {asked}"]


def test_a_finished_trace_is_left_alone(tmp_path):
    said = []
    profiler = StepProfiler(1, tmp_path, torch.device("cpu"), said.append)
    for _ in range(SKIPPED + 2):
        profiler.begin_step()
        torch.ones(3).sum()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(before) == {"trace_rank0.json", "table.txt"}
    for _ in range(10):
        profiler.begin_step()
    profiler.close()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert len(said) == 1


def test_a_resumed_run_may_trace_and_overwrite_removes_the_trace(tool, videos, config_file, tmp_path):
    run = tmp_path / "run"
    keys = {"SOLVER__MAX_STEPS": 5, "TRAIN__EVAL_PERIOD": 9}
    stopped = tiny_run(videos, run, **{**keys, "SOLVER__MAX_STEPS": 1})
    assert tool("train_net", "--cfg", config_file, *stopped).code == 0
    longer = tiny_run(videos, run, **keys)
    resume = ["train_net", "--cfg", config_file, "--resume", "--allow-changes"]
    traced = tool(*resume, *longer, "TRAIN.PROFILE_STEPS", 2)
    assert traced.code == 0, traced.err
    # Four steps are left, of which the first three are left out.
    assert steps_of(events(run / "profile")) == ["ProfilerStep#3"]
    assert f"steps traced: 1 of 2, in {run}/profile/trace_rank0.json" in traced.out
    # Another number of steps to trace is no change of the run.
    finished = tool("train_net", "--cfg", config_file, "--resume", *longer, "TRAIN.PROFILE_STEPS", 7)
    assert finished.code == 0, finished.err
    assert "is finished: 5 steps; nothing to do" in finished.out
    replaced = tool("train_net", "--cfg", config_file, "--overwrite", *stopped)
    assert replaced.code == 0, replaced.err
    assert not (run / "profile").exists()


def test_a_trace_that_cannot_be_written_costs_no_run(tool, videos, config_file, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/profile").write_text("not a folder")
    keys = {"SOLVER__MAX_STEPS": 6, "TRAIN__PROFILE_STEPS": 1}
    result = tool("train_net", "--cfg", config_file, *tiny_run(videos, tmp_path / "run", **keys))
    assert result.code == 0
    assert f"there is no trace in {tmp_path}/run/profile: [Errno 17] File exists" in result.out
    assert load_checkpoint(tmp_path / "run/checkpoints/last.pth")["step"] == 6
