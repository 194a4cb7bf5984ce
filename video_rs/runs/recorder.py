"""What a training run tells: log.jsonl, TensorBoard, the lines and the bar on the screen, the report at its end."""

import contextlib
import sys
import time
from collections.abc import Mapping
from typing import Any

from video_rs.builders import Training
from video_rs.engine.metrics import log_loss
from video_rs.reports import RunLog, read_log
from video_rs.runs.few_label_notes import compared, distilled, pseudo_labelled
from video_rs.runs.results import Evaluation, describe, write_evaluation_report, write_predictions
from video_rs.runs.run_folder import REFUSED, RunFolder
from video_rs.runs.state import RunState
from video_rs.runtime import distributed
from video_rs.runtime.atomic import replace_text, write_json
from video_rs.runtime.progress import TrainProgress, print_line
from video_rs.runtime.wording import pluralize

# What of metrics.json is logged for each validation.
LOGGED_METRICS = ("map", "map_all", "top1", "topk", "k", "videos", "failed", "top1_all")


class Recorder:
    """Records a training run; only rank 0 writes. Use it as a context manager around the training loop.

    Args:
        training: what is trained.
        folder: of the run.
        state: failed videos are added to it; the report shows the results in it.
        resumed_step: the step that the run continues from; None for a new run.
    """

    def __init__(self, training: Training, folder: RunFolder, state: RunState, resumed_step: int | None):
        self.training = training
        self.folder = folder
        self.state = state
        self._resumed_step = resumed_step
        self._log: RunLog | None = None

    def __enter__(self) -> "Recorder":
        self._started = time.time()
        if distributed.rank() == 0:
            config_text = self.training.identity()["config"]
            replace_text(self.folder.path / "config.yaml", config_text)
            self._log = RunLog(self.folder.path, self._resumed_step)
        step = self.training.step
        self._progress = TrainProgress(step.number, self.training.plan.total_steps, step.objective.logged)
        return self

    def __exit__(self, *exc_info) -> None:
        self._progress.close()
        if self._log is None:
            return
        # On a full disk, the log and the report fail, too: the error that ends the run is the one to tell.
        is_failing = sys.exc_info()[0] is not None
        with contextlib.suppress(OSError) if is_failing else contextlib.nullcontext():
            self._log.close()
            self._write_report()

    def begin(self, versions: Mapping[str, str], changes: list[str]) -> None:
        """Log what the run was started or resumed with.

        Args:
            versions: of the code.
            changes: settings that differ from those that the run had before it was resumed.
        """
        if self._log is None:
            return
        kind = "started" if self._resumed_step is None else "resumed"
        fingerprints = self.training.lists.fingerprints()
        self._log.event(
            kind,
            f"{kind} with this code and data",
            versions=dict(versions),
            dataset=fingerprints,
            precision=self.training.precision,
            changes=changes,
        )

    def log(self, step: int, scalars: dict[str, float]) -> None:
        """Record the measurements up to a step."""
        epoch = self.training.plan.epoch(step)
        self._progress.update(step, epoch, scalars)
        if self._log is not None:
            self._log.train(step, epoch, **scalars)

    def failed_video(self, video: str, reason: str) -> None:
        """Name a video that could not be read, once on the screen and in the log."""
        if video in self.state.failures:
            return
        self.state.failures[video] = reason
        print_line(f"cannot read {video}: {reason}")
        if self._log is not None:
            self._log.event("failed_video", f"{video}: {reason}", video=video, reason=reason)

    def non_finite(self, step: int, scalars: dict[str, float], videos: list[str]) -> None:
        """Record a step that was left out, with what is needed to look into it: rate, measurements and clips."""
        text = f"step {step} is left out: loss {scalars['loss']:.4g}, gradient norm {scalars['grad_norm']:.4g}"
        print_line(f"{text}, learning rate {scalars['lr']:.4g}")
        if self._log is not None:
            self._log.event("non_finite", text, step=step, **scalars, videos=videos)

    def validation(self, step: int, evaluation: Evaluation, metrics: dict[str, Any]) -> None:
        """Record the results of a validation, in the log and in files of their own."""
        how = ""
        if "neighbours" in metrics:
            how = f"  ({metrics['neighbours']} nearest of {pluralize(metrics['memory'], 'labelled video')})"
        print_line(f"validation at step {step}: {describe(metrics)}{how}")
        if self._log is None:
            return
        kept = {key: metrics[key] for key in LOGGED_METRICS if key in metrics}
        # A loss of neighbours' votes is none of the network's.
        if not self.training.is_pretraining:
            kept = {"loss": log_loss(evaluation.results, evaluation.multi_label), **kept}
        self._log.validation(step, self.training.plan.epoch(step), **kept)
        predictions = evaluation.predictions(metrics, step)
        write_predictions(self.folder.path, predictions, evaluation.config.TEST.ALSO_AS)
        write_json(self.folder.path / "metrics.json", metrics)

    def refused(self, reason: str) -> None:
        """Log that a run was refused that had hardly begun: it is no run, see :meth:`RunFolder.holds_a_run`."""
        if self._log is None:
            return
        # The disk may be full, which may be the reason itself.
        with contextlib.suppress(OSError):
            self._log.event(REFUSED, reason)

    def _write_report(self) -> None:
        training = self.training
        # A run that was stopped before its first validation has curves alone.
        metrics = self.state.metrics or {}
        arch = training.config.MODEL.ARCH
        notes = []
        if metrics:
            notes.append("accuracies are of the last validation: one centre view a video, averaged weights")
        if training.lists.pseudo is not None:
            notes.append(pseudo_labelled(training))
        if training.teacher is not None:
            notes.append(distilled(training))
        if training.is_pretraining:
            notes.append(compared(training))
        write_evaluation_report(
            self.folder.path / "report.html",
            Evaluation.of(training.config, training.lists, training.preprocessing, self.state.results),
            title=f"Training of {arch} in {self.folder.path}",
            summary={
                **metrics,
                "steps": training.step.number,
                "seconds": time.time() - self._started,
                "model": arch,
            },
            log=read_log(self.folder.path / "log.jsonl"),
            failures=list(self.state.failures.items()),
            notes=notes,
        )
