"""Networks: needs torch and torchvision only, so that other code can take the backbone alone."""

from video_rs.models.architecture import Architecture
from video_rs.models.classifier import VideoClassifier
from video_rs.models.contrastive import ContrastiveNetwork, ProjectionShape
from video_rs.models.freezing import freeze_stages
from video_rs.models.network import VideoNetwork
from video_rs.models.resnet3d import FeatureShape, ResNet3d
from video_rs.models.zoo import architecture, create_backbone, create_model, list_models

__all__ = [
    "Architecture",
    "ContrastiveNetwork",
    "FeatureShape",
    "ProjectionShape",
    "ResNet3d",
    "VideoClassifier",
    "VideoNetwork",
    "architecture",
    "create_backbone",
    "create_model",
    "freeze_stages",
    "list_models",
]
