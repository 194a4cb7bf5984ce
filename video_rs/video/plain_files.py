"""Files from strangers: only those that hold their own pictures, told by their bytes and not by their names.

FFmpeg opens playlists, too, and follows them: HLS (.m3u8), concat scripts, SDP and others name further files or
addresses. With a file from somebody else, that would read the files of this machine, or call other machines.
"""

import av

from video_rs.video.errors import DecodeError

PLAIN_FORMATS = (
    *("mov", "mp4", "matroska", "webm", "avi", "flv", "mpeg", "mpegts", "mpegvideo", "asf", "ogg", "gif", "mxf", "nut"),
    *("h264", "hevc", "m4v", "ivf", "obu", "av1", "dv"),
)
"""FFmpeg's names of the formats that are opened: none of them refers to another file."""
USUAL = "MP4, MOV, MKV, WebM, AVI, FLV, MPEG, MPEG-TS, WMV, Ogg, GIF"
MOST_PIXELS = 4096 * 2304
"""Of a frame: a small file may say that its frames are so large that they fill the memory."""


def require_plain_file(path: str, most_pixels: int = MOST_PIXELS) -> None:
    """Check that a file holds a video itself, with frames of a usual size; opening it again opens the same format.

    Args:
        path: of a file that nobody changes meanwhile, with a name that says nothing of its format.
        most_pixels: of a frame.

    Raises:
        DecodeError: it does not.
    """
    # FFmpeg tells the format by the bytes, and refuses one that is not named here before it reads any further.
    options = {"format_whitelist": ",".join(PLAIN_FORMATS), "protocol_whitelist": "file"}
    try:
        with av.open(f"file:{path}", options=options, metadata_errors="replace") as container:
            sizes = []
            for stream in container.streams.video:
                if stream.codec_context is not None:
                    sizes.append((stream.codec_context.width, stream.codec_context.height))
    except (av.FFmpegError, ValueError) as error:
        raise DecodeError(path, f"no video file, or a damaged one; allowed: {USUAL}") from error

    for width, height in sizes:
        if width * height > most_pixels:
            raise DecodeError(path, f"its frames are {width} x {height}; allowed: {most_pixels} pixels")
