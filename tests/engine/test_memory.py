"""What a step takes of the memory, how much there is, and what is done where it is not enough."""

import shutil
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from helpers.runs import tiny_run
from helpers.training import assert_same, make_batch, make_plan, make_step, norm_network
from video_rs.config import Config, load_config
from video_rs.engine.checkpoint import load_checkpoint, save_checkpoint
from video_rs.engine.memory import StepMemory, available_memory, free_memory, measure_step, probe
from video_rs.engine.schedule import Plan
from video_rs.engine.step import Step
from video_rs.reports import read_log
from video_rs.runs import memory
from video_rs.runs.memory import divisions, fit_into_memory
from video_rs.runtime.errors import InputError

pytestmark = pytest.mark.usefixtures("blank_charts")

MIB = 2**20


def test_a_probe_changes_nothing():
    trainer, untouched = make_step(norm_network()), make_step(norm_network())
    for step in range(3):
        probe(trainer, make_batch(9, 2).clips)
        assert all(parameter.grad is None for parameter in trainer.model.parameters())
        assert_same(trainer.model.state_dict(), untouched.model.state_dict())
        for one in (trainer, untouched):
            one.model.train()
            one([make_batch(step, 4)])
    assert_same(trainer.model.state_dict(), untouched.model.state_dict())
    assert_same(trainer.average.state_dict(), untouched.average.state_dict())


def large_network():
    """Maps of 16 MiB a clip of 8 x 64 x 64."""
    return nn.Sequential(
        nn.Conv3d(3, 128, 1), nn.ReLU(), nn.Conv3d(128, 128, 1), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten()
    )


def test_the_memory_of_a_clip_is_measured():
    """Against what autograd says that it keeps for the backward pass, to which more comes."""
    trainer = make_step(large_network())
    clips = torch.zeros(4, 3, 8, 64, 64, dtype=torch.uint8)
    kept = {}
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.update({t.data_ptr(): t.nbytes}) or t, lambda t: t):
        trainer.model(clips.float())
    saved = sum(kept.values()) / 4
    assert saved > 32 * MIB
    step = measure_step(trainer, clips)
    assert saved < step.per_clip < 4 * saved  # gradients and reordered copies beside them
    # Gradients, momentum and a checkpoint's copy: model, average and momentum.
    weights = sum(p.nbytes for p in trainer.model.parameters())
    assert step.fixed == 5 * weights


def test_what_is_there_already_is_not_counted_again():
    trainer = make_step(norm_network())
    clips = torch.zeros(2, 3, 2, 6, 6, dtype=torch.uint8)
    before = measure_step(trainer, clips).fixed
    trainer([make_batch(0, 4)])
    weights = sum(p.nbytes for p in trainer.model.parameters())
    assert measure_step(trainer, clips).fixed == before - weights


def test_needed_memory_has_a_tenth_of_reserve():
    assert StepMemory(1000, 200).needed(5) == 2200


@pytest.mark.parametrize("free", [0, 1099, 1100, 1319, 1320, 2640, 10**7])
def test_most_clips(free):
    step = StepMemory(1000, 200)
    expected = max([n for n in range(1, 50000) if 1.1 * (1000 + 200 * n) <= free], default=0)
    assert step.most_clips(free) == expected


def test_divisions():
    assert divisions(load_config("", {"TRAIN.BATCH_SIZE": "12"})) == [1, 2, 3, 4, 6, 12]
    assert divisions(load_config("", {"TRAIN.BATCH_SIZE": "12", "DATA.CLIPS_PER_VIDEO": "2"})) == [1, 2, 3, 6]
    assert divisions(load_config("", {"TRAIN.BATCH_SIZE": "12", "AUG.CUTMIX_ALPHA": "1"})) == [1, 2, 3, 4, 6]


def write(root, path, text):
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


MACHINE = 4096000  # bytes


@pytest.fixture
def machine(monkeypatch):
    """A machine with 4 MB left."""
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=MACHINE))


@pytest.mark.usefixtures("machine")
def test_available_memory_without_control_groups(tmp_path):
    assert available_memory(tmp_path) == MACHINE


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("folder", ["sys/fs/cgroup/job/step", "sys/fs/cgroup/job", "sys/fs/cgroup"])
def test_a_control_group_leaves_less(tmp_path, folder):
    """Of the process itself, of one above it, and as seen from inside of a container."""
    write(tmp_path, "proc/self/cgroup", "0::/job/step\n")
    write(tmp_path, f"{folder}/memory.max", "1000000\n")
    write(tmp_path, f"{folder}/memory.current", "700000\n")
    write(tmp_path, f"{folder}/memory.stat", "anon 1\nactive_file 7\ninactive_file 50000\n")
    assert available_memory(tmp_path) == 350000
    write(tmp_path, f"{folder}/memory.max", "max\n")
    assert available_memory(tmp_path) == MACHINE


