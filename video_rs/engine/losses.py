"""Losses, one value per clip: the caller divides by the global count of valid clips.

:class:`SoftmaxLoss` is for videos of one class each, :class:`SigmoidLoss` for those of several. Both take the labels as
the loader gives them, or the soft targets that they make of them, which mixing mixes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


def cross_entropy(logits: Tensor, targets: Tensor, smoothing: float = 0.0, weights: Tensor | None = None) -> Tensor:
    """Softmax cross-entropy with label smoothing (Szegedy et al. 2016): ``smoothing`` of the target over all classes.

    Args:
        logits: float ``[B, K]``.
        targets: int64 ``[B]`` in [0, K), or float ``[B, K]``, each row of sum 1: these are taken as they are, since
            :func:`soft_targets` has smoothed them.
        smoothing: in [0, 1], of integer targets.
        weights: float ``[K]``, a factor on each class's term of the sum; None: 1.

    Returns:
        float32 ``[B]``.
    """
    if targets.is_floating_point():
        return functional.cross_entropy(logits.float(), targets.float(), weights, reduction="none")
    return functional.cross_entropy(logits.float(), targets, weights, reduction="none", label_smoothing=smoothing)


def soft_targets(labels: Tensor, num_classes: int, smoothing: float = 0.0) -> Tensor:
    """The targets behind :func:`cross_entropy`'s integer ones: ``smoothing / K`` everywhere, the rest on the label.

    Args:
        labels: int64 ``[B]`` in [0, K).
        num_classes: K.
        smoothing: in [0, 1].

    Returns:
        float32 ``[B, K]`` on the device of ``labels``, each row of sum 1.
    """
    share = smoothing / num_classes
    targets = torch.full((len(labels), num_classes), share, dtype=torch.float32, device=labels.device)
    return targets.scatter_(1, labels[:, None], 1 - smoothing + share)


@dataclass(frozen=True)
class SoftmaxLoss:
    """One class a video: softmax and cross-entropy.

    Attributes:
        num_classes: K.
        smoothing: of the labels, in [0, 1].
        weights: float ``[K]`` as in :func:`cross_entropy`, on the CPU; None: 1.
    """

    num_classes: int
    smoothing: float = 0.0
    weights: Tensor | None = None

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """float32 ``[B]`` of float logits ``[B, K]`` and int64 labels ``[B]`` or :meth:`soft` targets."""
        return cross_entropy(logits, targets, self.smoothing, _beside(self.weights, logits))

    def soft(self, labels: Tensor) -> Tensor:
        """int64 labels ``[B]`` -> float32 targets ``[B, K]``."""
        return soft_targets(labels, self.num_classes, self.smoothing)

    @staticmethod
    def hits(logits: Tensor, labels: Tensor) -> int:
        """How many clips have their class on top."""
        return int((logits.argmax(1) == labels).sum())


@dataclass(frozen=True)
class SigmoidLoss:
    """Any number of classes a video: a sigmoid and a binary cross-entropy for each, and their mean.

    Attributes:
        smoothing: in [0, 1]; a target of 1 becomes ``1 - smoothing / 2``, one of 0 ``smoothing / 2`` (as in Keras).
        weights: float ``[K]`` on the CPU, a factor on the term of the classes that a video has; None: 1.
    """

    smoothing: float = 0.0
    weights: Tensor | None = None

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """float32 ``[B]`` of float logits ``[B, K]`` and uint8 labels ``[B, K]`` or :meth:`soft` targets."""
        targets = targets if targets.is_floating_point() else self.soft(targets)
        weights = _beside(self.weights, logits)
        return functional.binary_cross_entropy_with_logits(
            logits.float(), targets, reduction="none", pos_weight=weights
        ).mean(1)

    def soft(self, labels: Tensor) -> Tensor:
        """uint8 labels ``[B, K]``, 1 for each class that a clip has -> float32 targets ``[B, K]``."""
        return labels.float() * (1 - self.smoothing) + self.smoothing / 2

    @staticmethod
    def hits(logits: Tensor, labels: Tensor) -> int:
        """How many clips have one of their classes on top."""
        return int(labels.gather(1, logits.argmax(1, keepdim=True)).sum())


def _beside(weights: Tensor | None, logits: Tensor) -> Tensor | None:
    return None if weights is None else weights.to(logits.device)


def class_weights(counts: Sequence[int], power: float) -> Tensor:
    """Weights of :class:`SoftmaxLoss`: ``count ** -power``, scaled so that their mean over the videos is 1.

    With ``power`` 1 they are scikit-learn's "balanced" ones, ``videos / (classes * count)``.

    Args:
        counts: videos of each class; one without any weighs what a class of one video does.
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
