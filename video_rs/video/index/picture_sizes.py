"""Whether the size of the pictures changes inside a stream, by what its key packets say of it; nothing is decoded."""

from collections.abc import Iterator

import av

# Of the parameter sets of a sequence (SPS): the bits of the first byte that tell the type of a unit, and the type.
_PARAMETERS = {"h264": (0x1F, 7), "hevc": (0x7E, 33 << 1)}
_MPEG2_SEQUENCE = b"\0\0\1\xb3"
_MPEG2_SEARCHED = 64  # bytes; a sequence header stands at the beginning of a key packet


class PictureSizes:
    """Compares what key packets state.

    Attributes:
        change: a key packet states another size than the first one did, or other parameters than the stream's header
            (H.264, HEVC), of which the size is a part. Of other codecs nothing is known.

    Args:
        codec: FFmpeg's name.
        header: the stream's own parameters ("extradata").
    """

    def __init__(self, codec: str, header: bytes | None):
        self._codec, self._header = codec, header or b""
        self._first: bytes | None = None
        self.change = False

    def add(self, packet: av.Packet) -> None:
        """Take over a key packet."""
        if self.change:
            return
        data = memoryview(packet)
        if self._codec in _PARAMETERS:
            found = list(_parameters(data, *_PARAMETERS[self._codec]))
            # A file that keeps its parameters in the packets alone states them in the first one.
            self._header = self._header or b"".join(found)
            self.change = any(part not in self._header for part in found) or packet.has_sidedata("new_extradata")
            return

        stated = stated_sides(self._codec, data)
        self._first = self._first or stated
        self.change = stated is not None and stated != self._first


def stated_sides(codec: str, packet: memoryview) -> bytes | None:
    """Return the bytes of a VP8, VP9 or MPEG-2 key packet that state width and height; None where there are none.

    VP8: RFC 6386, 9.1; the two highest bits of each number only ask for enlargement. VP9: bitstream specification,
    6.2; MPEG-2: ISO 13818-2, 6.2.2.1.
    """
    if codec == "vp8" and len(packet) >= 10:
        return bytes((packet[6], packet[7] & 0x3F, packet[8], packet[9] & 0x3F))
    if codec == "vp9":
        return _vp9_size(bytes(packet[:16]))
    if codec == "mpeg2video":
        _, _, behind = bytes(packet[:_MPEG2_SEARCHED]).partition(_MPEG2_SEQUENCE)
        return behind[:3] or None
    return None


def _vp9_size(packet: bytes) -> bytes | None:
    """The 32 bits behind the colour description of a key frame's header."""
    bits = "".join(f"{byte:08b}" for byte in packet)
    profile = int(bits[3] + bits[2], 2)
    at = 4 + (profile == 3) + 4  # show_existing_frame, frame_type, show_frame, error_resilient_mode
    if bits[at : at + 24] != f"{0x498342:024b}":
        return None

    at += 24 + (profile >= 2)  # bit depth
    is_rgb = bits[at : at + 3] == "111"
    at += 3 + (not is_rgb)  # colour space, range
    if profile in (1, 3):
        at += 1 if is_rgb else 3  # subsampling, a reserved bit
    return int(bits[at : at + 32], 2).to_bytes(4, "big")


def _parameters(packet: memoryview, mask: int, kind: int) -> Iterator[bytes]:
    """The parameter sets in a packet of units with 4-byte lengths (MP4, Matroska, FLV)."""
    at = 0
    while at + 4 < len(packet):
        size = int.from_bytes(packet[at : at + 4], "big")
        if packet[at + 4] & mask == kind:
            yield bytes(packet[at + 4 : at + 4 + size])
        at += 4 + size
