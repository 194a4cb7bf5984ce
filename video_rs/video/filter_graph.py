"""FFmpeg's filters on decoded frames, which convert colours as FFmpeg's program does.

PyAV's own conversion (``to_ndarray(format="rgb24")``) differs from the program where chroma has half of the lines: it
takes the chroma of interlaced frames field by field, and it places the chroma of frames of more than 8 bits elsewhere.
It differed from the program by 6 levels of 255 in the mean.
"""

from collections.abc import Callable, Sequence

import av
import numpy as np
import torch

from video_rs.video.orientation import Orientation


class FilterGraph:
    """A chain of filters for one frame after the other, in one thread.

    Args:
        filters_for: returns the filters of a frame in their order, written as the program takes them, such as
            ``transpose=clock``. It is called again only for a frame of another kind: size, format, colour matrix or
            range.
    """

    def __init__(self, filters_for: Callable[[av.VideoFrame], Sequence[str]]):
        self._filters_for = filters_for
        self._graph: av.filter.Graph | None = None
        self._kind: tuple | None = None

    def __call__(self, frame: av.VideoFrame) -> av.VideoFrame:
        """Return the frame that the filters make of a frame."""
        kind = (frame.width, frame.height, frame.format.name, frame.colorspace, frame.color_range)
        if kind != self._kind:
            self._graph = _build_graph(frame, self._filters_for(frame))
            self._kind = kind
        self._graph.vpush(frame)
        return self._graph.vpull()


def rgb_filters(orientation: Orientation, height: int, width: int, frame: av.VideoFrame) -> list[str]:
    """Return the filters that make a frame an RGB picture of this size, which is given as shown.

    Only where a stream changes the size of its pictures does a frame have another size.
    """
    filters = list(orientation.filters())
    if orientation.shown_size(frame.height, frame.width) != (height, width):
        filters.append(f"scale={width}:{height}:flags=bicubic")
    filters.append("format=rgb24")
    return filters


def rgb_pixels(picture: av.VideoFrame) -> torch.Tensor:
    """Return the pixels of an RGB picture, uint8 ``[H, W, 3]``, which lie in the picture's own memory."""
    # The rows of the plane may be longer than the picture, for alignment.
    plane = picture.planes[0]
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
    pixels = rows[: picture.height, : picture.width * 3]
    return torch.from_numpy(pixels.reshape(picture.height, picture.width, 3))


def _build_graph(frame: av.VideoFrame, filters: Sequence[str]) -> av.filter.Graph:
    """Return a graph that takes frames of this one's kind."""
    graph = av.filter.Graph()
    graph.threads = 1

    # The colour matrix has to be named: a filter that is to leave the colours alone would convert them to BT.601.
    source = graph.add(
        "buffer",
        video_size=f"{frame.width}x{frame.height}",
        pix_fmt=frame.format.name,
        colorspace=str(int(frame.colorspace)),
        range=str(int(frame.color_range)),
        time_base="1/1",  # required, but no filter here looks at times
    )

    nodes = [source]
    for text in filters:
        name, _, arguments = text.partition("=")
        nodes.append(graph.add(name, arguments or None))
    nodes.append(graph.add("buffersink"))

    graph.link_nodes(*nodes).configure()
    return graph