@pytest.mark.usefixtures("machine")
def test_a_control_group_of_version_1(tmp_path):
    write(tmp_path, "proc/self/cgroup", "9:cpu:/\n4:memory:/box\n0::/\n")
    write(tmp_path, "sys/fs/cgroup/memory/box/memory.limit_in_bytes", "500000\n")
    write(tmp_path, "sys/fs/cgroup/memory/box/memory.usage_in_bytes", "600000\n")
    write(tmp_path, "sys/fs/cgroup/memory/box/memory.stat", "total_inactive_file 0\n")
    assert available_memory(tmp_path) == 0


def test_processes_of_a_machine_share_its_memory(monkeypatch):
    monkeypatch.setattr("video_rs.engine.memory.available_memory", lambda: 900)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert free_memory(torch.device("cpu")) == 900
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert free_memory(torch.device("cpu")) == 225


@dataclass(frozen=True)
class Asked:
    """What of a training its memory depends on."""

    config: Config
    step: Step
    plan: Plan
    teacher: Any = None

    def with_micro_batches(self, count):
        return replace(self, plan=replace(self.plan, micro_batches=count))


def fitted(config):
    """The number of micro-batches that a new run takes."""
    training = Asked(config, make_step(norm_network()), make_plan())
    return fit_into_memory(training, is_resumed=False, may_change=True).plan.micro_batches


GREEDY = StepMemory(0, 2**30)


def with_memory(monkeypatch, free, step=GREEDY):
    """A step that takes 1.1 GiB a clip, and ``free`` bytes for it."""
    monkeypatch.setattr(memory, "measure_step", lambda *_: step)
    monkeypatch.setattr(memory, "free_memory", lambda _: free)


NOTHING_BUT = "(nothing but batch norm and mixing see the difference)"
ELSE = (
    "set TRAIN.ACTIVATION_CHECKPOINTING 5, or set TRAIN.PRECISION bfloat16, or lower DATA.TRAIN_CROP_SIZE or "
    "DATA.NUM_FRAMES"
)


def test_a_step_that_would_be_killed_is_refused_before_it_is_tried(tool, videos, config_file, tmp_path, monkeypatch):
    with_memory(monkeypatch, free=int(2.5 * 2**30))
    result = tool("train_net", "--cfg", config_file, *tiny_run(videos, tmp_path / "run"))
    assert result.code == 2
    assert result.err.strip().splitlines()[-1] == (
        "error: not enough memory for a step on 4 clips of 4 x 32 x 32 at a time (about 4.4 GiB needed, as 2 of them "
        f"tell, and 2.5 GiB free); raise TRAIN.ACCUMULATION_STEPS to 2 {NOTHING_BUT}, or {ELSE}"
    )
    assert not (tmp_path / "run").exists()


def test_auto_batch_is_a_run_with_that_accumulation_and_stays_so(tool, videos, config_file, tmp_path, monkeypatch):
    keys = {"SOLVER__MAX_STEPS": 3, "TRAIN__CHECKPOINT_STEPS": 1}
    plain = tiny_run(videos, tmp_path / "plain", TRAIN__ACCUMULATION_STEPS=2, **keys)
    assert tool("train_net", "--cfg", config_file, *plain).code == 0

    with_memory(monkeypatch, free=int(2.5 * 2**30))
    auto = tiny_run(videos, tmp_path / "auto", TRAIN__AUTO_BATCH="true", **keys)
    result = tool("train_net", "--cfg", config_file, *auto)
    assert result.code == 0
    assert (
        "TRAIN.AUTO_BATCH: 2 micro-batches of 2 clips a step, for 2.5 GiB of free memory; nothing but batch norm and "
        "mixing see the batch in parts\n" in result.out
    )
    states = [load_checkpoint(tmp_path / name / "checkpoints/last.pth") for name in ("plain", "auto")]
    assert_same(*(state["model"] for state in states))
    assert load_config(tmp_path / "auto/config.yaml").TRAIN.ACCUMULATION_STEPS == 2

    # More memory now, but the run goes on as it began.
    with_memory(monkeypatch, free=2**40)
    longer = [*auto, "SOLVER.MAX_STEPS", "5"]
    result = tool("train_net", "--cfg", config_file, "--resume", "--allow-changes", *longer)
    assert result.code == 0
    assert "TRAIN.AUTO_BATCH: 2 clips at a time fit into 1024.0 GiB of free memory\n" in result.out
    plain = [*plain, "SOLVER.MAX_STEPS", "5"]
    assert tool("train_net", "--cfg", config_file, "--resume", "--allow-changes", *plain).code == 0
    states = [load_checkpoint(tmp_path / name / "checkpoints/last.pth") for name in ("plain", "auto")]
    assert [state["step"] for state in states] == [5, 5]
    assert_same(*(state["model"] for state in states))


