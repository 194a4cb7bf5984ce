"""Containers as PyAV opens them, their video streams and their packets."""

from collections.abc import Iterator

import av
from av.stream import Disposition

from video_rs.video.errors import DecodeError
from video_rs.video.location import Location

_INVALID_DATA = 1094995529  # FFmpeg's AVERROR_INVALIDDATA, without its sign


def open_container(path: str) -> av.container.InputContainer:
    """Return the open container of a file or of a part of a shard.

    Raises:
        DecodeError: FFmpeg cannot open the file.
    """
    try:
        # Titles and comments may be bytes of any encoding; since nobody reads them, no file is refused for them.
        return av.open(Location.parse(path).url(), metadata_errors="replace")
    except (av.FFmpegError, ValueError) as error:  # a ValueError says that there is a null byte in the name
        raise DecodeError(path, ffmpeg_reason(error)) from error


def video_streams(container: av.container.InputContainer, path: str) -> list[av.VideoStream]:
    """Return the streams that may be the video, at least one.

    Raises:
        DecodeError: the container has no video stream, or none whose codec FFmpeg knows.
    """
    # The cover picture of an audio file is a video stream to FFmpeg.
    videos = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    if not videos:
        raise DecodeError(path, "no video stream")

    known = [stream for stream in videos if stream.codec_context is not None]
    if not known:
        raise DecodeError(path, "unknown video codec")
    return known


def single_threaded_stream(container: av.container.InputContainer, number: int) -> av.VideoStream:
    """Return the stream with this number in the file, set to one decoding thread.

    Videos are read by several processes at once, so threads in each would only wait for one another.
    """
    stream = container.streams[number]
    stream.codec_context.thread_count = 1
    return stream


def read_packets(
    container: av.container.InputContainer, streams: av.VideoStream | list[av.VideoStream]
) -> Iterator[av.Packet]:
    """Yield the packets of one or several streams that hold data, in the order of the file.

    Close the generator where it is left before its end: PyAV's own generator, which it wraps, frees its packet only
    when it is closed, and packets that are not freed fragment the heap.

    Raises:
        av.FFmpegError: the container is damaged from here on.
    """
    demuxer = container.demux(streams)
    try:
        for packet in demuxer:
            # Theora has empty packets for pictures that stay as they are, which its decoder refuses. PyAV ends each
            # stream with an empty packet too.
            if packet.size:
                yield packet
    except IndexError as error:
        # In some damaged files a packet names a stream that was not there when the file was opened.
        raise av.InvalidDataError(_INVALID_DATA, "a packet belongs to no stream") from error
    finally:
        demuxer.close()


def ffmpeg_reason(error: BaseException) -> str:
    """Return FFmpeg's words for an error, without the number and the file name that PyAV adds."""
    ffmpeg_words = getattr(error, "strerror", None)
    return str(ffmpeg_words or error).lower()
