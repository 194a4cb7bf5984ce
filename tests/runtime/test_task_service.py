"""Tasks of a server in worker processes."""

import os
import signal
import time

import pytest

from video_rs.runtime.errors import InputError
from video_rs.runtime.task_service import Busy, TaskService


def work(kind, path=""):
    """What a worker is told to do."""
    if kind == "hang":
        while not path or not os.path.exists(path):
            time.sleep(0.01)
    if kind == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "raise":
        raise ValueError("no such thing")
    return kind, os.getpid()


def test_tasks_are_done_in_another_process_that_stays():
    with TaskService(work, 1, 30.0, 4) as service:
        first, number = service.submit("one").result()
        assert (first, service.submit("two").result()) == ("one", ("two", number))
    assert number != os.getpid()


def test_a_task_that_hangs_or_dies_or_raises_costs_itself_only():
    with TaskService(work, 1, 0.3, 4) as service:
        hung = service.submit("hang")
        after = service.submit("after")
        died = service.submit("die")
        raised = service.submit("raise")
        assert hung.result().reason == "not read within 0.3 s; its process was stopped"
        assert after.result()[0] == "after"
        assert "was killed" in died.result().reason
        with pytest.raises(ValueError, match="no such thing"):
            raised.result()
        assert service.submit("last").result()[0] == "last"


def says(text):
    """An answer, or why there is none."""
    return "none today" if text == "no" else text.encode()


def test_whoever_asks_has_an_answer_or_the_reason():
    with TaskService(says, 1, 30.0, 4) as service:
        assert service.ask("yes") == b"yes"
        with pytest.raises(InputError, match=r"^none today$"):
            service.ask("no")
    with TaskService(work, 1, 0.3, 4) as service, pytest.raises(InputError, match=r"^not read within 0\.3 s"):
        service.ask("hang")


def test_no_more_wait_than_may(tmp_path):
    go = tmp_path / "go"
    with TaskService(work, 1, 30.0, 2) as service:
        running = service.submit("hang", str(go))
        while not running.running():
            time.sleep(0.01)
        waiting = [service.submit("one"), service.submit("two")]
        with pytest.raises(Busy):
            service.submit("three")
        assert waiting[0].cancel()
        go.touch()
        assert running.result()[0] == "hang"
        assert waiting[1].result()[0] == "two"
        # There is room again.
        assert service.submit("three").result()[0] == "three"


def test_what_waits_at_the_end_is_cancelled(tmp_path):
    go = tmp_path / "go"
    with TaskService(work, 1, 30.0, 1) as service:
        running = service.submit("hang", str(go))
        while not running.running():
            time.sleep(0.01)
        waiting = service.submit("one")
        go.touch()
        # The end comes while the first one still runs, or has just been done.
    assert waiting.cancelled() or waiting.result()[0] == "one"
