"""Losses of classification, one value per clip: the training step divides by the number of clips of all processes.

:class:`SoftmaxLoss` is for videos of one class each, :class:`SigmoidLoss` for videos of several. Both take labels as
the loader gives them, or soft targets made of them, which mixup and cutmix mix.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


def cross_entropy(logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    """Return the softmax cross-entropy with label smoothing (Szegedy et al. 2016).

    Args:
        logits: float ``[B, K]``.
        targets: int64 ``[B]`` in [0, K), or float ``[B, K]``, each row of sum 1, which may be mixed.
        smoothing: share of the target that is spread over all classes, in [0, 1].

    Returns:
        float32 ``[B]``, float64 for logits of float64.
    """
    # Half precision is raised; a network in float64, as tests compare it, stays there.
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    if targets.is_floating_point():
        targets = targets.to(logits.dtype)
    return functional.cross_entropy(logits, targets, reduction="none", label_smoothing=smoothing)


@dataclass(frozen=True)
class SoftmaxLoss:
    """One class a video: softmax and cross-entropy.

    Attributes:
        num_classes: K.
        smoothing: of the labels, in [0, 1].
        weights: float ``[K]`` on the CPU, a factor on the loss of the clips of each class; None: 1. A clip is weighted
            as a whole. PyTorch weighs the terms of a smoothed target instead, where the weight of a rare class would
            make that class the answer for clips of frequent ones.
    """

    num_classes: int
    smoothing: float = 0.0
    weights: Tensor | None = None

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return float32 ``[B]`` from float logits ``[B, K]`` and int64 labels ``[B]`` or mixed soft targets."""
        losses = cross_entropy(logits, targets, self.smoothing)
        if self.weights is None:
            return losses

        weights = self.weights.to(logits.device)
        if targets.is_floating_point():
            return losses * (targets @ weights)
        return losses * weights[targets]

    def soft_targets(self, labels: Tensor) -> Tensor:
        """Return float32 targets ``[B, K]`` of 0 and 1 for int64 labels ``[B]``.

        The labels are smoothed after mixing, in :func:`cross_entropy`: both are linear, so the order does not matter.
        """
        return functional.one_hot(labels, self.num_classes).float()

    @staticmethod
    def hits(logits: Tensor, labels: Tensor) -> Tensor:
        """Return how many clips have the largest logit at their class, an int64 scalar."""
        return (logits.argmax(1) == labels).sum()

    @staticmethod
    def counted(labels: Tensor) -> int:
        """Return how many clips have a label that can be hit: all of them."""
        return len(labels)


@dataclass(frozen=True)
class SigmoidLoss:
    """Any number of classes a video: a sigmoid and a binary cross-entropy for each, and their mean.

    Attributes:
        smoothing: in [0, 1]; a target of 1 becomes ``1 - smoothing / 2``, one of 0 ``smoothing / 2`` (as in Keras).
        weights: float ``[K]`` on the CPU, a factor on each class's cross-entropy for clips that have it; None: 1.
    """

    smoothing: float = 0.0
    weights: Tensor | None = None

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return float32 ``[B]`` from float logits ``[B, K]`` and uint8 labels ``[B, K]`` or mixed soft targets."""
        targets = targets.float()
        smoothed = targets * (1 - self.smoothing) + self.smoothing / 2
        losses = functional.binary_cross_entropy_with_logits(logits.float(), smoothed, reduction="none")

        if self.weights is not None:
            # The weight acts where the target is 1, and in proportion where mixing made it less.
            weights = self.weights.to(logits.device)
            losses = losses * (1 + targets * (weights - 1))
        return losses.mean(1)

    def soft_targets(self, labels: Tensor) -> Tensor:
        """Return uint8 labels ``[B, K]``, 1 for each class that a clip has, as float32."""
        return labels.float()

    @staticmethod
    def hits(logits: Tensor, labels: Tensor) -> Tensor:
        """Return how many clips have the largest logit at one of their classes, an integer scalar."""
        best = logits.argmax(1, keepdim=True)
        return labels.gather(1, best).sum()

    @staticmethod
    def counted(labels: Tensor) -> Tensor:
        """Return how many clips have a label that can be hit: those of any class, an int64 scalar."""
        return labels.any(1).sum()


def class_weights(counts: Sequence[int], power: float) -> Tensor:
    """Return weights of :class:`SoftmaxLoss`: ``count ** -power``, scaled to a mean of 1 over the videos.

    With ``power`` 1 they are scikit-learn's "balanced" ones, ``videos / (classes * count)``.

    Args:
        counts: videos of each class.
        power: in [0, 1].

    Returns:
        float32 ``[K]``.
    """
    numbers = torch.tensor(counts, dtype=torch.float64)
    weights = numbers.clamp(min=1) ** -power

    # The mean over videos, not over classes: a class weighs as often as it occurs.
    weights = weights * numbers.sum() / (weights * numbers).sum()
    return weights.float()


def positive_weights(counts: Sequence[int], videos: int, power: float) -> Tensor:
    """Return weights of :class:`SigmoidLoss`: ``((videos - count) / count) ** power``, the odds against a class.

    Args:
        counts: videos that have each class.
        videos: all of them. At least one video is taken to have each class, and one not to have it.
        power: in [0, 1]; with 1, the videos that have a class weigh as much together as the others.

    Returns:
        float32 ``[K]``.
    """
    having = torch.tensor(counts, dtype=torch.float64)
    lacking = (videos - having).clamp(min=1)
    odds = lacking / having.clamp(min=1)
    return (odds**power).float()
