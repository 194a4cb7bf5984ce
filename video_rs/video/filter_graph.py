"""FFmpeg's filters on decoded frames, which convert colours as its program does.

PyAV's own conversion is another one where chroma has half of the lines: that of interlaced frames it takes field by
field, and that of frames of more than 8 bits it places elsewhere. It differed from the program by 6 levels in the mean.
"""

from collections.abc import Callable, Sequence

import av


class FilterGraph:
    """A chain of filters for one frame after the other, in one thread.

    Args:
        chain_for: returns the filters of a frame, as the program takes them, such as ``transpose=clock``, the first one
            first. It is asked again only for a frame of another kind: size, format, colour matrix, range.
    """

    def __init__(self, chain_for: Callable[[av.VideoFrame], Sequence[str]]):
        self._chain_for = chain_for
        self._graph = self._kind = None

    def __call__(self, frame: av.VideoFrame) -> av.VideoFrame:
        """Return the frame that comes out."""
        kind = (frame.width, frame.height, frame.format.name, frame.colorspace, frame.color_range)
        if kind != self._kind:
            self._graph, self._kind = _graph(frame, self._chain_for(frame)), kind
        self._graph.vpush(frame)
        return self._graph.vpull()


def _graph(frame: av.VideoFrame, chain: Sequence[str]) -> av.filter.Graph:
    """A graph that takes frames of this one's kind."""
    graph = av.filter.Graph()
    graph.threads = 1

    # Without the matrix, a filter that leaves it as it is would convert to BT.601.
    kind = {
        "video_size": f"{frame.width}x{frame.height}",
        "pix_fmt": frame.format.name,
        "colorspace": str(int(frame.colorspace)),
        "range": str(int(frame.color_range)),
        "time_base": "1/1",  # no filter here asks for it
    }
    nodes = [graph.add("buffer", **kind)]
    for text in chain:
        name, _, arguments = text.partition("=")
        nodes.append(graph.add(name, arguments or None))
    graph.link_nodes(*nodes, graph.add("buffersink")).configure()
    return graph
