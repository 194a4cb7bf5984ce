"""What a source was trained on: nothing of it may be among the videos that a target tests on."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from video_rs.config import Config, config_from_text
from video_rs.lists.checks import require_apart
from video_rs.lists.records import RecordList, read_records
from video_rs.models.hub import is_repository
from video_rs.models.weights.files import read_file
from video_rs.models.weights.pretrained import IMAGE_LIBRARIES, LIBRARIES
from video_rs.runtime.errors import InputError
from video_rs.runtime.file_hash import file_hash
from video_rs.runtime.torch_files import find_checkpoint
from video_rs.studies.transfer.sources import Source
from video_rs.studies.transfer.targets import Target
from video_rs.video.fetching import handler_names, register_handlers


class Ancestor(NamedTuple):
    """A network that another one started or learned from: its training videos are the other's, too.

    Attributes:
        source: a file, a folder, or the name of a library or repository.
        sha256: of its file then; "" where that is not known.
        link: what the other did, "started from" or "learned from".
    """

    source: str
    sha256: str
    link: str


class TrainingVideos:
    """The training videos of a source, as far as they are known.

    Args:
        source: whose.

    Attributes:
        lists: of all its checkpoints, and of those that they started or learned from, by the path of the list.
        doubts: sentences on what is not known.

    Raises:
        InputError: a path handler of a training run cannot be made.
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
        """Add what a checkpoint was trained on, and what those were that it started or learned from."""
        self._seen.add(path)
        config = _config_of(about)
        if config is None:
            self._doubt(f"{path} does not say what it was trained on")
            return

        register_handlers(handler_names(config.DATA.PATH_HANDLERS))
        for listed in _training_lists(config):
            self._read(listed, config.DATA.ROOT)

        if config.DATA.PSEUDO_LIST:
            self._doubt(
                f"{config.DATA.PSEUDO_LIST}, which {path} was trained on, does not say which network gave its labels, "
                "nor what that was trained on"
            )

        if "started_from" not in about and not config.MODEL.PRETRAINED:
            self._doubt(f"{path} does not say what it started from, as it is of an older version")
        for ancestor in _ancestors(config, about):
            self._add_ancestor(path, ancestor)

    def _add_ancestor(self, child: str, ancestor: Ancestor) -> None:
        """Add what an ancestor of a checkpoint was trained on, as far as there still is such a file."""
        source = ancestor.source
        if source in IMAGE_LIBRARIES:
            # Trained on images, and on no video.
            return
        if source in LIBRARIES:
            self._doubt(f"{source} does not say what it was trained on")
            return
        if not Path(source).exists():
            where = "is a repository of the Hugging Face hub" if is_repository(source) else "is not there any more"
            self._doubt(f"{source}, which {child} {ancestor.link}, {where}")
            return

        try:
            file = find_checkpoint(source)
            about = read_file(file).about
        except InputError as error:
            self._doubt(f"{source}, which {child} {ancestor.link}, cannot be looked through ({error})")
            return
        if ancestor.sha256 and file_hash(file) != ancestor.sha256:
            self._doubt(f"{file} is not the file any more that {child} {ancestor.link}")
        if str(file) not in self._seen:
            self._add(str(file), about)

    def _read(self, path: str, root: str) -> None:
        """Read a list that was trained on."""
        if path in self.lists:
            return
        try:
            self.lists[path] = read_records(path, split="train", root=root, require_labels=False)
        except InputError as error:
            self._doubt(f"what --source {self._source.name} was trained on cannot be read any more ({error})")

    def _doubt(self, what: str) -> None:
        """Add a sentence on what is not known."""
        self.doubts.append(f"{what}: nobody has looked whether a target's validation videos were among it")


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


def _ancestors(config: Config, about: Mapping[str, Any]) -> Iterator[Ancestor]:
    """Give what a checkpoint started from, and its teacher.

    Args:
        config: of the checkpoint.
        about: what else it says of itself. Checkpoints of older versions name their start in the config alone.
    """
    start = about.get("started_from", {"source": config.MODEL.PRETRAINED, "sha256": ""})
    if start.get("source"):
        yield Ancestor(start["source"], start["sha256"], "started from")
    if config.DISTILL.TEACHER:
        yield Ancestor(config.DISTILL.TEACHER, about.get("teacher", {}).get("sha256", ""), "learned from")
