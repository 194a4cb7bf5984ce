"""What is done to the pixels of a training clip: decoded ``uint8 [T,H,W,3]`` in, ``uint8 [3,T,h,w]`` out.

A transform treats all frames of a clip alike, and draws only from the generator it is given. It is plain data:
``TrainTransform(**dataclasses.asdict(transform))`` is the same transform, so a checkpoint can carry it.
Source of the published recipe: Model Garden's ``preprocess_ops_3d.py``. Its values are the defaults of the options DATA
and AUG; what is checked here is what no option can know alone.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from video_rs.data.arguments import require, require_frames
from video_rs.data.random_boxes import random_below, random_box
from video_rs.data.resizing import resize, short_side_size
from video_rs.data.sampling import isolated_rng

if TYPE_CHECKING:
    from torchvision.transforms import v2

BLUR_DEVIATIONS = (0.1, 2.0)  # of a Gaussian, in pixels
GREY = 128  # fills what an augmentation uncovers or erases, as in the ResNet-RS authors' RandAugment


@dataclass(frozen=True)
class Placement:
    """What a training clip shows of its frames, drawn once for all of them.

    Attributes:
        box: top, left, height and width in pixels, of the frames, or of the resized frames where there are such.
        resized: height and width that frames are resized to before the box, a square, is cut; None: the box is cut from
            the frames, and resized.
        is_mirrored: whether left and right change places.
    """

    box: tuple[int, int, int, int]
    resized: tuple[int, int] | None
    is_mirrored: bool

    def needed(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Return top, left, height and width of what is needed of frames of a height and width."""
        if self.resized is None:
            return self.box
        return 0, 0, height, width

    def within_needed(self) -> "Placement":
        """Return the placement in frames of which nothing is left but what is needed."""
        if self.resized is not None:
            return self
        _, _, height, width = self.box
        return replace(self, box=(0, 0, height, width))

    def cut(self, frames: Tensor, size: int, antialias: bool, quick: bool = False) -> Tensor:
        """Return what is shown of frames uint8 ``[T, H, W, 3]`` as uint8 ``[3, T, size, size]``, of any strides.

        ``antialias`` and ``quick`` are those of :func:`video_rs.data.resizing.resize`.
        """
        top, left, height, width = self.box
        if self.resized is None:
            box = frames[:, top : top + height, left : left + width]
            clip = resize(box, size, size, antialias, quick)
        else:
            clip = self._square(frames, size, antialias, quick)
        return clip.flip(-1) if self.is_mirrored else clip

    def _square(self, frames: Tensor, size: int, antialias: bool, quick: bool) -> Tensor:
        """Return the square of the resized frames; for another size than it was drawn for, all is scaled to that."""
        top, left, drawn_size, _ = self.box
        height, width = (_scaled(side, size, drawn_size) for side in self.resized)
        # Rounding may lead a square over the edge by a pixel.
        top = min(_scaled(top, size, drawn_size), height - size)
        left = min(_scaled(left, size, drawn_size), width - size)
        clip = resize(frames, height, width, antialias, quick)
        return clip[:, :, top : top + size, left : left + size]


def _scaled(length: int, size: int, drawn_size: int) -> int:
    """Return a length in pixels, scaled and rounded; the same length where both sizes are the same."""
    return (2 * length * size + drawn_size) // (2 * drawn_size)


