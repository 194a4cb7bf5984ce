"""Commands of ``datasets`` in a process of their own, in which something goes wrong."""

import os
import subprocess
import sys

from helpers.tools import ROOT


def start_patched(name, folder, code, *arguments):
    """Start ``datasets/NAME.py`` in a process that runs ``code`` first, as its workers do."""
    (folder / "sitecustomize.py").write_text(code)
    command = [sys.executable, str(ROOT / "datasets" / f"{name}.py"), *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": f"{folder}:{ROOT}"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
