"""What --help of every command says, and that Ctrl-C is taken before a command imports anything that takes time."""

import re
import shlex
import subprocess
import sys

import pytest

from helpers.tools import ROOT
from video_rs.commands.parser import build_parser
from video_rs.commands.table import COMMANDS, GROUPS

SCRIPTS = sorted([*(ROOT / "tools").glob("*.py"), *(ROOT / "datasets").glob("*.py")], key=str)


@pytest.fixture(params=COMMANDS, ids=lambda command: command.name.replace(" ", "_"))
def parser(request, monkeypatch):
    """The parser of a command that was called as ``video-rs``."""
    monkeypatch.setenv("COLUMNS", "80")
    return build_parser(request.param.load(), f"video-rs {request.param.name}")


def test_every_argument_says_what_it_is_and_what_it_is_by_default(parser):
    for action in parser._actions:
        assert action.help, action.dest
        if action.option_strings and action.nargs != 0 and not action.required:
            assert "(default: " in action.help, action.dest
            if action.default not in (None, "", 0):  # these are said in words
                assert "(default: %(default)" in action.help, action.dest


def examples(parser):
    """The arguments of the examples in the help text."""
    return re.findall(rf"^  {parser.prog}(?: (.*))?$", parser.format_help(), re.MULTILINE)


def test_help_has_examples_and_exit_codes_and_no_markup(parser):
    text = parser.format_help()
    assert not re.search(r"``|:\w+:`|::", text)
    assert len(examples(parser)) == 2
    codes = re.findall(r"^  (\d+) +\S", text.split("exit codes:\n")[1], re.MULTILINE)
    assert codes[:3] == ["0", "1", "2"]
    assert "130" in codes
    assert all(len(line) <= 78 for line in text.splitlines() if "video-rs" not in line)


def test_the_examples_are_taken(parser):
    known = {option for action in parser._actions for option in action.option_strings}
    for example in examples(parser):
        # What stands behind an arrow is the shell's.
        arguments = shlex.split(example.split(" > ")[0])
        parser.parse_intermixed_args(arguments)
        # No option is taken for another one that it begins like.
        assert {part for part in arguments if part.startswith("--")} <= known


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_takes_ctrl_c_first_and_then_calls_its_command(path):
    code = path.read_text(encoding="utf-8")
    called = re.search(r'run_script\("(.*)"\)\n$', code)[1]
    assert called in {command.name for command in COMMANDS} | set(GROUPS)
    assert code.startswith(f'"""The command ``video-rs {called}``, for a checkout."""\n')
    statements = [line for line in code.split('"""', 2)[2].splitlines() if line]
    assert statements[:3] == [
        "from video_rs.runtime import start",
        "start.take_interrupts()",
        "from video_rs.commands.main import run_script",
    ]


def test_every_command_but_those_that_print_has_a_script():
    called = {re.search(r'run_script\("(.*)"\)', path.read_text())[1] for path in SCRIPTS}
    missing = [command.name for command in COMMANDS if not {command.name, command.name.split()[0]} & called]
    assert missing == ["models", "options", "completion"]


def test_what_commands_import_first_imports_next_to_nothing():
    code = (
        "import sys; before = set(sys.modules); import video_rs.runtime.start; "
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-S", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    known = {"signal", "enum", "types", "operator", "functools", "keyword", "reprlib", "collections", "os", "stat"}
    known |= {"collections.abc", "itertools", "os.path", "video_rs", "video_rs.runtime", "video_rs.runtime.start"}
    known |= {"video_rs.runtime.version"}
    assert {name for name in done.stdout.split() if not name.startswith(("_", "posix", "generic"))} <= known
