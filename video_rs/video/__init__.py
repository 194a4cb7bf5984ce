"""One video file: opening, probing, indexing, decoding, encoding and fetching it.

How a path becomes frames, module by module:

- ``opening`` takes the path and the name of a decoder, and gives a reader.
- ``fetching`` turns a URL into a file on this machine, over HTTP through ``http_download``.
- ``location`` finds the bytes: of a file, or of the part of a shard that is one video.
- ``container`` opens the file with PyAV and lists its video streams.
- ``index/`` learns from the packets which frames the file shows, and how to come to each of them. All readers rely on
  this index, which is why frame i is the same picture whichever decoder reads it.
- ``readers/`` decode: one module for each decoder, and for pictures that no decoder of videos reads.
- ``file_memory`` keeps what is known of a file for the next time that this process opens it.
- ``orientation`` and ``filter_graph`` turn decoded frames into RGB pictures as they are to be shown.

``segments`` says which frames a part of a video has, ``probing/`` what there is to know of a file before training, and
``encoding`` writes videos. Importing this package imports no decoder; each is imported when it is first asked for.
"""

from video_rs.video.errors import DecodeError
from video_rs.video.opening import DECODERS, open_video, reader_class
from video_rs.video.reader import Box, VideoReader

__all__ = ["DECODERS", "Box", "DecodeError", "VideoReader", "open_video", "reader_class"]
