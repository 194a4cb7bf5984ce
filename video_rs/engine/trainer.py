"""One optimizer step, and the state that it changes."""

import contextlib
import hashlib
import inspect
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.profiler import record_function

from video_rs.engine.batch_norm import SyncBatchNorm3d, absent, alone, is_synchronized
from video_rs.engine.ema import Ema
from video_rs.engine.losses import SigmoidLoss, SoftmaxLoss
from video_rs.engine.optim import learning_rate, set_learning_rate
from video_rs.runtime import distributed
from video_rs.runtime.errors import InputError
from video_rs.runtime.wording import pluralize

# Float clips [B,3,T,H,W], float targets [B,K] and a CPU generator -> both mixed.
Mix = Callable[[Tensor, Tensor, torch.Generator], tuple[Tensor, Tensor]]
# DistributedDataParallel's word for it is another from PyTorch 2.14 on, which warns of the one before.
_NAMES = inspect.signature(nn.parallel.DistributedDataParallel).parameters
NO_BROADCAST = {"forward_sync_buffers" if "forward_sync_buffers" in _NAMES else "broadcast_buffers": False}
# The share of failed samples is judged once this many have been seen (or one epoch, if that is shorter).
FAILURES_JUDGED_AFTER = 200


@dataclass(frozen=True)
class TrainSettings:
    """Plain numbers of a run; ``builders.build_settings`` says which option each comes from."""

    total_steps: int
    batch_size: int
    num_samples: int
    base_lr: float
    warmup_steps: int
    accumulation: int = 1
    clip_norm: float = 0.0
    max_failed_share: float = 1.0
    skip_non_finite: bool = False
    eval_epochs: int = 1
    checkpoint_steps: int = 0
    checkpoint_minutes: float = 0.0
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


class TooManyFailed(InputError):
    """Too large a share of the training samples could not be read."""


