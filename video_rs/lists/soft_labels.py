"""Soft labels beside a list: what a network said of each video, in a Parquet file of the list's name.

``NAME.parquet`` beside ``NAME.csv`` has the columns ``path``, as in the list, and ``probabilities``, a list of numbers
in the order of the class names that the schema's metadata have as JSON under ``label_names``.
"""

import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from video_rs.lists.records import RecordList
from video_rs.lists.rows import ListRow, shortened
from video_rs.lists.video_paths import PathResolver
from video_rs.runtime.atomic import replace_bytes
from video_rs.runtime.errors import InputError
from video_rs.runtime.wording import canonical, first_names, pluralize
from video_rs.video.fetching import is_url

NAMES_KEY = b"label_names"
"""Of the schema's metadata."""
COLUMNS = ("path", "probabilities")
# How far from 1 a sum of probabilities may be that were rounded when they were written.
ROUNDING = 1e-2
AGAIN = "write both files anew, as video-rs select_pseudo_labels --soft does"


def soft_labels_file(source: str) -> Path | None:
    """Return the file of soft labels beside a list; None where there is none, and for a folder or a URL."""
    if is_url(source) or os.path.isdir(source):
        return None
    file = Path(source).with_suffix(".parquet")
    return file if file.is_file() else None


def holds_soft_labels(file: Path) -> bool:
    """Return whether a file is one of soft labels, whole, and nothing else."""
    from pyarrow import ArrowException, parquet

    try:
        schema = parquet.read_schema(file)
    except (OSError, ArrowException):
        return False
    return tuple(schema.names) == COLUMNS and NAMES_KEY in (schema.metadata or {})


def write_soft_labels(file: Path, paths: Sequence[str], probabilities: np.ndarray, label_names: Sequence[str]) -> None:
    """Write soft labels, whole or not at all.

    Args:
        file: beside the list, of its name.
        paths: of N videos, as in the list.
        probabilities: float ``[N, K]``.
        label_names: of the K classes.
    """
    import pyarrow
    from pyarrow import parquet

    columns = {
        "path": pyarrow.array(paths, pyarrow.string()),
        "probabilities": pyarrow.array(list(probabilities), pyarrow.list_(pyarrow.float32())),
    }
    metadata = {NAMES_KEY: json.dumps(list(label_names)).encode()}
    buffer = io.BytesIO()
    parquet.write_table(pyarrow.table(columns).replace_schema_metadata(metadata), buffer, compression="zstd")
    replace_bytes(file, buffer.getvalue())


def read_soft_labels(
    file: Path, records: RecordList, label_names: Sequence[str], root: str = "", exclusive: bool = True
) -> np.ndarray:
    """Return the soft labels of a list's records.

    Rows of the file that are those of the list in its order belong to them one by one, so that two segments of a video
    may differ. Otherwise the record's path finds its row.

    Args:
        file: of :func:`soft_labels_file`.
        records: of the list, N of them.
        label_names: of the K classes, in the order of the result.
        root: what relative paths start from; empty: the file's folder.
        exclusive: whether the probabilities of a video sum to 1; else each is one of its own.

    Returns:
        float32 ``[N, K]``.

    Raises:
        InputError: the file cannot be read, has other classes, or lacks a record.
    """
    table = _read_table(file)
    names = _names(table, file)
    columns = _columns(names, label_names, file)
    rows = _rows(table, file, records, root)
    values = _values(table, len(names), file)[rows][:, columns]
    _require_probabilities(values, records, file, exclusive)

    # What was rounded sums to 1 again, or is no more than 1.
    values = values / values.sum(1, keepdims=True) if exclusive else values.clip(0, 1)
    return values.astype(np.float32)


def _read_table(file: Path) -> Any:
    """Return the columns that are needed as a pyarrow.Table."""
    # Loading pyarrow takes half a second, and few lists have such a file.
    from pyarrow import ArrowException, parquet

    try:
        table = parquet.read_table(file)
        return table.select(list(COLUMNS))
    except KeyError as error:
        raise InputError(
            f"{file} has no columns path and probabilities ({shortened(str(error.args[0]))}), which soft labels "
            f"beside a list have; {AGAIN}, or remove it"
        ) from error
    except (OSError, ArrowException) as error:
        reason = str(error).split("\n")[0]
        raise InputError(f"cannot read the soft labels in {file}: {shortened(reason)}; {AGAIN}") from error


