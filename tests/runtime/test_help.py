"""What --help of every tool says, and that Ctrl-C is taken before a tool imports anything that takes time."""

import argparse
import re
import runpy
import subprocess
import sys

import pytest

from helpers.tools import ROOT

TOOLS = sorted([*(ROOT / "tools").glob("*.py"), *(ROOT / "datasets").glob("*.py")], key=str)


class Parsed(BaseException):
    """Raised in place of parsing; nothing of a tool may catch it."""


@pytest.fixture(params=TOOLS, ids=lambda path: path.stem)
def parser(request, monkeypatch):
    """The parser of a tool, which is as far as the tool comes."""
    found = []

    def stop(self, *_):
        found.append(self)
        raise Parsed

    for name in ("parse_args", "parse_intermixed_args"):
        monkeypatch.setattr(argparse.ArgumentParser, name, stop)
    monkeypatch.setattr(sys, "argv", [str(request.param)])
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(Parsed):
        runpy.run_path(str(request.param), run_name="__main__")
    (parser,) = found
    parser.path = request.param.relative_to(ROOT)
    return parser


def test_every_argument_says_what_it_is_and_what_it_is_by_default(parser):
    for action in parser._actions:
        assert action.help, action.dest
        if action.option_strings and action.nargs != 0 and not action.required:
            assert "(default: " in action.help, action.dest
            if action.default not in (None, "", 0):  # these are said in words
                assert "(default: %(default)" in action.help, action.dest


def test_help_has_examples_and_exit_codes_and_no_markup(parser):
    text = parser.format_help()
    assert not re.search(r"``|:\w+:`|::", text)
    examples = re.findall(rf"^  python {parser.path}\b", text, re.MULTILINE)
    assert len(examples) == 2
    codes = re.findall(r"^  (\d+) +\S", text.split("exit codes:\n")[1], re.MULTILINE)
    assert codes[:3] == ["0", "1", "2"]
    assert "130" in codes
    assert all(len(line) <= 78 for line in text.splitlines() if "python" not in line)


def test_the_examples_are_taken(parser, monkeypatch):
    monkeypatch.undo()
    for example in re.findall(rf"^  python {parser.path}(.*)", parser.format_help(), re.MULTILINE):
        arguments = [part.strip("'") for part in example.split()]
        given = {part for part in arguments if part.startswith("--")}
        known = {option for action in parser._actions for option in action.option_strings}
        parser.parse_intermixed_args(arguments)
        assert given <= known  # no option is taken for another one that it begins like


@pytest.mark.parametrize("path", TOOLS, ids=lambda path: path.stem)
def test_ctrl_c_is_taken_before_anything_that_takes_time(path):
    code = path.read_text(encoding="utf-8").split('"""', 2)[2]
    statements = [line for line in code.splitlines() if line]
    assert statements[:2] == ["from video_rs import start", "start.take_interrupts()"]


def test_what_commands_import_first_imports_next_to_nothing():
    code = (
        "import sys; before = set(sys.modules); import video_rs.runtime.start; "
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-S", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    known = {"signal", "enum", "types", "operator", "functools", "keyword", "reprlib", "collections", "os", "stat"}
    known |= {"collections.abc", "itertools", "os.path", "video_rs", "video_rs.runtime.start"}
    assert {name for name in done.stdout.split() if not name.startswith(("_", "posix", "generic"))} <= known