class Trainer:
    """Owns the state that a step changes: model, optimizer, scaler, EMA, step number and the count of failures.

    Args:
        model: clips -> logits; wrapped in DistributedDataParallel under torchrun.
        optimizer: its learning rate is written before each step.
        ema: the running average, or None.
        prepare: uint8 clips on the CPU -> float clips on the device.
        precision: dtype that the forward pass computes in; float16 scales its loss.
        settings: plain numbers.
        loss: of each clip, from its logits and labels; it also makes the targets that ``mix`` takes.
        mix: mixes the valid clips of a micro-batch with each other, and their targets; None: off.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        ema: Ema | None,
        prepare: Callable[[Tensor], Tensor],
        precision: torch.dtype,
        settings: TrainSettings,
        loss: SoftmaxLoss | SigmoidLoss,
        mix: Mix | None = None,
    ):
        self.model, self.optimizer, self.ema = model, optimizer, ema
        self.prepare, self.precision, self.settings = prepare, precision, settings
        self.loss, self.mix = loss, mix
        self.device = next(model.parameters()).device
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=precision == torch.float16)
        self.net: nn.Module = model
        if distributed.world_size() > 1:
            # Buffers are shared after each step, as a mean, not before it, as those of process 0.
            self.net = nn.parallel.DistributedDataParallel(model, **NO_BROADCAST)
        self.step = 0
        self.seen = 0
        self.failed = 0
        self.accepted = False  # whether it was judged that few enough samples fail

    def train_step(
        self, batches: list[Any], rate: float | None = None, measure_update: bool = False
    ) -> dict[str, float]:
        """One optimizer step over micro-batches: uint8 ``clips``, ``labels`` as the loss takes them, ``size`` in slots.

        A slot whose video failed is absent from ``clips``; the loss is the mean over the valid clips of all
        processes. Without any, nothing changes but the step number. Batch-norm statistics become the mean over the
        processes (as in TensorFlow), so that all of them hold one model.

        A step whose loss or gradient is not finite leaves weights, optimizer, average and statistics as they are.
        ``rate`` is a learning rate to take instead of the schedule's; ``measure_update`` asks for ``update_ratio``,
        for which the weights are kept during the step.

        Returns:
            Over all processes: ``loss`` (summed over clips), ``hits`` (a mixed clip counts its own label, not its
            partner's), ``judged`` (clips that have a label to hit), ``clips`` (valid ones), ``failed``, ``finite``;
            and ``grad_norm`` before clipping. With ``measure_update`` the norm of all weights' change over their norm,
            ``update_ratio``.
        """
        settings = self.settings
        seed_step(settings.seed, self.step)
        set_learning_rate(self.optimizer, self.rate() if rate is None else rate)
        counts = torch.tensor([sum(len(b.labels) for b in batches), sum(b.size for b in batches)], device=self.device)
        valid, slots = distributed.sum_over_ranks(counts).tolist()
        before = [buffer.clone() for buffer in self.model.buffers()]
        loss_sum = torch.zeros((), device=self.device)
        hits = judged = 0
        for i, batch in enumerate(batches if valid else []):
            with self._synced(i == len(batches) - 1), self._counted(len(batch.labels) > 0):
                losses, right = self._forward(batch, i)
                # DistributedDataParallel averages gradients over the processes; the loss is a mean over all clips.
                scale = distributed.world_size() / valid
                with record_function("backward"):
                    self.scaler.scale(losses.sum() * scale).backward()
            loss_sum += losses.detach().sum()
            hits, judged = hits + right, judged + self.loss.judged(batch.labels)
        counted = torch.tensor([float(hits), float(judged)], device=self.device)
        loss, hits, judged = distributed.sum_over_ranks(torch.cat([loss_sum[None], counted])).tolist()
        weights = self._weights() if measure_update else []
        earlier = [weight.detach().clone() for weight in weights]
        grad_norm, finite = self._update(loss) if valid else (0.0, True)
        if not finite:
            self._restore(before)
        distributed.mean_over_ranks(moving_statistics(self.model))
        self.step += 1
        self.seen += slots
        self.failed += slots - valid
        if self.ema is not None and valid and finite:
            self.ema.update(self.model, self.step)
        measured = {"loss": loss, "hits": hits, "judged": judged, "clips": valid, "failed": slots - valid}
        if measure_update:
            measured["update_ratio"] = _relative_change(earlier, weights)
        return {**measured, "grad_norm": grad_norm, "finite": finite}

    def probe(self, clips: Tensor) -> None:
        """A forward and a backward pass over uint8 ``clips`` that leave everything as it was: for what they take.

        Nothing is exchanged with other processes.
        """
        before = [buffer.clone() for buffer in self.model.buffers()]
        self.model.train()
        autocast = torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32)
        with alone(self.model):  # recomputed parts go forward again in the backward pass
            with autocast:
                logits = self.model(self.prepare(clips))
            logits.float().sum().backward()
        self.optimizer.zero_grad(set_to_none=True)
        self._restore(before)

    def _weights(self) -> list[Tensor]:
        return [weight for group in self.optimizer.param_groups for weight in group["params"]]

    def _restore(self, buffers: list[Tensor]) -> None:
        """The model's buffers as they were."""
        for buffer, value in zip(self.model.buffers(), buffers, strict=True):
            buffer.copy_(value)

    def rate(self) -> float:
        """Learning rate of the coming step."""
        settings = self.settings
        return learning_rate(self.step, settings.base_lr, settings.total_steps, settings.warmup_steps)

    @record_function("forward")
    def _forward(self, batch: Any, micro: int) -> tuple[Tensor, int]:
        """Loss of each valid clip of micro-batch number ``micro``, and how many were right."""
        if len(batch.labels) == 0:
            return self._empty_forward(batch), 0
        labels = batch.labels.to(self.device, non_blocking=True)
        with torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32):
            clips, targets = self.prepare(batch.clips), labels
            if self.mix is not None:
                generator = micro_generator(self.settings.seed, self.step, micro)
                clips, targets = self.mix(clips, self.loss.soft(labels), generator)
            logits = self.net(clips)
        return self.loss(logits, targets), self.loss.hits(logits.detach(), labels)

    def _empty_forward(self, batch: Any) -> Tensor:
        """A zero loss that still takes part in all exchanges."""
        # Two clips: of one, the last map may be a single value, of which batch norm has no variance.
        return self.net(self.prepare(batch.clips.new_zeros(2, *batch.clips.shape[1:]))).sum(1) * 0

    @contextlib.contextmanager
    def _counted(self, has_clips: bool) -> Iterator[None]:
        """Around a forward pass and its backward pass, which may compute parts anew: without clips, statistics stay."""
        if has_clips:
            yield
        elif is_synchronized(self.model):
            with absent(self.model):
                yield
        else:
            self.net.eval()
            try:
                yield
            finally:
                self.net.train()

    def _synced(self, last: bool) -> contextlib.AbstractContextManager:
        """Gradients are exchanged with the last micro-batch only."""
        return contextlib.nullcontext() if last or self.net is self.model else self.net.no_sync()

    @record_function("optimizer")
    def _update(self, loss: float) -> tuple[float, bool]:
        """Clips, steps the optimizer and clears the gradients; returns the norm before clipping, and whether it did.

        Float16's own overflows are no fault: its scaler skips them, and lowers the scale.
        """
        self.scaler.unscale_(self.optimizer)
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        norm = nn.utils.get_total_norm(gradients)
        if self.settings.clip_norm:  # otherwise it would still go through all gradients, to multiply them by 1
            nn.utils.clip_grads_with_norm_(self.model.parameters(), self.settings.clip_norm, norm)
        norm = float(norm)
        finite = math.isfinite(loss) and (math.isfinite(norm) or self.scaler.is_enabled())
        if finite:
            self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        return norm, finite

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
        self.accepted = True

    def check_failures(self) -> None:
        """Raises TooManyFailed when too large a share of the samples since the start could not be read."""
        judged = self.seen >= min(FAILURES_JUDGED_AFTER, self.settings.num_samples)
        share = self.failed / max(1, self.seen)
        if judged and share > self.settings.max_failed_share:
            raise TooManyFailed(
                f"{self.failed} of {pluralize(self.seen, 'training sample')} could not be read ({share:.1%}), allowed: "
                f"{self.settings.max_failed_share:.1%} (DATA.MAX_FAILED_SHARE)"
            )
        self.accepted |= judged


