"""Reading videos: three decoders behind one reader, the same frame for the same index from each.

Importing this package imports none of the decoders; each is imported when a video is opened with it.
"""

from video_rs.video.errors import DecodeError
from video_rs.video.opening import DECODERS, open_video, reader_class
from video_rs.video.reader import VideoReader

__all__ = ["DECODERS", "DecodeError", "VideoReader", "open_video", "reader_class"]
