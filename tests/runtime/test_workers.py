"""Work in worker processes: order, what hangs, what dies, what raises, and that nothing is left behind."""

import ctypes
import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from video_rs.runtime.errors import InputError
from video_rs.runtime.result_file import ResultFile
from video_rs.runtime.workers import SPAWN, Lost, how_it_ended, in_workers

HERE = Path(__file__).parent


def squared(number):
    """Slower for even numbers, so that results come out of order."""
    time.sleep(0.02 * (number % 2 == 0))
    return number * number


def trouble(what):
    if what == "hang":
        ctypes.PyDLL(None).pause()  # with the interpreter's lock held: no thread and no signal handler would run
    if what == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if what == "memory":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "exit":
        os._exit(3)
    if what == "exit without an error":
        os._exit(0)
    if what == "input":
        raise InputError("what, got, allowed, next step")
    if what == "local":
        raise type("Local", (Exception,), {})("cannot be pickled")
    if what == "unpicklable":
        return lambda: None
    return what, os.getpid()


def results(function, tasks, processes=2, time_limit=20.0, ahead=6, **more):
    tasks = ((task,) for task in tasks)
    return in_workers(function, tasks, processes=processes, time_limit=time_limit, ahead=ahead, **more)


def gone_within(seconds, processes):
    """Whether processes end; one that nobody has waited for has ended, too."""
    stop = time.monotonic() + seconds
    while time.monotonic() < stop:
        if not any(psutil.pid_exists(number) and is_running(number) for number in processes):
            return True
        time.sleep(0.01)
    return False


def is_running(number):
    try:
        return psutil.Process(number).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_results_come_in_the_order_of_the_tasks(processes):
    assert list(results(squared, range(20), processes)) == [n * n for n in range(20)]


def test_results_may_be_anything():
    assert [r.shape for r in results(np.zeros, [(0, 3), (2, 1)])] == [(0, 3), (2, 1)]


def test_no_tasks_no_results():
    assert list(results(squared, [])) == []


def test_a_hang_a_crash_and_an_exit_cost_one_task_each():
    tasks = [0, "hang", 2, 3, "crash", "exit", "memory", 7, 8, "exit without an error", 10]
    got = list(results(trouble, tasks, time_limit=3.0))
    reasons = {
        1: "not read within 3 s; its process was stopped",
        4: "its reading process died of SIGSEGV",
        5: "its reading process died",
        6: "its reading process was killed, most likely because memory ran out",
        9: "its reading process died",
    }
    assert {i: r.reason for i, r in enumerate(got) if isinstance(r, Lost)} == reasons
    assert [r[0] for r in got if not isinstance(r, Lost)] == [0, 2, 3, 7, 8, 10]


def test_an_exception_takes_the_place_of_its_result():
    stream = results(trouble, ["fine", "input", "after"])
    assert next(stream)[0] == "fine"
    with pytest.raises(InputError) as caught:
        next(stream)
    assert str(caught.value) == "what, got, allowed, next step"
    assert "in trouble\n    raise InputError" in caught.value.__notes__[0]


def test_an_exception_that_cannot_travel_is_told_in_words():
    with pytest.raises(RuntimeError, match=r"(?s)^Local in a worker process:\n.*cannot be pickled"):
        list(results(trouble, ["local"]))


def test_an_error_in_the_tasks_reaches_whoever_takes_the_results():
    def tasks():
        yield "one"
        raise KeyError("two")

    with pytest.raises(KeyError, match="two"):
        list(results(trouble, tasks()))


def test_a_result_that_cannot_travel_is_told_in_words():
    with pytest.raises(Exception, match=r"Can't (pickle|get) local object"):
        list(results(trouble, ["unpicklable"]))


def test_workers_that_cannot_start_are_an_error_and_not_waited_for(monkeypatch):
    monkeypatch.setattr("video_rs.runtime.workers.start_worker", int.from_bytes)  # which wants other arguments
    with pytest.raises(RuntimeError, match="worker processes cannot start; what they wrote to stderr says why"):
        list(results(squared, [1]))


def test_hundreds_of_results_may_wait_when_all_tasks_are_done():
    stream = results(squared, range(1, 2001, 2), ahead=2000)
    assert next(stream) == 1
    assert [*stream] == [n * n for n in range(3, 2001, 2)]


def test_spawned_workers_import_what_their_parent_would(tmp_path):
    """Not the modules of the folder that it was started in."""
    (tmp_path / "numpy.py").write_text("raise RuntimeError('another numpy')")
    code = """
        import sys
        if __name__ == "__main__":
            sys.path.remove("")
            sys.path.append(sys.argv[1])
            import test_workers as t
            print(list(t.results(t.squared, [3], processes=1, start_method=t.SPAWN)))
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(HERE)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("[9]\n", "")


def test_spawned_workers_give_what_forked_ones_give():
    got = list(results(trouble, ["crash", 2], processes=1, start_method=SPAWN))
    assert got[0] == Lost("its reading process died of SIGSEGV", hung=False)
    assert got[1][0] == 2


def threads_of_torch(_):
    return torch.get_num_threads(), threading.active_count()


def test_a_worker_is_one_thread():
    """Its parent's threads are not there after a fork; to hand work to them would be to wait for ever."""
    torch.rand(1_000_000).sin()  # starts the threads of OpenMP
    assert list(results(threads_of_torch, [0, 1])) == [(1, 1), (1, 1)]


