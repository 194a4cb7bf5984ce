"""Where and when a network looks: heat maps over the frames that it sees of a video."""

from video_rs.inference.looking.gradcam import grad_cam
from video_rs.inference.looking.heat_map import HeatMap, look, look_at
from video_rs.inference.looking.seen_frames import Box, SeenFrames, read_seen

__all__ = ["Box", "HeatMap", "SeenFrames", "grad_cam", "look", "look_at", "read_seen"]
