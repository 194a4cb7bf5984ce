"""The output folder of a run: what lies where, and that two runs are never mixed in one."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from video_rs.engine.checkpoint_writer import kept_checkpoints
from video_rs.runtime.errors import InputError

# What a run writes, as patterns: --overwrite removes these files and nothing else. A test's results are of the run too.
WRITTEN = (
    "config.yaml",
    "log.jsonl",
    "metrics.json",
    "predictions.jsonl",
    "report.html",
    "checkpoints/last.pth*",
    "checkpoints/best.pth*",
    "checkpoints/step_*.pth*",
    "profile/trace_rank0.json*",
    "profile/table.txt",
    "tensorboard/events.out.tfevents.*",
)
TEST_FOLDERS = tuple(kind + split for kind in ("test", "knn") for split in ("", "_train", "_test"))
# A list other than the run's own has a folder in them.
_TESTED = tuple(place for folder in TEST_FOLDERS for place in (f"{folder}/*", folder))
WRITTEN_BY_TESTS = tuple(
    f"{folder}/{name}" for folder in _TESTED for name in ("metrics.json", "predictions.jsonl", "report.html")
)
REFUSED = "refused"
"""The event with which the log of a run ends that was refused."""
FOLDERS = ("checkpoints", "profile", "tensorboard", *_TESTED)


@dataclass(frozen=True)
class RunFolder:
    """Paths of one run."""

    path: Path

    @property
    def last(self) -> Path:
        """The newest checkpoint."""
        return self.path / "checkpoints" / "last.pth"

    @property
    def best(self) -> Path:
        """The checkpoint of the best validation."""
        return self.path / "checkpoints" / "best.pth"

    def other_checkpoints(self) -> list[str]:
        """Names of the checkpoints beside the last, the newest first; the best may be any of them."""
        best = [self.best.name] if self.best.is_file() else []
        return [path.name for path in kept_checkpoints(self.last.parent)] + best

    def holds_a_run(self) -> bool:
        """Return whether a run has written here; one that was refused when it had hardly begun is none."""
        if self._was_refused():
            return False
        return any(True for pattern in WRITTEN for _ in self.path.glob(pattern))

    def _was_refused(self) -> bool:
        """Return whether the log ends with a refusal."""
        try:
            lines = (self.path / "log.jsonl").read_text(encoding="utf-8").splitlines()
            return json.loads(lines[-1]).get("event") == REFUSED
        except (OSError, ValueError, IndexError, AttributeError):
            return False

    def refuse_a_second_run(self) -> None:
        """Raises InputError where a run has written here."""
        if self.holds_a_run():
            raise InputError(
                f"{self.path} already holds a run; add --resume to continue it, --overwrite to replace it, "
                "or set another OUTPUT_DIR"
            )

    def refuse_a_lost_checkpoint(self) -> None:
        """Raises InputError where there are checkpoints but no last one: starting over would remove them."""
        others = self.other_checkpoints()
        if others and not self.last.is_file():
            raise InputError(
                f"{self.last} is missing, but {', '.join(others)} {'is' if len(others) == 1 else 'are'} there; copy "
                f"{'it' if len(others) == 1 else 'one'} to last.pth to continue from it, "
                "or add --overwrite instead of --resume to start over"
            )

    def make(self) -> None:
        """Makes the folder; InputError where that is not possible. Processes of one run may call it at once."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            # A probe of each caller's own: with one name for all, one process removes what another is about to.
            with tempfile.NamedTemporaryFile(dir=self.path, prefix=".writable-"):
                pass
        except OSError as error:
            reason = error.strerror or error
            raise InputError(f"cannot write to OUTPUT_DIR {self.path}: {reason}; set another OUTPUT_DIR") from error

    def clear(self) -> None:
        """Removes what a run wrote here, and only that."""
        for pattern in (*WRITTEN, *WRITTEN_BY_TESTS):
            for path in self.path.glob(pattern):
                path.unlink()
        for folder in (path for pattern in FOLDERS for path in self.path.glob(pattern)):
            if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
                folder.rmdir()