def test_a_resumed_run_with_less_memory_asks_before_it_changes(
    tool, trained, videos, config_file, tmp_path, monkeypatch
):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    config = load_config(run / "config.yaml")
    arguments = tiny_run(videos, run, SOLVER__MAX_STEPS=6)
    resume = ("train_net", "--cfg", config_file, "--resume")
    with_memory(monkeypatch, free=int(2.5 * 2**30))
    changed = tool(*resume, *tiny_run(videos, run), "TRAIN.LOG_PERIOD", 1)
    assert changed.code == 0  # it is finished: nothing to do

    state = load_checkpoint(run / "checkpoints/last.pth")
    longer = load_config("", dict(zip(arguments[::2], arguments[1::2], strict=True)))
    save_checkpoint(run / "checkpoints/last.pth", {**state, "config": longer.dump()})
    plain = tool(*resume, *arguments)
    assert plain.code == 2
    assert plain.err.strip().endswith(f"raise TRAIN.ACCUMULATION_STEPS to 2 {NOTHING_BUT}, or {ELSE}")
    auto = tool(*resume, *arguments, "TRAIN.AUTO_BATCH", "true")
    assert (auto.code, auto.err) == (
        2,
        "error: this run was trained with 1 micro-batches a step, for which there is too little memory now (2.5 GiB "
        "free); free some, or add --allow-changes to go on with 2\n",
    )
    # It has shown that its steps fit, so the tenth of reserve is not asked of it again.
    with_memory(monkeypatch, free=4 * 2**30)
    assert tool(*resume, *arguments, *AUTO, "SOLVER.MAX_STEPS", 6).code == 0
    save_checkpoint(run / "checkpoints/last.pth", {**state, "config": longer.dump()})
    with_memory(monkeypatch, free=int(2.5 * 2**30))
    done = tool(*resume, "--allow-changes", *arguments, "TRAIN.AUTO_BATCH", "true")
    assert done.code == 0
    assert "TRAIN.AUTO_BATCH: 2 micro-batches of 2 clips a step" in done.out
    resumed = [record for record in read_log(run / "log.jsonl") if record.get("event") == "resumed"]
    assert resumed[-1]["changes"] == ["TRAIN.ACCUMULATION_STEPS: 1 -> 2"]
    assert load_config(run / "config.yaml").TRAIN.ACCUMULATION_STEPS == 2
    assert load_checkpoint(run / "checkpoints/last.pth")["step"] == 6
    # More of them than the run had can also be asked for.
    more = tool(*resume, "--allow-changes", *arguments, *AUTO, "TRAIN.ACCUMULATION_STEPS", 4, "SOLVER.MAX_STEPS", 7)
    assert more.code == 0
    assert load_config(run / "config.yaml").TRAIN.ACCUMULATION_STEPS == 4
    assert config.TRAIN.ACCUMULATION_STEPS == 1


AUTO = ("TRAIN.AUTO_BATCH", "true")


def test_auto_batch_that_nothing_fits(tool, videos, config_file, tmp_path, monkeypatch):
    with_memory(monkeypatch, free=2**30)
    arguments = tiny_run(videos, tmp_path / "run", TRAIN__AUTO_BATCH="true")
    result = tool("train_net", "--cfg", config_file, *arguments)
    assert result.code == 2
    assert f"and 1.0 GiB free); {ELSE}" in result.err
    one = tool("train_net", "--cfg", config_file, *arguments, "TRAIN.BATCH_SIZE", 1)
    assert one.err.strip().splitlines()[-1] == (
        "error: not enough memory for a step on 1 clip of 4 x 32 x 32 at a time (about 1.1 GiB needed, as 1 of them "
        f"tell, and 1.0 GiB free); {ELSE}"
    )


