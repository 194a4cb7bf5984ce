"""Reading processes that are killed while the network trains: nothing is raised inside the step."""

import multiprocessing
import time
from functools import partial

import numpy as np
import psutil
import pytest

from helpers.clips import clip_spec, train_transform
from helpers.training import assert_same, make_step, plain_network, snapshot
from video_rs.data.dataset import ClipReader, VideoSource
from video_rs.data.loader import ClipLoader, Workers
from video_rs.data.order import ClipOrder, Partition, permutation
from video_rs.lists.records import VideoRecord
from video_rs.video.encoding import write_video

KILLED = "its reading process was killed, most likely because memory ran out"
STEPS = 4


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(0)
    paths = [folder / f"{i}.mp4" for i in range(8)]
    for path in paths:
        write_video(path, rng.integers(0, 256, (10, 16, 16, 3), dtype=np.uint8), fps=10)
    return [VideoRecord(str(path), (i % 3,), None, None, path.name) for i, path in enumerate(paths)]


class SlowReader(ClipReader):
    """So slow that a worker is killed in the middle of a video."""

    def __call__(self, *arguments):
        time.sleep(0.5)
        return super().__call__(*arguments)


def train(records, in_backward, reader=ClipReader):
    """The weights after four steps, and what could not be read; ``in_backward`` is called in each backward pass."""
    read = reader(clip_spec(2, 1), train_transform(crop_size=8), VideoSource(), 0)
    order = ClipOrder(partial(permutation, seed=0, num_samples=8), 8, 4, 1, Partition(), 0, STEPS)
    network = plain_network()
    network[0].weight.register_hook(lambda gradient: in_backward())
    step = make_step(network)

    failures = []
    for batch in ClipLoader(records, read, order, Workers(2)):
        step([batch])
        failures += batch.failures
    assert step.number == STEPS
    return snapshot(network.state_dict()), failures


def workers():
    return [psutil.Process(process.pid) for process in multiprocessing.active_children()]


def seconds_worked(processes):
    return [process.cpu_times().user + process.cpu_times().system for process in processes]


def kill_idle_workers():
    """Those that have read all that they were asked for."""
    processes = workers()
    assert processes
    before = []
    while seconds_worked(processes) != before:
        before = seconds_worked(processes)
        time.sleep(0.2)
    for process in processes:
        process.kill()


def test_workers_killed_in_the_backward_pass_change_no_bit(records):
    undisturbed, nothing = train(records, lambda: None)
    kills = []

    def kill_once():
        if len(kills) == 0:
            kill_idle_workers()
        kills.append(1)

    weights, failures = train(records, kill_once)
    assert failures == nothing == []
    assert len(kills) == STEPS
    assert_same(weights, undisturbed)


def test_a_worker_killed_in_the_middle_of_a_video_costs_that_video(records):
    kills = []

    def kill_once():
        if len(kills) == 0:
            workers()[0].kill()
        kills.append(1)

    _, failures = train(records, kill_once, SlowReader)
    assert [reason for _, reason in failures] == [KILLED]
    assert len(kills) == STEPS
