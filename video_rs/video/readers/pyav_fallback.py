"""A reader whose decoder says nothing of damage: it is listened to, and PyAV reads what it complains of."""

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
import torch

from video_rs.video.index.frame_index import FrameIndex
from video_rs.video.reader import VideoReader, check_indices
from video_rs.video.readers.ffmpeg_log import ErrorCounter
from video_rs.video.readers.pyav import PyAVReader


class FallbackReader(VideoReader):
    """A :class:`VideoReader` that hands its file to PyAV for good when its decoder has complained or failed.

    PyAV then names the damaged frame, or finds that the frames asked for are sound. So all decoders refuse the same
    frames.
    """

    def __init__(self, path: str, index: FrameIndex, complaints: ErrorCounter):
        self._path, self._index = path, index
        self.num_frames, self.fps, self.times = len(index.pts), index.fps, index.times
        self._complaints, self._complaints_before = complaints, complaints.count
        self._instead: PyAVReader | None = None

    @property
    def _complained(self) -> bool:
        """Whether the decoder, or that of another reader in this process, complained since this one was opened."""
        return self._complaints.count > self._complaints_before

    @abstractmethod
    def _read(self, indices: np.ndarray) -> torch.Tensor | None:
        """The frames at ``indices``, at least one, as :meth:`frames` gives them; None if this decoder has none."""

    @abstractmethod
    def _release(self) -> None:
        """Frees the decoder; a second call does nothing."""

    def frames(self, indices: Sequence[int] | torch.Tensor | np.ndarray) -> torch.Tensor:
        """See :meth:`VideoReader.frames`."""
        indices = check_indices(indices, self.num_frames)
        if not len(indices):
            return torch.empty(0, self.height, self.width, 3, dtype=torch.uint8)
        if self._instead is None:
            frames = self._read(indices)
            if frames is not None and not self._complained:
                return frames
            self._release()
            self._instead = PyAVReader(self._path, self._index)
        return self._instead.frames(indices)

    def close(self) -> None:
        self._release()
        if self._instead is not None:
            self._instead.close()


def name_frames(indices: np.ndarray, num_frames: int) -> str:
    """Say which frames were asked for, where no single one can be named."""
    return f"frames {indices.min()} to {indices.max()} of {num_frames}"
