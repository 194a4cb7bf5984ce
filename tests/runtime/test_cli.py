"""How a tool ends when it is interrupted, stopped, or given what it does not take: exit codes and single lines."""

import fcntl
import os
import pty
import signal
import subprocess
import sys
import termios
import textwrap
import time

import pytest

from helpers.tools import ROOT
from video_rs.commands.overrides import misspelt_override
from video_rs.config.options import OPTIONS
from video_rs.runtime import cli
from video_rs.runtime.errors import InputError
from video_rs.runtime.signals import StopSignals

STOPPING = "stopping after this step and saving"
AGAIN = f"{STOPPING}; press Ctrl-C again to stop at once without saving"


def start(code, **environment):
    """Python with ``code``, after its line "ready"."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout.readline() == "ready\n"
    return process


def ended(process):
    """Its exit code and what it still wrote to stderr; it has to end within seconds."""
    began = time.monotonic()
    _, err = process.communicate(timeout=30)
    assert time.monotonic() - began < 5  # it takes a tenth of a second on a machine that is not busy
    return process.returncode, err


# -- Ctrl-C in any tool

WAITING = """
    import sys, threading, time
    from video_rs.runtime import cli
    def main():
        {before}
        print("ready", flush=True)
        {body}
    cli.run(main)
"""
WAITS = {
    "main": ("pass", "time.sleep(60)"),
    "beside a thread": ("threading.Thread(target=time.sleep, args=(60,)).start()", "time.sleep(60)"),
    "import": ("sys.path.insert(0, FOLDER)", "import heavy"),
    "import that says otherwise": ("sys.path.insert(0, FOLDER)", "import converting"),
}


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("where", WAITS)
def test_ctrl_c_is_one_line_and_exit_code_130(tmp_path, where, rank):
    (tmp_path / "heavy.py").write_text("import time\ntime.sleep(60)\n")
    converting = "try:\n    import heavy\nexcept KeyboardInterrupt:\n    raise ImportError('numpy is broken')\n"
    (tmp_path / "converting.py").write_text(converting)
    before, body = WAITS[where]
    code = WAITING.format(before=before, body=body)
    process = start(code.replace("FOLDER", repr(str(tmp_path))), RANK=str(rank))
    time.sleep(0.2)  # into the import
    os.killpg(process.pid, signal.SIGINT)
    assert ended(process) == (130, "interrupted\n" if rank == 0 else "")


def test_the_printed_lines_before_it_are_kept():
    code = """
        import sys, time
        from video_rs.runtime import cli
        def main():
            print("ready", flush=True)
            sys.stdout.write("half a line")
            time.sleep(60)
        cli.run(main)
    """
    process = start(code)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    assert process.stdout.read() == "half a line"
    assert ended(process) == (130, "interrupted\n")


@pytest.mark.parametrize(
    "command",
    [
        ["-m", "video_rs", "models"],
        [str(ROOT / "datasets" / "motion_demo.py"), "--out", "demo"],
        [str(ROOT / "tools" / "train_net.py"), "--cfg", "motion_demo.yaml"],
    ],
    ids=["models", "motion_demo", "train_net"],
)
def test_commands_take_ctrl_c_so(tmp_path, command):
    """Python tells the moment: from there on, whatever the command does, it is interrupted."""
    trace = """
        import os, signal, sys
        from video_rs.runtime import cli
        whole = cli.keep_large_blocks
        def interrupt_soon():
            whole()
            signal.setitimer(signal.ITIMER_REAL, 0.05)
        signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
        cli.keep_large_blocks = interrupt_soon
    """
    (tmp_path / "sitecustomize.py").write_text(textwrap.dedent(trace))
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *command], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (130, "interrupted\n")


def test_other_exceptions_keep_their_traceback():
    code = "from video_rs.runtime import cli\ndef main():\n    1 / 0\ncli.run(main)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
    assert done.stderr.endswith("ZeroDivisionError: division by zero\n")


def test_output_that_nobody_reads_any_more_ends_the_tool_without_a_traceback():
    process = start("from video_rs.runtime import cli; cli.run(lambda: [print('ready') for _ in range(100_000)])")
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(60) == 141


# -- Signals that ask for a stop

BUSY = """
    import hashlib
    from video_rs.runtime.signals import StopSignals
    signals = StopSignals()
    signals.start()
    print("ready", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)  # one call of minutes, in which Python runs no signal handler