@dataclass(frozen=True)
class TrainTransform:
    """Random crop, flip and augmentations of one training clip.

    Attributes:
        crop_size: height and width of the result, in pixels.
        crop: "resized" resizes a random box, "short_side" resizes the frame and takes a random square.
        area: of a box, as shares of the frame's area; for "resized".
        aspect: width over height of a box, drawn uniformly; for "resized".
        short_side: least and largest short side in pixels, both included; for "short_side".
        antialias: False is bilinear and truncated to uint8, as published.
        flip: probability of a horizontal flip; 0 where left and right are labels.
        color_jitter: x draws factors of brightness, contrast and saturation from [1 - x, 1 + x].
        rand_augment_layers: operations of RandAugment per clip.
        rand_augment_magnitude: 0 to 30; 30 is level 10 of the papers' code (30 degrees, factor 1.9).
        random_erasing: probability of greying one box, the same in all frames.
        hue_jitter: x turns the hue by up to x of the colour circle either way, at most 0.5.
        color_jitter_prob: probability of changing the colours at all.
        grey: probability of a clip without colours.
        blur: probability of a Gaussian blur, of a deviation of 0.1 to 2 pixels (SimCLR: Chen et al. 2020).
        quick: resize in integers, which without antialiasing differs from what is published by 2 levels at most.
    """

    crop_size: int
    crop: str
    area: tuple[float, float]
    aspect: tuple[float, float]
    short_side: tuple[int, int]
    antialias: bool
    flip: float
    color_jitter: float = 0.0
    rand_augment_layers: int = 0
    rand_augment_magnitude: int = 0
    random_erasing: float = 0.0
    hue_jitter: float = 0.0
    color_jitter_prob: float = 1.0
    grey: float = 0.0
    blur: float = 0.0
    quick: bool = False

    def __post_init__(self):
        # YAML and JSON give lists in the place of tuples.
        for name in ("area", "aspect", "short_side"):
            object.__setattr__(self, name, tuple(getattr(self, name)))

        for name in ("area", "aspect", "short_side"):
            low, high = getattr(self, name)
            require(0 < low <= high, name, (low, high), "two numbers with 0 < low <= high")
        if self.crop == "short_side":
            low = self.short_side[0]
            require(low >= self.crop_size, "short_side", low, f"at least crop_size, {self.crop_size} (pixels)")

        # torchvision takes a second to import, which is done once and before worker processes are forked.
        if self.is_augmented:
            import torchvision.transforms.v2  # noqa: F401

    def __call__(self, frames: Tensor, generator: torch.Generator) -> Tensor:
        """Return a training clip, uint8 ``[3, T, crop_size, crop_size]`` and contiguous, of uint8 ``[T, H, W, 3]``."""
        require_frames(frames)
        placement = self.draw(*frames.shape[1:3], generator)
        return self.make(frames, placement, generator)

    def make(self, frames: Tensor, placement: Placement, generator: torch.Generator) -> Tensor:
        """Return the clip that a placement shows of frames uint8 ``[T, H, W, 3]``, as :meth:`__call__` does."""
        clip = placement.cut(frames, self.crop_size, self.antialias, self.quick)
        return self.augment(clip, generator)

    def draw(self, height: int, width: int, generator: torch.Generator) -> Placement:
        """Draw what a clip shows of frames of a height and width in pixels."""
        if self.crop == "resized":
            resized = None
            box = random_box(height, width, self.area, self.aspect, generator)
        else:
            resized = self._jittered_size(height, width, generator)
            box = self._random_square(*resized, generator)

        is_mirrored = bool(torch.rand((), generator=generator) < self.flip)
        return Placement(box, resized, is_mirrored)

    def augment(self, clip: Tensor, generator: torch.Generator) -> Tensor:
        """Return a clip uint8 ``[3, T, h, w]`` after the augmentations that are on, contiguous."""
        if self.is_augmented:
            # torchvision's classes draw from the global generator, and take [T, 3, h, w].
            with isolated_rng(generator):
                clip = self._augmentations()(clip.transpose(0, 1)).transpose(0, 1)
        return clip.contiguous()

    @property
    def is_augmented(self) -> bool:
        """Whether pixels are changed beyond cropping and mirroring."""
        jitters = self.color_jitter or self.hue_jitter
        return bool(self.rand_augment_layers or jitters or self.grey or self.blur or self.random_erasing)

    def _jittered_size(self, height: int, width: int, generator: torch.Generator) -> tuple[int, int]:
        """Draw the size that frames are resized to, by a random short side: SlowFast's scale jitter."""
        low, high = self.short_side
        short_side = low + random_below(high - low + 1, generator)
        return short_side_size(height, width, short_side)

    def _random_square(self, height: int, width: int, generator: torch.Generator) -> tuple[int, int, int, int]:
        """Draw top, left, height and width of a square of ``crop_size`` in resized frames."""
        top = random_below(height - self.crop_size + 1, generator)
        left = random_below(width - self.crop_size + 1, generator)
        return top, left, self.crop_size, self.crop_size

    def _augmentations(self) -> "v2.Compose":
        """Return the augmentations that are on, in the order in which they are done, of uint8 ``[T, 3, h, w]``.

        Operation and magnitude are one for all frames; AutoContrast, Equalize and Contrast measure each frame.
        """
        from torchvision.transforms import v2

        chosen = []
        if self.rand_augment_layers:
            chosen.append(v2.RandAugment(self.rand_augment_layers, self.rand_augment_magnitude, fill=GREY))
        if self.color_jitter or self.hue_jitter:
            strength = self.color_jitter
            jitter = v2.ColorJitter(strength, strength, strength, self.hue_jitter)
            chosen.append(_sometimes(jitter, self.color_jitter_prob))
        if self.grey:
            chosen.append(v2.RandomGrayscale(self.grey))
        if self.blur:
            chosen.append(_sometimes(v2.GaussianBlur(self._blur_width(), BLUR_DEVIATIONS), self.blur))
        if self.random_erasing:
            chosen.append(v2.RandomErasing(self.random_erasing, value=GREY))
        return v2.Compose(chosen)

    def _blur_width(self) -> int:
        """Return the width of the blurring kernel in pixels, an odd number near a tenth of the clip's side."""
        return 2 * max(1, self.crop_size // 20) + 1


def _sometimes(transform: "v2.Transform", probability: float) -> "v2.Transform":
    """Return a transform that is applied with a probability; a certain one draws nothing for that."""
    from torchvision.transforms import v2

    if probability == 1:
        return transform
    return v2.RandomApply([transform], probability)
