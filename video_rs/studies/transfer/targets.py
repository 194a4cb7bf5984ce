"""The targets of a transfer study: lists of videos whose classes are learned from other networks' weights."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from video_rs.builders import build_lists
from video_rs.builders.lists import Lists
from video_rs.config import Config, load_config
from video_rs.runtime.errors import InputError
from video_rs.studies.transfer.sources import require_name
from video_rs.video.fetching import absolute_path


@dataclass(frozen=True)
class Target:
    """A list to learn.

    Attributes:
        name: of the target.
        path: of its list, absolute.
        lists: its training and validation videos.
    """

    name: str
    path: str
    lists: Lists

    @property
    def keys(self) -> dict[str, str]:
        """Configuration keys of its runs."""
        return _keys(self.path)


def find_targets(texts: Sequence[str], config: Config) -> list[Target]:
    """Return the targets that are named on a command line.

    Args:
        texts: ``LIST``, called by its file, or ``NAME=LIST``.
        config: of the runs.

    Raises:
        InputError: a list cannot be read, has no labels or no validation rows, or two have one name.
    """
    targets: dict[str, Target] = {}
    for text in texts:
        target = _find_target(text, config)
        if target.name in targets:
            raise InputError(
                f"--target {targets[target.name].path} and {target.path} would both be called {target.name}; give "
                "NAME=LIST"
            )
        targets[target.name] = target
    return list(targets.values())


def _find_target(text: str, config: Config) -> Target:
    """Return the target of a text; see :func:`find_targets`."""
    name = ""
    path = text
    # A path may have an "=" in it, too.
    if "=" in text and not Path(text).exists():
        name, _, path = text.partition("=")
        require_name(f"--target {text}", name)
    if not name:
        name = re.sub(r"[^A-Za-z0-9_-]+", "_", Path(path).stem)
    path = absolute_path(path)

    lists = build_lists(load_config("", {**config.flat(), **_keys(path)}))
    if not lists.train.has_splits:
        raise InputError(
            f"--target {path} has no validation rows, as it has no column split; add one that says train or val of "
            "each row"
        )
    return Target(name, path, lists)


def _keys(path: str) -> dict[str, str]:
    return {"DATA.TRAIN_LIST": path, "DATA.VAL_LIST": path}
