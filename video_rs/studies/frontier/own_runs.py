"""Trained runs of one's own: their accuracy as tested, and the view that their cost is measured at."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from video_rs.data.preprocessing import Preprocessing
from video_rs.engine.checkpoint import load_checkpoint
from video_rs.models import Architecture, VideoClassifier
from video_rs.models.table import gmac, parameters
from video_rs.runs.test import run_test
from video_rs.runtime.errors import InputError
from video_rs.runtime.torch_files import find_checkpoint
from video_rs.studies.frontier.measured import View


@dataclass(frozen=True)
class OwnRun:
    """A trained and tested run.

    Attributes:
        name: of the row.
        metrics: what the test's metrics.json holds.
        view: what is measured. Runs of one network share the view of the first of them.
        gmac: of one view, in 10^9 multiply-adds.
        parameters: of the network.
    """

    name: str
    metrics: Mapping[str, Any]
    view: View
    gmac: float
    parameters: int

    @property
    def total_views(self) -> int:
        """How often the network ran for a video of the test."""
        return self.metrics["clips"] * self.metrics["crops"]

    @property
    def top1(self) -> float:
        """Top-1 accuracy of the test, in per cent."""
        return 100 * self.metrics["top1"]


def read_runs(paths: Sequence[str], list_path: str = "") -> list[OwnRun]:
    """Return runs with their accuracy; with a list, all of them are tested on it now.

    Args:
        paths: folders of runs, or .pth files of them.
        list_path: to test on; "" takes each run's test as it is.

    Raises:
        InputError: a path that is no run, a run that has not been tested, or runs tested on different lists.
    """
    places = list({os.path.realpath(path): path for path in paths}.values())
    checkpoints = [find_checkpoint(path) for path in places]
    # All runs are read before the first one is tested; their weights need not stay in memory.
    contents = [description(load_checkpoint(path)) for path in checkpoints]
    names = distinct_names([run_folder(path) for path in checkpoints])

    # The test is the long part; it is done for all before anything is measured.
    found_metrics = []
    for place, checkpoint in zip(places, checkpoints, strict=True):
        if list_path:
            found_metrics.append(run_test(str(checkpoint), list_path, ["TEST.VIEWS", "published"]))
        else:
            found_metrics.append(test_metrics(place, run_folder(checkpoint)))
    require_one_list(names, found_metrics)

    runs = []
    first_views: dict[tuple[str, int, int], View] = {}
    for name, path, content, metrics in zip(names, checkpoints, contents, found_metrics, strict=True):
        preprocessing = Preprocessing.from_dict(content["preprocessing"])
        _, _, frames, size, _ = preprocessing.clip_shape(1)
        built_of = json.dumps({"architecture": content["architecture"], "classes": content["num_classes"]})
        view = View(name, True, name, frames, size, checkpoint=str(path.resolve()), built_of=built_of)
        # Seeds of one network cost the same: it is measured once.
        view = first_views.setdefault((built_of, frames, size), view)

        # Work and size are counted without memory.
        with torch.device("meta"):
            model = VideoClassifier(Architecture(**content["architecture"]), content["num_classes"])
        runs.append(OwnRun(name, metrics, view, gmac(model, frames, size), parameters(model)))
    return runs


def description(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a checkpoint says of its network and its views, without the weights."""
    return {name: checkpoint[name] for name in ("architecture", "num_classes", "preprocessing")}


def run_folder(checkpoint: Path) -> Path:
    """Return the folder of the run that a checkpoint is of."""
    folder = checkpoint.resolve().parent
    if folder.name == "checkpoints":
        return folder.parent
    return folder


def distinct_names(folders: Sequence[Path]) -> list[str]:
    """Return the last part of each path, or as many of the last parts as it takes for all names to differ."""
    most = max(len(folder.parts) for folder in folders)
    for count in range(1, most + 1):
        names = ["/".join(folder.parts[-count:]) for folder in folders]
        if len(set(names)) == len(names):
            return names
    # Two checkpoints of one run.
    twice = next(folder for folder in folders if folders.count(folder) > 1)
    raise InputError(f"{twice} is given twice; name each run once")


def test_metrics(place: str, folder: Path) -> dict[str, Any]:
    """Return what the test of a run has left.

    Raises:
        InputError: it has not been tested, or its file cannot be read.
    """
    path = folder / "test" / "metrics.json"
    try:
        metrics = json.loads(path.read_text(encoding="utf-8"))
        _require_views(place, metrics["views"])
        return {
            **metrics,
            "clips": int(metrics["clips"]),
            "crops": int(metrics["crops"]),
            "top1": float(metrics["top1"]),
        }
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(
            f"{place} has not been tested: run video-rs test --checkpoint {place}, or name a list for all runs with "
            "--list"
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"cannot read {path}: {error!r}; test the run again: video-rs test --checkpoint {place}"
        ) from error


# pytest collects functions of this name.
test_metrics.__test__ = False


def require_one_list(names: Sequence[str], metrics: Sequence[Mapping[str, Any]]) -> None:
    """Raise InputError where runs were tested on different lists: their accuracies cannot be compared."""
    lists = [str(one.get("list", "")) for one in metrics]
    for name, path in zip(names, lists, strict=True):
        if path != lists[0]:
            raise InputError(
                f"{names[0]} was tested on {lists[0] or 'an unknown list'}, and {name} on {path or 'an unknown list'}; "
                "name one list for all runs with --list"
            )


def _require_views(place: str, views: str) -> None:
    """Raise InputError for a test whose cost is not a number of clips and crops."""
    if views != "published":
        raise InputError(
            f"{place} was tested with TEST.VIEWS {views}, whose cost is no number of clips and crops; test it again: "
            f"video-rs test --checkpoint {place} TEST.VIEWS published"
        )