def _names(table: Any, file: Path) -> list[str]:
    """Return the class names of the file, in the order of its probabilities."""
    try:
        names = json.loads((table.schema.metadata or {})[NAMES_KEY])
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError("no list of names")
    except (KeyError, ValueError) as error:
        raise InputError(
            f"{file} does not say which classes its probabilities are of (label_names in its schema); {AGAIN}"
        ) from error
    return names


def _columns(names: Sequence[str], label_names: Sequence[str], file: Path) -> list[int]:
    """Return where in the file each of the classes stands."""
    refuse_other_classes(names, label_names, f"{file} has soft labels")
    place = {canonical(name): index for index, name in enumerate(names)}
    return [place[canonical(name)] for name in label_names]


def refuse_other_classes(names: Sequence[str], label_names: Sequence[str], what: str) -> None:
    """Raise InputError unless both are the same classes, in any order.

    Args:
        names: of somebody else.
        label_names: of the run.
        what: whose the ``names`` are, such as "FILE has soft labels".
    """
    there = dict.fromkeys(map(canonical, names))
    here = dict.fromkeys(map(canonical, label_names))
    missing = [repr(name) for name in here if name not in there]
    unknown = [repr(name) for name in there if name not in here]
    if not missing and not unknown and len(there) == len(names):
        return

    differences = []
    if missing:
        differences.append(f"not of {first_names(missing)}")
    if unknown:
        differences.append(f"but of {first_names(unknown)}, no class here")
    if not differences:
        differences.append("with a name that stands there twice")
    raise InputError(
        f"{what} of {pluralize(len(names), 'class', 'classes')} for the {len(label_names)} of this run: "
        f"{', '.join(differences)}; take the same classes, or give their names as DATA.LABEL_MAP"
    )


def _rows(table: Any, file: Path, records: RecordList, root: str) -> np.ndarray:
    """Return the row of each record, int64 ``[N]``."""
    resolver = PathResolver(os.path.abspath(root or file.parent), str(file))
    paths = []
    for number, path in enumerate(table["path"].to_pylist(), 1):
        paths.append(resolver.resolve(ListRow(number, path or "")))

    wanted = [record.path for record in records.records]
    if paths == wanted:
        return np.arange(len(paths))

    found: dict[str, int] = {}
    again = set()
    for row, path in enumerate(paths):
        if found.setdefault(path, row) != row:
            again.add(path)
    for path in wanted:
        if path not in found:
            raise InputError(f"{file} has no soft labels for {path} of {records.source}; {AGAIN}")
        if path in again:
            raise InputError(
                f"{file} has several rows for {path}, and other rows than {records.source}: which is meant is not "
                f"known; {AGAIN}"
            )
    return np.array([found[path] for path in wanted], dtype=np.int64)


def _values(table: Any, count: int, file: Path) -> np.ndarray:
    """Return all rows, float64 ``[n, count]``; a row without probabilities has NaN."""
    from pyarrow import compute, types

    column = table["probabilities"].combine_chunks()
    kind = column.type
    is_list = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
    if not is_list or not types.is_floating(kind.value_type):
        raise InputError(f"{file}: probabilities are of the type {kind}, expected lists of numbers; {AGAIN}")

    valid = column.is_valid().to_numpy(zero_copy_only=False)
    lengths = compute.list_value_length(column.drop_null()).to_numpy(zero_copy_only=False)
    other = lengths[lengths != count]
    if len(other):
        raise InputError(
            f"{file} has a row of {other[0]} probabilities for {pluralize(count, 'class', 'classes')}; {AGAIN}"
        )
    values = np.full((len(column), count), np.nan)
    values[valid] = column.drop_null().flatten().to_numpy(zero_copy_only=False).reshape(-1, count)
    return values


def _require_probabilities(values: np.ndarray, records: RecordList, file: Path, exclusive: bool) -> None:
    """Raise InputError for the first record whose values are no probabilities."""
    # Comparisons with NaN are false.
    good = ((values >= 0) & (values <= 1 + ROUNDING)).all(1)
    expected = "numbers from 0 to 1"
    if exclusive:
        good &= np.abs(values.sum(1) - 1) <= ROUNDING
        expected += " that sum to 1"
    for index in np.flatnonzero(~good)[:1]:
        raise InputError(
            f"{file}: the probabilities of {records.records[index].path} are no {expected}; {AGAIN}, or remove the row "
            f"from {records.source}"
        )
