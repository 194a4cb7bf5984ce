"""A folder of shards: what lies in which shard depends on the list alone, and each shard is a whole file or not there.

Any number of processes therefore computes the same shards, and work that was killed goes on with the missing ones.
"""

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from video_rs.runtime.atomic import write_json

SETTINGS = "settings.json"
NUMBER = "[0-9]" * 6  # in the name of a shard, as a pattern


@dataclass(frozen=True)
class ShardFolder:
    """The shards of a list; a subclass knows what is in their files.

    Attributes:
        folder: where they lie.
        videos: of the list.
        size: videos of a shard; the last one may have fewer.
    """

    folder: Path
    videos: int
    size: int
    ending: ClassVar[str]

    def __len__(self) -> int:
        return -(-self.videos // self.size)

    def videos_of(self, number: int) -> range:
        """Return which videos of the list lie in a shard."""
        return range(number * self.size, min((number + 1) * self.size, self.videos))

    def settings(self) -> dict[str, Any] | None:
        """Return the settings of the work whose shards lie here; None where none do."""
        return read_settings(self.folder / SETTINGS)

    def start(self, settings: Mapping[str, Any]) -> None:
        """Make the folder."""
        write_json(self.folder / SETTINGS, settings)

    def has(self, number: int) -> bool:
        """Return whether a shard is finished."""
        return self.file(number).is_file()

    def failed_videos(self, number: int) -> Sequence[int]:
        """Return which videos of the list could not be read when a finished shard was made."""
        raise NotImplementedError

    def has_mended(self, number: int, paths: Sequence[str]) -> bool:
        """Return whether a video that could not be read has been changed since.

        Args:
            number: of a finished shard.
            paths: of its videos.

        Raises:
            InputError: the shard is damaged.
        """
        written = self.file(number).stat().st_mtime
        first = self.videos_of(number).start
        for index in self.failed_videos(number):
            path = Path(paths[index - first])
            # A copy may have the time of its original, but not the change of its entry.
            if path.exists() and max(path.stat().st_mtime, path.stat().st_ctime) > written:
                return True
        return False

    def is_unexplained(self) -> bool:
        """Return whether there are shards, or settings, that nothing says the origin of."""
        if self.settings() is not None:
            return False
        return (self.folder / SETTINGS).exists() or any(self.folder.glob(f"{NUMBER}{self.ending}"))

    def remove(self) -> None:
        """Remove the files of the work, and the folder where nothing else is in it."""
        shards = f"{NUMBER}{self.ending}"
        # Beside files that were still being written when a process was killed.
        for pattern in (shards, f".{shards}.*.tmp", f".{SETTINGS}.*.tmp", SETTINGS):
            for path in self.folder.glob(pattern):
                path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def file(self, number: int) -> Path:
        """Return the path of a shard."""
        return self.folder / f"{number:06d}{self.ending}"


def read_settings(path: Path) -> dict[str, Any] | None:
    """Return the plain data of a JSON file; None where there is no such file, or another one."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
