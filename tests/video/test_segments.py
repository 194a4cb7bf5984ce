"""Which frames a segment has, and which is on the screen at a time, against literal numbers and a search by hand."""

import itertools

import numpy as np
import pytest
import torch

from video_rs.runtime.errors import InputError
from video_rs.video.segments import segment_span, whole_video


def frames(*segment):
    span = segment_span(*segment)
    return span.first, span.count


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (None, None, (0, 100)),
        (2.0, 4.0, (20, 20)),
        (2.01, 3.99, (21, 19)),  # frames 2.1 .. 3.9 s
        (None, 4.0, (0, 40)),
        (9.0, None, (90, 10)),
        (9.0, 12.0, (90, 10)),
        (9.9, 10.0, (99, 1)),
    ],
)
def test_a_segment_has_the_frames_whose_time_lies_inside(start, end, expected):
    assert frames(100, 10.0, start, end) == expected


@pytest.mark.parametrize(
    ("start", "end", "shown"),
    [(1.01, 1.02, 10), (0.0, 1e-9, 0), (0.01, 0.05, 0), (9.95, None, 99), (9.95, 9.99, 99), (9.95, 20.0, 99)],
)
def test_between_two_frames_the_earlier_one_is_on_the_screen(start, end, shown):
    assert frames(100, 10.0, start, end) == (shown, 1)


def test_slides_are_on_the_screen_until_the_next_one():
    times = np.array([0.0, 5.0, 6.0, 20.0])
    rate = 3 / 20
    segments = [(1.0, 3.0), (5.5, 5.9), (7.0, 19.0), (20.5, 21.0), (4.0, 6.5)]
    assert [frames(4, rate, *segment, times) for segment in segments] == [(0, 1), (1, 1), (2, 1), (3, 1), (1, 2)]
    # The last one is on the screen for the mean time of the others.
    assert frames(4, rate, 26.0, 27.0, times) == (3, 1)
    with pytest.raises(
        InputError, match=r"segment 27\.0\.\.28\.0 s holds no frame: the video has 4 frames .*, 26\.67 s"
    ):
        segment_span(4, rate, 27.0, 28.0, times)


def test_touching_segments_share_no_frame():
    times = [0.0, 1.0, 1.3, 2.77, 4.5, None]
    parts = [frames(150, 29.97, a, b) for a, b in itertools.pairwise(times)]
    assert [i for first, count in parts for i in range(first, first + count)] == list(range(150))


@pytest.mark.parametrize(
    ("segment", "message"),
    [
        ((0, 10.0, None, None), "num_frames: got 0, allowed: an integer of at least 1"),
        ((100, float("nan"), 1.0, 2.0), "fps: got nan"),
        ((100, 10.0, 12.0, 13.0), "segment 12.0..13.0 s holds no frame: .* 100 frames at 10 "),
        ((100, 10.0, 10.0, None), "segment 10.0..end s holds no frame"),
        ((150, 29.97, 5.01, None), "segment 5.01..end s holds no frame"),
        ((100, 10.0, 2.0, 1.0), "segment 2.0..1.0 s holds no frame"),
    ],
)
def test_refusals(segment, message):
    with pytest.raises(InputError, match=message) as refused:
        segment_span(*segment)
    assert "\n" not in str(refused.value)


def test_how_long_frames_are_shown():
    assert whole_video(150, 30.0).seconds == pytest.approx(5.0)
    assert segment_span(150, 30.0, 1.0, 3.0).seconds == pytest.approx(2.0)
    times = np.array([0.0, 1.0, 2.0, 10.0])
    # The third frame stays until 10 s, but not in the segment.
    assert segment_span(4, 0.3, None, 4.0, times).seconds == pytest.approx(4.0)
    assert segment_span(4, 0.3, 1.0, None, times).seconds == pytest.approx(9 + 1 / 0.3)


@pytest.mark.parametrize(("start", "end"), [(None, None), (0.3, 2.2), (1.0, None)])
def test_the_frame_on_the_screen_is_the_last_one_that_has_begun(start, end):
    times = np.cumsum([0, *np.random.default_rng(3).uniform(0.01, 0.4, 19)])
    span = segment_span(20, 19 / times[-1], start, end, times)
    asked = torch.linspace(0, span.seconds, 200, dtype=torch.float64)
    inside = range(span.first, span.first + span.count)
    expected = [max(i for i in inside if times[i] <= times[span.first] + t + 1e-12) for t in asked.tolist()]
    assert span.on_screen(asked).tolist() == expected


def test_after_the_end_the_last_frame_stays():
    asked = torch.tensor([[0.0, 0.39], [0.4, 99.0]], dtype=torch.float64)
    assert segment_span(100, 10.0, 2.0, 2.5).on_screen(asked).tolist() == [[20, 23], [24, 24]]
