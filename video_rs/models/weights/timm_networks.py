"""timm's image ResNet-RS: which of them is the image network of an architecture, and its weights."""

from torch import Tensor

from video_rs.models.architecture import DEPTHS, Architecture
from video_rs.models.weights.inflate import IMAGE_FIELDS
from video_rs.runtime.errors import InputError
from video_rs.runtime.torch_files import first_sentence

TIMM_NAMES = {DEPTHS[depth]: f"resnetrs{depth}" for depth in (50, 101, 152, 200, 270, 350, 420)}
# What all of timm's resnetrs* have in common; fields of time and of training are free.
TIMM_FIELDS = {
    "block": "bottleneck",
    "width": 1.0,
    "stem": "deep",
    "stem_pool": "conv",
    "shortcut": "avgpool",
    "se_ratio": 0.25,
    "self_gating": False,
    **IMAGE_FIELDS,
}


def timm_name(architecture: Architecture) -> str:
    """Return the name of timm's image network of the same depth and layers.

    Raises:
        InputError: there is none.
    """
    differences = []
    if architecture.depths not in TIMM_NAMES:
        differences.append(f"depths {architecture.depths} (timm: those of {', '.join(TIMM_NAMES.values())})")
    for field, value in TIMM_FIELDS.items():
        own = getattr(architecture, field)
        if own != value:
            differences.append(f"{field} {own!r} (timm: {value!r})")
    if differences:
        raise InputError(
            f"timm has no image network like this one: {'; '.join(differences)}; take an inflated_rs_* model"
        )
    return TIMM_NAMES[architecture.depths]


def timm_weights(name: str) -> dict[str, Tensor]:
    """Return the state dict of one of timm's networks, downloaded or from timm's cache.

    Raises:
        InputError: timm is not installed, or cannot get the weights.
    """
    try:
        import timm
    except ImportError as error:
        raise InputError("pretrained 'timm' needs a package: pip install timm; or give a weights file") from error
    try:
        return timm.create_model(name, pretrained=True).state_dict()
    except Exception as error:  # offline, refused or interrupted downloads raise types of several packages
        raise InputError(
            f"timm cannot get the weights of {name} ({first_sentence(error)}); "
            "try again with a network, or give the path of a downloaded file"
        ) from error
