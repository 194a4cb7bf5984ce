"""Frame indexes as bytes, for the cache: a few hundred of them for a video of an even rate."""

import json
import zlib
from fractions import Fraction

import numpy as np

from video_rs.video.index.frame_index import FrameIndex, KeyPacket, Note


def pack_index(index: FrameIndex) -> bytes:
    """Return an index as bytes: one line of JSON, the columns of whole numbers, and a bit a frame, all compressed.

    The columns are written as differences, which repeat at an even rate, and so compress.
    """
    head = {
        "frames": len(index.pts),
        "entries": len(index.key_packets),
        "time_base": [index.time_base.numerator, index.time_base.denominator],
        "fps": index.fps,
        "stream": index.stream,
        "addressable": index.addressable,
        "counted": index.counted,
        "notes": index.notes,
    }

    columns = [index.pts, index.packets, *index.key_packets.T]
    body = b""
    for column in columns:
        body += np.diff(column, prepend=0).astype("<i8").tobytes()
    body += np.packbits(index.key).tobytes()
    return zlib.compress(json.dumps(head).encode() + b"\n" + body)


def unpack_index(data: bytes) -> FrameIndex:
    """Return the index that :func:`pack_index` made bytes of."""
    head, _, body = zlib.decompress(data).partition(b"\n")
    facts = json.loads(head)
    num_frames = facts["frames"]
    num_key_packets = facts["entries"]

    # Two columns of the frames, then one for each attribute of a key packet.
    lengths = [num_frames, num_frames] + [num_key_packets] * len(KeyPacket._fields)
    count = sum(lengths)
    differences = np.frombuffer(body, "<i8", count).astype(np.int64)
    column_ends = np.cumsum(lengths)[:-1]
    pts, packets, *key_packet_columns = [np.cumsum(column) for column in np.split(differences, column_ends)]
    key_bits = np.frombuffer(body, np.uint8, offset=8 * count)

    return FrameIndex(
        pts=pts,
        packets=packets,
        key=np.unpackbits(key_bits, count=num_frames).astype(bool),
        key_packets=np.stack(key_packet_columns, axis=1),
        time_base=Fraction(*facts["time_base"]),
        fps=facts["fps"],
        stream=facts["stream"],
        addressable=facts["addressable"],
        counted=facts["counted"],
        notes=tuple(Note(*note) for note in facts["notes"]),
    )
