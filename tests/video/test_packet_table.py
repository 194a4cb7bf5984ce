"""What packets say of themselves, on tables and bytes made by hand."""

from fractions import Fraction

import numpy as np
import pytest

from video_rs.video.index.bitstream import has_idr_picture, is_hidden_packet
from video_rs.video.index.frame_index import average_fps
from video_rs.video.index.packet_table import UNKNOWN, PacketTable


def table(*times, **changes) -> PacketTable:
    """Packets by their pts in decoding order; the first one and those given as strings are key frames.

    A change names a column and gives it {packet: value}.
    """
    count = len(times)
    columns = {
        "pts": np.array(times, object).astype(np.int64),
        "dts": np.arange(count),
        "position": np.arange(count) * 100,
        "size": np.full(count, 100),
        "key": np.array([i == 0 or isinstance(time, str) for i, time in enumerate(times)], bool),
        "shown": np.ones(count, bool),
        "clean": np.ones(count, bool),
    }
    for name, values in changes.items():
        for packet, value in values.items():
            columns[name][packet] = value
    return PacketTable(**columns)


@pytest.mark.parametrize(
    ("scanned", "told"),
    [
        (table(0, 2, 1, "3"), True),
        (table(0, 2, 1, shown={1: False}), True),
        (table(0, 2, 1, dts={1: UNKNOWN}), True),
        (table(0, 2, 2), False),
        (table(0, 2, 1, pts={2: UNKNOWN}), False),
        (table(0, 1, 2, key={0: False}), False),
        (table(5, 3, 6), False),
        (table(0, 1, 2, dts={2: -9}), False),
        (table(), False),
    ],
    ids=[
        "B-frames",
        "discarded",
        "no dts",
        "repeated",
        "missing",
        "no key first",
        "before the key",
        "spliced",
        "empty",
    ],
)
def test_when_timestamps_tell_the_frames(scanned, told):
    assert scanned.tells_frames is told


@pytest.mark.parametrize(
    ("scanned", "closed"),
    [
        (table(0, 2, 1, "3", 4), True),
        (table(0, 2, 1, "6", 4, 5), False),
        (table(0, 2, 1, "3", clean={3: False}), False),
        (table(0, 2, 1, shown={1: False}), False),
    ],
    ids=["closed", "open", "refresh", "discarded"],
)
def test_closed_groups(scanned, closed):
    assert scanned.has_closed_groups is closed


def test_reading_starts_three_packets_before_a_key_where_a_position_is_stated():
    scanned = table(0, 1, "2", 3, 4, 5, "6", "7", position={3: UNKNOWN}, size={1: 7, 6: 9})
    assert scanned.key_packets.tolist() == [
        [0, 0, 0, 0, 100, UNKNOWN, 0, 1],
        [2, 2, 2, 200, 100, 7, 0, 3],
        [6, 6, 6, 600, 9, 100, 200, 4],
        [7, 7, 7, 700, 100, 9, 400, 3],
    ]


def test_sizes_that_another_key_on_the_way_has_tell_nothing():
    scanned = table(0, 1, "2", 3, "4", 5, "6", position=dict.fromkeys(range(1, 7), UNKNOWN))
    assert scanned.key_packets[:, 5].tolist() == [UNKNOWN, 100, UNKNOWN, UNKNOWN]


def test_average_rate_falls_back_to_the_header_then_to_one():
    base = Fraction(1, 1000)
    assert average_fps(np.array([0, 40, 80]), base, 1000.0) == pytest.approx(25)
    assert average_fps(np.array([7]), base, 24.0) == 24.0
    assert [average_fps(np.array([7]), base, header) for header in (None, 0.0, float("inf"))] == [1.0, 1.0, 1.0]


def test_hidden_packets_and_idr_pictures_by_their_bits():
    assert is_hidden_packet("vp8", memoryview(b"\x00\x00"))
    assert not is_hidden_packet("vp8", memoryview(b"\x10\x00"))
    assert is_hidden_packet("vp9", memoryview(b"\x84\x00"))  # profile 0, show_frame 0
    assert not is_hidden_packet("vp9", memoryview(b"\x86\x00"))  # show_frame 1
    assert not is_hidden_packet("vp9", memoryview(b"\x88\x00"))  # show_existing_frame
    assert is_hidden_packet("vp9", memoryview(b"\xb2\x00"))  # profile 3: the bits lie one lower
    assert not is_hidden_packet("vp9", memoryview(b"\x84\xc0"))  # a superframe
    assert not is_hidden_packet("h264", memoryview(b"\x00\x00"))
    assert has_idr_picture(memoryview(b"\0\0\0\2\x06\xff" + b"\0\0\0\2\x65\x88"))
    assert not has_idr_picture(memoryview(b"\0\0\0\2\x06\xff" + b"\0\0\0\2\x41\x88"))
