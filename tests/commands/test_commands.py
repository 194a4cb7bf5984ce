"""``video-rs``: how it finds a command, what it says of one that there is not, and what it imports before."""

import subprocess
import sys

import pytest

from helpers.tools import ROOT
from video_rs import __version__
from video_rs.commands.main import overview, run_named
from video_rs.commands.table import COMMANDS
from video_rs.runtime.errors import InputError

# What takes time to import.
HEAVY = ("torch", "numpy", "av", "yaml", "fvcore", "tqdm", "matplotlib", "shtab")


def video_rs(*arguments, code="from video_rs.__main__ import main; main()", **options):
    """Run ``video-rs`` in a process of its own."""
    start = f"import sys; sys.argv = ['video-rs', *sys.argv[1:]]\n{code}"
    return subprocess.run(
        [sys.executable, "-c", start, *map(str, arguments)], capture_output=True, text=True, timeout=60, **options
    )


def test_the_overview_names_every_command_in_a_line(capsys):
    for arguments in ([], ["--help"], ["-h"]):
        run_named("video-rs", arguments)
        shown = capsys.readouterr().out
        assert shown == overview("video-rs") + "\n"
        for command in COMMANDS:
            assert [line.split()[: len(command.name.split())] for line in shown.splitlines()].count(
                command.name.split()
            ) == 1
        assert all(len(line) <= 90 for line in shown.splitlines())


def test_the_overview_of_a_group_names_its_commands(capsys):
    for arguments in (["list"], ["list", "--help"]):
        run_named("video-rs", arguments)
        shown = capsys.readouterr().out
        assert shown.startswith("usage: video-rs list COMMAND ...\n")
        assert "\n  kinetics  " in shown
        assert "check_dataset" not in shown


def test_the_version(capsys):
    run_named("video-rs", ["--version"])
    assert capsys.readouterr().out == f"{__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian"], "no command trian; did you mean 'train'? video-rs --help lists them"),
        (["find-lr"], "no command find-lr; did you mean 'find_lr'? video-rs --help lists them"),
        (["Lists"], "no command Lists; did you mean 'list'? video-rs --help lists them"),
        (["xyzzy", "--cfg"], "no command xyzzy; video-rs --help lists them"),
        (["list", "kinetic"], "no command kinetic; did you mean 'kinetics'? video-rs list --help lists them"),
        (["list", "--out", "x"], "no command --out; video-rs list --help lists them"),
        (["kinetics"], "no command kinetics; did you mean 'list kinetics'? video-rs --help lists them"),
    ],
)
def test_a_command_that_there_is_not(arguments, message):
    with pytest.raises(InputError) as caught:
        run_named("video-rs", arguments)
    assert str(caught.value) == message


def test_a_misspelt_command_is_refused_in_one_line_with_exit_code_2():
    done = video_rs("predict_video")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: no command predict_video; did you mean 'predict'? video-rs --help lists them\n"


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["list", "folder", "--help"]])
def test_help_imports_nothing_that_takes_time(arguments):
    """A bound on seconds would depend on the machine; what takes them are these packages."""
    code = f"""
import atexit
atexit.register(lambda: print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr))
from video_rs.__main__ import main
main()
"""
    done = video_rs(*arguments, code=code)
    assert (done.returncode, done.stderr) == (0, "[]\n")
    assert done.stdout.startswith("usage: video-rs ")


def test_the_package_is_a_command_too():
    done = subprocess.run(
        [sys.executable, "-m", "video_rs", "predict", "--help"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0
    assert done.stdout.startswith("usage: python -m video_rs predict [-h] (--checkpoint CKPT | --model FILE)")
    assert "\n  python -m video_rs predict --checkpoint runs/mine video.mp4\n" in done.stdout


def test_a_script_is_called_in_its_help_as_it_was():
    done = subprocess.run(
        [sys.executable, "tools/predict.py", "--help"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.startswith("usage: python tools/predict.py [-h]")
    assert "\n  python tools/predict.py --checkpoint runs/mine video.mp4\n" in done.stdout
    done = subprocess.run([sys.executable, "tools/benchmark.py"], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout == overview("python tools/benchmark.py", "benchmark") + "\n"


def test_options_prints_those_with_a_word_in_their_names(capsys):
    run_named("video-rs", ["options", "solver.max"])
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [
        "SOLVER.MAX_EPOCH",
        "SOLVER.MAX_STEPS",
    ]
    with pytest.raises(InputError, match=r"^no key has 'nothing' in its name; give less of it, or leave it out"):
        run_named("video-rs", ["options", "nothing"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["recommend", "--gmac", "x"], "argument --gmac: invalid float value: 'x'"),
        (["recommend", "--gmac", "1", "--gmac", "2"], "argument --gmac: is given twice, and only one value counts; "),
        (["export", "--out", "x.onnx"], "the following arguments are required: --checkpoint"),
        (["export", "--checkpoint", "", "--out", "x.onnx"], "argument --checkpoint: is empty; give a value, or leave "),
        (["report", ""], "argument RUN: is empty; give a value, or leave it out where that is allowed"),
        (["look", "a", "b", "--checkpoint", "c"], "unrecognized arguments: b"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_in_one_line(arguments, message):
    with pytest.raises(InputError) as caught:
        run_named("video-rs", arguments)
    assert str(caught.value).startswith(message)
    assert str(caught.value).endswith(f"; video-rs {arguments[0]} --help shows what is allowed")
