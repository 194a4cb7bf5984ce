"""Every option once, and how a configuration is loaded and checked."""

from video_rs.config.loading import Config, config_from_text, find_config, flat, load_config
from video_rs.config.options import OPTIONS, Option

__all__ = ["OPTIONS", "Config", "Option", "config_from_text", "find_config", "flat", "load_config"]
