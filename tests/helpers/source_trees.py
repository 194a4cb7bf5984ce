"""Helpers of the data set scripts' tests: trees of empty files, and a way to call a script as its user does."""

import contextlib
import io
import os
import runpy
import sys
from pathlib import Path
from unittest import mock

from helpers.tools import ToolResult, script


def touch(root, *names):
    """Empty files below ``root``; returns it as text."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    return str(root)


def write(path, *lines):
    """A text file of ``lines``; returns its path as text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))
    return str(path)


def run_script(name, *arguments):
    """The script of a command in this process: exit code and what it printed."""
    path = script(name)
    out, err = io.TextIOWrapper(io.BytesIO()), io.StringIO()
    with (
        mock.patch.object(sys, "argv", [str(path), *map(str, arguments)]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            runpy.run_path(str(path), run_name="__main__")
        except SystemExit as ended:
            code = ended.code
    out.flush()
    return ToolResult(code, out.buffer.getvalue().decode(), err.getvalue())


def accepted(name, *arguments):
    """The printed lines of a script that must end well."""
    result = run_script(name, *arguments)
    assert result.code == 0, result.err
    assert result.err == ""
    return result.out.splitlines()


def refused(name, *arguments):
    """The one line on stderr of a script that must refuse."""
    result = run_script(name, *arguments)
    assert result.code == 2
    assert result.out == ""
    (line,) = result.err.splitlines()
    assert line.startswith("error: ")
    assert ";" in line  # what to do next follows
    return line.removeprefix("error: ")


def snapshot(folder):
    """``{name: (bytes, time of the last write, inode)}`` of all files: equal only if none was written again."""
    files = (path for path in Path(folder).rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): (path.read_bytes(), os.stat(path).st_mtime_ns, os.stat(path).st_ino)
        for path in files
    }
