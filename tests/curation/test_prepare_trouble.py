"""Preparing when something goes wrong on the way: hangs, crashes, kills, full disks, an ffmpeg that is missing."""

import os
import sys
import time
from pathlib import Path

import pytest

from helpers.films import shown
from helpers.patched_scripts import start_patched
from helpers.programs import PROGRAMS
from helpers.tables import table


def test_what_hangs_or_crashes_costs_one_file(film_list, tmp_path):
    code = (
        "import ctypes, os, signal\n"
        "import video_rs.video.readers.pyav as pyav\n"
        "init = pyav.PyAVReader.__init__\n"
        "def trouble(self, path, index):\n"
        "    if path.endswith('elsewhere/x.mp4'): ctypes.PyDLL(None).pause()\n"
        "    if path.endswith('x.avi'): os.kill(os.getpid(), signal.SIGSEGV)\n"
        "    init(self, path, index)\n"
        "pyav.PyAVReader.__init__ = trouble\n"
    )
    out = tmp_path / "out"
    arguments = ("--out", out, "--short-side", 24, "--time-limit", 4, "--processes", 2)
    process = start_patched("prepare_videos", tmp_path, code, film_list / "list.csv", *arguments)
    told, errors = process.communicate(timeout=120)
    assert process.returncode == 2
    assert errors == f"error: 3 of 5 files could not be prepared; {out}/failures.csv says why\n"
    assert told.startswith("2 files prepared, 0 skipped (done before), 3 failed, ")
    assert {Path(row["path"]).name: row["reason"] for row in table(out / "failures.csv")} == {
        "x.mp4": "not read within 4 s; its process was stopped",
        "broken.mp4": "invalid data found when processing input",
        "x.avi": "its reading process died of SIGSEGV",
    }
    assert [row["id"] for row in table(out / "list.csv")] == ["one", "two", "five"]


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("moment", ["writing", "some are done"])
def test_a_killed_run_is_gone_on_with(prepare, videos, tmp_path, moment, program):
    code = "import time\n"
    if moment == "writing":  # two files stay unfinished
        code += "import video_rs.curation.prepare.reencoding as e\ncheck = e.compare_times\n"
        code += "def slow(plan, *a):\n    check(plan, *a)\n    time.sleep(60 * plan.source.endswith('light/0.mp4'))\n"
        code += "e.compare_times = slow\n"
    out = tmp_path / "out"
    arguments = (videos, "--out", out, "--short-side", 24, "--processes", 2, "--program", program)
    process = start_patched("prepare_videos", tmp_path, code, *arguments)
    stop = time.monotonic() + 100
    wanted = 6 if moment == "writing" else 1
    while len(list(out.glob("videos/**/*.mp4"))) < wanted and time.monotonic() < stop:
        time.sleep(0.002)
    process.kill()
    process.communicate()
    made = {path: path.stat().st_ctime_ns for path in out.glob("videos/**/*.mp4")}
    assert made
    assert not (out / "list.csv").exists() or len(made) == 12
    told = prepare(*arguments)
    assert told.code == 0
    assert told.out.startswith(f"{12 - len(made)} files prepared, {len(made)} skipped (done before), 0 failed")
    assert all(path.stat().st_ctime_ns == time for path, time in made.items())
    assert len(table(out / "list.csv")) == 12
    assert all(len(shown(path)[0]) == 12 for path in out.glob("videos/**/*.mp4"))
    assert not (out / ".unfinished").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the program ends by itself")
def test_an_ffmpeg_that_hangs_ends_with_its_worker(prepare_in_workers, videos, tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "ffmpeg"
    program.write_text(f'#!/bin/sh\ncase "$*" in *lavfi*) exit 0;; esac\necho $$ > {tmp_path}/pid\nexec sleep 600\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    (tmp_path / "one.csv").write_text("path,label\ntrain/dark/0.mp4,0\n")
    arguments = ("--root", videos.parent, "--out", tmp_path / "out", "--program", "ffmpeg", "--time-limit", 2)
    assert prepare_in_workers(tmp_path / "one.csv", *arguments).code == 2
    (failed,) = table(tmp_path / "out" / "failures.csv")
    assert failed["reason"] == "not read within 2 s; its process was stopped"
    hung = Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}/stat")
    stop = time.monotonic() + 10
    while hung.exists() and hung.read_text().rsplit(")", 1)[1].split()[0] != "Z" and time.monotonic() < stop:
        time.sleep(0.05)
    assert not hung.exists() or hung.read_text().rsplit(")", 1)[1].split()[0] == "Z"


def test_a_full_disk_ends_the_run(videos, tmp_path):
    code = (
        "import video_rs.curation.prepare.reencoding as e\n"
        "def full(*_): raise OSError(28, 'No space left on device')\n"
        "e.compare_times = full\n"
    )
    process = start_patched("prepare_videos", tmp_path, code, videos, "--out", tmp_path / "out", "--short-side", 24)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 2
    assert errors.startswith(f"error: cannot write to {tmp_path}/out (cannot write {tmp_path}/out/.unfinished/")
    assert errors.endswith(": No space left on device); mend that and run again\n")


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (None, "cannot run ffmpeg (No such file or directory); install it, or use --program pyav"),
        (
            "#!/bin/sh\necho '[x @ 0x1] Unrecognized option' >&2\nexit 1\n",
            "this ffmpeg does not do (Unrecognized option): 5.1 or newer with libx264 is needed; install it, or use "
            "--program pyav",
        ),
    ],
)
def test_an_ffmpeg_that_is_missing_or_old(prepare, film_list, tmp_path, monkeypatch, script, message):
    (tmp_path / "bin").mkdir()
    if script:
        (tmp_path / "bin" / "ffmpeg").write_text(script)
        (tmp_path / "bin" / "ffmpeg").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    told = prepare(film_list / "list.csv", "--out", tmp_path / "out", "--program", "ffmpeg")
    assert (told.code, told.err) == (2, f"error: {message}\n")
