"""``VideoClassifier``: a backbone with global average pooling, dropout and one linear layer."""

from numbers import Integral

from torch import Tensor, nn

from video_rs.models.architecture import Architecture
from video_rs.models.block import channel_means
from video_rs.models.hub import HubMixin
from video_rs.models.network import VideoNetwork
from video_rs.models.pretrained_spec import PretrainedSpec
from video_rs.runtime.errors import InputError


def require_classes(num_classes: int) -> None:
    """Raise InputError unless ``num_classes`` is a whole number, at least 1."""
    if not isinstance(num_classes, Integral) or isinstance(num_classes, bool) or num_classes < 1:
        raise InputError(f"num_classes is {num_classes!r}; allowed: a whole number, at least 1")


class VideoClassifier(HubMixin, VideoNetwork):
    """Network from clips to logits, without softmax and normalisation, in training and evaluation alike.

    ``forward``: float ``[B, C, T, H, W]`` in the range the weights were trained for (published: 0 to 1) -> float
    ``[B, num_classes]``.
    """

    # What the weights that create_model(pretrained=...) found were trained with.
    pretrained_spec: PretrainedSpec | None = None

    def __init__(self, architecture: Architecture, num_classes: int):
        # Before the backbone's weights are drawn, which takes seconds.
        require_classes(num_classes)

        super().__init__(architecture)
        self.dropout = nn.Dropout(architecture.dropout)
        self.reset_classifier(num_classes)

    def reset_classifier(self, num_classes: int) -> None:
        """Put in a freshly initialised last layer for ``num_classes`` classes (>= 1), where the other weights are."""
        require_classes(num_classes)
        self.num_classes = num_classes

        like = next(self.backbone.parameters())
        self.fc = nn.Linear(self.num_features, num_classes, device=like.device, dtype=like.dtype)

        if self.backbone.architecture.initialization == "model_garden":
            nn.init.uniform_(self.fc.weight, -0.05, 0.05)
        else:
            nn.init.normal_(self.fc.weight, std=0.01)
        nn.init.zeros_(self.fc.bias)

    def forward_behind(self, stage: str, features: Tensor) -> Tensor:
        """Return the logits ``[B, num_classes]`` from the feature map of a stage, float ``[B, C, T', H', W']``."""
        return self.forward_head(self.backbone.forward_behind(stage, features))

    def forward_head(self, features: Tensor, pre_logits: bool = False) -> Tensor:
        """Return the logits ``[B, num_classes]`` of a feature map ``[B, num_features, T', H', W']``.

        ``pre_logits`` stops before dropout and the last layer: ``[B, num_features]``.
        """
        pooled = channel_means(features)
        if pre_logits:
            return pooled
        return self.fc(self.dropout(pooled))

    def forward(self, clips: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(clips))
