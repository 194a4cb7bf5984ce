"""FFmpeg's filters on decoded frames, which convert colours as FFmpeg's program does.

PyAV's own conversion (``to_ndarray(format="rgb24")``) differs from the program where chroma has half of the lines: it
takes the chroma of interlaced frames field by field, and it places the chroma of frames of more than 8 bits elsewhere.
It differed from the program by 6 levels of 255 in the mean.
"""

from collections.abc import Callable, Sequence

import av
import numpy as np
import torch

from video_rs.video.orientation import AS_STORED, Orientation
from video_rs.video.reader import Box

# FFmpeg's names of the formats of which it makes RGB by two by two pixels, where both sides are even.
_BY_PAIRS = ("yuv420p", "yuvj420p")


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


class RgbBox:
    """Gives what a box shows of frames, in RGB.

    Args:
        orientation: how the frames are turned and mirrored.
        height, width: of the frames in pixels, as shown.
        box: what is wanted of them; None: all.

    Attributes:
        box: what is wanted of them.
    """

    def __init__(self, orientation: Orientation, height: int, width: int, box: Box | None = None):
        self._orientation = orientation
        self._height = height
        self._width = width
        self.box = box or Box(0, 0, height, width)
        self._graph = FilterGraph(self._filters)

    def __call__(self, frame: av.VideoFrame) -> torch.Tensor:
        """Return the pixels of the box, uint8 ``[h, w, 3]``, of any strides, which lie in memory of their own.

        Raises:
            av.FFmpegError: the frame cannot be made RGB.
        """
        pixels = rgb_pixels(self._graph(frame))
        if not self._is_cut_before(frame):
            return self.box.cut(pixels)

        outer = _outer_box(self.box)
        return self.box._replace(top=self.box.top - outer.top, left=self.box.left - outer.left).cut(pixels)

    def _filters(self, frame: av.VideoFrame) -> list[str]:
        filters = rgb_filters(self._orientation, self._height, self._width, frame)
        if self._is_cut_before(frame):
            top, left, height, width = _outer_box(self.box)
            filters.insert(0, f"crop={width}:{height}:{left}:{top}")
        return filters

    def _is_cut_before(self, frame: av.VideoFrame) -> bool:
        """Return whether a part of the frame becomes the same RGB as it does in the whole frame.

        FFmpeg makes RGB of two by two pixels, which have one value of chroma. Of odd sizes, more bits and other layouts
        it interpolates the chroma, which the edge of a part would change.
        """
        if self.box == Box(0, 0, self._height, self._width):
            return False
        is_as_stored = self._orientation == AS_STORED
        has_this_size = (frame.height, frame.width) == (self._height, self._width)
        has_even_sides = frame.height % 2 == 0 and frame.width % 2 == 0
        return is_as_stored and has_this_size and has_even_sides and frame.format.name in _BY_PAIRS


def _outer_box(box: Box) -> Box:
    """Return the smallest box around another that begins and ends at even pixels."""
    top = box.top // 2 * 2
    left = box.left // 2 * 2
    bottom = box.top + box.height
    right = box.left + box.width
    return Box(top, left, bottom + bottom % 2 - top, right + right % 2 - left)


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
