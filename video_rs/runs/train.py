"""Train a run: guard its folder, build, continue or start, loop, and leave a report."""

import contextlib
import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from video_rs.builders import Training, build_failure_limit, build_non_finite_limit, build_training
from video_rs.config import Config
from video_rs.data.counted_videos import note_counted_videos
from video_rs.data.loader import ClipLoader
from video_rs.engine.guards import FailureLimit, NonFiniteStep, TooManyFailed
from video_rs.engine.loop import Hooks, fit
from video_rs.engine.profiling import StepProfiler
from video_rs.inference.teachers import load_teacher
from video_rs.lists.checks import require_files
from video_rs.models.convolution_check import require_right_convolutions
from video_rs.runs import advice, notes
from video_rs.runs.changes import refuse_two_starts
from video_rs.runs.checkpoints import Checkpoints
from video_rs.runs.demo import with_demo_clips
from video_rs.runs.memory import clips_at_once, fit_into_memory, is_out_of_memory, no_memory
from video_rs.runs.precision import choose_precision
from video_rs.runs.recorder import Recorder
from video_rs.runs.resuming import resume_training
from video_rs.runs.run_folder import RunFolder
from video_rs.runs.start import Start
from video_rs.runs.start_weights import load_trained_weights
from video_rs.runs.validation import Validation, is_validation_due
from video_rs.runtime import distributed
from video_rs.runtime.code_version import code_version
from video_rs.runtime.devices import pick_device
from video_rs.runtime.errors import InputError
from video_rs.runtime.progress import print_line, print_notes
from video_rs.runtime.signals import StopSignals
from video_rs.runtime.wording import pluralize


def run_training(
    config: Config, *, resume: bool = False, overwrite: bool = False, finetune: str = "", allow_changes: bool = False
) -> dict[str, Any] | None:
    """Train to the end and return the metrics of the last validation, as in metrics.json; None without a VAL_LIST.

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
    if not overwrite:
        if not resume:
            folder.refuse_a_second_run()
        folder.refuse_a_lost_checkpoint()

    device = pick_device(config.DEVICE)
    distributed.join_process_group(device)
    is_resuming = _is_resuming(folder, resume)
    training = build_run(config, device)
    versions = code_version()

    if is_resuming:
        start = resume_training(training, folder, versions, allow_changes)
        if _is_finished(start):
            return start.state.metrics
        if finetune:
            print_line(f"continuing the run in {folder.path}: --finetune {finetune} was for its start")
    else:
        start = Start(load_trained_weights(training, finetune), folder)

    for records in training.lists.all():
        require_files(records)
    start = _fitted_into_memory(start, may_change=allow_changes or not is_resuming)
    if not is_resuming:
        choose_precision(start.training)
    check_convolutions(start.training)

    folder.make()
    # Only now, with all input read and checked, does anything of an earlier or barely begun run go.
    if distributed.rank() == 0 and not is_resuming:
        folder.clear()
    distributed.barrier()
    return Run(start, versions).go()


def build_run(config: Config, device: torch.device) -> Training:
    """Return a training with fresh weights, and print what is notable about its lists; the demo's clips are written."""
    training = build_training(with_demo_clips(config), device, load_teacher)
    print_notes(note for records in training.lists.all() for note in records.notes)
    return training


def check_convolutions(training: Training) -> None:
    """Refuse a device that computes the largest convolutions of a run wrongly."""
    config = training.config
    size = config.DATA.TRAIN_CROP_SIZE
    shape = (clips_at_once(config), 3, config.DATA.NUM_FRAMES, size, size)
    require_right_convolutions(
        training.step.model, shape, training.step.precision, "set TRAIN.PRECISION float32 or DEVICE cpu"
    )


def _is_resuming(folder: RunFolder, resume: bool) -> bool:
    """Return whether there is a run to continue; all machines must see the same."""
    is_resuming = resume and folder.last.is_file()
    if len(set(distributed.gather(is_resuming))) > 1:
        raise InputError(f"only some machines see {folder.last}; OUTPUT_DIR must be one folder that all of them share")
    return is_resuming


def _is_finished(start: Start) -> bool:
    """Return whether a run has come to its end, and say so.

    Raises:
        InputError: it has more steps than are asked for.
    """
    folder = start.folder.path
    taken = start.training.step.number
    total = start.training.plan.total_steps
    if taken > total:
        raise InputError(
            f"{folder} has {pluralize(taken, 'step')} already, more than the {total} asked for (SOLVER.MAX_STEPS, "
            "or SOLVER.MAX_EPOCH); ask for more, or start a new run"
        )
    if taken < total or is_validation_due(start.training, start.state):
        return False

    print_line(f"{folder} is finished: {pluralize(taken, 'step')}; nothing to do")
    return True


