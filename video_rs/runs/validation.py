"""Validation during training: the averaged weights on one centre view of each video."""

import copy
from typing import Any

from torch import nn

from video_rs.builders import Training
from video_rs.engine.metrics import VideoResult
from video_rs.engine.precise_bn import recompute_statistics
from video_rs.runs.checkpoints import Checkpoints
from video_rs.runs.neighbour_validation import neighbour_metrics, neighbour_results
from video_rs.runs.recorder import Recorder
from video_rs.runs.results import Evaluation, evaluate_records, network_scorer
from video_rs.runs.state import RunState
from video_rs.runtime.progress import print_line
from video_rs.runtime.wording import pluralize


class Validation:
    """Validates a run; without a validation list it does nothing.

    Args:
        training: what is trained.
        state: gets the metrics and the best score.
        recorder: is told the results.
        checkpoints: save them.
    """

    def __init__(self, training: Training, state: RunState, recorder: Recorder, checkpoints: Checkpoints):
        self.training = training
        self.state = state
        self.recorder = recorder
        self.checkpoints = checkpoints
        self.preprocessing = training.preprocessing.single_view()

    def __call__(self, step: int) -> None:
        """Validate after a step."""
        training = self.training
        if training.lists.val is None:
            return

        model = self._averaged_model()
        config = training.config
        # With MODEL.FROZEN_STAGES 5 all statistics are frozen.
        if config.BN.NUM_BATCHES_PRECISE and config.MODEL.FROZEN_STAGES < 5:
            self._recompute_statistics(model)

        self.state.results = self._results(model)
        evaluation = Evaluation.of(config, training.lists, self.preprocessing, self.state.results)
        metrics = self._metrics(evaluation)
        self.state.metrics = metrics
        self.recorder.validation(step, evaluation, metrics)

        score = metrics["map" if evaluation.multi_label else "top1"]
        is_best = self.state.best is None or score > self.state.best
        if is_best:
            self.state.best = score
        self.state.validated_step = step
        # The checkpoint from before this validation does not have its result.
        self.checkpoints.save_validated(step, is_best)

    def _results(self, model: nn.Module) -> list[VideoResult]:
        """Return what the network, or the neighbours of its features, say of each validation video."""
        config = self.training.config
        lists = self.training.lists
        if lists.memory is not None:
            return neighbour_results(config, model, lists, self.preprocessing)
        scorer = network_scorer(config, model, self.preprocessing)
        return evaluate_records(config, scorer, lists.val, self.preprocessing, "validation")

    def _metrics(self, evaluation: Evaluation) -> dict[str, Any]:
        """Return what metrics.json holds."""
        checkpoint = str(self.checkpoints.folder.last)
        lists = self.training.lists
        if lists.memory is not None:
            return neighbour_metrics(evaluation, lists, checkpoint)
        return evaluation.metrics(checkpoint)

    def _averaged_model(self) -> nn.Module:
        """Return a copy of the network with the averaged weights, or the network itself where there is no average."""
        step = self.training.step
        if step.average is None:
            return step.model
        averaged = copy.deepcopy(step.model)
        averaged.load_state_dict(step.average.state_dict())
        return averaged

    def _recompute_statistics(self, model: nn.Module) -> None:
        """Compute batch-norm statistics over the clips of the coming steps, in place of the averaged ones."""
        step = self.training.step
        batches = self.training.config.BN.NUM_BATCHES_PRECISE
        loader = self.training.loader(step.number, step.number + batches)
        clips = recompute_statistics(model, loader, step.objective.prepare)

        unread = batches * self.training.plan.batch_size - clips
        lost = f"; {unread} more could not be read" if clips and unread else ""
        over = f"over {pluralize(clips, 'clip')} (BN.NUM_BATCHES_PRECISE){lost}"
        print_line(f"batch-norm statistics of step {step.number} {over}")
        if step.average is not None:
            for name, statistics in model.named_buffers():
                step.average.average[name].copy_(statistics)


def is_validation_due(training: Training, state: RunState) -> bool:
    """Return whether the last checkpoint is from just before a validation that never came to its end."""
    number = training.step.number
    if training.lists.val is None or number in (0, state.validated_step):
        return False
    return training.plan.validates(number)
