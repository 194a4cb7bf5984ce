"""Losses, one value per clip: the caller divides by the global count of valid clips.

:class:`SoftmaxLoss` is for videos of one class each, :class:`SigmoidLoss` for those of several. Both take the labels as
the loader gives them, or the soft targets that they make of them, which mixing mixes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


def cross_entropy(logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    """Softmax cross-entropy with label smoothing (Szegedy et al. 2016): ``smoothing`` of the target over all classes.

    Args:
        logits: float ``[B, K]``.
        targets: int64 ``[B]`` in [0, K), or float ``[B, K]``, each row of sum 1, which may be mixed.
        smoothing: in [0, 1].

    Returns:
        float32 ``[B]``.
    """
    targets = targets.float() if targets.is_floating_point() else targets
    return functional.cross_entropy(logits.float(), targets, reduction="none", label_smoothing=smoothing)


@dataclass(frozen=True)
class SoftmaxLoss:
    """One class a video: softmax and cross-entropy.

    Attributes:
        num_classes: K.
        smoothing: of the labels, in [0, 1].
        weights: float ``[K]`` on the CPU, a factor on the loss of the clips of each class; None: 1. It is the clip that
            weighs: on the terms of a smoothed target (as in PyTorch), the weight of a rare class would make it the
            answer for clips of frequent ones.
    """

    num_classes: int
    smoothing: float = 0.0
    weights: Tensor | None = None

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """float32 ``[B]`` of float logits ``[B, K]`` and int64 labels ``[B]`` or (mixed) :meth:`soft` targets."""
        losses = cross_entropy(logits, targets, self.smoothing)
        if self.weights is None:
            return losses
        weights = self.weights.to(logits.device)
        return losses * (targets @ weights if targets.is_floating_point() else weights[targets])

    def soft(self, labels: Tensor) -> Tensor:
        """int64 labels ``[B]`` -> float32 targets ``[B, K]`` of 0 and 1; smoothing comes after mixing, to the same."""
        return functional.one_hot(labels, self.num_classes).float()

    @staticmethod
    def hits(logits: Tensor, labels: Tensor) -> int:
        """How many clips have their class on top."""
        return int((logits.argmax(1) == labels).sum())

    @staticmethod
    def judged(labels: Tensor) -> int:
        """How many clips can be hit: all."""
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
        """float32 ``[B]`` of float logits ``[B, K]`` and uint8 labels ``[B, K]`` or (mixed) :meth:`soft` targets."""
        targets = targets.float()
        smoothed = targets * (1 - self.smoothing) + self.smoothing / 2
        losses = functional.binary_cross_entropy_with_logits(logits.float(), smoothed, reduction="none")
        if self.weights is not None:
            losses = losses * (1 + targets * (self.weights.to(logits.device) - 1))
        return losses.mean(1)

    def soft(self, labels: Tensor) -> Tensor:
        """uint8 labels ``[B, K]``, 1 for each class that a clip has -> float32 targets of the same values."""
        return labels.float()

    @staticmethod
    def hits(logits: Tensor, labels: Tensor) -> int:
        """How many clips have one of their classes on top."""
        return int(labels.gather(1, logits.argmax(1, keepdim=True)).sum())

    @staticmethod
    def judged(labels: Tensor) -> int:
        """How many clips can be hit: those of any class."""
        return int(labels.any(1).sum())


def class_weights(counts: Sequence[int], power: float) -> Tensor:
    """Weights of :class:`SoftmaxLoss`: ``count ** -power``, scaled so that their mean over the videos is 1.

    With ``power`` 1 they are scikit-learn's "balanced" ones, ``videos / (classes * count)``.

    Args:
        counts: videos of each class.
        power: in [0, 1].

    Returns:
        float32 ``[K]``.
    """
    numbers = torch.tensor(counts, dtype=torch.float64)
    weights = numbers.clamp(min=1) ** -power
    return (weights * numbers.sum() / (weights * numbers).sum()).float()


def positive_weights(counts: Sequence[int], videos: int, power: float) -> Tensor:
    """Weights of :class:`SigmoidLoss`: ``((videos - count) / count) ** power``, the odds against each class.

    Args:
        counts: videos that have each class.
        videos: how many there are; of each class, at least one is taken to have it, and one not.
        power: in [0, 1]; with 1, the videos that have a class weigh as much together as those that have it not.

    Returns:
        float32 ``[K]``.
    """
    numbers = torch.tensor(counts, dtype=torch.float64)
    return (((videos - numbers).clamp(min=1) / numbers.clamp(min=1)) ** power).float()
