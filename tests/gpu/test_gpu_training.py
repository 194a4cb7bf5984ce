"""Training on a GPU: one process of a job, what a step takes of the memory, and what is done without that much."""

import os

import pytest
import torch
import torch.distributed as dist

from helpers.jobs import free_port
from helpers.runs import tiny_run
from helpers.training import assert_close, make_batch, make_step, plain_network
from video_rs.engine import memory as step_memory
from video_rs.engine import step as engine_step
from video_rs.engine.memory import measure_step
from video_rs.reports import read_log
from video_rs.runs import memory
from video_rs.runtime import distributed

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("blank_charts")]

MIB = 2**20


def step_on(device, network, **options):
    """A step whose clips go to the device."""
    return make_step(network.to(device), prepare=lambda clips: clips.to(device).float() / 255, **options)


# ---- a job of one process


@pytest.fixture
def group_of_one(device, monkeypatch):
    """A process group whose only member is this process, with the backend of the device."""
    for name, value in {"RANK": 0, "WORLD_SIZE": 1, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}.items():
        monkeypatch.setitem(os.environ, name, str(value))
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    yield
    distributed.leave_process_group()


def test_the_exchanges_of_a_single_process(group_of_one, device):
    values = torch.tensor([3.0, 4.0], device=device)
    assert distributed.sum_over_ranks(values.clone()).tolist() == [3.0, 4.0]
    assert distributed.stack_over_ranks(values).tolist() == [[3.0, 4.0]]
    means = [values.clone(), torch.ones(1, 2, device=device)]
    distributed.mean_over_ranks(means)
    assert [mean.tolist() for mean in means] == [[3.0, 4.0], [[1.0, 1.0]]]
    assert distributed.gather({"rank": 0}) == [{"rank": 0}]
    distributed.barrier()


def test_a_step_of_a_single_process_of_a_job_is_that_of_a_process_alone(group_of_one, device, monkeypatch):
    alone = step_on(device, plain_network())
    with monkeypatch.context() as several:
        # What is wrapped where there are several processes.
        several.setattr(engine_step.distributed, "world_size", lambda: 2)
        wrapped = step_on(device, plain_network())
    assert isinstance(wrapped._network, torch.nn.parallel.DistributedDataParallel)

    for number in range(3):
        losses = [step([make_batch(number, 4)]).loss for step in (alone, wrapped)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    assert_close(wrapped.model.state_dict(), alone.model.state_dict())


# ---- memory


def large_network():
    """Maps of 16 MiB a clip of 8 x 64 x 64."""
    return torch.nn.Sequential(
        torch.nn.Conv3d(3, 128, 1),
        torch.nn.ReLU(),
        torch.nn.Conv3d(128, 128, 1),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool3d(1),
        torch.nn.Flatten(),
    )


def test_the_memory_of_a_clip_is_measured_on_the_device(device):
    """Against what autograd says that it keeps for the backward pass, to which more comes."""
    step = step_on(device, large_network())
    clips = torch.zeros(4, 3, 8, 64, 64, dtype=torch.uint8)
    kept = {}
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.update({t.data_ptr(): t.nbytes}) or t, lambda t: t):
        step.model(step.objective.prepare(clips))
    saved = sum(kept.values()) / 4
    assert saved > 32 * MIB
    found = measure_step(step, clips)
    assert saved < found.per_clip < 4 * saved
    assert step_memory.free_memory(device) > found.per_clip


@pytest.fixture
def train(tool, videos, config_file, tmp_path, device):
    """``train(**changes)`` calls the command for two steps of four clips on the device."""

    def call(**changes):
        keys = {"DEVICE": device.type, "SOLVER__MAX_STEPS": 2, **changes}
        return tool("train_net", "--cfg", config_file, *tiny_run(videos, tmp_path / "run", **keys))

    return call


def make_room_for_two_clips(monkeypatch):
    """Let the device say that what it has free is what a step of two clips takes."""
    steps = []

    def measured(*arguments):
        steps.append(measure_step(*arguments))
        return steps[-1]

    monkeypatch.setattr(memory, "measure_step", measured)
    monkeypatch.setattr(memory, "free_memory", lambda device: steps[-1].needed(2))


def test_auto_batch_takes_what_there_is_memory_for(train, monkeypatch, tmp_path):
    fits = train(TRAIN__AUTO_BATCH="true")
    assert fits.code == 0, fits.err
    assert "TRAIN.AUTO_BATCH: 4 clips at a time fit into" in fits.out

    make_room_for_two_clips(monkeypatch)
    halves = train(TRAIN__AUTO_BATCH="true", OUTPUT_DIR=tmp_path / "halves")
    assert halves.code == 0, halves.err
    assert "TRAIN.AUTO_BATCH: 2 micro-batches of 2 clips a step" in halves.out


def test_a_step_that_finds_no_memory_is_refused_in_one_line(train, device, monkeypatch):
    # The clips of such a step alone take 24 MiB.
    large = {"DATA__TRAIN_CROP_SIZE": 128, "DATA__NUM_FRAMES": 32, "TRAIN__PRECISION": "float32"}
    if device.type == "cpu":
        make_room_for_two_clips(monkeypatch)
        told = train(**large)
    else:
        # What is there already, and 16 MiB more.
        total = torch.cuda.get_device_properties(device).total_memory
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 16 * MIB) / total)
        try:
            told = train(**large)
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)
    assert told.code == 2
    last = told.err.strip().splitlines()[-1]
    assert last.startswith("error: not enough memory for a step on 4 clips of 32 x 128 x 128 at a time (")
    assert "TRAIN.ACCUMULATION_STEPS" in last


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_run_ends_in_every_precision(train, tmp_path, precision):
    """Its convolutions are checked at its start, at its own sizes and in its precision."""
    done = train(TRAIN__PRECISION=precision)
    assert done.code == 0, done.err
    losses = [record["loss"] for record in read_log(tmp_path / "run" / "log.jsonl") if "loss" in record]
    # Of two steps and of the validation. There are two classes: the loss of fresh weights is near ln 2.
    assert losses == pytest.approx([0.693] * 3, abs=0.3)
