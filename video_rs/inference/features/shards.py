"""The shards of an extraction that is under way, as NumPy archives."""

import dataclasses
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from video_rs.inference.features.rows import FeatureRows
from video_rs.inference.shard_folder import ShardFolder
from video_rs.runtime.atomic import replace_bytes
from video_rs.runtime.errors import InputError


@dataclass(frozen=True)
class Shards(ShardFolder):
    """The features of a list, in shards."""

    ending: ClassVar[str] = ".npz"

    def has(self, number: int) -> bool:
        """Return whether a shard is finished and whole: the archive's directory, which is written last, can be read."""
        if not self.file(number).is_file():
            return False
        try:
            videos = self._arrays(number, ("videos",))["videos"]
        except InputError:
            return False
        return np.array_equal(np.unique(videos), self.videos_of(number))

    def write(self, number: int, rows: FeatureRows) -> None:
        """Write a shard, whole or not at all."""
        file = io.BytesIO()
        np.savez(file, **{field.name: getattr(rows, field.name) for field in dataclasses.fields(rows)})
        replace_bytes(self.file(number), file.getvalue())

    def read(self, number: int) -> FeatureRows:
        """Return a finished shard.

        Raises:
            InputError: it is damaged.
        """
        return FeatureRows(**self._arrays(number, [field.name for field in dataclasses.fields(FeatureRows)]))

    def failed_videos(self, number: int) -> Sequence[int]:
        """Return which videos of the list could not be read."""
        rows = self._arrays(number, ("videos", "errors"))
        return rows["videos"][rows["errors"] != ""].tolist()

    def _arrays(self, number: int, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Return some arrays of a finished shard; the others are not read."""
        path = self.file(number)
        try:
            with np.load(path) as arrays:
                return {name: arrays[name] for name in names}
        except Exception as error:  # NumPy and zipfile raise nearly anything on foreign bytes
            raise InputError(f"{path} cannot be read ({error}); delete it, and start again: the others stay") from error
