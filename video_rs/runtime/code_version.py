"""Which code made a checkpoint: a digest of its source, and in a git checkout the commit."""

import hashlib
import platform
import subprocess
from pathlib import Path

import torch

from video_rs.runtime.version import __version__

PACKAGE = Path(__file__).parents[1]


def code_version() -> dict[str, str]:
    """Return the versions of ``video_rs``, ``torch`` and ``python``, ``source``, and in a git checkout ``commit``.

    ``source`` is the first 16 digits of a SHA-256 over names and contents of the package's modules: it tells changed
    code from unchanged, committed or not.
    """
    versions = {
        "video_rs": __version__,
        "torch": str(torch.__version__),
        "python": platform.python_version(),
        "source": source_digest(PACKAGE),
    }

    commit = checked_out_commit(PACKAGE.parent)
    if commit:
        versions["commit"] = commit
    return versions


def source_digest(package: Path) -> str:
    """Return the digest of all modules below ``package``."""
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        # With its size, so that a byte that moves from one file to the next changes the digest.
        name = path.relative_to(package).as_posix()
        digest.update(f"{name}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def checked_out_commit(folder: Path) -> str:
    """Return the commit that is checked out in ``folder`` itself, or "" where there is none, or no git.

    A checkout above ``folder`` is of something else, for instance of a project that has an environment inside it.
    """
    if not (folder / ".git").exists():
        return ""

    command = ["git", "-C", str(folder), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
