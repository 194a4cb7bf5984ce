"""The output folder of a run: what lies where, and that two runs are never mixed in one."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from video_rs.errors import InputError

# What a run writes; --overwrite removes these and nothing else.
WRITTEN = (
    "config.yaml",
    "log.jsonl",
    "tensorboard",
    "checkpoints",
    "metrics.json",
    "predictions.jsonl",
    "report.html",
    "test",
)


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

    def holds_a_run(self) -> bool:
        """Whether a run has written here."""
        return any((self.path / name).exists() for name in WRITTEN)

    def refuse_a_second_run(self) -> None:
        """Raises InputError where a run has written here."""
        if self.holds_a_run():
            raise InputError(
                f"{self.path} already holds a run; add --resume to continue it, --overwrite to replace it, "
                "or set another OUTPUT_DIR"
            )

    def clear(self) -> None:
        """Removes what a run wrote here, and only that."""
        for name in WRITTEN:
            target = self.path / name
            if target.is_dir():
                shutil.rmtree(target)
            else:
                target.unlink(missing_ok=True)