def moving_statistics(model: nn.Module) -> list[Tensor]:
    """Batch-norm statistics that differ by process.

    Those of frozen and synchronized parts do not, and the mean of three equal numbers can be another one.
    """
    training = [module for module in model.modules() if module.training and not isinstance(module, SyncBatchNorm3d)]
    return [b for module in training for b in module.buffers(recurse=False) if b.is_floating_point()]


@torch.no_grad()
def _relative_change(before: list[Tensor], after: list[Tensor]) -> float:
    """Norm of the difference over the norm of ``before``, of all tensors together; ``before`` is used up."""
    size = torch.stack(torch._foreach_norm(before)).norm()
    torch._foreach_sub_(before, after)
    return float(torch.stack(torch._foreach_norm(before)).norm() / size)


def seed_step(seed: int, step: int) -> None:
    """Makes dropout and stochastic depth a function of (seed, step, rank), so that a resumed run draws the same."""
    torch.manual_seed(_hash(seed, step, distributed.rank()))


def micro_generator(seed: int, step: int, micro: int) -> torch.Generator:
    """A CPU generator that is a function of (seed, step, rank, micro-batch) alone, apart from :func:`seed_step`'s."""
    return torch.Generator().manual_seed(_hash(seed, step, distributed.rank(), micro))


def _hash(*numbers: int) -> int:
    text = ",".join(map(str, numbers)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=7).digest(), "little")
