"""Where an extraction of features writes, and whether what is there already is a part of the same extraction."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from video_rs.config import Config
from video_rs.data.preprocessing import Preprocessing
from video_rs.inference.features.shards import Shards
from video_rs.inference.features.writing import beside
from video_rs.inference.shard_folder import read_settings
from video_rs.lists.checks import list_facts
from video_rs.lists.records import RecordList
from video_rs.runtime import distributed
from video_rs.runtime.errors import InputError
from video_rs.runtime.file_hash import file_hash
from video_rs.runtime.folders import make_writable
from video_rs.runtime.version import __version__
from video_rs.video.fetching import absolute_path

FORMAT = 1
# Where a thing lies changes nothing of the features.
PLACES = ("checkpoint", "teacher", "list")


@dataclass(frozen=True)
class Extraction:
    """What is asked for.

    Attributes:
        checkpoint: a .pth file of a run, or the run's folder.
        out: the file, whose suffix chooses the format.
        list: of the videos; empty: DATA.VAL_LIST of the run.
        split: train, val or test: rows of the list; "": all.
        stage: of the network.
        per: what a row is of: "video", "clip" or "view".
        shard_videos: of a shard, at least 1.
        overwrite: whether what is there already goes.
        overrides: KEY VALUE pairs over the stored config.
    """

    checkpoint: str
    out: str
    list: str = ""
    split: str = ""
    stage: str = "res5"
    per: str = "video"
    shard_videos: int = 64
    overwrite: bool = False
    overrides: tuple[str, ...] = ()


def extraction_settings(
    asked: Extraction,
    config: Config,
    records: RecordList,
    preprocessing: Preprocessing,
    weights: Mapping[str, Any],
) -> dict[str, Any]:
    """Return what decides about the features, and where it lies, as plain data.

    Args:
        asked: what is asked for; where it is written does not matter.
        config: of the network and its batches.
        records: the videos.
        preprocessing: the views of each video.
        weights: what tells the network's weights from others, such as :func:`checkpoint_facts`.
    """
    settings = {
        "format": FORMAT,
        **weights,
        "model": config.MODEL.ARCH,
        "stage": asked.stage,
        "per": asked.per,
        **list_facts(records),
        "label_names": list(records.label_names),
        "shard_videos": asked.shard_videos,
        "batch_size": config.TEST.BATCH_SIZE,
        "decoder": config.DATA.DECODER,
        "preprocessing": preprocessing.to_dict(),
        "video_rs": __version__,
    }
    # As they are read back: tuples become lists.
    return json.loads(json.dumps(settings))


def checkpoint_facts(path: Path) -> dict[str, str]:
    """Return where a checkpoint lies, and what tells it from others.

    Args:
        path: of the file.
    """
    return {"checkpoint": absolute_path(str(path)), "checkpoint_sha256": file_hash(path)}


def prepare_place(out: Path, shards: Shards, settings: Mapping[str, Any], overwrite: bool) -> bool:
    """Make the place for the results, and return whether they are there already; every process calls this.

    Raises:
        InputError: something else is there, or the folder cannot be written.
    """
    for path, kind in ((out, "a folder"), (shards.folder, "no folder")):
        if path.exists() and path.is_dir() == (kind == "a folder"):
            raise InputError(f"{path} is {kind}, and in the way; give another --out")
    make_writable(out.parent, "--out")
    # All processes look before one of them changes what is there: all find the same.
    found = read_settings(beside(out, ".json")) if out.exists() else None
    under_way = shards.settings()
    distributed.barrier()

    if overwrite:
        if distributed.rank() == 0:
            shards.remove()
            beside(out, ".json").unlink(missing_ok=True)
    elif under_way is not None:
        require_same(settings, under_way, shards.folder, "holds a part of another extraction")
    elif found is not None:
        require_same(settings, found, out, "is there, of another extraction")
        _require_whole(out, found)
        return True
    else:
        _require_free(out, shards)

    if distributed.rank() == 0:
        shards.start(settings)
    distributed.barrier()
    return False


def _require_whole(out: Path, found: Mapping[str, Any]) -> None:
    """Raise InputError where a finished file is not as long as it was."""
    size = out.stat().st_size
    if found.get("bytes", size) != size:
        raise InputError(
            f"{out} is damaged: {size} bytes, and {found['bytes']} when it was finished; take it from a copy, or add "
            "--overwrite to make it again"
        )


def _require_free(out: Path, shards: Shards) -> None:
    """Raise InputError where something lies in the place of one of the files."""
    for path in (out, beside(out, ".json"), beside(out, ".csv")):
        if path.exists():
            raise InputError(f"{path} is there already; give another --out, or add --overwrite to replace it")
    if shards.is_unexplained():
        raise InputError(
            f"nothing says what the files in {shards.folder} are of; give another --out, or add --overwrite to replace "
            "them"
        )


def require_same(settings: Mapping[str, Any], found: Mapping[str, Any], path: Path, what: str) -> None:
    """Raise InputError where work was, or is being, done with other settings."""
    differences = differing_settings(settings, found)
    if differences:
        raise InputError(
            f"{path} {what} (other: {', '.join(differences)}); give another --out, or add --overwrite to replace it"
        )


def differing_settings(settings: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """Return the names of what decides about results and was another one where they were made.

    Args:
        settings: of now.
        found: those that lie beside the results.
    """
    return [name for name, value in settings.items() if name not in PLACES and found.get(name) != value]
