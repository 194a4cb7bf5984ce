"""The answers of a teacher as Parquet shards, a row a video.

===================  ============================================================================================
column               holds
===================  ============================================================================================
path                 as it was opened
id                   of the list's row
start, end           of the segment in seconds, null where the video begins or ends
classes              numbers of the classes that are kept: all, or the most probable ones first
probabilities        of these, float32
rest                 the probability of the classes that are not kept
other                the probability of the classes that only the teacher has
views                how many views the probabilities are a mean of
error                why the video could not be read, or null
===================  ============================================================================================

``settings.json`` in the folder says whose answers they are; the names of the classes are in each shard, too.
"""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import pyarrow
from pyarrow import parquet

from video_rs.inference.pseudo_labels.labelling import LabelRow
from video_rs.inference.shard_folder import ShardFolder
from video_rs.lists.soft_labels import NAMES_KEY
from video_rs.runtime.atomic import replace_bytes
from video_rs.runtime.errors import InputError

FORMAT = 1
"""Of the folder, in its settings."""
SCHEMA = pyarrow.schema(
    {
        "path": pyarrow.string(),
        "id": pyarrow.string(),
        "start": pyarrow.float64(),
        "end": pyarrow.float64(),
        "classes": pyarrow.list_(pyarrow.int32()),
        "probabilities": pyarrow.list_(pyarrow.float32()),
        "rest": pyarrow.float32(),
        "other": pyarrow.float32(),
        "views": pyarrow.int32(),
        "error": pyarrow.string(),
    }
)


@dataclass(frozen=True)
class LabelShards(ShardFolder):
    """The answers for a list, in shards.

    Attributes:
        label_names: of the classes.
    """

    label_names: tuple[str, ...] = ()
    ending: ClassVar[str] = ".parquet"

    def has(self, number: int) -> bool:
        """Return whether a shard is finished and whole: its footer, which is written last, can be read."""
        path = self.file(number)
        if not path.is_file():
            return False
        try:
            return parquet.read_metadata(path).num_rows == len(self.videos_of(number))
        except (OSError, pyarrow.ArrowException):
            return False

    def write(self, number: int, rows: Sequence[LabelRow]) -> None:
        """Write a shard, whole or not at all."""
        plain = [row._asdict() | {"path": _text(row.path), "id": _text(row.id)} for row in rows]
        metadata = {NAMES_KEY: json.dumps(list(self.label_names)).encode()}
        table = pyarrow.Table.from_pylist(plain, SCHEMA).replace_schema_metadata(metadata)
        buffer = io.BytesIO()
        parquet.write_table(table, buffer, compression="zstd")
        replace_bytes(self.file(number), buffer.getvalue())

    def read(self, number: int) -> list[LabelRow]:
        """Return a finished shard.

        Raises:
            InputError: it is damaged.
        """
        return [LabelRow(**row) for row in self._table(number, SCHEMA.names).to_pylist()]

    def names_in(self, number: int) -> tuple[str, ...]:
        """Return the class names that a finished shard itself has; none where it has no such."""
        metadata = parquet.read_schema(self.file(number)).metadata or {}
        return tuple(json.loads(metadata.get(NAMES_KEY, b"[]")))

    def failed_videos(self, number: int) -> Sequence[int]:
        """Return which videos of the list could not be read."""
        first = self.videos_of(number).start
        errors = self._table(number, ["error"])["error"].to_pylist()
        return [first + place for place, error in enumerate(errors) if error is not None]

    def _table(self, number: int, columns: Sequence[str]) -> pyarrow.Table:
        """Return some columns of a finished shard; the others are not read."""
        path = self.file(number)
        try:
            return parquet.read_table(path, columns=list(columns))
        except (OSError, pyarrow.ArrowException) as error:
            reason = str(error).split("\n")[0]
            raise InputError(
                f"{path} cannot be read ({reason}); delete it, and start pseudo_label again: the others stay"
            ) from error


def _text(value: str) -> str:
    """Return a text that can be written; bytes of a name that are no UTF-8 become ``\\udcXX``."""
    return value.encode("utf-8", "backslashreplace").decode()
