"""What tells a file from all others, wherever it lies."""

import hashlib
from pathlib import Path


def file_hash(path: str | Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