def _fitted_into_memory(start: Start, may_change: bool) -> Start:
    """Return the start with as many micro-batches as memory asks for; of a resumed run, more of them are a change."""
    before = start.training.plan.micro_batches
    training = fit_into_memory(start.training, start.is_resumed, may_change)
    now = training.plan.micro_batches
    changes = start.changes
    if start.is_resumed and now != before:
        changes = (*changes, f"TRAIN.ACCUMULATION_STEPS: {before} -> {now}")
    return dataclasses.replace(start, training=training, changes=changes)


@dataclass(frozen=True)
class Run:
    """A training loop with what stands around it.

    Attributes:
        start: what is trained, from where.
        versions: of the code.
    """

    start: Start
    versions: dict[str, str]

    def go(self) -> dict[str, Any] | None:
        """Train, and return the metrics of the last validation."""
        training = self.start.training
        # Built before the first file is written, while a refusal still leaves no run.
        loader = training.loader(training.step.number)
        failures = build_failure_limit(training.config, training.plan)
        # Whoever has mended the videos after a refusal must not be refused for those of before.
        failures.accepted = self.start.is_resumed

        folder = self.start.folder
        state = self.start.state
        checkpoints = Checkpoints(training, folder, state, self.versions)
        recorder = Recorder(training, folder, state, training.step.number if self.start.is_resumed else None)
        profiler = self._profiler()
        # From here on a signal is answered after the next step, with the state saved.
        signals = StopSignals()
        signals.start()
        with contextlib.ExitStack() as stack:
            # Left in reverse order: the writer ends first, the report and the trace are made last.
            stack.enter_context(profiler)
            try:
                stack.enter_context(recorder)
            finally:
                stack.callback(signals.close)
            stack.enter_context(checkpoints)

            self._announce()
            recorder.begin(self.versions, list(self.start.changes))
            validate = Validation(training, state, recorder, checkpoints)
            hooks = Hooks(
                log=recorder.log,
                failed_video=recorder.failed_video,
                non_finite=recorder.non_finite,
                validate=validate,
                save=checkpoints.save,
                should_stop=lambda: checkpoints.any_process(signals.asked),
                begin_step=profiler.begin_step,
            )
            try:
                if is_validation_due(training, state):
                    validate(training.step.number)
                self._fit(loader, hooks, failures, checkpoints)
            except InputError as error:
                # A checkpoint that is still being written makes this a run, too.
                checkpoints.wait()
                # Too many failed videos among the first ones tell of a wrong list: nothing that was trained on it is
                # worth keeping.
                is_of_list = isinstance(error.__cause__, TooManyFailed) and not failures.accepted
                if is_of_list or not folder.last.is_file():
                    recorder.refused(str(error))
                raise

        distributed.barrier()
        print_line(f"checkpoint: {folder.last}  report: {folder.path / 'report.html'}")
        return state.metrics

    def _fit(self, loader: ClipLoader, hooks: Hooks, failures: FailureLimit, checkpoints: Checkpoints) -> None:
        """Run the loop; its errors are raised again with what to do about them."""
        training = self.start.training
        config = training.config
        non_finite = build_non_finite_limit(config)
        try:
            # Closed at the end, so that no worker process outlives the loop.
            with contextlib.closing(note_counted_videos(loader)) as batches:
                fit(training.step, batches, training.plan, hooks, failures, non_finite)
        except TooManyFailed as error:
            text = advice.about_failures(error, config)
            raise InputError(f"{text}; {self._next_try(checkpoints)}") from error
        except NonFiniteStep as error:
            rate = training.step.schedule(training.step.number - 1)
            raise InputError(advice.about_non_finite(error, rate, config.TRAIN.NON_FINITE == "skip")) from error
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            raise InputError(f"{no_memory(config, str(error))}; {self._next_try(checkpoints)}") from error

    def _next_try(self, checkpoints: Checkpoints) -> str:
        """Return how to go on: from the last checkpoint where there is one, else with the same command."""
        checkpoints.wait()
        if self.start.folder.last.is_file():
            return "go on with --resume --allow-changes"
        return "then give the command again"

    def _profiler(self) -> StepProfiler:
        """Return the profiler of TRAIN.PROFILE_STEPS, which traces rank 0 alone."""
        training = self.start.training
        steps = training.config.TRAIN.PROFILE_STEPS if distributed.rank() == 0 else 0
        return StepProfiler(steps, self.start.folder.path / "profile", training.device, print_line)

    def _announce(self) -> None:
        """Print what is trained, and what is doubtful about it."""
        for line in notes.summary(self.start):
            print_line(line)
        for doubt in notes.doubts(self.start):
            print_line(f"note: {doubt}")
