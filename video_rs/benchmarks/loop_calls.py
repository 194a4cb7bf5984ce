"""Training loops as rounds of some steps each: seconds of every step, and what else belongs to a round."""

import time
from collections.abc import Callable

import torch
from torch.nn import functional

from video_rs.benchmarks.data_peers import pytorchvideo_batches
from video_rs.benchmarks.loop_benchmark import AVERAGED, BARE, IN_MEMORY, ON_FILES, PEER_LOOP
from video_rs.benchmarks.loop_steps import LEARNING_RATE, ROUND_STEPS, Steps, memory_batches
from video_rs.benchmarks.network_calls import autocast, network_on_device, timed
from video_rs.benchmarks.our_loop import loop_in_memory, loop_on_files, published_optimizer
from video_rs.benchmarks.subject import Subject
from video_rs.data.normalisation import to_float


class LoopRounds:
    """Rounds of one loop."""

    def __init__(self, subject: Subject):
        self.subject = subject
        self.loop: Callable[..., Steps] = LOOPS[subject.way](subject)

    def warm_up(self) -> None:
        """Take two rounds."""
        self.measure()
        self.measure()

    def measure(self) -> dict[str, list[float]]:
        """Take one round.

        Returns:
            ``seconds`` of each step, ``data_wait``, the share of them in [0, 1] that was spent on waiting for clips,
            and for our loop with EMA ``checkpoint_s``, what a checkpoint at its start adds to a second round.
        """
        steps = self.loop()
        total = sum(steps.seconds)
        answer = {"seconds": steps.seconds, "data_wait": [steps.waited / total]}
        if self.subject.way == AVERAGED:
            with_checkpoint = self.loop(checkpoint=True)
            answer["checkpoint_s"] = [sum(with_checkpoint.seconds) - total]
        return answer

    def end(self) -> dict[str, float]:
        """Return nothing more."""
        return {}


class BareStep:
    """The limit: forward, backward and optimizer on one batch in memory, which every training step has."""

    def __init__(self, subject: Subject):
        self.subject = subject
        batch = next(memory_batches(subject))
        self.clips = to_float(batch.clips, memory_format=torch.channels_last_3d).to(subject.device)
        self.labels = batch.labels.to(subject.device)
        self.network = network_on_device(subject).train()
        self.optimizer = published_optimizer(self.network)

    def __call__(self) -> Steps:
        """Take one round, for which no data is waited for."""
        seconds = [timed(self._step, self.subject.device) for _ in range(ROUND_STEPS)]
        return Steps(seconds, waited=0.0)

    def _step(self) -> None:
        with autocast(self.subject):
            logits = self.network(self.clips)
        functional.cross_entropy(logits.float(), self.labels, label_smoothing=0.1).backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)


class PeerLoop:
    """The peer: DataLoader, network, cross-entropy and SGD, as a first script has them."""

    def __init__(self, subject: Subject):
        self.subject = subject
        self.batches, self.ahead = pytorchvideo_batches(subject, subject.batch, subject.workers)
        self.network = network_on_device(subject).train()
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=LEARNING_RATE, momentum=0.9, weight_decay=4e-5)
        self.loss = torch.nn.CrossEntropyLoss()

    def __call__(self) -> Steps:
        """Take one round; what was read ahead while others had their turn goes first, unmeasured."""
        for _ in range(self.ahead):
            next(self.batches)

        seconds = []
        waited = 0.0
        for _ in range(ROUND_STEPS):
            started = time.perf_counter()
            batch = next(self.batches)
            waited += time.perf_counter() - started
            self._step(batch)
            seconds.append(time.perf_counter() - started)
        return Steps(seconds, waited)

    def _step(self, batch: dict) -> None:
        device = self.subject.device
        with autocast(self.subject):
            logits = self.network(batch["video"].to(device) / 255)
            value = self.loss(logits, batch["label"].to(device))
        self.optimizer.zero_grad()
        value.backward()
        self.optimizer.step()
        # Everybody prints the loss.
        value.item()


LOOPS = {
    BARE: BareStep,
    IN_MEMORY: loop_in_memory,
    AVERAGED: loop_in_memory,
    ON_FILES: loop_on_files,
    PEER_LOOP: PeerLoop,
}
