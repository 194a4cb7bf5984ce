"""Commands in a process of their own, in which something goes wrong."""

import os
import subprocess
import sys

from helpers.tools import ROOT, script


def start_patched(name, folder, code, *arguments):
    """Start the script of a command in a process that runs ``code`` first, as its workers do."""
    (folder / "sitecustomize.py").write_text(code)
    command = [sys.executable, str(script(name)), *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": f"{folder}:{ROOT}"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
