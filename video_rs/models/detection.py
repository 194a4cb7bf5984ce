"""Backbones in detection code: time pooled away, RoI heads, and an AVA-style action detector.

Needs torch and torchvision only. Boxes are ``x1, y1, x2, y2`` in pixels of the input clip, as torchvision takes them.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torchvision.ops import roi_align

from video_rs.models.classifier import require_classes
from video_rs.runtime.errors import InputError

Boxes = Tensor | Sequence[Tensor]


def pool_time(features: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the means over time, maps ``[B, C, T, H, W]`` -> ``[B, C, H, W]``, for FPNs and other 2D detection code.

    Raises:
        InputError: ``features`` are not what a backbone returns.
    """
    if not isinstance(features, Mapping):
        raise InputError(
            f"features are a {type(features).__name__}; allowed: {{name: map}}, as a backbone returns; "
            "of one map take x.mean(2)"
        )
    return {name: x.mean(2) for name, x in features.items()}


class SingleMap(nn.Module):
    """A backbone of one feature map as a module from tensor to tensor, the ``model`` of a ``DetectionBBoxNetwork``.

    ``forward``: float ``[B, 3, T, H, W]`` -> float ``[B, C, T', H', W']``. Time stays, as in pytorchvideo's own
    backbones: its RoI head pools it, with the head's ``pool=nn.AdaptiveAvgPool3d, output_size=(1, None, None)`` for
    any number of frames (its default pools space by 7 x 7 instead), and takes boxes ``[N, 5]``
    (:func:`boxes_to_rois`).

    Raises:
        InputError: the backbone gives several maps.
    """

    def __init__(self, backbone: nn.Module):
        super().__init__()
        self.backbone = backbone
        self.feature = only_feature(backbone)

    def forward(self, clips: Tensor) -> Tensor:
        return self.backbone(clips)[self.feature]


class ActionDetector(nn.Module):
    """Actions in given boxes: the RoI head of SlowFast on AVA (Feichtenhofer et al. 2019, arXiv 1812.03982, section 5).

    Mean over time -> RoIAlign at the key frame's boxes -> maximum over the RoI -> dropout -> linear. The logits are
    multi-label: train them with binary cross-entropy, read them through a sigmoid.

    Args:
        backbone: gives one map and says its stride, e.g. ``create_backbone(name, ["res5"], res5_dilation=2)``.
        num_classes: labels, at least 1.
        dropout: rate before the linear layer.
        resolution: cells of an RoI along each side.

    ``forward``: clips float ``[B, 3, T, H, W]`` and boxes as for :func:`boxes_to_rois` -> float ``[N, num_classes]``,
    in the order of the boxes. Without boxes the logits are empty and still have a gradient; a mean of them is NaN, a
    sum is 0.

    Raises:
        InputError: the backbone gives several maps, ``num_classes`` is below 1, or clips or boxes are refused.
    """

    def __init__(self, backbone: nn.Module, num_classes: int, dropout: float = 0.5, resolution: int = 7):
        super().__init__()
        require_classes(num_classes)
        self.backbone = backbone
        self.feature = only_feature(backbone)
        shape = backbone.output_shape()[self.feature]
        self.spatial_scale = 1 / shape.spatial_stride
        self.resolution = resolution
        self.dropout = nn.Dropout(dropout)

        self.fc = nn.Linear(shape.channels, num_classes)
        nn.init.normal_(self.fc.weight, std=0.01)
        nn.init.zeros_(self.fc.bias)

    def forward(self, clips: Tensor, boxes: Boxes) -> Tensor:
        features = self.backbone(clips)[self.feature].mean(2)  # [B, C, T', H', W'] -> [B, C, H', W']
        regions = self.pool_boxes(features, boxes_to_rois(boxes, clips.shape))
        return self.fc(self.dropout(regions))

    def pool_boxes(self, features: Tensor, rois: Tensor) -> Tensor:
        """Return the maximum over each RoI: maps ``[B, C, H', W']`` and rois ``[N, 5]`` -> ``[N, C]``."""
        # Half precision would move a box by up to a pixel: RoIAlign works in single precision at least.
        wide = torch.promote_types(features.dtype, torch.float32)
        rois = rois.to(features.device, wide)
        size = (self.resolution, self.resolution)

        regions = roi_align(features.to(wide), rois, size, self.spatial_scale, aligned=True)  # [N, C, size, size]
        return regions.amax((2, 3)).to(features.dtype)


