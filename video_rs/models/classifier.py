"""``VideoClassifier``: a backbone with global average pooling, dropout and one linear layer."""

from numbers import Integral

from torch import Tensor, nn

from video_rs.models.architecture import Architecture
from video_rs.models.layers import SelfGating
from video_rs.models.resnet3d import FEATURES, MODULES, ResNet3d
from video_rs.runtime.errors import InputError


def require_classes(num_classes: int) -> None:
    """Raises InputError unless ``num_classes`` is a whole number, at least 1."""
    if not isinstance(num_classes, Integral) or isinstance(num_classes, bool) or num_classes < 1:
        raise InputError(f"num_classes is {num_classes!r}; allowed: a whole number, at least 1")


class VideoClassifier(nn.Module):
    """Clips -> logits; no softmax and no normalisation inside, the same meaning in training and evaluation.

    ``forward``: float ``[B, C, T, H, W]`` in the range the weights were trained for (published: 0 to 1) -> float
    ``[B, num_classes]``.
    """

    def __init__(self, architecture: Architecture, num_classes: int):
        super().__init__()
        require_classes(num_classes)  # before the backbone's weights are drawn, which takes seconds
        self.backbone = ResNet3d(architecture)
        self.dropout = nn.Dropout(architecture.dropout)
        self.num_features = self.backbone.output_shape()["res5"].channels
        self.reset_classifier(num_classes)

    def reset_classifier(self, num_classes: int) -> None:
        """A freshly initialised last layer for ``num_classes`` classes (>= 1), where the other weights are."""
        require_classes(num_classes)
        self.num_classes = num_classes
        like = next(self.backbone.parameters())
        self.fc = nn.Linear(self.num_features, num_classes, device=like.device, dtype=like.dtype)
        if self.backbone.architecture.initialization == "model_garden":
            nn.init.uniform_(self.fc.weight, -0.05, 0.05)
        else:
            nn.init.normal_(self.fc.weight, std=0.01)
        nn.init.zeros_(self.fc.bias)

    def forward_features(self, clips: Tensor) -> Tensor:
        """Last feature map, float ``[B, num_features, T', H', W']``."""
        return self.backbone(clips)["res5"]

    def forward_head(self, features: Tensor, pre_logits: bool = False) -> Tensor:
        """Pools a feature map; ``pre_logits`` stops before dropout and the last layer: ``[B, num_features]``."""
        pooled = features.mean((2, 3, 4))
        return pooled if pre_logits else self.fc(self.dropout(pooled))

    def forward(self, clips: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(clips))

    def layer_depths(self) -> dict[str, int]:
        """How many parts lie above each parameter: 0 for those of the last layer, 1 of "res5", ... 5 of the stem."""
        depths = {module: len(FEATURES) - i for i, part in enumerate(FEATURES) for module in MODULES[part]}
        names = [name for name, _ in self.named_parameters()]
        return {name: depths[name.split(".")[1]] if name.startswith("backbone.") else 0 for name in names}

    def weight_decay_names(self) -> set[str]:
        """Parameters that the published recipe decays, by the source that ``architecture.initialization`` names.

        "model_garden": kernels of convolutions and linear layers but those of self-gating (its ``l2_weight_decay``).
        "tpu": all but batch norm, so that the biases of squeeze-and-excitation and of the classifier are decayed too
        (tensorflow/tpu ``resnet_main.py``).
        """
        modules = dict(self.named_modules())
        owner = {name: modules[name.rpartition(".")[0]] for name, _ in self.named_parameters()}
        if self.backbone.architecture.initialization == "tpu":
            return {name for name, module in owner.items() if not isinstance(module, nn.BatchNorm3d)}
        gates = {module.gate for module in modules.values() if isinstance(module, SelfGating)}
        return {name for name, p in self.named_parameters() if p.dim() > 1 and owner[name] not in gates}
