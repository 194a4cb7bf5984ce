"""Image weights inflated in time: timm's ``resnetrs*`` for ``inflated_rs_*``, and plain ResNets for ``slow_r50`` etc.

Plain ResNets are torchvision's and timm's ``resnet50``, whose weights have the same names.

Sources: layer order and names of timm 1.0's ``resnetrs*``, which hold the published TPU weights; "mean" is I3D's
inflation (Carreira and Zisserman 2017, arXiv 1705.07750), "centre" ViViT's central frame initialisation (Arnab et al.
2021, arXiv 2103.15691); other input channels follow TSN's cross-modality rule (Wang et al. 2016, arXiv 1608.00859).
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from video_rs.models.architecture import DEPTHS, Architecture, describe_differences, describe_overrides
from video_rs.models.resnet3d import ResNet3d
from video_rs.models.weights.strict import keep_classifier_of_other_classes, names_left_out, require_fit, warn
from video_rs.runtime.errors import InputError

INFLATIONS = ("centre", "mean")
# Replaced one after the other in our names; what is left (fc, and weights that no image network has) stays.
IMAGE_NAMES = {
    "backbone.stem.7.": "bn1.",
    "backbone.stem.": "conv1.",
    "backbone.stem_pool.": "maxpool.",
    "backbone.res2.": "layer1.",
    "backbone.res3.": "layer2.",
    "backbone.res4.": "layer3.",
    "backbone.res5.": "layer4.",
    ".branch.0.": ".conv1.",
    ".branch.1.": ".bn1.",
    ".branch.3.": ".conv2.",
    ".branch.4.": ".bn2.",
    ".branch.6.": ".conv3.",
    ".branch.7.": ".bn3.",
    ".se.reduce.": ".se.fc1.",
    ".se.expand.": ".se.fc2.",
    ".shortcut.": ".downsample.",
}
# A plain stem is one convolution and its norm; these are replaced before the ones above.
PLAIN_STEM_NAMES = {"backbone.stem.0.": "conv1.", "backbone.stem.1.": "bn1."}
INPUT_KERNEL = "backbone.stem.0.weight"
# What image networks have and neither names nor shapes of weights show.
IMAGE_FIELDS = {"padding": "symmetric", "norm_eps": 1e-5}
PLAIN_IMAGE_FIELDS = {"stem_pool": "max", **IMAGE_FIELDS}
# With what timm's resnetrs* were trained: ImageNet's mean and deviation of values in [0, 1], and a size for each depth.
IMAGE_MEAN = (0.485, 0.456, 0.406)
IMAGE_STD = (0.229, 0.224, 0.225)
PLAIN_IMAGE_SIZE = 224
IMAGE_SIZES = {50: 160, 101: 192, 152: 256, 200: 256, 270: 256, 350: 288, 420: 320}


def inflate_image_weights(
    state_dict: Mapping[str, Tensor], model: nn.Module, inflation: str = "centre", source: str = "the image weights"
) -> dict[str, Tensor]:
    """Return a state dict for ``model`` from an image network, of the image weights' dtype and device.

    On a clip that stands still, both inflations keep what an image kernel computes on the frames within the clip. The
    inflation "centre" (the image kernel on the middle frame, zeros around it) keeps that at the clip's first and last
    frames, too, and such a clip of any length gives the image model's logits. The inflation "mean" (the image kernel on
    every frame, divided by their number) weighs the frames alike, but sees the zeros before the first frame and after
    the last one.

    An input of other than three channels (flow, grey) gets the sum of the RGB kernels divided by its channels: where
    all of them carry the value g, the result is that of the grey image (g, g, g). TSN's rule averages, without the
    factor 3 / channels that keeps this scale. A classifier of another number of classes is left out with a warning: the
    model's own takes its place. Missing batch counters (``num_batches_tracked``) count from 0.

    ``padding`` and ``norm_eps`` must be an image network's. ``res5_dilation`` may be 2 nevertheless, as detection wants
    it: res5's maps are then other ones than the image network's, and what follows has to be trained.

    Args:
        state_dict: float ``[out, in, height, width]`` kernels and the rest under the names of timm and torchvision.
        model: a VideoClassifier of ``inflated_rs_*`` for timm's ``resnetrs*``, or of ``slow_r50``, ``c2d_r50`` or
            ``i3d_r50`` for plain ResNets; a module with such a ``backbone`` alone; or a ResNet3d: for that
            one the classifier and the stages it lacks are left out.
        inflation: "centre" or "mean".
        source: where the weights are from, for messages.

    Raises:
        InputError: another inflation, another padding or epsilon than an image network's, or a weight is missing,
            unknown or of another shape.
    """
    if inflation not in INFLATIONS:
        raise InputError(f"inflation is {inflation!r}; allowed: {', '.join(INFLATIONS)}")
    if isinstance(model, ResNet3d):
        return _inflate_for_backbone(state_dict, model, inflation, source)

    _require_image_fields(model.backbone.architecture, source)

    stem = model.backbone.architecture.stem
    own = model.state_dict()
    # Our names, and what the image network calls the same weights.
    image_names = {name: image_name(name, stem) for name in own}
    # What the image network's state dict has to hold, by its names.
    image_shapes = {image_names[name]: _image_shape(value) for name, value in own.items()}
    counters = {name: torch.tensor(0) for name in image_shapes if name.endswith("num_batches_tracked")}

    state, warning = keep_classifier_of_other_classes({**counters, **state_dict}, model, source)
    input_channels = own[INPUT_KERNEL].shape[1]
    state = _with_input_channels(state, image_names[INPUT_KERNEL], input_channels)
    require_fit(state, image_shapes, source)
    warn(warning)
    return {name: _inflated(state[image_names[name]], value, inflation) for name, value in own.items()}


def _inflate_for_backbone(
    state_dict: Mapping[str, Tensor], backbone: ResNet3d, inflation: str, source: str
) -> dict[str, Tensor]:
    """Return a state dict for a backbone alone, without the classifier and the stages that it lacks."""
    left_out = tuple(image_name(name) for name in names_left_out(backbone.stages))
    kept = {name: value for name, value in state_dict.items() if not name.startswith(left_out)}
    state = inflate_image_weights(kept, nn.ModuleDict({"backbone": backbone}), inflation, source)
    return {name.removeprefix("backbone."): value for name, value in state.items()}


def _require_image_fields(arch: Architecture, source: str) -> None:
    """Raise InputError where a network pads or normalises in another way than image networks do."""
    fields = PLAIN_IMAGE_FIELDS if arch.stem == "plain" else IMAGE_FIELDS
    family = "a slow_r50, c2d_r50 or i3d_r50" if arch.stem == "plain" else "an inflated_rs_*"
    differing = {name: value for name, value in fields.items() if getattr(arch, name) != value}
    if differing:
        raise InputError(
            f"weights in {source} are an image network's and do not fit the model: "
            f"{describe_differences(differing, arch)}; take {family} model as it is, or set "
            f"{describe_overrides(differing)}"
        )


def image_preprocessing(arch: Architecture) -> dict[str, Any]:
    """Return what the image weights for a network were trained with: ``mean``, ``std`` and ``crop_size`` (pixels)."""
    preprocessing: dict[str, Any] = {"mean": IMAGE_MEAN, "std": IMAGE_STD}
    if arch.stem == "plain":
        preprocessing["crop_size"] = PLAIN_IMAGE_SIZE
        return preprocessing

    for depth, size in IMAGE_SIZES.items():
        if DEPTHS[depth] == arch.depths:
            preprocessing["crop_size"] = size
    return preprocessing


def is_image_state(state_dict: Mapping[str, Tensor]) -> bool:
    """Return whether the names are those of an image network."""
    return any(name.startswith(("conv1.", "layer1.")) for name in state_dict)


def image_name(name: str, stem: str = "deep") -> str:
    """Return the image networks' name for one of ours in a network with such a stem, or for the beginning of one."""
    if stem == "plain":
        for own, there in PLAIN_STEM_NAMES.items():
            name = name.replace(own, there)
    for own, timms in IMAGE_NAMES.items():
        name = name.replace(own, timms)
    return name


