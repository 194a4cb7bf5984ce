"""Pixels of a clip: decoded ``uint8 [T,H,W,3]`` in, ``uint8 [3,T,h,w]`` out, ``to_float`` on the device.

Every transform treats all frames of a clip alike, and draws only from the generator it is given. The transforms are
plain data: ``TrainTransform(**dataclasses.asdict(transform))`` is the same transform, so a checkpoint can carry it.
The published recipe (Model Garden, ``preprocess_ops_3d.py``) is what the defaults say.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import interpolate
from torchvision.transforms import v2

from video_rs.data.sampling import isolated_rng
from video_rs.runtime.errors import InputError

CROPS = ("resized", "short_side")
GREY = 128  # fills what an augmentation uncovers or erases, as in the ResNet-RS authors' RandAugment
# Interpolated floats of an exact integer may lie a few units in the last place (3e-5 at most) below it, and would be
# truncated to the integer before. The next true value below an integer is usually 1e-3 or more away.
_FLOAT_NOISE = 2.0**-12


@dataclass(frozen=True)
class TrainTransform:
    """Random crop, flip and augmentations of one training clip."""

    crop_size: int = 224  # pixels, height and width of the result
    crop: str = "resized"  # "resized": random_box, then resize | "short_side": resize, then a random square
    area: tuple[float, float] = (0.08, 1.0)  # "resized": share of the frame's area
    aspect: tuple[float, float] = (0.5, 2.0)  # "resized": width / height, drawn uniformly
    short_side: tuple[int, int] = (256, 320)  # "short_side": pixels, both ends included
    antialias: bool = False  # False: bilinear, truncated to uint8, as published
    flip: float = 0.5  # probability of a horizontal flip; 0 where left and right are labels
    color_jitter: float = 0.0  # brightness, contrast, saturation factors in [1 - x, 1 + x]
    rand_augment_layers: int = 0  # operations per clip
    rand_augment_magnitude: int = 10  # 0..30; 30 is level 10 of the papers' code (30 degrees, factor 1.9)
    random_erasing: float = 0.0  # probability of greying one box, the same in all frames

    def __post_init__(self):
        for name in ("area", "aspect", "short_side"):  # lists come back from YAML and JSON
            object.__setattr__(self, name, tuple(getattr(self, name)))
        _require(_is_int(self.crop_size, 1), "crop_size", self.crop_size, "an integer of at least 1")
        _require(self.crop in CROPS, "crop", self.crop, " or ".join(CROPS))
        _require(_is_range(self.area, 1), "area", self.area, "two numbers with 0 < low <= high <= 1")
        _require(_is_range(self.aspect), "aspect", self.aspect, "two numbers with 0 < low <= high")
        _require(
            _is_int_range(self.short_side), "short_side", self.short_side, "two integers, 1 <= low <= high (pixels)"
        )
        for name in ("flip", "color_jitter", "random_erasing"):
            _require(0 <= getattr(self, name) <= 1, name, getattr(self, name), "a number in [0, 1]")
        layers, magnitude = self.rand_augment_layers, self.rand_augment_magnitude
        _require(_is_int(layers, 0), "rand_augment_layers", layers, "an integer of at least 0")
        _require(_is_int(magnitude, 0, 30), "rand_augment_magnitude", magnitude, "an integer in 0..30")
        if self.crop == "short_side":
            low = self.short_side[0]
            _require(low >= self.crop_size, "short_side", low, f"at least crop_size, {self.crop_size} (pixels)")

    def __call__(self, frames: Tensor, generator: torch.Generator) -> Tensor:
        """uint8 [T,H,W,3] -> uint8 [3,T,crop_size,crop_size], contiguous."""
        _check_frames(frames)
        clip = (self._resized if self.crop == "resized" else self._square)(frames, generator)
        if torch.rand((), generator=generator) < self.flip:
            clip = clip.flip(-1)
        augmentations = self._augmentations()
        if augmentations:
            with isolated_rng(generator):  # torchvision's classes draw from the global generator
                clip = v2.Compose(augmentations)(clip.transpose(0, 1)).transpose(0, 1)
        return clip.contiguous()

    def _resized(self, frames: Tensor, generator: torch.Generator) -> Tensor:
        top, left, height, width = random_box(*frames.shape[1:3], self.area, self.aspect, generator)
        box = frames[:, top : top + height, left : left + width]
        return resize(box, self.crop_size, self.crop_size, self.antialias)

    def _square(self, frames: Tensor, generator: torch.Generator) -> Tensor:
        """SlowFast's jitter: a random short side, then a random square."""
        low, high = self.short_side
        height, width = short_side_size(*frames.shape[1:3], low + _uniform(high - low + 1, generator))
        clip = resize(frames, height, width, self.antialias)
        top = _uniform(height - self.crop_size + 1, generator)
        left = _uniform(width - self.crop_size + 1, generator)
        return clip[:, :, top : top + self.crop_size, left : left + self.crop_size]

    def _augmentations(self) -> list[torch.nn.Module]:
        """One operation and magnitude for all frames; AutoContrast, Equalize and Contrast measure each frame."""
        chosen = []
        if self.rand_augment_layers:
            chosen.append(v2.RandAugment(self.rand_augment_layers, self.rand_augment_magnitude, fill=GREY))
        if self.color_jitter:
            chosen.append(v2.ColorJitter(self.color_jitter, self.color_jitter, self.color_jitter))
        if self.random_erasing:
            chosen.append(v2.RandomErasing(self.random_erasing, value=GREY))
        return chosen


