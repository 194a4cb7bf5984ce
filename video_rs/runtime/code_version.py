"""Which code made a checkpoint: a digest of its source, and in a git checkout the commit."""

import hashlib
import platform
import subprocess
from pathlib import Path

import torch

from video_rs import __version__

PACKAGE = Path(__file__).parents[1]


def code_version() -> dict[str, str]:
    """``video_rs``, ``torch`` and ``python`` versions, ``source``, and ``commit`` where the package lies in a checkout.

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
    return {**versions, "commit": commit} if commit else versions


def source_digest(package: Path) -> str:
    """Of all modules below ``package``."""
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(f"{path.relative_to(package).as_posix()}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def checked_out_commit(folder: Path) -> str:
    """The commit that is checked out in ``folder`` itself, not in one above; empty where there is none, or no git."""
    if not (folder / ".git").exists():
        return ""
    command = ["git", "-C", str(folder), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
