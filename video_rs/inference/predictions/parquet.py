"""predictions.parquet: a row a video; the names of the classes and what gave the rows are in the file's metadata.

===================  ============================================================================================
column               holds
===================  ============================================================================================
video                path or URL, as it was opened
id                   of the record
group                of the list's column ``group``, "" without one
start, end           of the segment in seconds, null where the video begins or ends
label                names of the true classes, as a list file has them; null where they are not known
labels               their numbers
predicted, score     the class of the highest probability, and that probability; null of a failed video
probabilities        of all classes, float32, in the order of ``label_names``; null of a failed video
views                how many views the probabilities are a mean of
view_probabilities   of each view, where TEST.KEEP_VIEWS was set
error                why the video could not be read, or null
===================  ============================================================================================
"""

import io
import itertools
import json
import operator
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow
import torch
from pyarrow import parquet
from torch import Tensor

from video_rs.engine.metrics import VideoResult
from video_rs.inference.predictions.labels import joined_labels
from video_rs.lists.records import VideoRecord
from video_rs.runtime.atomic import replace_bytes
from video_rs.runtime.errors import InputError

FORMAT = 1
NAME = "predictions.parquet"
VIEWS = "view_probabilities"
_KEY = b"video_rs"
# How every Parquet file begins.
_MAGIC = b"PAR1"


class Content(NamedTuple):
    """What a file holds.

    Attributes:
        label_names: of the K classes.
        records: the videos.
        results: of each record.
        about: plain data on what gave the results.
    """

    label_names: tuple[str, ...]
    records: tuple[VideoRecord, ...]
    results: tuple[VideoResult, ...]
    about: dict[str, Any]


def write_content(path: Path, content: Content) -> None:
    """Write predictions, whole or not at all."""
    buffer = io.BytesIO()
    parquet.write_table(_table(content), buffer, compression="zstd")
    replace_bytes(path, buffer.getvalue())


def _table(content: Content) -> pyarrow.Table:
    """Return predictions as a table."""
    names, records, results, about = content
    of_classes = pyarrow.list_(pyarrow.float32(), len(names))
    best = [_best(result, names) for result in results]

    columns = {
        "video": _text([result.video for result in results]),
        "id": _text([result.id for result in results]),
        "group": _text([record.group for record in records]),
        "start": pyarrow.array([record.start for record in records], pyarrow.float64()),
        "end": pyarrow.array([record.end for record in records], pyarrow.float64()),
        "label": _text([joined_labels(result.labels, names) for result in results]),
        "labels": pyarrow.array([list(result.labels) for result in results], pyarrow.list_(pyarrow.int32())),
        "predicted": _text([name for name, _ in best]),
        "score": pyarrow.array([score for _, score in best], pyarrow.float32()),
        "probabilities": pyarrow.array([_numbers(result.probabilities) for result in results], of_classes),
        "views": pyarrow.array([result.views for result in results], pyarrow.int32()),
        "error": _text([result.error for result in results]),
    }
    if any(result.view_probabilities is not None for result in results):
        of_views = [_rows(result.view_probabilities) for result in results]
        columns["view_probabilities"] = pyarrow.array(of_views, pyarrow.list_(of_classes))

    metadata = {"format": FORMAT, "label_names": list(names), **about}
    return pyarrow.table(columns).replace_schema_metadata({_KEY: json.dumps(metadata).encode()})


def _text(values: list[str | None]) -> pyarrow.Array:
    """Return a column of text; bytes of a file name that are no UTF-8 are written as ``\\udcXX``."""
    clean = []
    for value in values:
        clean.append(None if value is None else value.encode("utf-8", "backslashreplace").decode())
    return pyarrow.array(clean, pyarrow.string())


def _best(result: VideoResult, names: tuple[str, ...]) -> tuple[str | None, float | None]:
    """Return the class of the highest probability, and that probability."""
    if result.probabilities is None:
        return None, None
    place = int(result.probabilities.argmax())
    return names[place], float(result.probabilities[place])


def _numbers(probabilities: Tensor | None) -> np.ndarray | None:
    return None if probabilities is None else probabilities.numpy()


def _rows(probabilities: Tensor | None) -> list[np.ndarray] | None:
    return None if probabilities is None else list(probabilities.numpy())


def _require_parquet(file: Path) -> None:
    """Raise InputError where a file begins as no Parquet file does: a list, a video, a checkpoint."""
    with open(file, "rb") as stream:
        start = stream.read(len(_MAGIC))
    if start != _MAGIC:
        raise InputError(f"{file} is no Parquet file; give a run's folder, or a predictions.parquet")


