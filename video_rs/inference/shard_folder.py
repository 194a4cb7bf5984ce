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

    def remove(self) -> None:
        """Remove the files of the work, and the folder where nothing else is in it."""
        for pattern in (f"[0-9]*{self.ending}", ".*.tmp", SETTINGS):
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
