"""What a training step makes smaller: losses of clips, and the numbers to log beside them.

An objective is called with a network, a micro-batch and a generator, and returns :class:`Losses`. The step knows
nothing else of it, so a new kind of training (distillation, contrastive learning ...) is a new module in this folder,
chosen in ``video_rs.builders.engine.build_objective``.
"""

from video_rs.engine.objectives.classification import Classification
from video_rs.engine.objectives.contrastive import Contrast
from video_rs.engine.objectives.distillation import Distillation, Divergence
from video_rs.engine.objectives.objective import Losses, Objective, Ratio
from video_rs.engine.objectives.pseudo_labels import PseudoLabelled, PseudoLabels

__all__ = [
    "Classification",
    "Contrast",
    "Distillation",
    "Divergence",
    "Losses",
    "Objective",
    "PseudoLabelled",
    "PseudoLabels",
    "Ratio",
]
