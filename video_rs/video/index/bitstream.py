"""What the coded data in a packet says, for codecs of which the container tells too little.

Packets of H.264 and HEVC consist of units ("NAL units"). In MP4, Matroska and FLV, a length of 4 bytes stands before
each unit.
"""

from collections.abc import Iterator
from typing import NamedTuple


class _UnitTypes(NamedTuple):
    """How the units of a codec are told apart.

    Attributes:
        header: bytes of a unit's header.
        mask: bits of the first byte that hold the type.
        parameter_set: the type, as masked, of the parameters of a sequence (SPS), of which the size is a part.
        message: the type, as masked, of supplemental messages (SEI).
    """

    header: int
    mask: int
    parameter_set: int
    message: int


_UNIT_TYPES = {
    "h264": _UnitTypes(header=1, mask=0x1F, parameter_set=7, message=6),  # ITU-T H.264, 7.3.1 and table 7-1
    "hevc": _UnitTypes(header=2, mask=0x7E, parameter_set=33 << 1, message=39 << 1),  # ITU-T H.265, 7.3.1.2
}
_H264_TYPE = 0x1F
_H264_IDR_SLICE = 5
_DISPLAY_ORIENTATION = 47  # type of a message, annexes D of H.264 and H.265

_MPEG2_SEQUENCE_HEADER = b"\0\0\1\xb3"
_MPEG2_SEARCHED = 64  # bytes; a sequence header stands at the beginning of a key packet
_VP9_HEADER = 16  # bytes that hold everything up to the size
_VP9_SYNC_CODE = f"{0x498342:024b}"


def units(packet: memoryview) -> Iterator[memoryview]:
    """Yield the units of a packet, without their lengths; empty ones are left out."""
    at = 0
    while at + 4 < len(packet):
        size = int.from_bytes(packet[at : at + 4], "big")
        unit = packet[at + 4 : at + 4 + size]
        if len(unit):
            yield unit

        at += 4 + size


def has_idr_picture(packet: memoryview) -> bool:
    """Return whether an H.264 packet holds a slice of an IDR picture, at which decoding begins anew.

    Other pictures that are marked as key frames may be the beginning of a gradual refresh.
    """
    return any(unit[0] & _H264_TYPE == _H264_IDR_SLICE for unit in units(packet))


def has_parameter_sets(codec: str) -> bool:
    """Return whether :func:`parameter_sets` knows a codec."""
    return codec in _UNIT_TYPES


def parameter_sets(codec: str, packet: memoryview) -> list[bytes]:
    """Return the parameter sets of sequences in a packet of H.264 or HEVC."""
    types = _UNIT_TYPES[codec]
    return [bytes(unit) for unit in units(packet) if unit[0] & types.mask == types.parameter_set]


def states_orientation(codec: str, packet: memoryview) -> bool:
    """Return whether a packet of H.264 or HEVC holds a display orientation message; packets of others hold none."""
    types = _UNIT_TYPES.get(codec)
    if types is None:
        return False

    for unit in units(packet):
        is_message = len(unit) > types.header and unit[0] & types.mask == types.message
        if is_message and _DISPLAY_ORIENTATION in _message_types(unit[types.header :]):
            return True
    return False


def _message_types(messages: memoryview) -> list[int]:
    """Return the types of the messages in a unit. Each message states its type and its size before its content."""
    types = []
    at = 0
    while at + 2 < len(messages):
        message_type, at = _message_number(messages, at)
        size, at = _message_number(messages, at)
        if message_type is None or size is None:
            break  # the unit ends inside a number

        types.append(message_type)
        at += size
    return types


def _message_number(messages: memoryview, at: int) -> tuple[int | None, int]:
    """Return the number at a place, and the place behind it: a byte of 255 means that the next one is added to it."""
    number = 0
    while at < len(messages):
        byte = messages[at]
        number += byte
        at += 1
        if byte != 255:
            return number, at
    return None, at


def is_hidden_packet(codec: str, packet: memoryview) -> bool:
    """Return whether a packet of VP8 or VP9 only stores a reference picture (alt-ref), which is not shown.

    VP8 (RFC 6386, 9.1): show_frame is bit 4 of the first byte. VP9 (bitstream specification, 6.2): the first byte holds
    a marker of 2 bits, the profile in 2 bits, a reserved bit for profile 3 alone, show_existing_frame, frame_type and
    show_frame. Other codecs have no such packets.
    """
    if codec == "vp8":
        return not packet[0] & 0x10
    if codec != "vp9":
        return False

    # A superframe holds several frames and ends with the marker 0b110; one of its frames is shown.
    if packet[-1] & 0xE0 == 0xC0:
        return False
    is_profile_3 = packet[0] & 0x30 == 0x30
    first_bit = 2 if is_profile_3 else 3  # of show_existing_frame, counted from the lowest bit
    shows_existing = packet[0] >> first_bit & 1
    shows = packet[0] >> (first_bit - 2) & 1
    return not shows_existing and not shows


def stated_picture_size(codec: str, packet: memoryview) -> bytes | None:
    """Return the bytes of a VP8, VP9 or MPEG-2 key packet that state width and height; None where there are none.

    VP8: RFC 6386, 9.1. VP9: bitstream specification, 6.2. MPEG-2: ISO 13818-2, 6.2.2.1.
    """
    if codec == "vp8" and len(packet) >= 10:
        # The two highest bits of each number only ask for enlargement.
        return bytes((packet[6], packet[7] & 0x3F, packet[8], packet[9] & 0x3F))

    if codec == "vp9":
        return _vp9_size(bytes(packet[:_VP9_HEADER]))

    # The two numbers are 12 bits each, in the 3 bytes behind the start code of the header.
    if codec == "mpeg2video":
        _, _, behind = bytes(packet[:_MPEG2_SEARCHED]).partition(_MPEG2_SEQUENCE_HEADER)
        return behind[:3] or None
    return None


def _vp9_size(packet: bytes) -> bytes | None:
    """Return the 32 bits behind the colour description in the header of a VP9 key frame."""
    bits = "".join(f"{byte:08b}" for byte in packet)
    # The two bits of the profile stand behind the marker, the lower one first.
    profile = int(bits[3] + bits[2], 2)

    at = 4  # behind the marker and the profile
    if profile == 3:
        at += 1  # a reserved bit
    at += 4  # show_existing_frame, frame_type, show_frame, error_resilient_mode
    if bits[at : at + 24] != _VP9_SYNC_CODE:
        return None
    at += 24

    if profile >= 2:
        at += 1  # bit depth
    is_rgb = bits[at : at + 3] == "111"
    at += 3  # colour space
    if not is_rgb:
        at += 1  # range
    if profile in (1, 3):
        at += 1 if is_rgb else 3  # subsampling, where it is free, and a reserved bit
    return int(bits[at : at + 32], 2).to_bytes(4, "big")
