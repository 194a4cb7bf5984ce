"""Work in other processes: order, what hangs, what dies, what raises, and that nothing is left behind."""

import ctypes
import gc
import os
import pickle
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from video_rs.runtime.errors import InputError
from video_rs.runtime.processes import starter
from video_rs.runtime.processes.wire import packed, receive, send
from video_rs.runtime.workers import Lost, in_workers

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
    if what == "input":
        raise InputError("what, got, allowed, next step")
    if what == "local":
        raise type("Local", (Exception,), {})("cannot be pickled")
    return what, os.getpid()


def results(function, tasks, processes=2, time_limit=20.0, ahead=6):
    return in_workers(function, ((t,) for t in tasks), processes=processes, time_limit=time_limit, ahead=ahead)


def exists(process):
    """Whether a process is there and not a zombie."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except FileNotFoundError:
        return False


def gone_within(seconds, processes):
    stop = time.monotonic() + seconds
    while time.monotonic() < stop and any(map(exists, processes)):
        time.sleep(0.01)
    return not any(map(exists, processes))


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_results_come_in_the_order_of_the_tasks(processes):
    assert list(results(squared, range(20), processes)) == [n * n for n in range(20)]


def test_results_may_be_anything():
    assert [r.shape for r in results(np.zeros, [(0, 3), (2, 1)])] == [(0, 3), (2, 1)]


def test_no_tasks_no_results():
    assert list(results(squared, [])) == []


def test_a_hang_a_crash_and_an_exit_cost_one_task_each():
    tasks = [0, "hang", 2, 3, "crash", "exit", "memory", 7, 8, 9]
    got = list(results(trouble, tasks, time_limit=2.0))
    reasons = {
        1: "not read within 2 s; its process was stopped",
        4: "its reading process died of SIGSEGV",
        5: "its reading process died",
        6: "its reading process was killed, most likely because memory ran out",
    }
    assert {i: r.reason for i, r in enumerate(got) if isinstance(r, Lost)} == reasons
    assert [r[0] for r in got if not isinstance(r, Lost)] == [0, 2, 3, 7, 8, 9]


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


def test_a_function_that_workers_cannot_import_is_an_error(monkeypatch):
    monkeypatch.setattr(squared, "__module__", "nowhere")
    monkeypatch.setitem(sys.modules, "nowhere", sys.modules[__name__])
    with pytest.raises(RuntimeError, match=r"(?s)^worker processes cannot start: .*No module named 'nowhere'"):
        list(results(squared, [1]))


def test_hundreds_of_results_may_wait_when_all_tasks_are_done():
    """Nobody hears the consumer's bell then, and a socket holds a few hundred rings."""
    stream = results(squared, range(1, 2001, 2), ahead=2000)
    assert next(stream) == 1
    time.sleep(2.0)
    assert [*stream] == [n * n for n in range(3, 2001, 2)]


def test_workers_import_what_their_parent_would(tmp_path):
    """Not the modules of the folder that it was started in."""
    (tmp_path / "numpy.py").write_text("raise RuntimeError('another numpy')")
    code = "import sys; sys.path.remove(''); sys.path.append(sys.argv[1]); import test_processes as t\n"
    code += "print(list(t.results(t.squared, [3])))"
    command = [sys.executable, "-c", code, str(HERE)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("[9]\n", "")


def test_what_ended_a_process_has_a_name():
    assert starter.how_it_ended(signal.SIGSEGV) == "its reading process died of SIGSEGV"
    assert starter.how_it_ended(40) == "its reading process died of signal 40"
    assert starter.how_it_ended(None) == "its reading process died"


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
    ours, theirs = socket.socketpair()
    value = {
        "tensor": torch.arange(300_000).view(3, -1)[:, ::2],
        "array": np.arange(5.0),
        "empty": torch.empty(0, 3),
        "text": "ä",
    }
    sender = threading.Thread(target=send, args=(ours, packed(value)))
    sender.start()
    got = receive(theirs)
    sender.join()
    assert torch.equal(got["tensor"], value["tensor"])
    assert np.array_equal(got["array"], value["array"])
    assert got["empty"].shape == (0, 3)
    assert got["text"] == "ä"
    got["tensor"] += 1  # it is ours, and can be written to
    ours.close()
    with pytest.raises(EOFError):
        receive(theirs)
    theirs.close()


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_nothing_is_left_when_a_stream_is_given_up():
    gc.collect()  # files that earlier tests forgot would be closed in between
    files = set(os.listdir("/proc/self/fd"))
    threads = threading.active_count()
    stream = results(trouble, ["first", "second", "hang", "hang", "never"], time_limit=60.0)
    workers = {next(stream)[1], next(stream)[1]}
    [current] = starter._current
    processes = {*workers, current._process.pid}
    assert all(map(exists, processes))
    stream.close()
    assert gone_within(5, processes)
    assert set(os.listdir("/proc/self/fd")) - files == set()  # fewer: a server's thread of another test has ended
    assert threading.active_count() == threads
    assert starter._current == []


def test_two_streams_share_a_starter():
    one, two = results(trouble, range(8)), results(trouble, range(8))
    assert [next(one)[0], next(two)[0]] == [0, 0]
    [current] = starter._current
    assert current.users == 2
    assert [r[0] for r in one] == list(range(1, 8))
    assert current.users == 1
    assert [r[0] for r in two] == list(range(1, 8))
    assert starter._current == []


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_workers_end_with_a_process_that_is_killed(tmp_path):
    """Also those that hang, and that no thread of theirs could end."""
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(f"""
        import sys
        sys.path.insert(0, {str(HERE)!r})
        from test_processes import results, starter, trouble
        stream = results(trouble, ["first", "second", "hang", "hang", "never"], time_limit=60.0)
        print(next(stream)[1], next(stream)[1], starter._current[0]._process.pid, flush=True)
        next(stream)
        """)
    )
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as parent:
        processes = [int(word) for word in parent.stdout.readline().split()]
        assert len(processes) == 3
        assert all(map(exists, processes))
        time.sleep(0.2)
        parent.kill()
    assert gone_within(5, processes)


@pytest.mark.parametrize("half", [True, False])
def test_a_starter_whose_parent_goes_while_a_worker_starts_ends_without_a_word(half):
    control, theirs = socket.socketpair()
    connection, of_worker = socket.socketpair()
    with theirs:
        starter = subprocess.Popen(
            [sys.executable, "-m", "video_rs.runtime.processes.worker", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stderr=subprocess.PIPE,
            text=True,
        )
    send(control, packed(("start", pickle.dumps(abs))))
    if not half:
        socket.send_fds(control, [b"!"], [of_worker.fileno()])
    for end in (control, connection, of_worker):
        end.close()
    assert starter.communicate(timeout=60)[1] == ""
    assert starter.returncode == 0
