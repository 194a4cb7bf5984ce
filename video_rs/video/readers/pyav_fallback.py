"""A reader whose decoder does not tell of damage: what it logs is counted, and PyAV goes on where it logged errors."""

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
import torch

from video_rs.video.index.frame_index import FrameIndex
from video_rs.video.reader import VideoReader, check_indices
from video_rs.video.readers.ffmpeg_log import ErrorCounter
from video_rs.video.readers.pyav import PyAVReader


class FallbackReader(VideoReader):
    """A :class:`VideoReader` that hands its file to PyAV for good when its decoder has logged errors or failed.

    PyAV then names the damaged frame, or finds that the frames asked for are sound. Therefore all decoders refuse the
    same frames, for the same reasons.

    Args:
        path: a file or a part of a shard.
        index: the frame index of the file.
        errors: the counter of the decoder's FFmpeg.
    """

    def __init__(self, path: str, index: FrameIndex, errors: ErrorCounter):
        self._path = path
        self._index = index
        self.num_frames = len(index.pts)
        self.fps = index.fps
        self.times = index.times

        # Errors of readers that were open before are not this one's.
        self._errors = errors
        self._errors_before = errors.count
        self._fallback: PyAVReader | None = None

    @property
    def _has_logged_errors(self) -> bool:
        """Whether this decoder, or that of another reader in this process, logged errors since this one was opened."""
        return self._errors.count > self._errors_before

    @abstractmethod
    def _read(self, indices: np.ndarray) -> torch.Tensor | None:
        """Return the frames at ``indices``, at least one, as :meth:`frames` does; None where this decoder fails."""

    @abstractmethod
    def _release(self) -> None:
        """Free the decoder; a second call does nothing."""

    def frames(self, indices: Sequence[int] | torch.Tensor | np.ndarray) -> torch.Tensor:
        """Return the frames; see :meth:`VideoReader.frames`."""
        indices = check_indices(indices, self.num_frames)
        if not len(indices):
            return torch.empty(0, self.height, self.width, 3, dtype=torch.uint8)

        if self._fallback is None:
            frames = self._read(indices)
            if frames is not None and not self._has_logged_errors:
                return frames
            self._release()
            self._fallback = PyAVReader(self._path, self._index)
        return self._fallback.frames(indices)

    def close(self) -> None:
        """Free the file; a second call does nothing."""
        self._release()
        if self._fallback is not None:
            self._fallback.close()
