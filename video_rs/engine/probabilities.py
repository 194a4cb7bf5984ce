"""From logits to probabilities: the one place that knows softmax, sigmoid and temperature."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class ClassProbabilities:
    """Makes probabilities of the logits of views.

    Attributes:
        multi_label: each class has a probability of its own, a sigmoid; else they sum to one, a softmax.
        temperature: divides the logits (Guo et al. 2017, "On Calibration of Modern Neural Networks", arXiv 1706.04599,
            section 4.2); above 1 it makes the network less sure.
    """

    multi_label: bool = False
    temperature: float = 1.0

    def __call__(self, logits: Tensor) -> Tensor:
        """Return the probabilities of logits, both float ``[B, K]``; those returned are float32."""
        scaled = logits.float()
        if self.temperature != 1:
            scaled = scaled / self.temperature
        return scaled.sigmoid() if self.multi_label else scaled.softmax(1)


def at_temperature(probabilities: Tensor, temperature: float, multi_label: bool = False) -> Tensor:
    """Return the probabilities that the same logits give after division by a temperature.

    A softmax of ``logits / T`` is proportional to the T-th root of that of the logits (Hinton et al. 2015,
    "Distilling the knowledge in a neural network", arXiv 1503.02531, section 2), so the logits need not be known.

    A 0 and, with ``multi_label``, a 1 stay what they are, as labels do. In float32 a sigmoid is 1 from a logit of 17
    on: at a temperature of 4 it would be 0.986.

    Args:
        probabilities: float ``[B, K]``, each row of sum 1, or with ``multi_label`` any numbers in [0, 1].
        temperature: above 0; above 1 makes a row less sure, below 1 surer.
        multi_label: each class has a probability of its own, a sigmoid.

    Returns:
        Float of the same shape and dtype.
    """
    if temperature == 1:
        return probabilities
    # Through logarithms, so that a low temperature underflows to 0 for the lesser classes alone.
    logs = probabilities.log() / temperature
    if not multi_label:
        return logs.softmax(1)
    others = torch.log1p(-probabilities) / temperature
    return torch.stack([logs, others]).softmax(0)[0]
