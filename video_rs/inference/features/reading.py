"""Files of features, read back."""

import csv
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pyarrow import parquet

from video_rs.inference.features.row_texts import COLUMNS, RowTexts
from video_rs.inference.features.writing import beside
from video_rs.inference.shard_folder import read_settings
from video_rs.runtime.errors import InputError


@dataclass(frozen=True)
class Features:
    """Features as a file has them.

    Attributes:
        features: float32 ``[R, D]``; NaN where the video could not be read.
        rows: of what they are.
        about: settings of the extraction; empty where the JSON is not there.
    """

    features: np.ndarray
    rows: RowTexts
    about: dict[str, Any]


def read_features(path: str | Path) -> Features:
    """Return the features of a file of any format.

    Raises:
        InputError: there is no such file, or it holds something else.
    """
    path = Path(path)
    if path.suffix not in READERS:
        raise InputError(f"{path} is no file of features; allowed: names that end with {', '.join(READERS)}")
    if not path.is_file():
        raise InputError(f"there is no file {path}; make it with video-rs extract_features")

    try:
        features, rows = READERS[path.suffix](path)
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        reason = str(error).split("\n")[0]
        raise InputError(f"{path} holds no features ({reason}); make it with video-rs extract_features") from error
    return Features(features, rows, read_settings(beside(path, ".json")) or {})


def read_npz(path: Path) -> tuple[np.ndarray, RowTexts]:
    """Return the features and the rows of an archive of arrays."""
    with np.load(path) as arrays:
        rows = RowTexts(
            ids=arrays["ids"].tolist(),
            paths=arrays["paths"].tolist(),
            labels=arrays["labels"].tolist(),
            clips=arrays["clips"],
            crops=arrays["crops"],
            errors=arrays["errors"].tolist(),
        )
        return arrays["features"], rows


def read_npy(path: Path) -> tuple[np.ndarray, RowTexts]:
    """Return the features of an array, and the rows of the CSV beside it."""
    columns = {name: [] for name in COLUMNS}
    with beside(path, ".csv").open(encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            for name in COLUMNS:
                columns[name].append(line[name])
    return np.load(path), RowTexts.of_columns(columns)


def read_parquet(path: Path) -> tuple[np.ndarray, RowTexts]:
    """Return the features and the rows of a table."""
    table = parquet.read_table(path)
    column = table["features"].combine_chunks()
    channels = column.type.list_size

    # What the column gives as numbers are those of the rows that have some.
    features = np.full((len(column), channels), np.nan, np.float32)
    is_read = column.is_valid().to_numpy(zero_copy_only=False)
    features[is_read] = column.flatten().to_numpy().reshape(-1, channels)

    columns = {name: table[name].to_pylist() for name in COLUMNS}
    return features, RowTexts.of_columns(columns)


READERS = {".npz": read_npz, ".npy": read_npy, ".parquet": read_parquet}
