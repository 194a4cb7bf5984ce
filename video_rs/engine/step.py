"""One optimizer step: forward, backward, clip, optimizer, average. It knows no task, no option and no log."""

import contextlib
import dataclasses
import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.profiler import record_function

from video_rs.engine.average import Ema
from video_rs.engine.batch_norm import is_synchronized, statistics_of_each_process, without_counting
from video_rs.engine.guards import BufferBackup, is_finite
from video_rs.engine.objectives import Losses, Objective, Ratio
from video_rs.engine.optimizer import set_learning_rate
from video_rs.engine.randomness import micro_batch_generator, seed_step
from video_rs.engine.schedule import Schedule
from video_rs.runtime import distributed

# PyTorch 2.14 has a new name for this argument of DistributedDataParallel, and warns of the old one.
_DDP_ARGUMENTS = inspect.signature(nn.parallel.DistributedDataParallel).parameters
_SYNC_BUFFERS = "forward_sync_buffers" if "forward_sync_buffers" in _DDP_ARGUMENTS else "broadcast_buffers"


@dataclass(frozen=True)
class StepResult:
    """What a step did, over all processes.

    Attributes:
        clips: clips that could be read.
        failed: clips that could not.
        loss: sum of the losses of the clips.
        ratios: the sums that the objective logs.
        grad_norm: norm of the gradient before clipping; 0 without a clip.
        finite: whether loss and gradient were finite; else nothing but the step number has changed.
    """

    clips: int
    failed: int
    loss: float
    ratios: Mapping[str, Ratio]
    grad_norm: float
    finite: bool


