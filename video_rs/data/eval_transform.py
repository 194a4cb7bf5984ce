"""What is done to the pixels of a video that is tested or answered: ``uint8 [T,H,W,3]`` in, ``uint8 [3,T,h,w]`` out.

The transform is plain data, as that of training is. Source: Model Garden's ``preprocess_ops_3d.py``.
"""

from dataclasses import dataclass

from torch import Tensor

from video_rs.data.arguments import require, require_frames
from video_rs.data.resizing import resize, short_side_size

CELL = 32  # pixels of a clip for a cell of the networks' last map


@dataclass(frozen=True)
class EvalTransform:
    """Resize, then one crop or three. The two steps are separate, so that a long video is resized chunk by chunk.

    Attributes:
        short_side: of the resized frames, in pixels.
        crop_size: height and width of a crop, in pixels.
        num_crops: 1 is the centre; 3 are start, middle and end of the longer side.
        antialias: False is bilinear and truncated to uint8, as published.
    """

    short_side: int
    crop_size: int
    num_crops: int
    antialias: bool

    def __post_init__(self):
        allowed = f"an integer of at least crop_size, {self.crop_size} (pixels)"
        require(self.short_side >= self.crop_size, "short_side", self.short_side, allowed)

    def resize(self, frames: Tensor) -> Tensor:
        """Resize frames to the short side; resizing chunks of them gives the same.

        Args:
            frames: uint8 ``[T, H, W, 3]``.

        Returns:
            uint8 ``[3, T, h, w]``, contiguous, with min(h, w) = ``short_side``.
        """
        require_frames(frames)
        height, width = self.resized(*frames.shape[1:3])
        return resize(frames, height, width, self.antialias)

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width of resized frames, which are ``height x width`` pixels before."""
        return short_side_size(height, width, self.short_side)

    def crops(self, clip: Tensor) -> list[Tensor]:
        """Return the crops of a resized clip uint8 ``[3, T, h, w]``, without copying it.

        Returns:
            ``num_crops`` views of uint8 ``[3, T, crop_size, crop_size]``.
        """
        height, width = clip.shape[2:]
        size = self.crop_size
        return [clip[:, :, top : top + size, left : left + size] for top, left in self.corners(height, width)]

    def whole(self, clip: Tensor) -> Tensor:
        """Return the middle of a resized clip uint8 ``[3, T, h, w]``, of the size of :meth:`whole_size`."""
        height, width = self.whole_size(*clip.shape[2:])
        top = (clip.shape[2] - height) // 2
        left = (clip.shape[3] - width) // 2
        return clip[:, :, top : top + height, left : left + width]

    def whole_size(self, height: int, width: int) -> tuple[int, int]:
        """Return how much of resized frames is seen where they are seen as a whole.

        Each side is a crop's and a multiple of ``CELL`` more. The cells at the border of a map then reach over the edge
        as far as in training; others would be mostly padding, which ruins the answers of small frames.
        """
        sides = [self.crop_size + (side - self.crop_size) // CELL * CELL for side in (height, width)]
        return sides[0], sides[1]

    def __call__(self, frames: Tensor) -> list[Tensor]:
        """Return the crops of frames uint8 ``[T, H, W, 3]`` after resizing them."""
        return self.crops(self.resize(frames))

    def corners(self, height: int, width: int) -> list[tuple[int, int]]:
        """Return top and left of each crop of resized frames.

        On the shorter side a crop is centred. That is published only for crop_size = short_side, where it is at 0.
        """
        top = (height - self.crop_size) // 2
        left = (width - self.crop_size) // 2
        if self.num_crops == 1:
            return [(top, left)]

        # Python's round is half to even, like TensorFlow's.
        longer = max(height, width)
        middle = round(longer / 2 - self.crop_size // 2)
        along = (0, middle, longer - self.crop_size)
        if height >= width:
            return [(offset, left) for offset in along]
        return [(top, offset) for offset in along]