def read_content(path: str | Path) -> Content:
    """Read predictions.

    Args:
        path: a file, or a folder as for :meth:`Predictions.read`.

    Raises:
        InputError: there is no file, or it is damaged or another one.
    """
    file = predictions_file(path)
    try:
        _require_parquet(file)
        table = parquet.read_table(file)
        about = json.loads((table.schema.metadata or {})[_KEY])
    except InputError:
        raise
    except KeyError as error:
        raise InputError(f"{file} holds no predictions; give a file that video-rs test has written") from error
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {file}: {error}; test again, or take it from a copy") from error
    if not isinstance(about, dict) or "format" not in about:
        raise InputError(f"{file} holds no predictions; give a file that video-rs test has written")
    found = about.pop("format")
    if found != FORMAT:
        raise InputError(f"{file} has the format {found}; this version reads {FORMAT}: test again")

    try:
        content = _content(table, about)
        require_sound(content)
    except (KeyError, IndexError, TypeError, ValueError, RuntimeError) as error:
        raise damaged(file, error) from error
    return content


def damaged(file: Path, error: Exception) -> InputError:
    """Return the error for a file that says things that cannot be."""
    return InputError(f"{file} holds no whole predictions ({type(error).__name__}: {error}); test again")


def _content(table: pyarrow.Table, about: dict[str, Any]) -> Content:
    """Return what a table and its metadata hold."""
    names = about.pop("label_names")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("label_names is no list of names")

    probabilities = _tensors(table, "probabilities")
    of_views = itertools.repeat(None)
    if VIEWS in table.column_names:
        of_views = _tensors(table, VIEWS)
    # Numbers of Python would take eight times the memory, and minutes, where there are many views.
    columns = table.select([name for name in table.column_names if name not in ("probabilities", VIEWS)]).to_pydict()
    records = []
    results = []
    for index in range(table.num_rows):
        row = {name: values[index] for name, values in columns.items()}
        labels = tuple(map(operator.index, row["labels"]))
        records.append(VideoRecord(row["video"], labels, row["start"], row["end"], row["id"], row["group"]))
        results.append(_result(index, labels, row, next(probabilities), next(of_views)))
    return Content(tuple(names), tuple(records), tuple(results), about)


def require_sound(content: Content) -> None:
    """Raise ValueError where rows have no meaning with the classes of the file."""
    count = len(content.label_names)
    if not content.results:
        raise ValueError("no video in it")
    for number, result in enumerate(content.results, start=1):
        if any(not 0 <= label < count for label in result.labels):
            raise ValueError(f"video {number} has the classes {list(result.labels)} of {count}")
        if (result.error is None) == (result.probabilities is None):
            raise ValueError(f"video {number} has to have either probabilities or an error")
        if result.probabilities is not None:
            _require_probabilities(result.probabilities, (count,), number)
        if result.view_probabilities is not None:
            _require_probabilities(result.view_probabilities, (len(result.view_probabilities), count), number)


def _require_probabilities(values: Tensor, shape: tuple[int, ...], number: int) -> None:
    """Raise ValueError unless all values are probabilities, of the number of classes."""
    if values.shape != shape:
        raise ValueError(f"video {number} has {values.shape[-1]} probabilities for {shape[-1]} classes")
    # Rounding may lead a little over one.
    if not ((values >= 0) & (values <= 1.001)).all():
        raise ValueError(f"probabilities of video {number} are not between 0 and 1")


def _tensors(table: pyarrow.Table, name: str) -> Iterator[Tensor | None]:
    """Give the probabilities of each row as float32 ``[K]``, or ``[V, K]`` of views; None where it has none."""
    column = table[name].combine_chunks()
    # Flattened, a column has what the rows have that have something, one after the other.
    rows = column
    if name == VIEWS and pyarrow.types.is_list(column.type):
        rows = column.flatten()
    if not pyarrow.types.is_fixed_size_list(rows.type):
        raise TypeError(f"{name} is of {column.type}")
    values = torch.from_numpy(rows.flatten().to_numpy().astype(np.float32)).reshape(-1, rows.type.list_size)
    if name == VIEWS:
        values = values.split(column.value_lengths().drop_null().to_pylist())

    found = iter(values)
    for has_values in column.is_valid().to_pylist():
        yield next(found) if has_values else None


def _result(
    index: int, labels: tuple[int, ...], row: dict[str, Any], probabilities: Tensor | None, of_views: Tensor | None
) -> VideoResult:
    """Return the result of a row."""
    return VideoResult(
        index,
        row["video"],
        labels,
        probabilities=probabilities,
        error=row["error"],
        views=row["views"],
        id=row["id"],
        view_probabilities=of_views,
    )


def predictions_file(place: str | Path) -> Path:
    """Return the file of a run or a folder, or the path itself.

    Raises:
        InputError: there is no file.
    """
    path = Path(place)
    if path.is_dir():
        for place in (path / "test" / NAME, path / NAME):
            if place.is_file():
                return place
        raise InputError(
            f"{path} has no {NAME}, and none in its folder test; make it with video-rs test --checkpoint {path}"
        )
    if not path.is_file():
        raise InputError(f"there is no file {path}; give a run's folder, or a {NAME}")
    return path
