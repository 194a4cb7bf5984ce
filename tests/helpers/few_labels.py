"""Lists of which a part is labelled by a network, with soft labels beside them."""

import json

import pyarrow
from pyarrow import parquet


def write_soft_labels(file, paths, rows, names, kind=None):
    """Write NAME.parquet as it lies beside NAME.csv; ``kind`` is the type of a row, lists of float32 if None."""
    columns = {
        "path": pyarrow.array([str(path) for path in paths], pyarrow.string()),
        "probabilities": pyarrow.array(rows, kind or pyarrow.list_(pyarrow.float32())),
    }
    table = pyarrow.table(columns)
    if names is not None:
        table = table.replace_schema_metadata({b"label_names": json.dumps(names).encode()})
    parquet.write_table(table, file)
    return file


def unlabelled_list(videos, folder):
    """Write unlabelled.csv, the paths of the training videos of the ``videos`` fixture alone."""
    rows = [f"{videos.parent}/{row.split(',')[0]}" for row in videos.read_text().splitlines() if row.endswith(",train")]
    path = folder / "unlabelled.csv"
    path.write_text("\n".join(["path", *rows, ""]))
    return path


def split_list(videos, folder, soft=None, names=("light", "dark")):
    """Write labelled.csv (with the validation rows) and pseudo.csv of the ``videos`` fixture into a folder.

    The first two training videos of each class are labelled, the other two pseudo-labelled. ``soft`` is the
    probability of each pseudo-label; None writes hard labels alone. Return both lists.
    """
    head, *rows = videos.read_text().splitlines()
    rows = [f"{videos.parent}/{row}" for row in rows]
    labelled = [row for row in rows if row.endswith(",val") or row.split(",")[0][-5] in "01"]
    others = [row.removesuffix(",train") for row in rows if row not in labelled]
    (folder / "labelled.csv").write_text("\n".join([head, *labelled, ""]))
    pseudo = folder / "pseudo.csv"
    pseudo.write_text("\n".join(["path,label", *others, ""]))
    if soft is not None:
        pairs = [row.split(",") for row in others]
        probabilities = [[soft if name == label else 1 - soft for name in names] for _, label in pairs]
        write_soft_labels(folder / "pseudo.parquet", [path for path, _ in pairs], probabilities, list(names))
    return folder / "labelled.csv", pseudo
