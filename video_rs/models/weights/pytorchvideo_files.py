"""The files that pytorchvideo's hub publishes: which one is for a network, and where it lies once it is downloaded."""

from pathlib import Path

import torch

from video_rs.models.architecture import Architecture, describe_differences, describe_overrides
from video_rs.models.pytorchvideo_networks import PYTORCHVIDEO_NETWORKS
from video_rs.runtime.errors import InputError
from video_rs.runtime.torch_files import first_sentence

ROOT = "https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo/kinetics"
FILES = {"slow_r50": "SLOW_8x8_R50.pyth", "c2d_r50": "C2D_8x8_R50.pyth", "i3d_r50": "I3D_8x8_R50.pyth"}

FEW_FIELDS = 3
"""Of a network that is one of these but for what a config sets; where more differ, it is another one."""


def pytorchvideo_name(architecture: Architecture) -> str:
    """Return the name of pytorchvideo's network like ``architecture``, whose res5 may be dilated.

    Raises:
        InputError: there is none; the line says what differs from the nearest one.
    """
    differing = {}
    for name, known in PYTORCHVIDEO_NETWORKS.items():
        fields = known.differing_fields(architecture)
        # Detection dilates a trained network on purpose.
        if architecture.res5_dilation == 2:
            fields.remove("res5_dilation")
        differing[name] = fields

    nearest = min(differing, key=lambda name: len(differing[name]))
    if not differing[nearest]:
        return nearest

    there = {field: getattr(PYTORCHVIDEO_NETWORKS[nearest], field) for field in differing[nearest]}
    advice = f"take {', '.join(PYTORCHVIDEO_NETWORKS)}"
    if len(there) <= FEW_FIELDS:
        advice = f"set {describe_overrides(there)}, or {advice}"
    raise InputError(
        f"pytorchvideo has no network like this one; the nearest is {nearest}: "
        f"{describe_differences(there, architecture)}; {advice}"
    )


def pytorchvideo_file(architecture: Architecture) -> Path:
    """Return the published file of a network, downloaded into torch.hub's cache (TORCH_HOME) unless it lies there.

    Raises:
        InputError: there is no such network, or its file can neither be found nor downloaded.
    """
    file = FILES[pytorchvideo_name(architecture)]
    path = Path(torch.hub.get_dir()) / "checkpoints" / file
    if path.is_file():
        return path

    url = f"{ROOT}/{file}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), progress=False)
    except Exception as error:  # offline, refused or interrupted downloads raise types of several modules
        raise InputError(
            f"cannot download {url} ({first_sentence(error)}); try again with a network, or put the file at {path}"
        ) from error
    return path