@dataclass(frozen=True)
class EvalTransform:
    """Resize, then one crop or three. Two steps, so that a long video can be resized chunk by chunk."""

    short_side: int = 256  # pixels
    crop_size: int = 256  # pixels, height and width of a crop
    num_crops: int = 3  # 1: centre; 3: start, middle, end of the longer side
    antialias: bool = False  # False: bilinear, truncated to uint8, as published

    def __post_init__(self):
        _require(_is_int(self.crop_size, 1), "crop_size", self.crop_size, "an integer of at least 1")
        _require(self.num_crops in (1, 3), "num_crops", self.num_crops, "1 or 3")
        allowed = f"an integer of at least crop_size, {self.crop_size} (pixels)"
        _require(_is_int(self.short_side, self.crop_size), "short_side", self.short_side, allowed)

    def resize(self, frames: Tensor) -> Tensor:
        """uint8 [T,H,W,3] -> uint8 [3,T,h,w], contiguous, min(h, w) = short_side; any chunking gives the same."""
        _check_frames(frames)
        return resize(frames, *short_side_size(*frames.shape[1:3], self.short_side), self.antialias)

    def crops(self, clip: Tensor) -> list[Tensor]:
        """uint8 [3,T,h,w] -> num_crops views, uint8 [3,T,crop_size,crop_size] each, no copy."""
        height, width = clip.shape[2:]
        tops, lefts = self._offsets(height, width)
        size = self.crop_size
        return [clip[:, :, top : top + size, left : left + size] for top, left in zip(tops, lefts, strict=True)]

    def __call__(self, frames: Tensor) -> list[Tensor]:
        """uint8 [T,H,W,3] -> the crops of its resized frames."""
        return self.crops(self.resize(frames))

    def _offsets(self, height: int, width: int) -> tuple[list[int], list[int]]:
        """Tops and lefts. The shorter side is centred: published only for crop_size = short_side, where that is 0."""
        top, left = (height - self.crop_size) // 2, (width - self.crop_size) // 2
        if self.num_crops == 1:
            return [top], [left]
        longer = max(height, width)
        # Python's round is half to even, like TensorFlow's.
        along = [0, round(longer / 2 - self.crop_size // 2), longer - self.crop_size]
        return (along, [left] * 3) if height >= width else ([top] * 3, along)


def to_float(
    clips: Tensor,
    mean: Sequence[float] = (0.0, 0.0, 0.0),
    std: Sequence[float] = (1.0, 1.0, 1.0),
    dtype: torch.dtype = torch.float32,
    memory_format: torch.memory_format = torch.contiguous_format,
) -> Tensor:
    """uint8 [B,3,T,H,W] -> ``(clips / 255 - mean) / std`` of ``dtype``, same shape, on the clips' device.

    The defaults are the published [0, 1]. Computed in float32 and rounded once to a smaller ``dtype``.
    """
    _require(clips.dtype == torch.uint8, "clips", clips.dtype, "torch.uint8, as the transforms give")
    _require(len(mean) == len(std) == 3 and min(std) > 0, "mean, std", (mean, std), "3 values each, std above 0")
    scaled = clips.to(torch.float32, memory_format=memory_format).div_(255)
    if any(mean):
        scaled.sub_(scaled.new_tensor(mean).view(3, 1, 1, 1))
    if any(value != 1 for value in std):
        scaled.div_(scaled.new_tensor(std).view(3, 1, 1, 1))
    return scaled.to(dtype)


def resize(frames: Tensor, height: int, width: int, antialias: bool = False) -> Tensor:
    """uint8 [T,H,W,3] (any strides) -> uint8 [3,T,height,width], contiguous. Bilinear, half-pixel centres.

    Without antialias the result is truncated to uint8, as published; an identity resize and a constant frame are
    exact. With it, torchvision's kernel filters when shrinking, and rounds.
    """
    if frames.shape[1:3] == (height, width):
        return frames.permute(3, 0, 1, 2).contiguous()
    if antialias:
        return v2.functional.resize(frames.permute(0, 3, 1, 2), [height, width]).transpose(0, 1).contiguous()
    clip = torch.empty((3, len(frames), height, width), dtype=torch.uint8)
    for index in range(len(frames)):  # one frame at a time stays in the cache: 15 ms instead of 23 for 32 frames
        planes = frames[index : index + 1].permute(3, 0, 1, 2).float()
        resized = interpolate(planes, size=(height, width), mode="bilinear", align_corners=False)
        clip[:, index] = resized.add_(_FLOAT_NOISE)[:, 0]  # the copy to uint8 truncates
    return clip


def short_side_size(height: int, width: int, short_side: int) -> tuple[int, int]:
    """``(height, width)`` scaled to that short side, in pixels; the long side is rounded down."""
    return max(short_side, height * short_side // width), max(short_side, width * short_side // height)


def random_box(
    height: int,
    width: int,
    area: tuple[float, float],
    aspect: tuple[float, float],
    generator: torch.Generator,
) -> tuple[int, int, int, int]:
    """``(top, left, height, width)`` in pixels, as TensorFlow's ``sample_distorted_bounding_box`` draws it.

    The aspect ratio (width / height) is uniform in ``aspect``, then the height uniform over those that keep the box
    inside the frame and inside ``area``; a box below a tenth of the frame is rejected (min_object_covered 0.1). After
    100 attempts the whole frame is taken. Like the original, an offset never reaches its last position.
    """
    for _ in range(100):
        ratio = aspect[0] + (aspect[1] - aspect[0]) * float(torch.rand((), generator=generator))
        size = _box_size(height, width, area, ratio, generator)
        if size is not None and size[0] * size[1] >= 0.1 * height * width:
            top = _uniform(height - size[0], generator)
            left = _uniform(width - size[1], generator)
            return top, left, *size
    return 0, 0, height, width


def _box_size(
    height: int, width: int, area: tuple[float, float], ratio: float, generator: torch.Generator
) -> tuple[int, int] | None:
    """TensorFlow's GenerateRandomCrop without the offsets, in float64: ``(height, width)``, None if nothing fits."""
    min_area, max_area = (share * height * width for share in area)
    low, high = round(math.sqrt(min_area / ratio)), round(math.sqrt(max_area / ratio))
    if round(high * ratio) > width:
        high = int((width + 0.5 - 1e-7) / ratio)
    high = min(high, height)
    low = min(low, high)
    rows = low + _uniform(high - low + 1, generator)
    # Rounding may have left the area just outside its bounds: one row more, or one less, mends that.
    rows += rows * round(rows * ratio) < min_area
    rows -= rows * round(rows * ratio) > max_area
    columns = round(rows * ratio)
    fits = min_area <= rows * columns <= max_area and 0 < rows <= height and 0 < columns <= width
    return (rows, columns) if fits else None


def _uniform(count: int, generator: torch.Generator) -> int:
    """A uniform integer in [0, count); 0 where there is nothing to draw."""
    return int(torch.randint(max(1, count), (), generator=generator))


def _check_frames(frames: Tensor) -> None:
    right = frames.dtype == torch.uint8 and frames.ndim == 4 and frames.shape[3] == 3 and frames.numel() > 0
    _require(right, "frames", f"{frames.dtype} {list(frames.shape)}", "torch.uint8 [T, H, W, 3], not empty")


def _is_int(value, low: int, high: float = math.inf) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _is_range(value: tuple, high: float = math.inf) -> bool:
    return len(value) == 2 and 0 < value[0] <= value[1] <= high


def _is_int_range(value: tuple) -> bool:
    return all(_is_int(side, 1) for side in value) and _is_range(value)


def _require(right: bool, name: str, got, allowed: str) -> None:
    if not right:
        raise InputError(f"{name}: got {got!r}, allowed: {allowed}; correct the argument or the config")
