"""timm's and torchvision's image networks: which of them is the image network of an architecture, and its weights."""

from collections.abc import Mapping
from typing import Any

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
# Plain ResNets, which torchvision has, too.
RESNET_NAMES = {DEPTHS[depth]: f"resnet{depth}" for depth in (50, 101, 152)}
RESNET_FIELDS = {
    **TIMM_FIELDS,
    "stem": "plain",
    "stem_pool": "max",
    "shortcut": "projection",
    "se_ratio": 0.0,
}
RESNET_ADVICE = "take slow_r50, c2d_r50 or i3d_r50"


def timm_name(architecture: Architecture) -> str:
    """Return the name of timm's image network of the same depth and layers.

    Raises:
        InputError: there is none.
    """
    is_plain = architecture.stem == "plain" and architecture.shortcut == "projection"
    if is_plain:
        return _name_like(architecture, "timm", RESNET_NAMES, RESNET_FIELDS, RESNET_ADVICE)
    return _name_like(architecture, "timm", TIMM_NAMES, TIMM_FIELDS, "take an inflated_rs_* model")


def torchvision_name(architecture: Architecture) -> str:
    """Return the name of torchvision's image network of the same depth and layers.

    Raises:
        InputError: there is none.
    """
    return _name_like(architecture, "torchvision", RESNET_NAMES, RESNET_FIELDS, RESNET_ADVICE)


def _name_like(
    architecture: Architecture, library: str, names: Mapping[tuple, str], fields: Mapping[str, Any], advice: str
) -> str:
    """Return the name of the network of the same depth, or raise InputError where depths or fields differ."""
    differences = []
    if architecture.depths not in names:
        differences.append(f"depths {architecture.depths} ({library}: those of {', '.join(names.values())})")
    for field, value in fields.items():
        own = getattr(architecture, field)
        if own != value:
            differences.append(f"{field} {own!r} ({library}: {value!r})")
    if differences:
        raise InputError(f"{library} has no image network like this one: {'; '.join(differences)}; {advice}")
    return names[architecture.depths]


def timm_weights(name: str) -> dict[str, Tensor]:
    """Return the state dict of one of timm's networks, downloaded or from timm's cache.

    Raises:
        InputError: timm is not installed, or cannot get the weights.
    """
    try:
        import timm
    except ImportError as error:
        raise InputError(
            "pretrained 'timm' needs timm: pip install 'video_rs[images]', or give a weights file"
        ) from error
    try:
        return timm.create_model(name, pretrained=True).state_dict()
    except Exception as error:  # offline, refused or interrupted downloads raise types of several packages
        raise InputError(
            f"timm cannot get the weights of {name} ({first_sentence(error)}); "
            "try again with a network, or give the path of a downloaded file"
        ) from error


def torchvision_weights(name: str) -> dict[str, Tensor]:
    """Return the state dict of one of torchvision's networks, downloaded or from torch.hub's cache.

    Raises:
        InputError: torchvision cannot get the weights.
    """
    from torchvision.models import get_model

    try:
        return get_model(name, weights="DEFAULT").state_dict()
    except Exception as error:  # as above
        raise InputError(
            f"torchvision cannot get the weights of {name} ({first_sentence(error)}); "
            "try again with a network, or give the path of a downloaded file"
        ) from error
