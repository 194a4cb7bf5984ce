"""Files of features: .npz, .npy and .parquet, written part by part, however many rows there are.

=========  ==========================================================================================================
suffix     holds
=========  ==========================================================================================================
.npz       arrays: ``features`` float32 ``[R, D]``; ``ids``, ``paths``, ``labels`` and ``errors``, text ``[R]``;
           ``clips`` and ``crops``, int64 ``[R]``
.parquet   columns ``id``, ``video``, ``label``, ``clip``, ``crop``, ``error``, ``features`` (float32, D of them; null
           where the video could not be read)
.npy       the array ``features`` alone; beside it a CSV with the other columns of .parquet, a line for each row
=========  ==========================================================================================================

Beside each file lies a JSON of the same name, which says what the features are of.
"""

import zipfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow
from pyarrow import parquet

from video_rs.inference.features.row_texts import COLUMNS, RowTexts
from video_rs.inference.features.rows import ALL
from video_rs.runtime.atomic import replacing, write_csv

# Of the parts of an archive: the same features give the same bytes.
ONE_DATE = (1980, 1, 1, 0, 0, 0)


def beside(path: Path, suffix: str) -> Path:
    """Return the path of a file that goes with a file of features: ``features.npz.json``."""
    return path.with_name(path.name + suffix)


def write_npy(path: Path, rows: RowTexts, channels: int, parts: Iterable[np.ndarray]) -> None:
    """Write the features alone, and the rows as a CSV; the arguments are those of :data:`FORMATS`."""
    with replacing(path) as file:
        _write_features(file, (len(rows), channels), parts)
    write_csv(beside(path, ".csv"), COLUMNS, rows.lines())


def write_npz(path: Path, rows: RowTexts, channels: int, parts: Iterable[np.ndarray]) -> None:
    """Write all arrays; the arguments are those of :data:`FORMATS`."""
    arrays = {
        "ids": np.array(rows.ids, dtype=str),
        "paths": np.array(rows.paths, dtype=str),
        "labels": np.array(rows.labels, dtype=str),
        "errors": np.array(rows.errors, dtype=str),
        "clips": rows.clips,
        "crops": rows.crops,
    }
    with replacing(path) as file, zipfile.ZipFile(file, "w") as archive:
        with archive.open(zipfile.ZipInfo("features.npy", ONE_DATE), "w", force_zip64=True) as entry:
            _write_features(entry, (len(rows), channels), parts)

        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy", ONE_DATE), "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)


def _write_features(file: BinaryIO, shape: tuple[int, int], parts: Iterable[np.ndarray]) -> None:
    """Write float32 rows as one array in NumPy's format, without ever holding all of them."""
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    for part in parts:
        file.write(np.ascontiguousarray(part, "<f4").tobytes())


def write_parquet(path: Path, rows: RowTexts, channels: int, parts: Iterable[np.ndarray]) -> None:
    """Write a table, a group of rows for each part; the arguments are those of :data:`FORMATS`."""
    texts = pyarrow.table(
        {
            "id": _text(rows.ids),
            "video": _text(rows.paths),
            "label": _text(rows.labels),
            "clip": _places(rows.clips),
            "crop": _places(rows.crops),
            "error": _text(rows.errors),
        }
    )
    is_failed = np.array([error != "" for error in rows.errors], bool)
    schema = texts.schema.append(pyarrow.field("features", pyarrow.list_(pyarrow.float32(), channels)))

    with replacing(path) as file, parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        first = 0
        for part in parts:
            behind = first + len(part)
            numbers = pyarrow.array(part.ravel(), pyarrow.float32())
            # Of a video that could not be read there are no features.
            missing = pyarrow.array(is_failed[first:behind])
            features = pyarrow.FixedSizeListArray.from_arrays(numbers, channels, mask=missing)

            table = texts.slice(first, len(part)).append_column("features", features)
            writer.write_table(table.cast(schema))
            first = behind


def _text(values: Sequence[str]) -> pyarrow.Array:
    """Return a column of text, null where there is none; bytes of a name that are no UTF-8 are ``\\udcXX``."""
    clean = []
    for value in values:
        clean.append(value.encode("utf-8", "backslashreplace").decode() or None)
    return pyarrow.array(clean, pyarrow.string())


def _places(places: np.ndarray) -> pyarrow.Array:
    """Return a column of clips or crops, null for all of them."""
    return pyarrow.array(places, pyarrow.int32(), mask=places == ALL)


Writer = Callable[[Path, RowTexts, int, Iterable[np.ndarray]], None]
FORMATS: dict[str, Writer] = {".npz": write_npz, ".npy": write_npy, ".parquet": write_parquet}
"""What writes features, by the suffix: (path, rows, channels D, parts float32 ``[r, D]`` in order) -> None."""
