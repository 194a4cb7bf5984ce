"""A trace of a few training steps by torch.profiler: what they wait for, and which operators take the time."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile, schedule

from video_rs.runtime.atomic import replace_text
from video_rs.runtime.errors import InputError

# The first steps of a process allocate memory and choose kernels; the last of these already runs under the profiler,
# whose own start is slow.
SKIPPED = 3
# Operators in the table.
ROWS = 30


class StepProfiler:
    """Traces ``steps`` steps after the first ``SKIPPED``, once, and writes ``trace_rank0.json`` and ``table.txt``.

    The trace is Chrome's format, for ui.perfetto.dev. A step is its range ``ProfilerStep#N`` (N from 0), with the
    ranges ``data wait``, ``forward``, ``backward`` and ``optimizer`` in it, and ``validation`` and ``checkpoint`` where
    it ends with them; the table sums over the operators. Use it as a context manager around the training loop.

    Args:
        steps: how many to trace; 0: none, and nothing is ever written or printed.
        folder: made when there is something to write.
        device: of the training; on a GPU, its kernels are traced too, and the table is by their time.
        report: takes a line about what was written.
    """

    def __init__(self, steps: int, folder: Path, device: torch.device, report: Callable[[str], None]):
        self.steps = steps
        self.folder = folder
        self.report = report
        self._on_cuda = device.type == "cuda"
        self._begun = 0
        self._is_written = steps == 0
        self._profile: profile | None = None

    def __enter__(self) -> "StepProfiler":
        return self

    def __exit__(self, *exc_info) -> None:
        self.close()

    def begin_step(self) -> None:
        """Take in that a step begins: the one before, and what followed it, is over."""
        if self._is_written:
            return
        self._begun += 1
        if self._profile is None:
            self._profile = self._start()
        else:
            self._profile.step()
        if self._is_written:
            self._stop()

    def close(self) -> None:
        """Write what has been traced by now, if that has not been done."""
        if self._profile is None:
            return
        self._stop()
        if not self._is_written:
            self.report(
                f"nothing is traced: the first {SKIPPED} steps are left out, and no more than {self._begun} were run"
            )

    def _start(self) -> profile:
        activities = [ProfilerActivity.CPU]
        if self._on_cuda:
            activities.append(ProfilerActivity.CUDA)
        times = schedule(wait=SKIPPED - 1, warmup=1, active=self.steps, repeat=1)
        started = profile(activities=activities, schedule=times, on_trace_ready=self._write)
        started.start()
        return started

    def _stop(self) -> None:
        stopped = self._profile
        self._profile = None
        stopped.stop()

    def _write(self, traced: profile) -> None:
        """Write both files; where that is not possible, report it: a trace is not worth a run."""
        self._is_written = True
        try:
            self._write_files(traced)
        except (OSError, RuntimeError, InputError) as error:
            self.report(f"there is no trace in {self.folder}: {' '.join(str(error).split())}")

    def _write_files(self, traced: profile) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        trace = self.folder / "trace_rank0.json"
        # A viewer, or a killed run, never sees half a trace.
        partial = trace.with_name(f"{trace.name}.partial")
        try:
            traced.export_chrome_trace(str(partial))
            partial.replace(trace)
        finally:
            partial.unlink(missing_ok=True)

        table = self.folder / "table.txt"
        by_time = "self_device_time_total" if self._on_cuda else "self_cpu_time_total"
        replace_text(table, traced.key_averages().table(sort_by=by_time, row_limit=ROWS))

        steps = min(self.steps, self._begun - SKIPPED)
        self.report(
            f"steps traced: {steps} of {self.steps}, in {trace} (open it in ui.perfetto.dev); operators by their own "
            f"time: {table}"
        )
