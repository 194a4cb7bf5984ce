"""Every option once, and how a configuration is loaded and checked.

Only ``builders``, ``runs`` and ``commands`` see a configuration. ``python -m video_rs.config`` prints all options.
"""

from video_rs.config.config import Config
from video_rs.config.loading import PATH_KEYS, config_from_text, find_config, load_config, stored_config
from video_rs.config.options import OPTIONS, Option

__all__ = [
    "OPTIONS",
    "PATH_KEYS",
    "Config",
    "Option",
    "config_from_text",
    "find_config",
    "load_config",
    "stored_config",
]
