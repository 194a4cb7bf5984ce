"""Train a run: guard the output folder, build, continue or start, loop, and leave a report."""

import contextlib
import copy
import shlex
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from video_rs import builders
from video_rs.runtime.atomic import write_json
from video_rs.runtime.code_version import code_version
from video_rs.config import Config, config_from_text
from video_rs.data.counted_videos import note_counted_videos
from video_rs.data.loader import ClipLoader
from video_rs.runtime import distributed
from video_rs.runtime.devices import pick_device
from video_rs.engine.checkpoint import FORMAT, changed_keys, copy_checkpoint, load_checkpoint
from video_rs.engine.checkpoint_writer import CheckpointWriter
from video_rs.models.convolution_check import require_right_convolutions
from video_rs.engine.loop import fit
from video_rs.engine.metrics import VideoResult, log_loss
from video_rs.engine.precise_bn import recompute_statistics
from video_rs.engine.profiling import StepProfiler
from video_rs.engine.trainer import TooManyFailed, Trainer
from video_rs.runtime.errors import InputError
from video_rs.runs.changes import changed_settings, refuse_other_model, refuse_two_starts
from video_rs.runs.notes import announce
from video_rs.runs.memory_fit import clips_at_once, divisions, fitting_accumulation, is_out_of_memory, no_memory
from video_rs.runs.results import write_outcome_report, write_predictions
from video_rs.runtime.progress import TrainProgress, print_line, print_notes
from video_rs.runs.run_folder import REFUSED, RunFolder
from video_rs.runs.start_weights import jump_of_rate, start_from_run, start_from_weights
from video_rs.runs.test import describe, metrics_of, score_videos
from video_rs.reports import RunLog, read_log
from video_rs.runtime.signals import StopSignals
from video_rs.runtime.wording import pluralize

# What of metrics.json is logged for each validation.
LOGGED = ("map", "map_all", "top1", "topk", "k", "videos", "failed", "top1_all")


def run_training(
    config: Config, *, resume: bool = False, overwrite: bool = False, finetune: str = "", allow_changes: bool = False
) -> dict[str, Any] | None:
    """Trains to the end and returns the last validation's metrics, as in metrics.json (None without a VAL_LIST).

    Args:
        config: as loaded.
        resume: continue from the folder's last checkpoint if there is one, else start; a finished run returns at once.
        overwrite: remove what a run wrote to the folder before.
        finetune: checkpoint whose weights to start from; its last layer is left out where the classes differ.
        allow_changes: resume although the config or the data set has changed.

    Raises:
        InputError: bad input.
        Stopped: told to stop by SIGTERM or Ctrl-C; the state is saved.
    """
    refuse_two_starts(config, finetune)
    folder = RunFolder(Path(config.OUTPUT_DIR))
    resuming = resume and folder.last.is_file()
    if not overwrite and not resume:
        folder.refuse_a_second_run()
    if not overwrite:
        folder.refuse_a_lost_checkpoint()
    device = pick_device(config.DEVICE)
    distributed.join_process_group(device)
    if len(set(distributed.gather(resuming))) > 1:
        raise InputError(f"only some machines see {folder.last}; OUTPUT_DIR must be one folder that all of them share")
    config = make_demo_clips(config)
    run = Run(config, folder, device)
    if resuming:
        run.resume(allow_changes)
        if run.trainer.step > run.settings.total_steps:
            raise InputError(
                f"{folder.path} has {pluralize(run.trainer.step, 'step')} already, more than the "
                f"{run.settings.total_steps} asked for (SOLVER.MAX_STEPS, or SOLVER.MAX_EPOCH); ask for more, "
                "or start a new run"
            )
        if run.trainer.step >= run.settings.total_steps and not run.validation_due():
            print_line(f"{folder.path} is finished: {pluralize(run.trainer.step, 'step')}; nothing to do")
            return run.metrics
        if finetune:
            print_line(f"continuing the run in {folder.path}: --finetune {finetune} was for its start")
    elif finetune:
        run.start_from(finetune)
    elif config.MODEL.PRETRAINED:
        run.start_from_weights()
    for records in filter(None, (run.train_records, run.val_records)):
        builders.require_files(records)
    run.fit_into_memory()
    run.check_convolutions()
    folder.make()
    # Only now, with all input read and checked, does anything of an earlier or barely begun run go.
    if distributed.rank() == 0 and not resuming:
        folder.clear()
    distributed.barrier()
    return run.go()


