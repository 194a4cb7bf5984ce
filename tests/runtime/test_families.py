"""Processes that are ended with all that they have started."""

import subprocess
import sys
import time

import psutil

from video_rs.runtime.families import end_family, is_running

# Starts a process that starts a process, says so, and goes on.
CHAIN = """
import subprocess, sys, time
depth = int(sys.argv[1])
if depth:
    subprocess.Popen([sys.executable, "-c", sys.argv[2], str(depth - 1), sys.argv[2]])
else:
    print("ready", flush=True)
time.sleep(600)
"""


def test_a_process_ends_with_all_below_it():
    process = subprocess.Popen([sys.executable, "-c", CHAIN, "2", CHAIN], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    family = psutil.Process(process.pid).children(recursive=True)
    assert [is_running(member) for member in family] == [True, True]
    end_family(process)
    assert process.returncode == -9
    assert [is_running(member) for member in family] == [False, False]
    process.stdout.close()


def test_a_process_that_has_ended_by_itself_keeps_its_code():
    process = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
    process.wait()
    end_family(process)
    assert process.returncode == 3


def test_a_process_whose_code_nobody_has_asked_for_does_not_run():
    process = subprocess.Popen([sys.executable, "-c", "print('bye')"], stdout=subprocess.PIPE)
    assert process.stdout.read() == b"bye\n"
    seen = psutil.Process(process.pid)
    while seen.status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    assert not is_running(seen)
    process.wait()
    assert not is_running(seen)
    process.stdout.close()
