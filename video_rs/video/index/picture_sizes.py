"""Whether the size of the pictures changes inside a stream, by what its key packets say; nothing is decoded."""

import av

from video_rs.video.index.bitstream import has_parameter_sets, parameter_sets, stated_picture_size


class PictureSizes:
    """Compares what the key packets of a stream state.

    Args:
        codec: FFmpeg's name of the decoder.
        header: the parameters in the stream's own header ("extradata").

    Attributes:
        change: whether a key packet states another size than the first one did (VP8, VP9, MPEG-2), or other parameters
            than the stream's header, of which the size is a part (H.264, HEVC). Of other codecs nothing is known.
    """

    def __init__(self, codec: str, header: bytes | None):
        self._codec = codec
        self._header = header or b""
        self._first_size: bytes | None = None
        self.change = False

    def add(self, packet: av.Packet) -> None:
        """Compare one more key packet."""
        if self.change:
            return
        if has_parameter_sets(self._codec):
            self.change = self._has_other_parameters(packet)
            return

        size = stated_picture_size(self._codec, memoryview(packet))
        self._first_size = self._first_size or size
        self.change = size is not None and size != self._first_size

    def _has_other_parameters(self, packet: av.Packet) -> bool:
        found = parameter_sets(self._codec, memoryview(packet))
        # A file without parameters in its header states them in the first packet.
        self._header = self._header or b"".join(found)
        are_known = all(parameters in self._header for parameters in found)
        return not are_known or packet.has_sidedata("new_extradata")
