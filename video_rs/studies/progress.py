"""How far a study is: runs done, how far the others are, and when all will be."""

import json
import time
from collections.abc import Sequence

from tqdm import tqdm

from video_rs.runtime.progress import QUIET_SECONDS, format_duration, has_bar, print_line
from video_rs.studies.budget import Budget
from video_rs.studies.study import Study

_TAIL = 65536  # bytes of a log in which its last step is looked for
TRAINED = 0.98  # of a run when its last step is taken: testing is left


class StudyProgress:
    """A bar over the runs of a study; lines now and then where there is no terminal.

    Args:
        study: whose runs are done.
        budget: what the runs cost.
        jobs: runs at a time.
    """

    def __init__(self, study: Study, budget: Budget, jobs: int):
        self.study = study
        self.steps = {name: work.steps for name, work in budget.work.items()}
        self.is_estimated = bool(budget.seconds)
        # Without an estimate, seconds of nobody's clock: the progress of the first runs says how long one is.
        self.seconds = budget.seconds or {name: work.total for name, work in budget.work.items()}
        self.jobs = jobs
        self.left = {run.name for run in study.unfinished()}
        self._finished: list[str] = []
        self.started = time.monotonic()
        # What was done before is not counted into the speed.
        self.before = sum(self.share(name) * self.seconds[name] for name in self.left)
        self.last_line = self.started
        self.bar = tqdm(
            total=len(study.runs),
            initial=len(study.runs) - len(self.left),
            disable=not has_bar(),
            unit="run",
            desc="study",
            bar_format="{desc} {n_fmt}/{total_fmt} runs |{bar}| {postfix}",
        )

    def share(self, name: str) -> float:
        """Return how much of a run is done, by the last step that its log has."""
        path = self.study.run_folder(self.study.run(name)) / "log.jsonl"
        try:
            with path.open("rb") as file:
                file.seek(max(0, path.stat().st_size - _TAIL))
                lines = file.read().decode("utf-8", "replace").splitlines()
        except OSError:
            return 0.0
        for line in reversed(lines):
            try:
                return TRAINED * min(1.0, json.loads(line)["step"] / self.steps[name])
            except (ValueError, KeyError, TypeError):
                continue
        return 0.0

    def seconds_left(self) -> float | None:
        """Return how long the rest takes: as estimated, and corrected by how long the work up to now has taken.

        Returns:
            None where nothing is known of that yet.
        """
        whole = sum(self.seconds[name] for name in self.left)
        partly = sum(self.share(name) * self.seconds[name] for name in self.left)
        # The last runs leave places free.
        left = (whole - partly) / max(1, min(self.jobs, len(self.left)))
        ended = sum(self.seconds[name] for name in self._finished)
        done = (ended + partly - self.before) / self.jobs
        passed = time.monotonic() - self.started
        # Early on, the work that is seen is mostly starting.
        if done > 0.02 * (left + done):
            return left * passed / done
        return left if self.is_estimated else None

    def ended(self, name: str, reason: str | None) -> dict[str, str]:
        """Say that a run's process has ended; return ``{name: reason}`` where a reason says that it failed."""
        self.left.discard(name)
        self.bar.update(1)
        if reason is None:
            self._finished.append(name)
            print_line(f"done: {name}")
            return {}
        print_line(f"failed: {name}: {reason}")
        return {name: reason}

    def update(self, running: Sequence[str]) -> None:
        """Show how far the runs are."""
        now = time.monotonic()
        if now - self.last_line < (1 if has_bar() else QUIET_SECONDS):
            return
        self.last_line = now
        parts = [f"{name} {self.share(name):.0%}" for name in running]
        left = self.seconds_left()
        text = f"{', '.join(parts)}  ETA {'unknown yet' if left is None else format_duration(left)}"
        if has_bar():
            self.bar.set_postfix_str(text)
        else:
            done = len(self.study.runs) - len(self.left)
            print_line(f"study {done}/{len(self.study.runs)} runs  {text}")

    def close(self) -> None:
        """Leave the bar as it is."""
        self.bar.close()
