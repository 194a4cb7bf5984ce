"""Runs on this machine, so many at a time."""

import collections
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from video_rs.studies.engines.stopping import StopRuns, stopped
from video_rs.studies.progress import StudyProgress
from video_rs.studies.run_process import command, environment, failure, output_file
from video_rs.studies.study import Study

PAUSE = 0.2  # seconds between looks at the processes


@dataclass(frozen=True)
class LocalEngine:
    """Does so many runs at a time, each in so many processes.

    Attributes:
        jobs: runs at a time.
        processes: of each run.
    """

    jobs: int = 1
    processes: int = 1

    def __call__(self, study: Study, names: Sequence[str], progress: StudyProgress) -> Mapping[str, str]:
        """Do the runs, and return why those failed that did.

        Raises:
            Stopped: SIGTERM, SIGHUP or Ctrl-C; the state of each run is saved.
        """
        signals = StopRuns()
        signals.start()
        waiting = collections.deque(names)
        running: dict[str, subprocess.Popen] = {}
        failed: dict[str, str] = {}
        try:
            while (waiting and not signals.asked) or running:
                while waiting and len(running) < self.jobs and not signals.asked:
                    name = waiting.popleft()
                    running[name] = self._start(study, name)
                if signals.asked:
                    # Each of them stops after its step; further signals change nothing.
                    for process in running.values():
                        process.terminate()
                time.sleep(PAUSE)
                for name, code in _take_ended(running):
                    # Those that we have stopped are neither done nor failed.
                    if not signals.asked:
                        failed.update(progress.ended(name, failure(study, name, code)))
                progress.update(list(running))
        finally:
            # After a defect of ours, too, no process is left to itself.
            for process in running.values():
                process.kill()
            signals.close()

        if signals.asked:
            raise stopped()
        return failed

    def _start(self, study: Study, name: str) -> subprocess.Popen:
        """Start the process of a run, which stops when this one ends."""
        path = output_file(study, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as output:
            return subprocess.Popen(
                command(study, name, self.processes, "--with-parent"),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env=environment(study),
                # A Ctrl-C on the terminal is for us; the runs are told by us.
                start_new_session=True,
            )


def _take_ended(running: dict[str, subprocess.Popen]) -> list[tuple[str, int]]:
    """Take the processes that have ended out of those that run, and return their runs and exit codes."""
    ended = []
    for name, process in list(running.items()):
        code = process.poll()
        if code is not None:
            del running[name]
            ended.append((name, code))
    return ended
