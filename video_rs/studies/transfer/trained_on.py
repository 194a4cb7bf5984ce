"""What a source was trained on: nothing of it may be among the videos that a target tests on."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from video_rs.config import Config, config_from_text
from video_rs.lists.checks import require_apart
from video_rs.lists.records import RecordList, read_records
from video_rs.models.weights.files import read_file
from video_rs.runtime.errors import InputError
from video_rs.studies.transfer.sources import Source
from video_rs.studies.transfer.targets import Target
from video_rs.video.fetching import handler_names, register_handlers

# What a run starts from or learns from; its training videos are the run's, too.
ANCESTORS = ("MODEL.PRETRAINED", "DISTILL.TEACHER")


class TrainingVideos:
    """The training videos of a source, as far as they are known.

    Args:
        source: whose.

    Attributes:
        lists: of all its checkpoints, and of those that they started from, by the path of the list.
        doubts: sentences on what is not known.
    """

    def __init__(self, source: Source):
        self.lists: dict[str, RecordList] = {}
        self.doubts: list[str] = []
        self._source = source
        self._seen: set[str] = set()
        for path, about in zip(source.weights, source.about, strict=True):
            self._add(path, about)

    def require_apart_from(self, target: Target) -> None:
        """Raise InputError where a validation video of a target is among them."""
        for records in self.lists.values():
            try:
                require_apart(records, target.lists.val)
            except InputError as error:
                raise InputError(
                    f"--source {self._source.name} has been trained on --target {target.name}: {error}"
                ) from error

    def _add(self, path: str, about: Mapping[str, Any]) -> None:
        """Add what a checkpoint was trained on, and what those were that it started from."""
        self._seen.add(path)
        config = _config_of(about)
        if config is None:
            self.doubts.append(
                f"{path} does not say what it was trained on: nobody has looked whether a target's validation videos "
                "were among it"
            )
            return

        register_handlers(handler_names(config.DATA.PATH_HANDLERS))
        for listed in _training_lists(config):
            self._read(listed, config.DATA.ROOT)

        values = config.flat()
        for key in ANCESTORS:
            ancestor = values[key]
            if ancestor and ancestor not in self._seen and Path(ancestor).exists():
                try:
                    self._add(ancestor, read_file(ancestor).about)
                except InputError as error:
                    self.doubts.append(f"what {path} started from cannot be read: {error}")

    def _read(self, path: str, root: str) -> None:
        """Read a list that was trained on."""
        if path in self.lists:
            return
        try:
            self.lists[path] = read_records(path, split="train", root=root, require_labels=False)
        except InputError as error:
            self.doubts.append(
                f"what --source {self._source.name} was trained on cannot be read any more ({error}): nobody has "
                "looked whether a target's validation videos were among it"
            )


def _config_of(about: Mapping[str, Any]) -> Config | None:
    """Return the configuration that a checkpoint stores; None where there is none that can be read."""
    if not about.get("config"):
        return None
    try:
        return config_from_text(about["config"])
    except InputError:
        # It is of another version, with other keys.
        return None


def _training_lists(config: Config) -> Iterator[str]:
    """Give the lists that a run of a configuration trains on: all that it has but the one for validation."""
    for key, value in config.flat().items():
        if key.startswith("DATA.") and key.endswith("_LIST") and key != "DATA.VAL_LIST" and value:
            yield value
