"""TorchCodec on the files whose frames it finds exactly."""

import contextlib
import ctypes
import json
import math
import os
from functools import cache

import numpy as np
import torch
import torchcodec
from torchcodec.decoders import VideoDecoder

from video_rs.video.errors import DecodeError, PresentationMismatch
from video_rs.video.index.frame_index import FrameIndex
from video_rs.video.location import Location
from video_rs.video.orientation import Orientation
from video_rs.video.readers.ffmpeg_log import ErrorCounter
from video_rs.video.readers.pyav import PyAVReader
from video_rs.video.readers.pyav_fallback import FallbackReader


def _require_ffmpeg() -> None:
    """Raises RuntimeError without FFmpeg's libraries: from 0.17 on the package is imported all the same."""
    try:
        VideoDecoder(b"no video")
    except RuntimeError as error:
        if "Could not load libtorchcodec" in str(error):
            raise
    except ValueError:
        pass


_require_ffmpeg()


@cache
def _complaints() -> ErrorCounter:
    return ErrorCounter(ctypes.CDLL(torchcodec.core_library_path))


class TorchCodecReader(FallbackReader):
    """A :class:`VideoReader` for files whose index is ``addressable``; one decoding thread.

    Where TorchCodec fails, PyAV goes on.
    """

    device = "cpu"

    def __init__(self, path: str, index: FrameIndex):
        assert index.addressable, "open_video reads such files with PyAV"
        super().__init__(path, index, _complaints())
        self._seconds = index.pts * float(index.time_base)
        self._tolerance = float(index.time_base) / 2
        self._decoder = _opened(path, index, self.device)
        # The header may state another size than the frames have; a file without one readable frame is no video.
        _, self.height, self.width, _ = self.frames([0]).shape
        if self._decoder is not None and self._decoder.metadata.rotation is not None:
            self._check_orientation(index)

    def _check_orientation(self, index: FrameIndex) -> None:
        """PresentationMismatch if TorchCodec turns frames otherwise than PyAV does, or into other colours.

        It rounds each angle to quarter turns, knows no mirroring, and turns pictures after it has made them RGB, which
        moves the chroma of more than 8 bits.
        """
        turned = _quarter_turns(self._decoder.metadata.rotation)
        with PyAVReader(self._path, index) as shown:
            if shown.orientation != Orientation(turned):
                raise PresentationMismatch(self._path, "torchcodec turns it otherwise; use pyav")
            if turned and shown.bits > 8:
                raise PresentationMismatch(
                    self._path, f"torchcodec turns {shown.bits} bits into other colours; use pyav"
                )

    def _read(self, indices: np.ndarray) -> torch.Tensor | None:
        try:
            batch = self._decoder.get_frames_at(indices.tolist())
        except (RuntimeError, IndexError):  # IndexError: the file shows fewer frames than its packets say
            return None
        # In place of a frame that does not decode, TorchCodec gives a neighbour, with the neighbour's time.
        late = np.abs(batch.pts_seconds.cpu().numpy() - self._seconds[indices])
        return batch.data.cpu() if late.max() <= self._tolerance else None

    def _release(self) -> None:
        self._decoder = None  # frees the file; TorchCodec has no close


class TorchCodecCudaReader(TorchCodecReader):
    """The same with the decoder of an NVIDIA GPU, the one of this rank; its colours are rounded otherwise.

    Not tested on a GPU yet.
    """

    def __init__(self, path: str, index: FrameIndex):
        self.device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        super().__init__(path, index)


def _quarter_turns(degrees: float) -> int:
    """What TorchCodec makes of an angle, counter-clockwise."""
    return math.floor(degrees / 90 + 0.5) % 4


def _opened(path: str, index: FrameIndex, device: str) -> VideoDecoder:
    """A decoder that knows the frames from our index; where it does not count them alike, one that scans the packets.

    So it is with FLV and some WebM; WebM without a duration raises. For ten seconds of MP4 our index saves it half of
    the time, or more, that it takes to open them.
    """
    steps = np.diff(index.pts, append=2 * index.pts[-1] - index.pts[-2] if len(index.pts) > 1 else index.pts[-1] + 1)
    frames = [
        {"pts": int(pts), "duration": int(step), "key_frame": int(key)}
        for pts, step, key in zip(index.pts, steps, index.key, strict=True)
    ]
    with contextlib.suppress(RuntimeError, ValueError):
        decoder = _decoder(path, index, device, custom_frame_mappings=json.dumps({"frames": frames}))
        if len(decoder) == len(index.pts):
            return decoder
    try:
        decoder = _decoder(path, index, device, seek_mode="exact")
        counted = len(decoder)
    except (RuntimeError, ValueError) as error:
        raise DecodeError(path, _reason(error)) from error
    if counted != len(index.pts):
        raise DecodeError(path, f"torchcodec counts {counted} frames of {len(index.pts)}; use pyav")
    return decoder


def _decoder(path: str, index: FrameIndex, device: str, **seeking: str) -> VideoDecoder:
    settings = {"dimension_order": "NHWC", "num_ffmpeg_threads": 1, "device": device}
    return VideoDecoder(Location.parse(path).url(), stream_index=index.stream, **settings, **seeking)


def _reason(error: Exception) -> str:
    """The last line of TorchCodec's message without its source location ("function, file.cpp:12, message")."""
    line = str(error).strip().split("\n")[0]
    return line.split(".cpp:", 1)[-1].split(", ", 1)[-1] if ".cpp:" in line else line
