"""From logits to probabilities: the one place that knows softmax, sigmoid and temperature."""

from dataclasses import dataclass

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
