"""The checkpoints of a training run: written in the background, by rank 0, on the word of all processes."""

from collections.abc import Mapping

import torch

from video_rs.builders import Training
from video_rs.engine.checkpoint import FORMAT, copy_checkpoint
from video_rs.engine.checkpoint_writer import CheckpointWriter
from video_rs.engine.step import Step
from video_rs.runs.run_folder import RunFolder
from video_rs.runs.state import RunState
from video_rs.runtime import distributed
from video_rs.runtime.errors import InputError


class Checkpoints:
    """Saves the state of a run. Use it as a context manager: at its end, what is being written is whole.

    Args:
        training: whose step is saved.
        folder: of the run.
        state: is saved beside the step.
        versions: of the code.
    """

    def __init__(self, training: Training, folder: RunFolder, state: RunState, versions: Mapping[str, str]):
        self.folder = folder
        self._step: Step = training.step
        self._state = state
        # What does not change during a run is collected once.
        self._constants = {
            "format": FORMAT,
            "versions": dict(versions),
            "dataset": training.lists.fingerprints(),
            **training.identity(),
        }
        self._writer = CheckpointWriter(folder.last, training.config.TRAIN.KEEP_CHECKPOINTS, "go on with --resume")
        self._saved_step: int | None = None

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *exc_info) -> None:
        self.wait()

    def save(self, step: int, wait: bool) -> None:
        """Hand the state after a step to the writer, once.

        Args:
            step: the number of the step.
            wait: all processes go on only when the file is there.

        Raises:
            InputError: the file could not be written.
        """
        assert step == self._step.number
        if self._saved_step != step:
            self._saved_step = step
            if distributed.rank() == 0:
                self._writer.write({**self._step.state_dict(), **self._constants, **self._state.to_dict()})
        if wait:
            self.wait()
            self.any_process(False)

    def save_validated(self, step: int, is_best: bool) -> None:
        """Save a step again, now with the result of its validation; the best is kept beside the last."""
        self._saved_step = None
        self.save(step, wait=True)
        if is_best and distributed.rank() == 0:
            copy_checkpoint(self.folder.last, self.folder.best)

    def wait(self) -> None:
        """Return when nothing is being written."""
        self._writer.wait()

    def any_process(self, fact: bool) -> bool:
        """Return whether a fact holds in any process; all of them call this together.

        All processes leave when the one that writes could not. They learn of both in one exchange, since there is one
        after every step.

        Raises:
            InputError: a checkpoint could not be written.
        """
        has_failed = self._writer.error is not None
        if distributed.world_size() > 1:
            # A single process does not come here: a GPU would have to be asked after every step.
            numbers = torch.tensor([int(fact), int(has_failed)], device=self._step.device)
            facts, failures = distributed.sum_over_ranks(numbers).tolist()
            fact = facts > 0
            has_failed = failures > 0

        if has_failed:
            raise self._writer.error or InputError("process 0 could not write a checkpoint")
        return fact