"""


def test_signals_are_answered_within_a_long_operation_and_the_second_ctrl_c_ends_it():
    process = start(BUSY)
    process.send_signal(signal.SIGINT)
    assert process.stderr.readline() == f"{AGAIN}\n"
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert ended(process) == (130, "interrupted\n")


def test_the_second_ctrl_c_removes_what_another_thread_has_half_written(tmp_path):
    """As a checkpoint, which is written while training goes on; whole files stay."""
    code = f"""
        import pathlib, threading, time
        from video_rs.runtime.signals import StopSignals
        from video_rs.runtime.unfinished import unfinished
        folder = pathlib.Path({str(tmp_path)!r})
        def write():
            with unfinished(folder / "first"):
                (folder / "first").write_text("whole")
            with unfinished(folder / "second"):
                (folder / "second").write_text("half")
                writing.set()
                time.sleep(60)
        signals = StopSignals()
        signals.start()
        writing = threading.Event()
        threading.Thread(target=write).start()
        writing.wait()
        print("ready", flush=True)
        time.sleep(60)
    """
    process = start(code)
    process.send_signal(signal.SIGINT)
    assert process.stderr.readline() == f"{AGAIN}\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first", "second"]
    process.send_signal(signal.SIGINT)
    assert ended(process) == (130, "interrupted\n")
    assert [path.name for path in tmp_path.iterdir()] == ["first"]


def test_sigterm_is_answered_once_and_ctrl_c_after_it_is_the_first():
    process = start(BUSY)
    process.send_signal(signal.SIGTERM)
    assert process.stderr.readline() == f"{STOPPING}\n"
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGINT)
    assert process.stderr.readline() == f"{AGAIN}\n"
    process.send_signal(signal.SIGINT)
    assert ended(process) == (130, "interrupted\n")


def test_other_ranks_are_silent():
    process = start(BUSY, RANK="1")
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert ended(process) == (130, "")


def test_the_signals_are_given_back(capfd):
    before = [signal.getsignal(kind) for kind in StopSignals.KINDS]
    signals = StopSignals()
    signals.start()
    os.kill(os.getpid(), signal.SIGTERM)
    assert signals.asked
    signals.close()
    assert [signal.getsignal(kind) for kind in StopSignals.KINDS] == before
    assert signal.set_wakeup_fd(-1) == -1
    assert capfd.readouterr().err == f"{STOPPING}\n"


# -- Overrides with an equals sign


def test_a_key_with_an_equals_sign_is_told_to_take_a_space(tool, config_file):
    wrong = "SOLVER.BASE_LR=0.1"
    for arguments in ([wrong], [wrong, "RNG_SEED=1"], ["RNG_SEED", "1", wrong]):
        result = tool("train_net", "--cfg", config_file, *arguments)
        expected = "'SOLVER.BASE_LR=0.1' is no KEY VALUE pair; write the value behind a space: SOLVER.BASE_LR 0.1"
        assert (result.code, result.err) == (2, f"error: {expected}\n")


def test_other_arguments_with_an_equals_sign_are_left_alone():
    assert misspelt_override(["--json=out", "a=1.mp4", "DATA.TRAIN_LIST", "x=y.csv", "BASE_LR=1"]) == ""
    for option in OPTIONS:
        assert option.key in misspelt_override(["first", f"{option.key}="])
    assert cli.report(InputError("two\nlines")) == 2


# -- Ctrl-C at moments when nobody catches it

MOMENTS = {
    "before the work": """
        from video_rs.runtime import start
        start.take_interrupts()
        print("ready", flush=True)
        import time; time.sleep(60)
    """,
    "at the end": """
        import atexit, time
        from video_rs.runtime import cli
        atexit.register(time.sleep, 60)
        cli.run(lambda: print("ready", flush=True))
    """,
    "swallowed": """
        import contextlib, time
        from video_rs.runtime import cli, signals
        signals.GRACE = 0.5
        def main():
            print("ready", flush=True)
            with contextlib.suppress(BaseException):
                time.sleep(60)
            time.sleep(60)
        cli.run(main)
    """,
    "with a traceback on the way": """
        import sys, threading, time
        from video_rs.runtime import cli
        class Loud:
            def __del__(self):
                sys.stderr.write("a library's own words")
                raise RuntimeError("in a destructor")
        def main():
            kept = Loud()
            print("ready", flush=True)
            time.sleep(60)
        cli.run(main)
    """,
    "within one call of minutes": """
        import hashlib
        from video_rs.runtime import cli, signals
        signals.GRACE = 0.5
        def main():
            print("ready", flush=True)
            hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)
        cli.run(main)
    """,
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_ctrl_c_at_any_moment_is_one_line(moment):
    process = start(MOMENTS[moment])
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    assert ended(process) == (130, "interrupted\n")


def test_the_second_ctrl_c_ends_what_is_still_putting_away_in_one_line():
    code = """
        import time
        from video_rs.runtime import cli
        from video_rs.runtime import signals
        signals.GRACE = 1000
        def main():
            try:
                print("ready", flush=True)
                time.sleep(60)
            finally:
                print("putting away", flush=True)
                time.sleep(60)
        cli.run(main)
    """
    process = start(code)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "putting away\n"
    process.send_signal(signal.SIGINT)
    assert ended(process) == (130, "interrupted\n")


# Seconds that are given to all, those asked for, and those needed.
@pytest.mark.parametrize(("grace", "patience", "needed"), [(3, 0, 0), (0.1, 1000, 1)], ids=["at once", "with patience"])
def test_what_was_begun_is_put_away(grace, patience, needed):
    code = f"""
        import time
        from video_rs.runtime import cli, signals
        signals.GRACE = {grace}
        def main():
            with signals.interrupts.patience({patience}):
                try:
                    print("ready", flush=True)
                    time.sleep(60)
                finally:
                    time.sleep({needed})
                    print("put away", flush=True)
        cli.run(main)
    """
    process = start(code)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "put away\n"
    assert ended(process) == (130, "interrupted\n")


def test_who_was_started_to_ignore_ctrl_c_ignores_it():
    code = """
        from video_rs.runtime import cli
        from video_rs.runtime import start
        start.take_interrupts()
        cli.run(lambda: print("ready", flush=True) or input())
    """
    ignoring = "import os, signal, sys; signal.signal(2, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    process = subprocess.Popen(
        [sys.executable, "-c", ignoring, sys.executable, "-c", textwrap.dedent(code)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    process.communicate("\n", timeout=30)
    assert process.returncode == 0


def test_sighup_asks_for_a_stop_as_sigterm_does():
    process = start(BUSY)
    process.send_signal(signal.SIGHUP)
    assert process.stderr.readline() == f"{STOPPING}\n"
    assert process.poll() is None
    process.kill()


def test_a_terminal_that_is_closed_stops_a_run_that_goes_on_writing(tmp_path):
    """What is printed after it would raise an error."""
    code = f"""
        import sys, time
        from video_rs.runtime.signals import StopSignals
        signals = StopSignals()
        signals.start()
        open({str(tmp_path / "ready")!r}, "w").close()
        while not signals.asked:
            time.sleep(0.01)
        print("saving", flush=True)
        print("saving", file=sys.stderr, flush=True)
        open({str(tmp_path / "saved")!r}, "w").close()
    """
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(theirs)
    while not (tmp_path / "ready").exists():
        time.sleep(0.01)
    os.close(ours)
    assert process.wait(30) == 0
    assert (tmp_path / "saved").exists()


def test_nohup_stays():
    process = start(f"import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n{textwrap.dedent(BUSY)}")
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGINT)
    assert process.stderr.readline() == f"{AGAIN}\n"
    process.kill()


ENDING = """
    import time
    from video_rs.runtime import cli, signals
    def main():
        signals.end_on_signals()
        try:
            print("ready", flush=True)
            time.sleep(60)
        finally:
            print("put away", flush=True)
    cli.run(main)
"""


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGHUP])
def test_a_command_without_a_state_to_save_puts_away_and_ends(kind):
    process = start(ENDING)
    process.send_signal(kind)
    assert process.stdout.readline() == "put away\n"
    assert ended(process) == (143, "")


def test_a_command_under_nohup_outlives_its_terminal():
    process = start(f"import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n{textwrap.dedent(ENDING)}")
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.3)
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == "put away\n"
    assert ended(process) == (143, "")
