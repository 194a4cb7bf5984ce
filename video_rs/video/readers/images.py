"""A folder of frames, such as ``img_00001.jpg``, read like a video."""

import os
import re
from collections.abc import Sequence

import numpy as np
import torch

from video_rs.video.errors import DecodeError, system_reason
from video_rs.video.location import IMAGE_ENDINGS
from video_rs.video.reader import VideoReader, check_indices

DEFAULT_FPS = 30.0
"""Frames per second of a folder, which says nothing of time; segments in seconds are reckoned with this rate."""

# Names of series of pictures, with their numbers replaced by "#", as TSN and MMAction2 have them.
_RGB_SERIES = "img_#"
_OPTICAL_FLOW_SERIES = frozenset(("flow_x_#", "flow_y_#", "flow_u_#", "flow_v_#", "flow_#", "x_#", "y_#"))

_NUMBER = re.compile(r"(\d+)")


def frame_files(folder: str) -> list[str]:
    """Return the names of the pictures in a folder in the order of their numbers, "2" before "10".

    Where optical flow (``flow_x_00001.jpg``) lies beside the pictures (``img_00001.jpg``), the flow is left out.

    Raises:
        DecodeError: there are several series of pictures, and these are not pictures and their flow.
        OSError: the folder cannot be read.
    """
    series: dict[str, list[str]] = {}
    for entry in os.scandir(folder):
        is_hidden = entry.name.startswith(".")
        if entry.name.lower().endswith(IMAGE_ENDINGS) and not is_hidden:
            series.setdefault(_series_of(entry.name), []).append(entry.name)

    if _RGB_SERIES in series:
        for name in _OPTICAL_FLOW_SERIES:
            series.pop(name, None)
    if len(series) > 1:
        examples = [repr(names[0]) for names in series.values()]
        found = ", ".join(examples[:3])
        raise DecodeError(
            folder,
            f"{len(series)} series of pictures ({found}); keep one: only flow_x_# and the like may lie beside img_#",
        )

    names = next(iter(series.values()), [])
    return sorted(names, key=_natural_order)


def numbering_gap(names: Sequence[str]) -> int:
    """Return how many numbers are left out in the names of one series of pictures; 0 where no single number counts.

    In ``v1_001.jpg``, ``v1_003.jpg`` the second number counts, since only it differs; one number is left out.
    """
    numbers_in_names = []
    for name in names:
        stem = os.path.splitext(os.path.basename(name))[0]
        numbers_in_names.append(_NUMBER.findall(stem))

    # The columns of numbers in which the names differ.
    differing = []
    for column in zip(*numbers_in_names, strict=True):
        if len(set(column)) > 1:
            differing.append(set(column))
    if len(differing) != 1:
        return 0

    numbers = sorted({int(text) for text in differing[0]})
    if len(numbers) != len(names):
        return 0
    return numbers[-1] - numbers[0] + 1 - len(numbers)


def _series_of(name: str) -> str:
    """Return what names have in common that differ only in their numbers; those without a number are one series."""
    stem = os.path.splitext(name)[0]
    if not _NUMBER.search(stem):
        return ""
    return _NUMBER.sub("#", stem).lower()


def _natural_order(name: str) -> list[str | int]:
    """Return a key to sort names by: texts and numbers in turn, so that like is compared with like."""
    parts: list[str | int] = list(_NUMBER.split(name))
    for place in range(1, len(parts), 2):
        parts[place] = int(parts[place])
    return parts


class ImageFolderReader(VideoReader):
    """A :class:`VideoReader` over a folder of pictures, which all have to be of the first one's size.

    Raises:
        DecodeError: the folder cannot be read, holds no pictures or several series, or the first is no picture.
    """

    def __init__(self, path: str):
        self._path = path
        try:
            self._names = frame_files(path)
        except OSError as error:
            raise DecodeError(path, system_reason(error)) from error
        if not self._names:
            raise DecodeError(path, f"a folder without frames ({', '.join(IMAGE_ENDINGS)})", "empty")

        self.num_frames = len(self._names)
        self.fps = DEFAULT_FPS
        self.height, self.width = self._picture(0).shape[:2]

    def frames(self, indices: Sequence[int] | torch.Tensor | np.ndarray) -> torch.Tensor:
        """Return the frames; see :meth:`VideoReader.frames`."""
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
        """Return the paths of the pictures, in their order."""
        return [os.path.join(self._path, name) for name in self._names]

    def close(self) -> None:
        """Do nothing, since nothing is open between two frames."""

    def _picture(self, index: int) -> torch.Tensor:
        """Return a picture: uint8 ``[H, W, 3]``."""
        # Only pictures need torchvision, which takes a second to import.
        from torchvision.io import ImageReadMode, decode_image

        name = self._names[index]

        try:
            data = torch.from_numpy(np.fromfile(os.path.join(self._path, name), np.uint8))
            picture = decode_image(data, ImageReadMode.RGB).permute(1, 2, 0)
        except (OSError, RuntimeError, ValueError) as error:
            message = getattr(error, "strerror", None) or str(error)
            first_line = message.strip().split("\n")[0]
            raise DecodeError(self._path, f"frame {name}: {first_line}", "damaged") from error

        # Of 16 bits a sample, the upper eight are what eight bits show.
        if picture.dtype == torch.uint16:
            picture = (picture.int() >> 8).to(torch.uint8)
        return picture
