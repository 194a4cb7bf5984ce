"""The output folder of a run: what lies where, and that two runs are never mixed in one."""

import json
from dataclasses import dataclass
from pathlib import Path

from video_rs.engine.checkpoint_writer import kept_checkpoints
from video_rs.runtime.errors import InputError
from video_rs.runtime.folders import make_writable

# What a run writes, as patterns: --overwrite removes these files and nothing else. A test's results are of the run too.
WRITTEN = (
    "config.yaml",
    "log.jsonl",
    "metrics.json",
    "predictions.*",
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
WRITTEN_BY_TESTS = (
    *(f"{folder}/{name}" for folder in _TESTED for name in ("metrics.json", "predictions.*", "report.html")),
    "calibration/calibration.json",
    "calibration/reliability.png",
)
REFUSED = "refused"
"""The event with which the log of a run ends that was refused."""
FOLDERS = ("calibration", "checkpoints", "profile", "tensorboard", *_TESTED)


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
        """Return the names of the checkpoints beside the last, the newest first; the best may be any of them."""
        names = [path.name for path in kept_checkpoints(self.last.parent)]
        if self.best.is_file():
            names.append(self.best.name)
        return names

    def holds_a_run(self) -> bool:
        """Return whether a run has written here; a run that was refused when it had hardly begun does not count."""
        if self._was_refused():
            return False
        for pattern in WRITTEN:
            if next(self.path.glob(pattern), None) is not None:
                return True
        return False

    def _was_refused(self) -> bool:
        """Return whether the log ends with a refusal."""
        try:
            lines = (self.path / "log.jsonl").read_text(encoding="utf-8").splitlines()
            return json.loads(lines[-1]).get("event") == REFUSED
        except (OSError, ValueError, IndexError, AttributeError):
            return False

    def refuse_a_second_run(self) -> None:
        """Raise InputError where a run has written here."""
        if self.holds_a_run():
            raise InputError(
                f"{self.path} already holds a run; add --resume to continue it, --overwrite to replace it, "
                "or set another OUTPUT_DIR"
            )

    def refuse_a_lost_checkpoint(self) -> None:
        """Raise InputError where there are checkpoints but no last one: starting over would remove them."""
        others = self.other_checkpoints()
        if self.last.is_file() or not others:
            return
        are_there = "is there; copy it" if len(others) == 1 else "are there; copy one"
        raise InputError(
            f"{self.last} is missing, but {', '.join(others)} {are_there} to last.pth to continue from it, or add "
            "--overwrite instead of --resume to start over"
        )

    def make(self) -> None:
        """Make the folder; InputError where that is not possible. Processes of one run may call this at once."""
        make_writable(self.path, "OUTPUT_DIR")

    def clear(self) -> None:
        """Remove what a run wrote here, and only that; folders that are empty then go, too."""
        for pattern in (*WRITTEN, *WRITTEN_BY_TESTS):
            for path in self.path.glob(pattern):
                path.unlink()

        for pattern in FOLDERS:
            for folder in self.path.glob(pattern):
                if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
                    folder.rmdir()