def _image_shape(value: Tensor) -> list[int]:
    """Return the shape of ``value`` in the image network: a kernel has no time there."""
    if value.dim() != 5:
        return list(value.shape)
    out_channels, in_channels, _, height, width = value.shape
    return [out_channels, in_channels, height, width]


def _with_input_channels(state: Mapping[str, Tensor], name: str, channels: int) -> Mapping[str, Tensor]:
    """Return ``state`` with the first kernel, called ``name``, for ``channels`` instead of RGB."""
    kernel = state.get(name)
    if channels == 3 or kernel is None or kernel.dim() != 4 or kernel.shape[1] != 3:
        return state
    grey = kernel.sum(1, keepdim=True) / channels  # [C', 3, h, w] -> [C', 1, h, w]
    return {**state, name: grey.repeat(1, channels, 1, 1)}


def _inflated(image: Tensor, value: Tensor, inflation: str) -> Tensor:
    """Return ``image`` in the shape of ``value``: ``[C', C, h, w]`` -> ``[C', C, kt, h, w]`` for kernels."""
    if value.dim() != 5:
        return image

    frames = value.shape[2]
    if inflation == "mean":
        return (image / frames).unsqueeze(2).repeat(1, 1, frames, 1, 1)
    kernel = image.new_zeros(value.shape)
    kernel[:, :, frames // 2] = image
    return kernel
