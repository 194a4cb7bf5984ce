"""3D ResNet-RS for video: networks, the published training recipe, and everything between a video file and a label."""

from video_rs.models.zoo import create_backbone, create_model, list_models

__version__ = "0.1.0"
__all__ = ["__version__", "create_backbone", "create_model", "list_models"]
