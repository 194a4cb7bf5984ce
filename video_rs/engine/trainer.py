"""The training loop. One optimizer step is one function; saving, validating and logging are handed in."""

import contextlib
import hashlib
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from video_rs.engine import distributed
from video_rs.engine.ema import Ema
from video_rs.engine.losses import cross_entropy
from video_rs.engine.metrics import top_k_hits
from video_rs.engine.optim import learning_rate, set_learning_rate
from video_rs.errors import InputError

# The share of failed samples is judged once this many have been seen (or one epoch, if that is shorter).
FAILURES_JUDGED_AFTER = 200


class Stopped(Exception):
    """The run was told to stop; its state is saved."""


@dataclass(frozen=True)
class TrainSettings:
    """Plain numbers of a run; ``builders.build_settings`` says which option each comes from."""

    total_steps: int
    batch_size: int
    num_samples: int
    base_lr: float
    warmup_steps: int
    accumulation: int = 1
    label_smoothing: float = 0.0
    clip_norm: float = 0.0
    max_failed_share: float = 1.0
    eval_epochs: int = 1
    checkpoint_steps: int = 0
    log_steps: int = 10
    seed: int = 0

    def epoch(self, step: int) -> float:
        """Passes over the data after ``step`` steps."""
        return step * self.batch_size / self.num_samples

    def crosses(self, step: int, epochs: int) -> bool:
        """Whether step number ``step`` (from 1) ends a multiple of ``epochs``."""
        return int(self.epoch(step) // epochs) > int(self.epoch(step - 1) // epochs)

    def validates(self, step: int) -> bool:
        """Whether step number ``step`` (from 1) is followed by a validation."""
        return step == self.total_steps or self.crosses(step, self.eval_epochs)


@dataclass
class Totals:
    """Sums since the last log line, over all processes."""

    loss: float = 0.0
    hits: int = 0
    clips: int = 0
    failed: int = 0
    waited: float = 0.0
    started: float = field(default_factory=time.perf_counter)

    def scalars(self) -> dict[str, float]:
        """Means and rates: loss per clip, top1 in [0, 1], clips per second, share of the time spent on waiting."""
        seconds = max(1e-9, time.perf_counter() - self.started)
        clips = max(1, self.clips)
        return {
            "loss": self.loss / clips,
            "top1": self.hits / clips,
            "clips_per_s": self.clips / seconds,
            "data_wait": self.waited / seconds,
            "failed": self.failed,
        }


class Trainer:
    """Owns the state that a step changes: model, optimizer, scaler, EMA, step number and the count of failures.

    Args:
        model: clips -> logits; wrapped in DistributedDataParallel under torchrun.
        optimizer: its learning rate is written before each step.
        ema: the running average, or None.
        prepare: uint8 clips on the CPU -> float clips on the device.
        precision: dtype that the forward pass computes in; float16 scales its loss.
        settings: plain numbers.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        ema: Ema | None,
        prepare: Callable[[Tensor], Tensor],
        precision: torch.dtype,
        settings: TrainSettings,
    ):
        self.model, self.optimizer, self.ema = model, optimizer, ema
        self.prepare, self.precision, self.settings = prepare, precision, settings
        self.device = next(model.parameters()).device
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=precision == torch.float16)
        self.net: nn.Module = model
        if distributed.world_size() > 1:
            # Buffers are shared after each step, as a mean, not before it, as those of process 0.
            self.net = nn.parallel.DistributedDataParallel(model, broadcast_buffers=False)
        self.step = 0
        self.seen = 0
        self.failed = 0

    def train_step(self, batches: list[Any]) -> dict[str, float]:
        """One optimizer step over micro-batches with ``clips`` (uint8), ``labels`` (int64) and ``size`` (slots).

        A slot whose video failed is absent from ``clips``; the loss is the mean over the valid clips of all
        processes. Without any, nothing changes but the step number. Batch-norm statistics become the mean over the
        processes (as in TensorFlow), so that all of them hold one model.

        Returns:
            Over all processes: ``loss`` (summed over clips), ``hits``, ``clips`` (valid ones), ``failed``; and
            ``grad_norm`` before clipping.
        """
        settings = self.settings
        seed_step(settings.seed, self.step)
        set_learning_rate(self.optimizer, self.rate())
        counts = torch.tensor([sum(len(b.labels) for b in batches), sum(b.size for b in batches)], device=self.device)
        valid, slots = distributed.sum_over_ranks(counts).tolist()
        loss_sum = torch.zeros((), device=self.device)
        hits = 0
        for i, batch in enumerate(batches if valid else []):
            with self._synced(i == len(batches) - 1):
                losses, batch_hits = self._forward(batch)
                # DistributedDataParallel averages gradients over the processes; the loss is a mean over all clips.
                scale = distributed.world_size() / valid
                self.scaler.scale(losses.sum() * scale).backward()
            loss_sum += losses.detach().sum()
            hits += batch_hits
        grad_norm = self._update() if valid else 0.0
        distributed.mean_over_ranks([b for b in self.model.buffers() if b.is_floating_point()])
        self.step += 1
        self.seen += slots
        self.failed += slots - valid
        if self.ema is not None and valid:
            self.ema.update(self.model, self.step)
        sums = distributed.sum_over_ranks(torch.stack([loss_sum, torch.tensor(float(hits), device=self.device)]))
        loss, hits = sums.tolist()
        return {"loss": loss, "hits": hits, "clips": valid, "failed": slots - valid, "grad_norm": grad_norm}

    def rate(self) -> float:
        """Learning rate of the coming step."""
        settings = self.settings
        return learning_rate(self.step, settings.base_lr, settings.total_steps, settings.warmup_steps)

    def _forward(self, batch: Any) -> tuple[Tensor, int]:
        """Loss of each valid clip, and how many were right."""
        if len(batch.labels) == 0:
            return self._empty_forward(batch), 0
        labels = batch.labels.to(self.device, non_blocking=True)
        with torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32):
            logits = self.net(self.prepare(batch.clips))
        return cross_entropy(logits, labels, self.settings.label_smoothing), top_k_hits(logits.detach(), labels, 1)

    def _empty_forward(self, batch: Any) -> Tensor:
        """A zero loss that still takes part in the gradient exchange and leaves batch-norm statistics alone."""
        self.net.eval()
        logits = self.net(self.prepare(batch.clips.new_zeros(1, *batch.clips.shape[1:])))
        self.net.train()
        return logits.sum(1) * 0

    def _synced(self, last: bool) -> contextlib.AbstractContextManager:
        """Gradients are exchanged with the last micro-batch only."""
        return contextlib.nullcontext() if last or self.net is self.model else self.net.no_sync()

    def _update(self) -> float:
        """Clips, steps the optimizer and clears the gradients; returns the norm before clipping."""
        self.scaler.unscale_(self.optimizer)
        limit = self.settings.clip_norm or float("inf")
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), limit)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        return float(norm)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs, in plain data and tensors."""
        return {
            "model": self.model.state_dict(),
            "ema": None if self.ema is None else self.ema.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "step": self.step,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from :meth:`state_dict`; weight decay, momentum and the like stay this trainer's own.

        Failures are counted anew: whoever has mended the videos after a refusal must not be refused for the old ones.
        """
        self.model.load_state_dict(state["model"])
        if self.ema is not None:
            # A run that had no average starts one at its weights: zeros would take 1 / (1 - decay) steps to forget.
            self.ema.load_state_dict(state["ema"] or state["model"])
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state["optimizer"]["state"], "param_groups": groups})
        if state["scaler"]:  # empty in a run whose precision needed no scaling
            self.scaler.load_state_dict(state["scaler"])
        self.step = state["step"]

    def check_failures(self) -> None:
        """Raises InputError when too large a share of the samples since the start could not be read."""
        judged = self.seen >= min(FAILURES_JUDGED_AFTER, self.settings.num_samples)
        share = self.failed / max(1, self.seen)
        if judged and share > self.settings.max_failed_share:
            raise InputError(
                f"{self.failed} of {self.seen} training samples could not be read ({share:.1%}); "
                f"allowed: {self.settings.max_failed_share:.1%} (DATA.MAX_FAILED_SHARE); the files are named in the log"
            )


def seed_step(seed: int, step: int) -> None:
    """Makes dropout and stochastic depth a function of (seed, step, rank), so that a resumed run draws the same."""
    text = f"{seed},{step},{distributed.rank()}".encode()
    torch.manual_seed(int.from_bytes(hashlib.blake2b(text, digest_size=7).digest(), "little"))


def fit(
    trainer: Trainer,
    batches: Iterable[Any],
    *,
    log: Callable[[int, dict[str, float]], None],
    report_failure: Callable[[str, str], None],
    validate: Callable[[int], None],
    save: Callable[[int], None],
    should_stop: Callable[[], bool],
) -> None:
    """Runs the steps that are left.

    Args:
        trainer: what to train.
        batches: micro-batches from ``trainer.step`` on, as in :meth:`Trainer.train_step`, with ``failures``.
        log: takes the step and its measurements, every ``log_steps`` steps.
        report_failure: takes the path and reason of a sample that could not be read.
        validate: called after the steps that end a validation period, and after the last.
        save: called before each validation, after the steps that end a checkpoint period, and after the last.
        should_stop: asked after every step; True saves and raises :class:`Stopped`.

    Raises:
        InputError: the loss is not finite, or too many samples could not be read.
        Stopped: ``should_stop`` said so.
    """
    settings = trainer.settings
    stream = iter(batches)
    trainer.model.train()
    totals = Totals()
    while trainer.step < settings.total_steps:
        asked = time.perf_counter()
        micro = [next(stream) for _ in range(settings.accumulation)]
        totals.waited += time.perf_counter() - asked
        rate = trainer.rate()
        step = trainer.train_step(micro)
        if step["failed"]:
            mine = [failure for batch in micro for failure in batch.failures]
            for video, reason in [failure for part in distributed.gather(mine) for failure in part]:
                report_failure(video, reason)
        if not math.isfinite(step["loss"]):
            raise InputError(
                f"the loss of step {trainer.step} is {step['loss']}; the last checkpoint is from before: lower "
                "SOLVER.BASE_LR, lengthen SOLVER.WARMUP_EPOCHS or set SOLVER.CLIP_GRAD_L2NORM, and go on with "
                "--resume --allow-changes"
            )
        totals.loss, totals.hits = totals.loss + step["loss"], totals.hits + step["hits"]
        totals.clips, totals.failed = totals.clips + step["clips"], totals.failed + step["failed"]
        done = trainer.step == settings.total_steps
        if done or trainer.step % settings.log_steps == 0:
            log(trainer.step, {"lr": rate, "grad_norm": step["grad_norm"], **totals.scalars()})
            totals = Totals()
        if settings.validates(trainer.step):
            paused = time.perf_counter()
            # Before scoring, so that what happens there cannot cost what was trained; and after it, with the result.
            save(trainer.step)
            validate(trainer.step)
            trainer.model.train()
            totals.started += time.perf_counter() - paused
        _save_if_due(trainer, save, should_stop)


def _save_if_due(trainer: Trainer, save: Callable[[int], None], should_stop: Callable[[], bool]) -> None:
    """Saves at the end of a period, before a stop, and before a refusal."""
    settings, step = trainer.settings, trainer.step
    period = settings.checkpoint_steps
    due = step % period == 0 if period else settings.crosses(step, 1)
    stop = should_stop()
    if due or stop or step == settings.total_steps:
        save(step)
    if stop and step < settings.total_steps:
        raise Stopped(f"stopped after step {step}")
    try:
        trainer.check_failures()
    except InputError:
        save(step)
        raise
