"""The shards of an extraction that is under way: each is a file, whole or not there, so that a killed one goes on.

What lies in which shard depends on the list alone: any number of processes computes the same shards.
"""

import contextlib
import dataclasses
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from video_rs.inference.features.rows import FeatureRows
from video_rs.runtime.atomic import replace_bytes, write_json
from video_rs.runtime.errors import InputError

SETTINGS = "settings.json"


@dataclass(frozen=True)
class Shards:
    """The shards of a list.

    Attributes:
        folder: where they lie.
        videos: of the list.
        size: videos of a shard; the last one may have fewer.
    """

    folder: Path
    videos: int
    size: int

    def __len__(self) -> int:
        return -(-self.videos // self.size)

    def videos_of(self, number: int) -> range:
        """Return which videos of the list lie in a shard."""
        return range(number * self.size, min((number + 1) * self.size, self.videos))

    def settings(self) -> dict[str, Any] | None:
        """Return the settings of the extraction whose shards lie here; None where none do."""
        return read_settings(self.folder / SETTINGS)

    def start(self, settings: Mapping[str, Any]) -> None:
        """Make the folder of an extraction."""
        write_json(self.folder / SETTINGS, settings)

    def has(self, number: int) -> bool:
        """Return whether a shard is finished."""
        return self._file(number).is_file()

    def write(self, number: int, rows: FeatureRows) -> None:
        """Write a shard, whole or not at all."""
        file = io.BytesIO()
        np.savez(file, **{field.name: getattr(rows, field.name) for field in dataclasses.fields(rows)})
        replace_bytes(self._file(number), file.getvalue())

    def read(self, number: int) -> FeatureRows:
        """Return a finished shard.

        Raises:
            InputError: it is damaged.
        """
        return FeatureRows(**self._arrays(number, [field.name for field in dataclasses.fields(FeatureRows)]))

    def _arrays(self, number: int, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Return some arrays of a finished shard; the others are not read."""
        path = self._file(number)
        try:
            with np.load(path) as arrays:
                return {name: arrays[name] for name in names}
        except Exception as error:  # NumPy and zipfile raise nearly anything on foreign bytes
            raise InputError(f"{path} cannot be read ({error}); delete it, and start again: the others stay") from error

    def has_mended(self, number: int, paths: Sequence[str]) -> bool:
        """Return whether a video that could not be read has been changed since.

        Args:
            number: of a finished shard.
            paths: of its videos.

        Raises:
            InputError: the shard is damaged.
        """
        written = self._file(number).stat().st_mtime
        rows = self._arrays(number, ("videos", "errors"))
        first = self.videos_of(number).start
        for index in rows["videos"][rows["errors"] != ""].tolist():
            path = Path(paths[index - first])
            # A copy may have the time of its original, but not the change of its entry.
            if path.exists() and max(path.stat().st_mtime, path.stat().st_ctime) > written:
                return True
        return False

    def remove(self) -> None:
        """Remove the files of an extraction, and the folder where nothing else is in it."""
        for pattern in ("[0-9]*.npz", ".*.tmp", SETTINGS):
            for path in self.folder.glob(pattern):
                path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def _file(self, number: int) -> Path:
        return self.folder / f"{number:06d}.npz"


def read_settings(path: Path) -> dict[str, Any] | None:
    """Return the plain data of a JSON file; None where there is no such file, or another one."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
