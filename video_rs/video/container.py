"""Opening a container with PyAV, and the video streams in it."""

from collections.abc import Iterator

import av
from av.stream import Disposition

from video_rs.video.errors import DecodeError
from video_rs.video.location import Location

_INVALID_DATA = 1094995529  # AVERROR_INVALIDDATA, as PyAV counts it


def open_container(path: str):
    """Return the open container. Its titles and comments may be bytes of any encoding: nobody reads them.

    Raises:
        DecodeError: FFmpeg cannot open it.
    """
    try:
        return av.open(Location.parse(path).url(), metadata_errors="replace")
    except (av.FFmpegError, ValueError) as error:  # ValueError: a null byte in the name
        raise DecodeError(path, ffmpeg_reason(error)) from error


def video_streams(container, path: str) -> list:
    """Return the streams that may be the video, at least one. A cover picture is none.

    Raises:
        DecodeError: there is no video stream, or none whose codec is known.
    """
    videos = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    if not videos:
        raise DecodeError(path, "no video stream")

    known = [stream for stream in videos if stream.codec_context is not None]
    if not known:
        raise DecodeError(path, "unknown video codec")
    return known


def single_threaded_stream(container, number: int):
    """Return a stream by its number in the file, with one decoding thread: the readers' parallelism is processes."""
    stream = container.streams[number]
    stream.codec_context.thread_count = 1
    return stream


def read_packets(container, streams) -> Iterator[av.Packet]:
    """Yield the packets of a stream, or of several, that hold data. Close the generator when it is left before its end.

    Empty packets (Theora's, for pictures that stay) are refused by decoders. PyAV's own generator frees its packet only
    when it is closed; what it leaks splits the heap.

    Raises:
        av.FFmpegError: the container is damaged from here on.
    """
    demuxer = container.demux(streams)
    try:
        for packet in demuxer:
            if packet.size:
                yield packet
    except IndexError as error:  # damage names a stream that PyAV does not know
        raise av.InvalidDataError(_INVALID_DATA, "a packet belongs to no stream") from error
    finally:
        demuxer.close()


def ffmpeg_reason(error: BaseException) -> str:
    """Return FFmpeg's words for an error, without PyAV's number and file name."""
    return str(getattr(error, "strerror", None) or error).lower()
