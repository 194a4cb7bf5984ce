"""A small copy of a video that every browser plays, whatever the file is."""

import math
from collections.abc import Iterator

import av
import numpy as np

from video_rs.runtime.errors import InputError
from video_rs.video.encoding import encode_mp4
from video_rs.video.errors import DecodeError
from video_rs.video.reader import VideoReader
from video_rs.video.segments import segment_span

HEIGHT = 360  # rows, at most
FRAMES = 300  # at most, spread over the video
SECONDS = 30.0  # longer videos are played faster
KEY = 250  # frames from one key frame to the next: nobody seeks in seconds
_CHUNK_BYTES = 2**26  # of frames that are decoded at a time


def preview(reader: VideoReader, path: str, start: float | None = None, end: float | None = None) -> bytes:
    """Return an MP4 (H.264, without sound) of a video or of a part of it.

    Args:
        reader: of the video.
        path: of the video, for messages.
        start, end: of the part, in seconds; None: of the video.

    Raises:
        DecodeError: a frame cannot be decoded, or there is none in that part.
    """
    try:
        span = segment_span(reader.num_frames, reader.fps, start, end, reader.times)
    except InputError as error:
        raise DecodeError(path, str(error)) from error

    step = math.ceil(span.count / FRAMES)
    places = np.arange(span.first, span.first + span.count, step)
    rate = max(span.fps / step, len(places) / SECONDS, 1.0)

    options = {"preset": "veryfast", "crf": "23"}
    # In memory: a process that runs out of time leaves no file.
    return encode_mp4(_small(reader, places), rate, keyframe_interval=KEY, options=options)


def _small(reader: VideoReader, places: np.ndarray) -> Iterator[np.ndarray]:
    """Yield frames, uint8 ``[h, w, 3]``, shrunk to :data:`HEIGHT`; some of them are decoded at a time."""
    shrink = max(1.0, reader.height / HEIGHT)
    size = {"height": _even(reader.height / shrink), "width": _even(reader.width / shrink)}
    at_once = max(1, _CHUNK_BYTES // (reader.height * reader.width * 3))

    for begin in range(0, len(places), at_once):
        for picture in reader.frames(places[begin : begin + at_once]).numpy():
            yield av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(**size).to_ndarray()


def _even(size: float) -> int:
    """Return the even number of pixels next to a size, at least 2."""
    return max(2, 2 * round(size / 2))
