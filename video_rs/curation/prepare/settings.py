"""What the files of a prepared folder have in common, kept in the folder: files of two kinds never mix."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from video_rs.curation.prepare.places import INSIDE, OUTSIDE
from video_rs.runtime.atomic import write_json
from video_rs.runtime.errors import InputError

SETTINGS = "prepared.json"


@dataclass(frozen=True)
class FolderSettings:
    """The content of ``prepared.json``.

    Attributes:
        list: absolute path or URL of the list.
        root: absolute path or URL that the list's relative paths start from.
        short_side, keyframe_interval, crf, program, stride: see :func:`video_rs.curation.prepare.reencoding.reencode`.
    """

    list: str
    root: str
    short_side: int
    keyframe_interval: int
    crf: int
    program: str
    stride: int = 1


def settle_settings(folder: Path, settings: FolderSettings, overwrite: bool) -> None:
    """Compare the settings with the folder's, or make them the folder's.

    Raises:
        InputError: the folder has other settings and is not to be overwritten.
    """
    before = _read_settings(folder)
    if before is not None and not overwrite:
        # A folder that was prepared before there were strides has every frame for itself.
        before.setdefault("stride", FolderSettings.stride)
        _refuse_other_settings(folder, before, asdict(settings))
        return

    if before is not None:
        # The old files go before the old settings: whenever this stops, files and settings are of one kind.
        for name in (INSIDE, OUTSIDE):
            if (folder / name).is_dir():
                shutil.rmtree(folder / name)
    write_json(folder / SETTINGS, asdict(settings))


def _read_settings(folder: Path) -> dict[str, Any] | None:
    """Return the settings of a folder, None where it has none."""
    path = folder / SETTINGS
    if not path.exists():
        return None

    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise InputError(f"{path} does not hold settings ({error}); choose another folder") from error


def _refuse_other_settings(folder: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raise InputError where a folder was prepared with other settings."""
    changed = []
    for name, value in now.items():
        if before.get(name) != value:
            changed.append(f"{name} {before.get(name)}, now {value}")

    if changed:
        raise InputError(
            f"{folder} was prepared with {'; '.join(changed)}: give what it was, another folder, or --overwrite to "
            "make all its videos again"
        )
