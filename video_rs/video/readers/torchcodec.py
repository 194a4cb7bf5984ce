"""TorchCodec, on the files whose frames it finds exactly."""

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
    """Check that TorchCodec finds FFmpeg's libraries. From 0.17 on, the package is imported without them too.

    Raises:
        RuntimeError: TorchCodec does not find them.
    """
    try:
        VideoDecoder(b"no video")
    except RuntimeError as error:
        if "Could not load libtorchcodec" in str(error):
            raise
    except ValueError:
        pass  # these bytes are no video, which is for FFmpeg to say


_require_ffmpeg()


@cache
def _ffmpeg_errors() -> ErrorCounter:
    return ErrorCounter(ctypes.CDLL(torchcodec.core_library_path))


class TorchCodecReader(FallbackReader):
    """A :class:`VideoReader` for files whose index is ``addressable``; one decoding thread.

    Args:
        path: a file or a part of a shard.
        index: the frame index of the file.

    Raises:
        DecodeError: TorchCodec cannot read the file.
        PresentationMismatch: TorchCodec would show other pictures than PyAV.
    """

    device = "cpu"

    def __init__(self, path: str, index: FrameIndex):
        assert index.addressable, "open_video reads such files with PyAV"
        super().__init__(path, index, _ffmpeg_errors())
        self._seconds = index.pts * float(index.time_base)
        self._tolerance = float(index.time_base) / 2
        self._decoder: VideoDecoder | None = _open_decoder(path, index, self.device)

        # The header may state another size than the frames have, so a frame is decoded. Reading it may have handed the
        # file to PyAV, which shows it as it is meant.
        _, self.height, self.width, _ = self.frames([0]).shape
        if self._decoder is not None and self._decoder.metadata.rotation is not None:
            self._check_orientation(index)

    def _check_orientation(self, index: FrameIndex) -> None:
        """Check that TorchCodec turns frames as PyAV does, and into the same colours.

        TorchCodec rounds each angle to quarter turns and knows no mirroring. It turns pictures after it has made them
        RGB, which moves the chroma of more than 8 bits.

        Raises:
            PresentationMismatch: TorchCodec does not.
        """
        turns = _quarter_turns(self._decoder.metadata.rotation)

        with PyAVReader(self._path, index) as pyav:
            if pyav.orientation != Orientation(turns):
                raise PresentationMismatch(self._path, "torchcodec turns it otherwise; use pyav")

            if turns and pyav.bits > 8:
                reason = f"torchcodec turns {pyav.bits} bits into other colours; use pyav"
                raise PresentationMismatch(self._path, reason)

    def _read(self, indices: np.ndarray) -> torch.Tensor | None:
        try:
            batch = self._decoder.get_frames_at(indices.tolist())
        except (RuntimeError, IndexError):  # an IndexError says that there are fewer frames than the packets say
            return None

        # In the place of a frame that cannot be decoded, TorchCodec gives a neighbour, with the neighbour's time.
        time_differences = np.abs(batch.pts_seconds.cpu().numpy() - self._seconds[indices])
        if time_differences.max() > self._tolerance:
            return None
        return batch.data.cpu()

    def _release(self) -> None:
        self._decoder = None  # this frees the file: TorchCodec has no close


class TorchCodecCudaReader(TorchCodecReader):
    """A :class:`TorchCodecReader` with the decoder of an NVIDIA GPU, the one of this rank.

    The GPU rounds colours otherwise. The class was not tested on a GPU yet.
    """

    def __init__(self, path: str, index: FrameIndex):
        self.device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        super().__init__(path, index)


def _quarter_turns(degrees: float) -> int:
    """Return the quarter turns counter-clockwise that TorchCodec makes of an angle."""
    return math.floor(degrees / 90 + 0.5) % 4


def _open_decoder(path: str, index: FrameIndex, device: str) -> VideoDecoder:
    """Return a decoder that knows the frames from our index or, where it counts them otherwise, from its own scan.

    For ten seconds of MP4, our index saves TorchCodec half of the time, or more, that opening the file takes. FLV and
    some WebM it counts otherwise, and for WebM without a duration it raises.

    Raises:
        DecodeError: TorchCodec cannot open the file, or finds another number of frames in it.
    """
    num_frames = len(index.pts)
    with contextlib.suppress(RuntimeError, ValueError):
        decoder = _make_decoder(path, index, device, custom_frame_mappings=_frame_mappings(index))
        if len(decoder) == num_frames:
            return decoder

    try:
        decoder = _make_decoder(path, index, device, seek_mode="exact")
        found = len(decoder)
    except (RuntimeError, ValueError) as error:
        raise DecodeError(path, _reason(error)) from error
    if found != num_frames:
        raise DecodeError(path, f"torchcodec counts {found} frames of {num_frames}; use pyav")
    return decoder


def _frame_mappings(index: FrameIndex) -> str:
    """Return the frames of an index in the JSON that TorchCodec takes, which is the one that ffprobe prints."""
    # Nobody states how long the last frame is shown: as long as the one before it.
    end = index.pts[-1] + 1
    if len(index.pts) > 1:
        end = 2 * index.pts[-1] - index.pts[-2]
    durations = np.diff(index.pts, append=end)

    frames = []
    for pts, duration, is_key in zip(index.pts.tolist(), durations.tolist(), index.key.tolist(), strict=True):
        frames.append({"pts": pts, "duration": duration, "key_frame": int(is_key)})
    return json.dumps({"frames": frames})


def _make_decoder(path: str, index: FrameIndex, device: str, **seeking: str) -> VideoDecoder:
    return VideoDecoder(
        Location.parse(path).url(),
        stream_index=index.stream,
        dimension_order="NHWC",
        num_ffmpeg_threads=1,
        device=device,
        **seeking,
    )


def _reason(error: Exception) -> str:
    """Return TorchCodec's first line without its source location ("function, file.cpp:12, message")."""
    first_line = str(error).strip().split("\n")[0]
    if ".cpp:" not in first_line:
        return first_line
    behind_file = first_line.split(".cpp:", 1)[-1]
    return behind_file.split(", ", 1)[-1]