def without_failures(config: Config) -> str:
    """Return what to do where too many videos could not be read."""
    lists = dict.fromkeys(filter(None, (config.DATA.TRAIN_LIST, config.DATA.VAL_LIST)))
    root = ["--root", config.DATA.ROOT] if config.DATA.ROOT else []
    doctor = shlex.join(["python", "tools/check_dataset.py", *lists, *root, "--out", "check"])
    return (
        f"each is named above; {doctor!r} lists the others in check/clean.csv, for DATA.TRAIN_LIST and DATA.VAL_LIST, "
        "or allow more with DATA.MAX_FAILED_SHARE"
    )


def make_demo_clips(config: Config) -> Config:
    """Write the demo's clips where they are asked for, and return the config, without the demo where they are not.

    One process of each machine writes them: the clips may lie on its own disk.
    """
    config = builders.without_demo(config, print_line)
    if distributed.local_rank() == 0:
        builders.ensure_demo_clips(config, print_line)
    distributed.barrier()
    return config


class Run:
    """One training run: the objects built from its config, and what happens between the steps."""

    def __init__(self, config: Config, folder: RunFolder, device: torch.device):
        self.config, self.folder, self.device = config, folder, device
        arch = builders.build_architecture(config)
        self.train_records, self.val_records, self.names = builders.build_records(config)
        print_notes(note for part in (self.train_records, self.val_records) if part for note in part.notes)
        self.settings = builders.build_settings(config, len(self.train_records))
        self.preprocessing = builders.build_preprocessing(config)
        model = builders.build_model(config, arch, len(self.names), device)
        self.trainer = Trainer(
            model,
            builders.build_optimizer(config, model),
            builders.build_ema(config, model),
            partial(self.preprocessing.prepare, device=device),
            builders.build_precision(config, device),
            self.settings,
            builders.build_loss(config, self.train_records, len(self.names)),
            builders.build_mixing(config),
        )
        self.identity = builders.checkpoint_identity(config, arch, self.names)
        self.fingerprints = {
            "train": builders.dataset_fingerprint(self.train_records),
            "val": builders.dataset_fingerprint(self.val_records),
        }
        self.versions = code_version()
        self.resumed_step: int | None = None
        self.may_change = self.started_from = False
        self.changes: list[str] = []
        self.saved_step: int | None = None
        self.validated_step = 0
        self.best: float | None = None
        self.metrics: dict[str, Any] | None = None
        self.results: list[VideoResult] = []
        self.failures: dict[str, str] = {}
        self.signals = StopSignals()
        self.writer = CheckpointWriter(folder.last, config.TRAIN.KEEP_CHECKPOINTS)
        traced_steps = config.TRAIN.PROFILE_STEPS if distributed.rank() == 0 else 0
        self.profiler = StepProfiler(traced_steps, folder.path / "profile", device, print_line)
        # Built now, so that a bad crop or batch size is refused before anything is written.
        self.loader = self.loader_from(0)

    def resume(self, allow_changes: bool) -> None:
        """Takes over the state of the last checkpoint, unless config or data set have changed."""
        state = self._last_state()
        if self.config.TRAIN.AUTO_BATCH:  # what was found when the run began: fewer micro-batches are another run
            found = config_from_text(state["config"]).TRAIN.ACCUMULATION_STEPS
            found = max(found, self.config.TRAIN.ACCUMULATION_STEPS)
            possible = divisions(self.config)  # of another batch or number of processes, others
            self._accumulate(next((n for n in possible if n >= found), possible[-1]))
        self.may_change = allow_changes
        ours = {**self.identity, "dataset": self.fingerprints}
        self.changes = changed_settings(state, ours)
        if self.changes and not allow_changes:
            raise InputError(
                f"{self.folder.path} was trained with another setting ({'; '.join(self.changes)}); "
                "restore it, or add --allow-changes to go on regardless"
            )
        refuse_other_model(state, ours, self.folder)
        self.trainer.load_state_dict(state)
        self.metrics, self.resumed_step, self.validated_step = state["metrics"], state["step"], state["validated_step"]
        # The best accuracy on another list says nothing about this one.
        self.best = state["best"] if state["dataset"]["val"] == self.fingerprints["val"] else None
        self.failures = dict(state["failures"])
        self.loader = self.loader_from(self.trainer.step)
        if self.changes:
            print_line(f"note: this run goes on with other settings ({'; '.join(self.changes)})")
        known = {key: value for key, value in self.versions.items() if key in state["versions"]}
        changed = changed_keys(state["versions"], known, ignored=("commit",))
        if changed:
            print_line(f"note: the code is not what the run was made with so far ({'; '.join(changed)})")
        print_notes(filter(None, [jump_of_rate(state, self.settings)]))
        print_line(f"resuming {self.folder.path} at step {self.trainer.step} of {self.settings.total_steps}")

    def loader_from(self, step: int, last_step: int | None = None) -> ClipLoader:
        """Clips of the steps from ``step`` to before ``last_step``, by default to the run's end."""
        pin = self.device.type == "cuda"
        return builders.build_train_loader(
            self.config, self.train_records, len(self.names), self.settings, step, pin, last_step
        )

    def _last_state(self) -> dict[str, Any]:
        try:
            return load_checkpoint(self.folder.last)
        except InputError as error:
            if others := self.folder.other_checkpoints():
                raise InputError(f"{error}; copy one to last.pth to go on from it: {', '.join(others)}") from error
            raise

    def start_from(self, path: str) -> None:
        """Weights of another run's checkpoint, EMA where it has them; of its classifier the classes that agree."""
        start_from_run(path, self.trainer.model, self.identity, self.config)
        self._average_from_here()

    def start_from_weights(self) -> None:
        """Weights of MODEL.PRETRAINED; what does not fit is refused, but for a classifier of other classes."""
        start_from_weights(self.trainer.model, self.names, self.config)
        self._average_from_here()

    def _average_from_here(self) -> None:
        """After weights were loaded."""
        self.started_from = True
        if self.trainer.ema is not None:
            self.trainer.ema.start_at(self.trainer.model)

    def fit_into_memory(self) -> None:
        """Refuses a step for which a CPU has no memory, or with TRAIN.AUTO_BATCH makes it one that there is memory for.

        More micro-batches than a resumed run had so far are a change, and refused as one.
        """
        before, resumed = self.config.TRAIN.ACCUMULATION_STEPS, self.resumed_step is not None
        found = fitting_accumulation(self.config, self.trainer, resumed, self.may_change or not resumed)
        if resumed and found != before:
            self.changes.append(f"TRAIN.ACCUMULATION_STEPS: {before} -> {found}")
        self._accumulate(found)

    def check_convolutions(self) -> None:
        """Refuse a device that computes the run's largest convolutions wrongly."""
        data = self.config.DATA
        shape = (clips_at_once(self.config), 3, data.NUM_FRAMES, data.TRAIN_CROP_SIZE, data.TRAIN_CROP_SIZE)
        advice = "set TRAIN.PRECISION float32 or DEVICE cpu"
        require_right_convolutions(self.trainer.model, shape, self.trainer.precision, advice)

    def _accumulate(self, micro_batches: int) -> None:
        """Takes another TRAIN.ACCUMULATION_STEPS, as if the config had said so."""
        if micro_batches == self.config.TRAIN.ACCUMULATION_STEPS:
            return
        self.config = config_from_text(self.config.dump(), {"TRAIN.ACCUMULATION_STEPS": micro_batches})
        self.settings = self.trainer.settings = builders.build_settings(self.config, len(self.train_records))
        self.identity = {**self.identity, "config": builders.stored_config(self.config)}
        self.loader = self.loader_from(self.trainer.step)

    def go(self) -> dict[str, Any] | None:
        """The loop and what frames it."""
        started = time.time()
        self.signals.start()
        if distributed.rank() == 0:
            (self.folder.path / "config.yaml").write_text(self.identity["config"], encoding="utf-8")
        self.log = RunLog(self.folder.path, self.resumed_step) if distributed.rank() == 0 else None
        self.progress = TrainProgress(self.trainer.step, self.settings.total_steps)
        announce(self)
        if self.log is not None:
            what = "started" if self.resumed_step is None else "resumed"
            facts = {"versions": self.versions, "dataset": self.fingerprints, "changes": self.changes}
            self.log.event(what, f"{what} with this code and data", **facts)
        try:
            if self.validation_due():
                self._validate(self.trainer.step)
            fit(
                self.trainer,
                note_counted_videos(self.loader),
                log=self._log,
                report_failure=self._report_failure,
                report_non_finite=self._report_non_finite,
                validate=self._validate,
                save=self._save,
                should_stop=self._should_stop,
                begin_step=self.profiler.begin_step,
            )
        except RuntimeError as error:
            if is_out_of_memory(error):
                line = no_memory(self.config, str(error))
                raise self._refused(f"{line}; {self._next_try('--resume --allow-changes')}") from error
            raise
        except TooManyFailed as error:
            advice = f"{without_failures(self.config)}; {self._next_try('--resume --allow-changes')}"
            raise self._refused(f"{error}; {advice}") from error
        except InputError as error:
            raise self._refused(str(error)) from error
        finally:
            self.writer.wait()
            self.signals.close()
            self.progress.close()
            # On a full disk, the log and the report fail too: what has failed first is what is told.
            failing = sys.exc_info()[0] is not None
            with contextlib.suppress(OSError) if failing else contextlib.nullcontext():
                if self.log is not None:
                    self.log.close()
                    self._write_report(time.time() - started)
                self.profiler.close()
        distributed.barrier()
        print_line(f"checkpoint: {self.folder.last}  report: {self.folder.path / 'report.html'}")
        return self.metrics

    def _refused(self, text: str) -> InputError:
        """Return the error that says why the run was refused.

        One that has hardly begun is no run: its log ends with that, see :meth:`RunFolder.holds_a_run`.
        """
        begun = self.trainer.accepted and self.folder.last.is_file()
        if self.log is not None and not begun:
            with contextlib.suppress(OSError):  # of a full disk, which may be what is told
                self.log.event(REFUSED, text)
        return InputError(text)

    def _next_try(self, flags: str) -> str:
        """Return how to go on: with ``flags`` where there is a checkpoint, else with the same command."""
        self.writer.wait()
        return f"go on with {flags}" if self.folder.last.is_file() else "then give the command again"

    def _log(self, step: int, scalars: dict[str, float]) -> None:
        epoch = self.settings.epoch(step)
        self.progress.update(step, epoch, scalars)
        if self.log is not None:
            self.log.train(step, epoch, **scalars)

    def _report_failure(self, video: str, reason: str) -> None:
        """Names each unreadable video once on the screen and in the log; every miss is counted by the trainer."""
        if video in self.failures:
            return
        self.failures[video] = reason
        print_line(f"cannot read {video}: {reason}")
        if self.log is not None:
            self.log.event("failed_video", f"{video}: {reason}", video=video, reason=reason)

    def _report_non_finite(self, step: int, scalars: dict[str, float], videos: list[str]) -> None:
        """Keeps what is needed to look into it: where, how fast, and which clips."""
        text = f"step {step} is left out: loss {scalars['loss']:.4g}, gradient norm {scalars['grad_norm']:.4g}"
        print_line(f"{text}, learning rate {scalars['lr']:.4g}")
        if self.log is not None:
            self.log.event("non_finite", text, step=step, **scalars, videos=videos)

    def _validate(self, step: int) -> None:
        if self.val_records is None:
            return
        preprocessing = builders.single_view(self.preprocessing)
        model = self._averaged_model()
        if self.config.BN.NUM_BATCHES_PRECISE and self.config.MODEL.FROZEN_STAGES < 5:
            self._recompute_statistics(model)
        self.results = score_videos(self.config, model, self.val_records, preprocessing, "validation")
        self.metrics = metrics_of(self.config, self.results, len(self.names), preprocessing, str(self.folder.last))
        print_line(f"validation at step {step}: {describe(self.metrics)}")
        if self.log is not None:
            kept = {key: self.metrics[key] for key in LOGGED if key in self.metrics}
            loss = log_loss(self.results, self.config.DATA.MULTI_LABEL)
            self.log.validation(step, self.settings.epoch(step), loss=loss, **kept)
            write_predictions(self.folder.path / "predictions.jsonl", self.results, self.names)
            write_json(self.folder.path / "metrics.json", self.metrics)
        score = self.metrics["map" if self.config.DATA.MULTI_LABEL else "top1"]
        improved = self.best is None or score > self.best
        self.best = score if improved else self.best
        # The checkpoint from before this validation does not have its result.
        self.saved_step, self.validated_step = None, step
        self._save(step, wait=True)
        if improved and distributed.rank() == 0:
            copy_checkpoint(self.folder.last, self.folder.best)

    def validation_due(self) -> bool:
        """Whether the last checkpoint is from just before a validation that never came to its end."""
        step = self.trainer.step
        return self.val_records is not None and 0 < step != self.validated_step and self.settings.validates(step)

    def _recompute_statistics(self, model: nn.Module) -> None:
        """Over the clips of the coming steps; the result takes the place of the averaged statistics from here on."""
        step, count = self.trainer.step, self.config.BN.NUM_BATCHES_PRECISE
        clips = recompute_statistics(model, self.loader_from(step, step + count), self.trainer.prepare)
        unread = count * self.settings.batch_size - clips
        lost = f"; {unread} more could not be read" if clips and unread else ""
        print_line(f"batch-norm statistics of step {step} over {pluralize(clips, 'clip')} (BN.NUM_BATCHES_PRECISE){lost}")
        if self.trainer.ema is not None:
            for name, statistics in model.named_buffers():
                self.trainer.ema.average[name].copy_(statistics)

    def _averaged_model(self) -> nn.Module:
        """A copy of the model with the EMA's state, or the model itself without one."""
        trainer = self.trainer
        if trainer.ema is None:
            return trainer.model
        averaged = copy.deepcopy(trainer.model)
        averaged.load_state_dict(trainer.ema.state_dict())
        return averaged

    def _save(self, step: int, wait: bool) -> None:
        """Hands the state to the writer; with ``wait``, all processes go on when the file is there."""
        assert step == self.trainer.step
        if self.saved_step != step:
            self.saved_step = step
            if distributed.rank() == 0:
                self.writer.write({**self.trainer.state_dict(), **self.identity, **self._circumstances()})
        if wait:
            self.writer.wait()
            if any(self._any_process(self.writer.error is not None)):
                self._refuse_unwritten()

    def _refuse_unwritten(self) -> None:
        """All processes leave when the one that writes could not."""
        raise self.writer.error or InputError("process 0 could not write a checkpoint")

    def _circumstances(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "dataset": self.fingerprints,
            "best": self.best,
            "validated_step": self.validated_step,
            "metrics": self.metrics,
            "failures": self.failures,
            "versions": self.versions,
        }

    def _should_stop(self) -> bool:
        """Whether any process has been told to stop: all leave after the same step, as they do where writing failed."""
        # One exchange for both: it is one per step.
        stops, failures = self._any_process(self.signals.asked, self.writer.error is not None)
        if failures:
            self._refuse_unwritten()
        return stops

    def _any_process(self, *facts: bool) -> list[bool]:
        """Whether each is so in any process; asked after every step, so one process alone asks no GPU."""
        if distributed.world_size() == 1:
            return list(facts)
        numbers = torch.tensor([int(fact) for fact in facts], device=self.device)
        return [count > 0 for count in distributed.sum_over_ranks(numbers).tolist()]

    def _write_report(self, seconds: float) -> None:
        metrics = self.metrics or {}
        write_outcome_report(
            self.folder.path / "report.html",
            title=f"Training of {self.config.MODEL.ARCH} in {self.folder.path}",
            summary={**metrics, "steps": self.trainer.step, "seconds": seconds, "model": self.config.MODEL.ARCH},
            log=read_log(self.folder.path / "log.jsonl"),
            records=self.val_records.records if self.val_records else (),
            results=self.results,
            names=self.names,
            clip=self.preprocessing.clip,
            decoder=self.config.DATA.DECODER,
            multi_label=self.config.DATA.MULTI_LABEL,
            failures=list(self.failures.items()),
            config_text=self.config.dump(),
            notes=["accuracies are of the last validation: one centre view a video, averaged weights"] * bool(metrics),
        )
