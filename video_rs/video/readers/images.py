"""A folder of frames, such as ``img_00001.jpg``, read like a video."""

import os
import re
from collections.abc import Sequence

import numpy as np
import torch
from torchvision.io import ImageReadMode, decode_image

from video_rs.video.errors import DecodeError, system_reason
from video_rs.video.location import IMAGE_ENDINGS
from video_rs.video.reader import VideoReader, check_indices

DEFAULT_FPS = 30.0  # a folder says nothing of time; segments in seconds are reckoned with this
_RGB = "img_#"
_FLOW = frozenset(("flow_x_#", "flow_y_#", "flow_u_#", "flow_v_#", "flow_#", "x_#", "y_#"))
_NUMBER = re.compile(r"(\d+)")


def frame_files(folder: str) -> list[str]:
    """The pictures of a folder in the order of their numbers, "2" before "10".

    Of ``img_00001.jpg`` beside optical flow, ``flow_x_00001.jpg``, as TSN and MMAction2 have them, ``img_``.

    Raises:
        DecodeError: several series, and no such ones.
    """
    series: dict[str, list[str]] = {}
    for entry in os.scandir(folder):
        if entry.name.lower().endswith(IMAGE_ENDINGS) and not entry.name.startswith("."):
            series.setdefault(_series(entry.name), []).append(entry.name)
    if _RGB in series:
        series = {name: names for name, names in series.items() if name not in _FLOW}
    if len(series) > 1:
        found = ", ".join(repr(names[0]) for names in list(series.values())[:3])
        raise DecodeError(
            folder,
            f"{len(series)} series of pictures ({found}); keep one: only flow_x_# and the like may lie beside img_#",
        )
    return sorted(next(iter(series.values()), []), key=_natural)


def numbering_gap(names: Sequence[str]) -> int:
    """How many numbers are left out in the names of one series; 0 where no single number counts."""
    parts = [_NUMBER.findall(os.path.splitext(os.path.basename(name))[0]) for name in names]
    counting = [set(column) for column in zip(*parts, strict=True) if len(set(column)) > 1]
    if len(counting) != 1:
        return 0
    numbers = sorted(set(map(int, counting[0])))
    return numbers[-1] - numbers[0] + 1 - len(numbers) if len(numbers) == len(names) else 0


def _series(name: str) -> str:
    """What names that differ in their numbers have in common; those without a number are one series."""
    stem = os.path.splitext(name)[0]
    return _NUMBER.sub("#", stem).lower() if _NUMBER.search(stem) else ""


def _natural(name: str) -> list:
    """Texts and numbers in turn, so that like is compared with like."""
    return [int(part) if i % 2 else part for i, part in enumerate(_NUMBER.split(name))]


class ImageFolderReader(VideoReader):
    """A :class:`VideoReader` over a folder; all pictures are of the first one's size."""

    def __init__(self, path: str):
        try:
            self._path, self._names = path, frame_files(path)
        except OSError as error:
            raise DecodeError(path, system_reason(error)) from error
        if not self._names:
            raise DecodeError(path, f"a folder without frames ({', '.join(IMAGE_ENDINGS)})", "empty")
        self.num_frames, self.fps = len(self._names), DEFAULT_FPS
        self.height, self.width = self._picture(0).shape[:2]

    def frames(self, indices: Sequence[int] | torch.Tensor | np.ndarray) -> torch.Tensor:
        """See :meth:`VideoReader.frames`."""
        indices = check_indices(indices, self.num_frames)
        out = torch.empty(len(indices), self.height, self.width, 3, dtype=torch.uint8)
        for slot, index in enumerate(indices.tolist()):
            picture = self._picture(index)
            if picture.shape != out.shape[1:]:
                size = f"{picture.shape[0]}x{picture.shape[1]}, not {self.height}x{self.width} as the first"
                raise DecodeError(self._path, f"frame {self._names[index]} is {size}", "damaged")
            out[slot] = picture
        return out

    def paths(self) -> list[str]:
        """Of the pictures, in their order."""
        return [os.path.join(self._path, name) for name in self._names]

    def close(self) -> None:
        """Nothing is open between two frames."""

    def _picture(self, index: int) -> torch.Tensor:
        """uint8 ``[H, W, 3]``."""
        name = os.path.join(self._path, self._names[index])
        try:
            data = torch.from_numpy(np.fromfile(name, np.uint8))
            return decode_image(data, ImageReadMode.RGB).permute(1, 2, 0)
        except (OSError, RuntimeError, ValueError) as error:
            reason = (getattr(error, "strerror", None) or str(error)).strip().split("\n")[0]
            raise DecodeError(self._path, f"frame {self._names[index]}: {reason}", "damaged") from error