def only_feature(backbone: nn.Module) -> str:
    """Return the name of a backbone's one feature map, or raise InputError if it gives several."""
    names = list(backbone.output_shape())
    if len(names) != 1:
        raise InputError(
            f"the backbone gives {len(names)} feature maps ({', '.join(names)}); allowed: one; "
            f"create it with out_features=[{names[-1]!r}]"
        )
    return names[0]


def boxes_to_rois(boxes: Boxes, clips_shape: Sequence[int]) -> Tensor:
    """Return boxes as float ``[N, 5]``: index of the clip in its batch, then x1, y1, x2, y2 in pixels.

    Args:
        boxes: one ``[N_i, 4]`` for each clip, or ``[N, 5]``; any number of boxes and of clips, 0 included.
        clips_shape: ``[B, 3, T, H, W]``.

    Raises:
        InputError: another shape, an index outside the batch, a box that is empty, not finite or outside the frame
            (RoIAlign would answer with zeros).
    """
    batch, _, _, height, width = clips_shape

    rois = boxes if isinstance(boxes, Tensor) else _with_clip_index(boxes, batch)
    if rois.dim() != 2 or rois.shape[1] != 5:
        raise InputError(
            f"boxes have shape {list(rois.shape)}; allowed: one tensor [boxes, 5] (clip, x1, y1, x2, y2), "
            "or a list with one [boxes, 4] for each clip"
        )
    if not rois.is_floating_point():
        rois = rois.float()

    # Checked on the CPU in one copy, as each answer from a GPU has to be waited for.
    numbers = rois.detach().cpu()
    clip, x1, y1, x2, y2 = numbers.unbind(1)
    is_in_batch = (clip >= 0) & (clip < batch) & (clip == clip.floor())
    _require_all(is_in_batch, numbers, f"a whole number from 0 to {batch - 1} as the clip's index")
    has_area = (x1 < x2) & (y1 < y2) & numbers.isfinite().all(1)
    _require_all(has_area, numbers, "finite pixels with x1 < x2 and y1 < y2; correct or drop the box")
    overlaps = (x2 > 0) & (y2 > 0) & (x1 < width) & (y1 < height)
    _require_all(overlaps, numbers, f"boxes that overlap the clip's {height} x {width} pixels; rescale or drop the box")
    return rois


def _with_clip_index(boxes: Sequence[Tensor], batch: int) -> Tensor:
    """Return a list of ``[N_i, 4]``, one for each clip, as ``[N, 5]``."""
    if len(boxes) != batch:
        raise InputError(f"boxes are a list of {len(boxes)} for a batch of {batch} clips; give one entry for each clip")
    if not boxes:
        return torch.zeros(0, 5)

    parts = []
    for index, clip_boxes in enumerate(boxes):
        is_tensor = isinstance(clip_boxes, Tensor)
        if not is_tensor or clip_boxes.dim() != 2 or clip_boxes.shape[1] != 4:
            got = list(clip_boxes.shape) if is_tensor else type(clip_boxes).__name__
            raise InputError(
                f"boxes of clip {index}: got {got}; allowed: a tensor [boxes, 4] (x1, y1, x2, y2), [0, 4] for none"
            )
        parts.append(nn.functional.pad(clip_boxes, (1, 0), value=index))  # [N_i, 4] -> [N_i, 5]
    return torch.cat(parts)


def _require_all(is_good: Tensor, rois: Tensor, allowed: str) -> None:
    """Raise InputError that names the first of the rois ``[N, 5]`` that is not good, unless all are (bool ``[N]``)."""
    if not is_good.all():
        row = int((~is_good).nonzero()[0])  # the first one

        numbers = ", ".join(f"{value:g}" for value in rois[row].tolist())
        raise InputError(f"box {row} is [{numbers}] (clip, x1, y1, x2, y2); allowed: {allowed}")
