"""What weights of other projects were trained with: their files say nothing of it, and their publications do.

Sources: the model zoos of pytorchvideo and SlowFast (Kinetics-400, values in [0, 1] less 0.45 over 0.225, short side
256, crops of 224, and of 256 in testing), MMAction2's configurations (ImageNet's mean and deviation).
"""

from typing import Any

from video_rs.models.architecture import Architecture
from video_rs.models.pretrained_spec import PretrainedSpec
from video_rs.models.weights.files import Weights
from video_rs.models.weights.inflate import IMAGE_MEAN, IMAGE_STD, image_preprocessing, is_image_state
from video_rs.models.weights.video_names import MMACTION, Naming, find_naming
from video_rs.models.weights.video_networks import without_roi_head

SLOWFAST_PREPROCESSING = {
    "mean": (0.45, 0.45, 0.45),
    "std": (0.225, 0.225, 0.225),
    "short_side": 256,
    "crop_size": 224,
    "test_crop_size": 256,
}
# The three published files say 8x8: frames and stride. The other two projects have files for other clips, too.
PYTORCHVIDEO_PREPROCESSING = {**SLOWFAST_PREPROCESSING, "num_frames": 8, "sampling_rate": 8}
MMACTION_PREPROCESSING = {"mean": IMAGE_MEAN, "std": IMAGE_STD, "short_side": 256, "crop_size": 224}
KINETICS_CLASSES = 400


def with_preprocessing(found: Weights, arch: Architecture) -> Weights:
    """Return weights with ``preprocessing`` and, where they are known, ``label_names`` beside them.

    What a file says of itself stays.
    """
    about: dict[str, Any] = {}
    naming = find_naming(found.state, arch)
    if is_image_state(found.state):
        about["preprocessing"] = image_preprocessing(arch)
    elif naming is not None:
        about = _described(found, naming)
    return found._replace(about={**about, **found.about})


def pretrained_spec(found: Weights) -> PretrainedSpec | None:
    """Return what weights were trained with, or None where nothing is known."""
    known = found.about.get("preprocessing")
    if not known:
        return None

    known = {**known, **known.get("clip", {})}
    names = found.about.get("label_names")
    fields = {}
    for name in ("mean", "std", "num_frames", "sampling_rate", "short_side", "crop_size", "test_crop_size"):
        value = known.get(name)
        fields[name] = tuple(value) if isinstance(value, list) else value
    return PretrainedSpec(found.source, label_names=tuple(names) if names else None, **fields)


def kinetics_label_names() -> list[str]:
    """Return the names of Kinetics-400 in alphabetical order, by which its classes are numbered, from torchvision."""
    from torchvision.models.video import R3D_18_Weights

    return list(R3D_18_Weights.KINETICS400_V1.meta["categories"])


def _described(found: Weights, naming: Naming) -> dict[str, Any]:
    """Return what is known of another project's weights."""
    if naming.project == MMACTION.project:
        return {"preprocessing": MMACTION_PREPROCESSING}
    if naming.project != "pytorchvideo":
        return {"preprocessing": SLOWFAST_PREPROCESSING}

    about: dict[str, Any] = {"preprocessing": PYTORCHVIDEO_PREPROCESSING}
    weight = without_roi_head(found.state, naming).get(naming.name_there("fc.weight"))
    if weight is not None and len(weight) == KINETICS_CLASSES:
        about["label_names"] = kinetics_label_names()
    return about