class Step:
    """Owns what an optimizer step changes: network, optimizer, loss scale, average and the number of steps taken.

    Args:
        model: clips -> logits; wrapped in DistributedDataParallel where there are several processes.
        optimizer: its learning rate is written before each step.
        objective: what is made smaller.
        schedule: the learning rate of each step.
        average: the running average of the weights, or None.
        precision: dtype that the forward pass computes in; float16 scales the loss.
        clip_norm: largest norm of the gradient; 0 does not clip.
        seed: of dropout, stochastic depth and the draws of the objective.

    Attributes:
        number: steps taken.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        objective: Objective,
        schedule: Schedule,
        *,
        average: Ema | None = None,
        precision: torch.dtype = torch.float32,
        clip_norm: float = 0.0,
        seed: int = 0,
    ):
        self.model = model
        self.optimizer = optimizer
        self.objective = objective
        self.schedule = schedule
        self.average = average
        self.clip_norm = clip_norm
        self.seed = seed
        self.number = 0

        self.device = next(model.parameters()).device
        self.compute_in(precision)
        self._network: nn.Module = model
        if distributed.world_size() > 1:
            # Batch-norm statistics are averaged after each step, not taken from rank 0 before it.
            self._network = nn.parallel.DistributedDataParallel(model, **{_SYNC_BUFFERS: False})

    def __call__(self, micro_batches: Sequence[Any], rate: float | None = None) -> StepResult:
        """Take one step over all micro-batches of all processes, or none where loss or gradient are not finite.

        The loss is the mean over the clips that could be read. Without any, nothing changes but the step number.
        Batch-norm statistics become the mean over the processes (as in TensorFlow), so that all of them hold one model.

        Args:
            micro_batches: with uint8 ``clips`` ``[b, 3, T, H, W]`` and ``labels`` of the samples that could be read,
                and ``size``, the number of all samples.
            rate: a learning rate in place of the schedule's.
        """
        seed_step(self.seed, self.number)
        set_learning_rate(self.optimizer, self.rate() if rate is None else rate)
        clips, size = self._count_clips(micro_batches)

        # The forward pass moves batch-norm statistics, which a step that is not taken must leave alone.
        statistics = BufferBackup(self.model)

        loss, ratios = self._backward(micro_batches if clips else (), clips)
        grad_norm, finite = 0.0, True
        if clips:
            with record_function("optimizer"):
                grad_norm = self._clip_gradient()
                finite = is_finite(loss, grad_norm, scales_loss=self.scaler.is_enabled())
                self._update_weights(finite)
        if not finite:
            statistics.restore()

        # Each process has seen other clips; from here on all hold one model again.
        distributed.mean_over_ranks(statistics_of_each_process(self.model))
        self.number += 1
        if self.average is not None and clips and finite:
            self.average.update(self.model, self.number)
        return StepResult(clips, size - clips, loss, ratios, grad_norm, finite)

    def compute_in(self, precision: torch.dtype) -> None:
        """Compute the forward passes in another dtype from now on; float16 begins with a fresh loss scale."""
        self.precision = precision
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=precision == torch.float16)

    def autocast(self) -> torch.autocast:
        """Return what forward passes run under."""
        return torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32)

    def rate(self) -> float:
        """Return the learning rate of the coming step."""
        return self.schedule(self.number)

    def _count_clips(self, micro_batches: Sequence[Any]) -> tuple[int, int]:
        """Return how many clips could be read, and how many samples there are, over all processes."""
        clips = sum(len(batch.clips) for batch in micro_batches)
        size = sum(batch.size for batch in micro_batches)
        counts = torch.tensor([clips, size], device=self.device)

        # In one exchange, before anything is computed: the loss is divided by the clips of all processes.
        clips, size = distributed.sum_over_ranks(counts).tolist()
        return clips, size

    def _backward(self, micro_batches: Sequence[Any], clips: int) -> tuple[float, dict[str, Ratio]]:
        """Add up the gradients of all micro-batches; return the loss and the sums to log of all processes."""
        names = self.objective.logged
        sums = torch.zeros(1 + 2 * len(names), device=self.device)
        for index, batch in enumerate(micro_batches):
            is_last = index == len(micro_batches) - 1
            with self._exchanging_gradients(is_last), self._statistics_of(batch):
                losses = self._forward(batch, index)
                # DistributedDataParallel averages gradients over the processes; the loss is a mean over all clips.
                scale = distributed.world_size() / clips
                with record_function("backward"):
                    self.scaler.scale(losses.per_clip.sum() * scale).backward()

            sums[0] += losses.per_clip.detach().sum()
            for place, name in enumerate(names):
                sums[1 + 2 * place] += losses.ratios[name].total
                sums[2 + 2 * place] += losses.ratios[name].count

        # One exchange for the loss and everything that is logged.
        loss, *values = distributed.sum_over_ranks(sums).tolist()
        pairs = zip(values[::2], values[1::2], strict=True)
        return loss, {name: Ratio(total, count) for name, (total, count) in zip(names, pairs, strict=True)}

    @record_function("forward")
    def _forward(self, batch: Any, index: int) -> Losses:
        """Return the losses of micro-batch number ``index``."""
        generator = micro_batch_generator(self.seed, self.number, index)
        if len(batch.clips):
            return self.objective(self._autocast_network, batch, generator)

        # The other processes wait for this one in their exchanges, so it computes something that counts for nothing.
        losses = self.objective(self._autocast_network, stand_in(batch), generator)
        nothing = {name: Ratio(0, 0) for name in losses.ratios}
        return Losses(losses.per_clip * 0, nothing)

    def _autocast_network(self, clips: Tensor) -> Tensor:
        """Return the logits of float clips, computed in the precision of the run."""
        with self.autocast():
            return self._network(clips)

    @contextlib.contextmanager
    def _statistics_of(self, batch: Any) -> Iterator[None]:
        """Keep a micro-batch without clips out of the batch-norm statistics, in its forward and its backward pass."""
        # The backward pass belongs to it because activation checkpointing computes parts of the network there again.
        if len(batch.clips):
            yield
        elif is_synchronized(self.model):
            with without_counting(self.model):
                yield
        else:
            self._network.eval()
            try:
                yield
            finally:
                self._network.train()

    def _exchanging_gradients(self, is_last: bool) -> contextlib.AbstractContextManager:
        """Exchange gradients between the processes with the last micro-batch only."""
        if is_last or self._network is self.model:
            return contextlib.nullcontext()
        return self._network.no_sync()

    def _clip_gradient(self) -> float:
        """Clip the gradient, and return its norm from before."""
        self.scaler.unscale_(self.optimizer)
        gradients = [weight.grad for weight in self.model.parameters() if weight.grad is not None]
        norm = nn.utils.get_total_norm(gradients)
        if self.clip_norm:
            # Otherwise this would still go through all gradients, to multiply them by 1.
            nn.utils.clip_grads_with_norm_(self.model.parameters(), self.clip_norm, norm)
        return float(norm)

    def _update_weights(self, finite: bool) -> None:
        """Let the optimizer change the weights where the step is finite, and clear the gradients."""
        if finite:
            self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs, in plain data and tensors."""
        return {
            "model": self.model.state_dict(),
            "ema": None if self.average is None else self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "step": self.number,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state_dict`; weight decay, momentum and the like stay those of this optimizer."""
        self.model.load_state_dict(state["model"])
        if self.average is not None:
            # A run that had no average starts one at its weights: zeros would take 1 / (1 - decay) steps to forget.
            self.average.load_state_dict(state["ema"] or state["model"])

        own_groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state["optimizer"]["state"], "param_groups": own_groups})
        # The state of the scaler is empty in a run whose precision needed no scaling.
        if state["scaler"]:
            self.scaler.load_state_dict(state["scaler"])
        self.number = state["step"]


def stand_in(batch: Any) -> Any:
    """Return a batch of two black clips and of size 0, in place of a batch that has no clips.

    There are two because the last map of a single clip may be one value a channel, of which batch norm has no variance.
    """
    of_clips = {}
    for field in dataclasses.fields(batch):
        value = getattr(batch, field.name)
        # Clips, labels and whatever else there is of each clip.
        if isinstance(value, Tensor):
            of_clips[field.name] = value.new_zeros(2, *value.shape[1:])
    return dataclasses.replace(batch, size=0, **of_clips)
