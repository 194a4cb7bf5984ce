"""``ContrastiveNetwork``: a backbone with a projection head, for learning which clips are of one video."""

from dataclasses import dataclass

from torch import Tensor, nn

from video_rs.models.architecture import Architecture
from video_rs.models.network import VideoNetwork


@dataclass(frozen=True)
class ProjectionShape:
    """The size of a projection head.

    Attributes:
        hidden_layers: how many; 0: the head is linear.
        hidden_dim: width of each.
        projection_dim: numbers that the head gives for a clip.
    """

    hidden_layers: int
    hidden_dim: int
    projection_dim: int


class HiddenLayer(nn.Module):
    """A linear layer, batch norm and ReLU: float ``[B, C]`` -> ``[B, D]``."""

    def __init__(self, features: int, width: int, architecture: Architecture):
        super().__init__()
        self.linear = _linear(features, width)
        # Over maps of one value, so that what is done to a network's batch norm is done to this one: statistics of all
        # processes, precise ones.
        self.norm = nn.BatchNorm3d(width, architecture.norm_eps, architecture.norm_momentum)

    def forward(self, features: Tensor) -> Tensor:
        maps = self.linear(features)[:, :, None, None, None]
        return self.norm(maps).flatten(1).relu()


class ContrastiveNetwork(VideoNetwork):
    """Network from clips to the numbers that are compared: SimCLR's (Chen et al. 2020, arXiv 2002.05709) for videos.

    The head is that of the code of Qian et al. 2021 (arXiv 2008.03800): hidden layers with batch norm, and a linear
    one. The backbone's weights have the names that they have in a classifier.

    ``forward``: float ``[B, C, T, H, W]`` -> float ``[B, projection_dim]``, of any length.
    """

    def __init__(self, architecture: Architecture, shape: ProjectionShape):
        super().__init__(architecture)
        layers: list[nn.Module] = []
        width = self.num_features
        for _ in range(shape.hidden_layers):
            layers.append(HiddenLayer(width, shape.hidden_dim, architecture))
            width = shape.hidden_dim
        self.projection = nn.Sequential(*layers, _linear(width, shape.projection_dim))

    def forward(self, clips: Tensor) -> Tensor:
        return self.projection(self.pooled_features(clips))


def _linear(features: int, width: int) -> nn.Linear:
    """Return a linear layer with the initial weights of Keras (Glorot & Bengio 2010), as the published head has."""
    layer = nn.Linear(features, width)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
