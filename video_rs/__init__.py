"""3D ResNet-RS for video: networks, the published training recipe, and everything between a video file and a label."""

import sys

from video_rs.runtime.version import __version__

TYPE_CHECKING = False  # type checkers take it for true; importing it from typing takes longer than all else here
if TYPE_CHECKING:
    from video_rs.inference.loading import load_predictor
    from video_rs.inference.predictor import Predictor
    from video_rs.models.zoo import create_backbone, create_model, list_models

__all__ = ["Predictor", "__version__", "create_backbone", "create_model", "list_models", "load_predictor"]

# Where each name comes from, once somebody uses it.
LAZY_NAMES = {
    "Predictor": "video_rs.inference.predictor",
    "create_backbone": "video_rs.models.zoo",
    "create_model": "video_rs.models.zoo",
    "list_models": "video_rs.models.zoo",
    "load_predictor": "video_rs.inference.loading",
}


if sys.argv[:1] == ["-m"]:  # Python is on its way to one of our modules as a command, past imports of seconds
    from video_rs.runtime import start

    start.take_interrupts()


def __getattr__(name: str) -> object:
    # With the first use: importing torch takes seconds, which scripts that need none of it must not wait for.
    if name not in LAZY_NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(LAZY_NAMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
