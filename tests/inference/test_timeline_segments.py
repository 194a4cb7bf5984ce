"""Smoothing and segments against literal cases and against definitions written out over whole arrays."""

import numpy as np
import pytest

from video_rs.inference.timeline.building import TimelineBuilder
from video_rs.inference.timeline.segments import Segment, SegmentRules, SegmentTracker, Slot
from video_rs.inference.timeline.settings import TimelineSettings
from video_rs.inference.timeline.smoothing import Smoother, windows_of
from video_rs.inference.timeline.window_log import KEPT, WindowLog
from video_rs.inference.timeline.windows import Window
from video_rs.runtime.errors import InputError


def smooth(rows, width):
    """Rows after a :class:`Smoother`, which has held no more than it needs."""
    smoother, smoothed = Smoother(width), []
    for row in rows:
        smoothed += smoother.push(row)
        assert len(smoother._rows) <= width
    return smoothed + smoother.finish()


def smoothed_at_once(rows, width):
    """The definition: the mean over the neighbours that have probabilities."""
    result = []
    for number, row in enumerate(rows):
        near = rows[max(0, number - width // 2) : number + width // 2 + 1]
        result.append(None if row is None else np.mean([other for other in near if other is not None], axis=0))
    return result


def assert_same_rows(found, expected):
    assert [row is None for row in found] == [row is None for row in expected]
    for row, other in zip(found, expected, strict=True):
        if row is not None:
            np.testing.assert_allclose(row, other, atol=1e-12)


@pytest.mark.parametrize("width", [1, 3, 5, 9])
@pytest.mark.parametrize("count", [0, 1, 2, 7, 30])
def test_smoothing_one_by_one_is_smoothing_at_once(width, count):
    chance = np.random.default_rng(count)
    rows = [None if chance.random() < 0.2 else chance.random(3) for _ in range(count)]
    assert_same_rows(smooth(rows, width), smoothed_at_once(rows, width))


def test_a_smoother_begins_anew_after_its_end():
    smoother = Smoother(3)
    smoother.push(np.ones(1))
    smoother.finish()
    assert smoother.push(np.zeros(1)) == []
    assert smoother.finish() == [np.zeros(1)]


@pytest.mark.parametrize(
    ("seconds", "stride", "windows"), [(0, 1, 1), (1.9, 1, 1), (2, 1, 3), (3.9, 1, 3), (4, 1, 5), (0.6, 0.1, 7)]
)
def test_seconds_of_smoothing_as_windows(seconds, stride, windows):
    assert windows_of(seconds, stride) == windows


def segments(rows, rules, edges=None):
    """Segments of rows of probabilities, a second each."""
    tracker, found = SegmentTracker(rules), []
    for second, row in enumerate(rows):
        found += tracker.push(Slot(second, second + 1, None if row is None else np.array(row, float)))
    return sorted(found + tracker.finish())


def shown(found):
    return [(segment.start, segment.end, segment.label, round(segment.score, 9)) for segment in found]


def test_a_segment_goes_on_between_the_two_thresholds():
    rows = [[0.4], [0.6], [0.4], [0.3], [0.29], [0.45], [0.5], [0.1]]
    rules = SegmentRules(on=0.5, off=0.3)
    assert shown(segments(rows, rules)) == [(1, 4, 0, round(1.3 / 3, 9)), (6, 7, 0, 0.5)]


def test_of_classes_that_exclude_each_other_the_next_ends_the_one_before():
    rows = [[0.7, 0.3], [0.45, 0.55], [0.4, 0.6], [0.35, 0.45], [0.55, 0.45]]
    assert shown(segments(rows, SegmentRules(0.5, 0.3))) == [
        (0, 1, 0, 0.7),
        (1, 4, 1, round(1.6 / 3, 9)),
        (4, 5, 0, 0.55),
    ]
    assert shown(segments(rows, SegmentRules(0.5, 0.3, exclusive=False))) == [
        (0, 5, 0, 0.49),
        (1, 5, 1, round(2.05 / 4, 9)),
    ]


def test_short_segments_are_dropped_and_unread_windows_end_segments():
    rows = [[0.9], [0.1], [0.9], [0.9], None, [0.9], [0.9], [0.9]]
    assert shown(segments(rows, SegmentRules(0.5, 0.5, shortest=2))) == [(2, 4, 0, 0.9), (5, 8, 0, 0.9)]
    assert shown(segments(rows, SegmentRules(0.5, 0.5, shortest=2.5))) == [(5, 8, 0, 0.9)]


def segments_at_once(rows, rules):
    """The definition where classes do not exclude each other: from ``on`` to below ``off``, class by class."""
    found = []
    for label in range(len(rows[0])):
        values = [row[label] for row in rows] + [-1]
        start = None
        for second, value in enumerate(values):
            if start is None and value >= rules.on:
                start = second
            if start is not None and value < rules.off:
                found.append((start, second, label, round(float(np.mean(values[start:second])), 9)))
                start = None
    return sorted(part for part in found if part[1] - part[0] >= rules.shortest)


def test_segments_one_by_one_are_segments_at_once():
    chance = np.random.default_rng(1)
    for _ in range(100):
        rows = chance.random((int(chance.integers(1, 40)), 3))
        rules = SegmentRules(0.7, float(chance.uniform(0, 0.7)), float(chance.integers(0, 4)), exclusive=False)
        assert shown(segments(rows, rules)) == segments_at_once(rows, rules)


def build(rows, width=1, length=2.0, log=None):
    """A timeline of windows of ``length`` seconds that begin a second apart; the window after an "end" begins anew."""
    log = log or WindowLog(2)
    builder = TimelineBuilder(SegmentRules(0.5, 0.5), width, log)
    found = []
    for second, row in enumerate(rows):
        if row == "end":
            found += builder.finish()
        else:
            window = Window(second, second + length, None)
            found += builder.add(window, None if row is None else np.array(row, np.float32))
    return sorted(found + builder.finish()), log


def test_a_window_speaks_for_what_is_nearest_to_its_centre_and_the_outer_ones_for_the_rest():
    dark, light = [1, 0], [0, 1]
    found, log = build([dark, dark, light, light, dark])
    assert shown(found) == [(0, 2.5, 0, 1), (2.5, 4.5, 1, 1), (4.5, 6, 0, 1)]
    table = log.table()
    assert table.starts.tolist() == [0, 1, 2, 3, 4]
    assert table.ends.tolist() == [2, 3, 4, 5, 6]
    assert table.best.labels[:, 0].tolist() == [0, 0, 1, 1, 0]


def test_windows_of_the_same_frames_make_no_segment_of_no_time():
    """A stride below a frame gives the same window again; smoothing may give it other probabilities."""
    builder = TimelineBuilder(SegmentRules(0.5, 0.3), 1, WindowLog(2))
    found = []
    for second, row in ((0, [1, 0]), (1, [0, 1]), (1, [1, 0]), (1, [0, 1]), (2, [0, 1])):
        found += builder.add(Window(second, second + 2, None), np.array(row, np.float32))
        assert all(segment.seconds > 0 for segment in builder.so_far())
    assert shown(found + builder.finish()) == [(0, 1.5, 0, 1), (1.5, 2, 1, 1), (2, 4, 1, 1)]


def test_what_comes_after_a_gap_begins_anew():
    found, log = build([[1, 0], [1, 0], "end", [1, 0], [1, 0]], width=3)
    assert shown(found) == [(0, 3, 0, 1), (3, 6, 0, 1)]
    assert len(log.table()) == 4


def test_smoothing_acts_on_segments_and_leaves_the_windows_as_they_are():
    found, log = build([[1, 0], [1, 0], [0.1, 0.9], [1, 0], [1, 0]], width=3)
    assert [(segment.start, segment.end, segment.label) for segment in found] == [(0, 6, 0)]
    table = log.table()
    assert table.best.curve(0).tolist() == pytest.approx([1, 1, 0.1, 1, 1])
    assert table.smoothed.curve(0).tolist() == pytest.approx([1, 0.7, 0.7, 0.7, 1])


def test_the_best_classes_of_windows_are_kept_and_the_others_are_0():
    chance = np.random.default_rng(2)
    rows = chance.random((20, 50)).astype(np.float32)
    log = WindowLog(50)
    for second, row in enumerate(rows):
        log.add(second, second + 1, row if second != 5 else None, row)
    table = log.table()
    assert (table.unread, table.best.labels.shape) == (1, (20, KEPT))
    kept = np.sort(rows, axis=1)[:, -KEPT:]
    for label in (0, 17):
        expected = np.where(rows[:, label] >= kept[:, 0], rows[:, label], 0)
        assert table.smoothed.curve(label).tolist() == expected.tolist()
        assert np.isnan(table.best.curve(label)[5])


def test_a_log_without_end_keeps_the_latest_windows():
    log = WindowLog(2, most=10)
    for second in range(95):
        log.add(second, second + 1, np.array([second, -1.0]), np.array([second, -1.0]))
        assert len(log.table()) < 20
    table = log.table()
    assert table.starts.tolist() == list(range(80, 95))
    assert table.best.scores[:, 0].tolist() == list(range(80, 95))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SegmentRules(0, 0), "--on: got 0, allowed: a probability above 0, at most 1"),
        (lambda: SegmentRules(1.1, 0.5), "--on: got 1.1, allowed: a probability above 0, at most 1"),
        (
            lambda: SegmentRules(0.5, 0.6),
            "--off: got 0.6, allowed: from 0 to --on, which is 0.5; a segment ends below --off",
        ),
        (lambda: SegmentRules(0.5, 0.5, float("inf")), "--shortest: got inf, allowed: seconds from 0"),
        (lambda: TimelineSettings(stride=0), "--stride: got 0, allowed: seconds from 0.001"),
        (lambda: TimelineSettings(smoothing=-1), "--smooth: got -1, allowed: seconds from 0"),
    ],
)
def test_settings_out_of_range_are_refused(make, message):
    with pytest.raises(InputError) as caught:
        make()
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("settings", "threshold", "on", "off"),
    [
        (TimelineSettings(), None, 0.5, 0.3),
        (TimelineSettings(), 0.8, 0.8, 0.48),
        (TimelineSettings(), 0.0, 0.5, 0.3),
        (TimelineSettings(on=0.4), 0.8, 0.4, 0.24),
        (TimelineSettings(on=0.4, off=0.1), None, 0.4, 0.1),
    ],
)
def test_thresholds_follow_from_the_checkpoint_where_nobody_names_them(settings, threshold, on, off):
    rules = settings.rules(threshold, multi_label=False)
    assert (rules.on, rules.off, rules.exclusive) == (on, pytest.approx(off), True)
    assert not settings.rules(threshold, multi_label=True).exclusive


def test_segments_are_sorted_by_their_starts():
    assert sorted([Segment(2, 3, 0, 0.1), Segment(1, 9, 5, 0.2)])[0].start == 1
