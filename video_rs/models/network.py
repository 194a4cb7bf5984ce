"""``VideoNetwork``: a backbone with something behind it, and what training asks of any such network."""

from torch import Tensor, nn

from video_rs.models.architecture import Architecture
from video_rs.models.block import channel_means
from video_rs.models.layers import SelfGating
from video_rs.models.resnet3d import FEATURES, MODULES, ResNet3d


class VideoNetwork(nn.Module):
    """A backbone and its features; what stands behind it is of the classes that are derived from this one.

    Attributes:
        backbone: clips -> feature maps.
        num_features: channels of the last of them.
    """

    def __init__(self, architecture: Architecture):
        super().__init__()
        self.backbone = ResNet3d(architecture)
        self.num_features = self.backbone.output_shape()["res5"].channels

    def forward_features(self, clips: Tensor) -> Tensor:
        """Return the last feature map, float ``[B, num_features, T', H', W']``."""
        return self.backbone(clips)["res5"]

    def pooled_features(self, clips: Tensor, stage: str = "res5") -> Tensor:
        """Return the means over space and time of a stage's feature map, float ``[B, C]``.

        Those of "res5" are what the last layer sees.
        """
        return channel_means(self.backbone.forward_until(stage, clips))

    def layer_depths(self) -> dict[str, int]:
        """Return how many parts lie above each parameter: 0 behind the backbone, 1 for "res5", ... 5 for the stem.

        Returns:
            ``{name of the parameter: depth}``.
        """
        depth_of_module = {}
        for place, part in enumerate(FEATURES):
            for module in MODULES[part]:
                depth_of_module[module] = len(FEATURES) - place

        depths = {}
        for name, _ in self.named_parameters():
            depths[name] = 0
            if name.startswith("backbone."):
                module = name.split(".")[1]
                depths[name] = depth_of_module[module]
        return depths

    def weight_decay_names(self) -> set[str]:
        """Return the parameters that the published recipe decays.

        Which recipe is meant says the source that ``architecture.initialization`` names.

        "model_garden": kernels of convolutions and linear layers but those of self-gating (its ``l2_weight_decay``).
        "tpu": all but batch norm, so that the biases of squeeze-and-excitation and of the classifier are decayed too
        (tensorflow/tpu ``resnet_main.py``).
        """
        modules = dict(self.named_modules())
        gates = {module.gate for module in modules.values() if isinstance(module, SelfGating)}

        decayed = set()
        for name, parameter in self.named_parameters():
            owner = modules[name.rpartition(".")[0]]
            if self.backbone.architecture.initialization == "tpu":
                is_decayed = not isinstance(owner, nn.BatchNorm3d)
            else:
                is_decayed = parameter.dim() > 1 and owner not in gates
            if is_decayed:
                decayed.add(name)
        return decayed