def test_auto_batch_where_memory_cannot_be_measured(tool, videos, config_file, tmp_path, monkeypatch):
    with_memory(monkeypatch, free=None, step=None)
    arguments = tiny_run(videos, tmp_path / "run")
    assert tool("train_net", "--cfg", config_file, *arguments).code == 0
    result = tool("train_net", "--cfg", config_file, "--overwrite", *arguments, "TRAIN.AUTO_BATCH", "true")
    assert result.code == 2
    assert result.err.strip().splitlines()[-1] == (
        "error: TRAIN.AUTO_BATCH needs CUDA, or a CPU under Linux, to know the memory, not cpu; set "
        "TRAIN.ACCUMULATION_STEPS by hand"
    )


def test_a_trial_that_takes_long_is_announced(monkeypatch, capsys):
    with_memory(monkeypatch, free=2**40)
    for size, said in ((100, ""), (224, "trying whether a step fits into memory\n")):
        config = load_config("", {"DATA.TRAIN_CROP_SIZE": size, "TRAIN.BATCH_SIZE": 1})
        assert fitted(config) == 1
        assert capsys.readouterr().out == said


def test_a_resumed_run_of_another_batch_takes_what_divides_it(tool, videos, config_file, tmp_path):
    keys = {"SOLVER__MAX_STEPS": 1, "TRAIN__ACCUMULATION_STEPS": 4}
    assert tool("train_net", "--cfg", config_file, *tiny_run(videos, tmp_path / "run", **keys)).code == 0
    other = tiny_run(videos, tmp_path / "run", SOLVER__MAX_STEPS=2, TRAIN__BATCH_SIZE=6, TRAIN__AUTO_BATCH="true")
    result = tool("train_net", "--cfg", config_file, "--resume", "--allow-changes", *other)
    assert result.code == 0, result.err
    assert "TRAIN.ACCUMULATION_STEPS: 4 -> 6; TRAIN.BATCH_SIZE: 4 -> 6" in result.out or (
        "TRAIN.BATCH_SIZE: 4 -> 6; TRAIN.ACCUMULATION_STEPS: 4 -> 6" in result.out
    )


def test_no_memory_for_the_probe_itself(tool, videos, config_file, tmp_path, monkeypatch):
    def fails(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has ...")

    monkeypatch.setattr(memory, "measure_step", fails)
    precision = {"TRAIN__PRECISION": "float32", "TRAIN__ACTIVATION_CHECKPOINTING": 5}
    result = tool("train_net", "--cfg", config_file, *tiny_run(videos, tmp_path / "run", **precision))
    assert result.code == 2
    assert result.err.strip().splitlines()[-1] == (
        "error: not enough memory for a step on 4 clips of 4 x 32 x 32 at a time (CUDA out of memory. Tried to "
        "allocate 20.00 GiB); raise TRAIN.ACCUMULATION_STEPS (TRAIN.AUTO_BATCH true finds how far; nothing but batch "
        "norm and mixing see the difference), or set TRAIN.PRECISION bfloat16, or lower DATA.TRAIN_CROP_SIZE or "
        "DATA.NUM_FRAMES"
    )


def test_a_teachers_answers_are_part_of_the_trial():
    config = load_config("", {"TRAIN.BATCH_SIZE": "4", "DATA.NUM_FRAMES": "4", "DATA.TRAIN_CROP_SIZE": "16"})
    counts = []
    teacher = SimpleNamespace(answer_black_clips=counts.append)
    training = Asked(config, make_step(norm_network()), make_plan(), teacher)
    assert fit_into_memory(training, is_resumed=False, may_change=True) is training
    assert counts == [2]


@pytest.mark.parametrize("other", [None, "no memory", (1, 20, 10), (4, 20, 30)])
def test_processes_agree_whatever_one_of_them_finds(monkeypatch, other):
    """The others' findings stand in the place of this process's own: each decides from all of them alike."""
    room = memory.Room(4, 20, 40)
    others = memory.Room(*other) if isinstance(other, tuple) else other
    monkeypatch.setattr(memory, "_room", lambda *_: room)
    config = load_config("", {"TRAIN.BATCH_SIZE": "4", "TRAIN.AUTO_BATCH": "true", "DEVICE": "cpu"})
    outcomes = []
    for found in ([room, others], [others, room]):
        monkeypatch.setattr(memory.distributed, "gather", lambda _, found=found: found)
        try:
            outcomes.append(fitted(config))
        except InputError as error:
            outcomes.append(str(error))
    assert outcomes[0] == outcomes[1]
    expected = {None: "TRAIN.AUTO_BATCH needs CUDA", "no memory": "not enough memory", (1, 20, 10): 4, (4, 20, 30): 1}
    assert str(outcomes[0]).startswith(str(expected[other]))