def test_what_ended_a_process_has_a_name():
    assert how_it_ended(-signal.SIGSEGV) == "its reading process died of SIGSEGV"
    assert how_it_ended(-40) == "its reading process died of signal 40"
    assert how_it_ended(3) == "its reading process died"


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_workers_ignore_what_a_terminal_sends_to_all(kind):
    stream = results(trouble, range(8), processes=1, ahead=2)
    _, worker = next(stream)
    os.kill(worker, kind)
    assert list(stream) == [(number, worker) for number in range(1, 8)]


def test_a_worker_that_is_just_starting_ignores_them_too():
    code = """
        import os, signal
        from video_rs.runtime.workers import in_workers
        kinds = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        for kind in kinds:
            signal.signal(kind, lambda *_: None)
        fork = os.fork
        def and_signal():
            process = fork()
            for kind in kinds * (process > 0):
                os.kill(process, kind)
            return process
        os.fork = and_signal
        print(list(in_workers(abs, [(-1,), (-2,)], processes=1, time_limit=60, ahead=2)))
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[1, 2]\n", "")


def test_the_death_of_a_worker_without_a_task_costs_nothing():
    """What a pause of the trainer leaves them; Pebble gives its whole pool up then."""
    stream = results(trouble, range(20), processes=2, ahead=4)
    workers = {next(stream)[1], next(stream)[1]}
    time.sleep(0.3)  # until the window is full
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    assert gone_within(5, workers)
    assert [number for number, _ in stream] == list(range(2, 20))


def test_workers_that_die_again_and_again_without_a_task_cost_nothing():
    stream = results(trouble, range(30), processes=1, ahead=2)
    given = [next(stream)]
    for result in stream:
        given.append(result)
        time.sleep(0.1)
        for worker in multiprocessing.active_children():
            if worker.pid == result[1] and len(given) % 5 == 0:
                worker.kill()
    assert [number for number, _ in given] == list(range(30))


def test_no_more_tasks_are_taken_ahead_than_allowed():
    taken = []
    stream = results(squared, (taken.append(n) or n for n in range(50)), ahead=5)
    for n in range(10):
        assert next(stream) == n * n
        time.sleep(0.1)
        assert n + 1 < len(taken) <= n + 1 + 5
    stream.close()
    assert len(taken) <= 15


def test_arrays_and_tensors_travel_whole():
    value = {
        "tensor": torch.arange(300_000).view(3, -1)[:, ::2],
        "array": np.arange(5.0),
        "empty": torch.empty(0, 3),
        "text": "ä",
    }
    file = ResultFile.create()
    sizes = file.write(3, value)
    got = file.read(3, sizes)
    assert torch.equal(got["tensor"], value["tensor"])
    assert np.array_equal(got["array"], value["array"])
    assert got["empty"].shape == (0, 3)
    assert got["text"] == "ä"
    got["tensor"] += 1  # it is ours, and can be written to
    with pytest.raises(EOFError, match="the file ends within a result"):
        file.read(7, [1])
    file.close()


@pytest.mark.skipif(sys.platform != "linux", reason="files in memory are Linux's")
def test_a_place_gives_its_memory_back():
    file = ResultFile.create()
    file.claim(5)
    file.write(5, np.ones(2**22, np.uint8))
    assert file.owner(5) == os.getpid()
    assert file.owner(4) == 0
    before = os.fstat(file._descriptor).st_blocks
    file.clear(5)
    file.clear(9)  # nothing was ever written there
    assert file.owner(5) == 0
    assert before - os.fstat(file._descriptor).st_blocks >= 2**22 // 512
    file.close()


def test_nothing_goes_through_shared_memory(monkeypatch):
    """Its size is limited in containers, and what a killed process leaves there stays."""
    before = set(os.listdir("/dev/shm"))
    stream = results(torch.zeros, [(2, 1000)] * 4)
    assert [tuple(next(stream).shape) for _ in range(2)] == [(2, 1000)] * 2
    assert set(os.listdir("/dev/shm")) <= before
    stream.close()


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_nothing_is_left_when_a_stream_is_given_up():
    gc.collect()  # files that earlier tests forgot would be closed in between
    files = set(os.listdir("/proc/self/fd"))
    threads = threading.active_count()
    stream = results(trouble, ["first", "second", "hang", "hang", "never"], time_limit=60.0)
    workers = {next(stream)[1], next(stream)[1]}
    assert all(map(psutil.pid_exists, workers))
    began = time.monotonic()
    stream.close()
    assert time.monotonic() - began < 5
    assert not any(map(psutil.pid_exists, workers))
    gc.collect()
    assert set(os.listdir("/proc/self/fd")) - files == set()  # fewer: a server's thread of another test has ended
    assert threading.active_count() == threads


def test_two_streams_do_not_disturb_each_other():
    one = results(trouble, range(8))
    two = results(trouble, [0, "crash", 2, 3])
    assert [next(one)[0], next(two)[0]] == [0, 0]
    assert isinstance(next(two), Lost)
    two.close()
    assert [r[0] for r in one] == list(range(1, 8))


SCRIPT = f"""
    import sys
    sys.path.insert(0, {str(HERE)!r})
    from test_workers import results, trouble
    stream = results(trouble, ["first", "second", "hang", "hang", "never"], time_limit=60.0)
    print(next(stream)[1], next(stream)[1], flush=True)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere they end when they next look for a task")
def test_workers_end_with_a_process_that_is_killed(tmp_path):
    """Also those that hang, and that no thread of theirs could end."""
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT) + "next(stream)\n")
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as parent:
        workers = [int(word) for word in parent.stdout.readline().split()]
        assert len(workers) == 2
        assert all(map(psutil.pid_exists, workers))
        time.sleep(0.2)
        parent.kill()
    assert gone_within(5, workers)


def test_a_program_ends_although_it_has_given_a_stream_up(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT))
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert gone_within(5, [int(word) for word in done.stdout.split()])
