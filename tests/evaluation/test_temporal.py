"""Average precision of segments against cases worked out by hand, and against loops written after the definitions."""

import math

import numpy as np
import pytest

from video_rs.evaluation.frames import NOTHING, count_frames, labels_at
from video_rs.evaluation.spans import Segments, joined_spans
from video_rs.evaluation.temporal import (
    THRESHOLDS,
    JudgedVideo,
    evaluate_detection,
    interpolated_precision,
    map_interval,
    match_videos,
    temporal_iou,
)

ALL = ((0.0, 1000.0),)


def judged(found, truth, annotated=ALL):
    """A video of found (start, end, label, score) and true (start, end, label) segments."""
    rows = [(*segment, 1.0) for segment in truth]
    return JudgedVideo(Segments.of(found), Segments.of(rows), np.array(annotated, float).reshape(-1, 2))


def precision(found, truth, threshold, annotated=ALL):
    """Average precision of a single class."""
    detection = evaluate_detection([judged(found, truth, annotated)], [threshold])
    return detection.precisions[0, 0]


def test_joined_spans_cover_the_same_time_once():
    assert joined_spans([(5, 6), (0, 2), (1, 3), (3, 4), (8, 8)]).tolist() == [[0, 4], [5, 6], [8, 8]]
    assert joined_spans([]).shape == (0, 2)


def test_intersection_over_union():
    """[0, 10) and [5, 15) share 5 of 15 seconds; [0, 10) and [2, 7) 5 of 10; [0, 10) and [10, 12) nothing."""
    found = np.array([[0.0, 10.0]])
    truth = np.array([[5.0, 15.0], [2.0, 7.0], [10.0, 12.0]])
    assert temporal_iou(found, truth, np.array(ALL)).tolist() == [[1 / 3, 0.5, 0.0]]


def test_time_that_nobody_annotated_has_no_part_in_a_union():
    """Of [0, 10), found, the annotated [4, 8) is 4 s long and all of it true; [4, 6) has half of the time true."""
    annotated = np.array([[4.0, 8.0], [20.0, 30.0]])
    iou = temporal_iou(np.array([[0.0, 10.0]]), np.array([[4.0, 8.0], [4.0, 6.0]]), annotated)
    assert iou.tolist() == [[1.0, 0.5]]


def test_average_precision_by_hand():
    """Right, wrong, right, wrong of 3: recall 1/3 at precision 1, 2/3 at 2/3; the last third is never found."""
    scores = np.array([0.9, 0.8, 0.7, 0.6])
    assert interpolated_precision(scores, np.array([1, 0, 1, 0], bool), 3) == pytest.approx((1 + 2 / 3) / 3)
    # The precision at a higher recall counts where it is better: wrong, right, right gives 2/3 twice.
    assert interpolated_precision(scores[:3], np.array([0, 1, 1], bool), 2) == pytest.approx(2 / 3)
    assert interpolated_precision(np.array([]), np.array([], bool), 2) == 0


def test_a_true_segment_is_found_once():
    """The second of two segments on one true one is wrong, whichever is the better fit; the surer one comes first."""
    found = [(0, 10, 0, 0.5), (0, 8, 0, 0.9)]
    assert precision(found, [(0, 10, 0)], 0.5) == 1.0  # right, wrong
    found = [(0, 10, 0, 0.5), (0, 4, 0, 0.9)]
    assert precision(found, [(0, 10, 0)], 0.5) == 0.5  # wrong, right
    # The next best true segment is taken where the best one is gone.
    found = [(0, 10, 0, 0.9), (0, 10, 0, 0.8)]
    assert precision(found, [(0, 10, 0), (1, 11, 0)], 0.5) == 1.0


def test_the_threshold_itself_is_enough():
    assert precision([(0, 5, 0, 0.5)], [(0, 10, 0)], 0.5) == 1.0
    assert precision([(0, 5, 0, 0.5)], [(0, 10, 0)], 0.5000001) == 0.0


def test_map_is_the_mean_over_the_classes_of_the_truth_in_all_videos():
    """Class 0: found in one of two videos, 0.5. Class 1: found with a surer mistake before, 0.5. Class 2: no truth."""
    videos = [
        judged([(0, 10, 0, 0.5), (20, 30, 1, 0.8), (40, 50, 2, 0.9)], [(0, 10, 0)]),
        judged([(20, 30, 1, 0.7)], [(5, 15, 0), (20, 30, 1)]),
    ]
    detection = evaluate_detection(videos)
    assert detection.labels == (0, 1)
    assert detection.precisions.tolist() == [[0.5, 0.5]] * 7
    assert detection.maps.tolist() == [0.5] * 7
    assert detection.mean_map == 0.5


def test_mistakes_where_nobody_annotated_are_none():
    found = [(50, 60, 0, 0.9), (0, 10, 0, 0.5)]
    assert precision(found, [(0, 10, 0)], 0.5) == 0.5
    assert precision(found, [(0, 10, 0)], 0.5, annotated=[(0, 10)]) == 1.0
    # Time in which it is known that there is nothing is annotated.
    assert precision(found, [(0, 10, 0)], 0.5, annotated=[(0, 10), (55, 70)]) == 0.5


def test_nothing_to_find_has_no_precision():
    detection = evaluate_detection([judged([(0, 1, 0, 0.5)], [])])
    assert (detection.labels, np.isnan(detection.maps).all()) == ((), True)
    assert math.isnan(detection.mean_map)


def loops(videos, threshold):
    """ActivityNet's evaluation in loops over plain numbers: class -> average precision.

    Seconds are whole here, so that time is a set of seconds.
    """
    result = {}
    for label in sorted({label for _, truth, _ in videos for *_, label in truth}):
        candidates = []
        for video, (found, _, annotated) in enumerate(videos):
            for start, end, of, score in found:
                seconds = set(range(start, end)) & annotated
                if of == label and seconds:
                    candidates.append((score, video, seconds))
        candidates.sort(key=lambda candidate: -candidate[0])
        truths = [
            (video, set(range(start, end)))
            for video, (_, truth, _) in enumerate(videos)
            for start, end, of in truth
            if of == label
        ]
        taken, outcomes = set(), []
        for _, video, seconds in candidates:
            best = None
            for number, (other, true_seconds) in enumerate(truths):
                if other != video or number in taken:
                    continue
                iou = len(seconds & true_seconds) / len(seconds | true_seconds)
                if iou >= threshold and (best is None or iou > best[0]):
                    best = (iou, number)
            if best:
                taken.add(best[1])
            outcomes.append(best is not None)
        # The area under the curve of the best precision at each recall or a higher one.
        area = 0.0
        for place, right in enumerate(outcomes):
            if right:
                later = [sum(outcomes[: end + 1]) / (end + 1) for end in range(place, len(outcomes))]
                area += max(later) / len(truths)
        result[label] = area
    return result


def random_video(chance, annotate_all):
    """Whole seconds in [0, 60): found and true segments, and annotated time around the true ones."""

    def spans(count):
        for _ in range(count):
            start = int(chance.integers(0, 55))
            yield start, start + int(chance.integers(1, 12)), int(chance.integers(0, 3))

    truth = list(spans(int(chance.integers(0, 6))))
    found = [(*span, float(chance.random())) for span in spans(int(chance.integers(0, 12)))]
    near = [(max(0, start - 1), min(end + 2, 70)) for start, end, *_ in found if annotate_all or chance.random() < 0.3]
    annotated = [(start, end) for start, end, _ in truth] + near
    return found, truth, [(0, 100)] if annotate_all else annotated


@pytest.mark.parametrize("annotate_all", [True, False])
def test_the_numbers_are_those_of_plain_loops(annotate_all):
    chance = np.random.default_rng(3)
    for _ in range(60):
        drawn = [random_video(chance, annotate_all) for _ in range(int(chance.integers(1, 4)))]
        videos = [judged(found, truth, joined_spans(annotated)) for found, truth, annotated in drawn]
        seconds = [(f, t, {s for start, end in a for s in range(start, end)}) for f, t, a in drawn]
        detection = evaluate_detection(videos)
        for row, threshold in enumerate(THRESHOLDS):
            expected = loops(seconds, threshold)
            assert detection.labels == tuple(expected)
            np.testing.assert_allclose(detection.precisions[row], list(expected.values()), atol=1e-12)


def test_frames_are_judged_where_somebody_annotated():
    """10 frames a second apart; [2, 8) is annotated, [2, 5) is class 1, [4, 6) class 2, [6, 8) nothing."""
    times = np.arange(10) + 0.5
    truth = Segments.of([(2, 5, 1, 1), (4, 6, 2, 1)])
    annotated = np.array([[2.0, 8.0]])
    predicted = np.array([1, 1, 1, 2, 2, 1, NOTHING, 1, 2, NOTHING])
    counts = count_frames(times, predicted, truth, annotated)
    # Right: frame 2 (class 1), frame 4 (one of two classes), frame 6 (nothing).
    assert counts == (3, 6)
    assert counts.accuracy == 0.5
    assert math.isnan(count_frames(times, predicted, truth, np.empty((0, 2))).accuracy)


def test_frames_against_a_loop():
    chance = np.random.default_rng(4)
    for _ in range(30):
        found, truth, annotated = random_video(chance, annotate_all=False)
        video = judged(found, truth, joined_spans(annotated))
        times = np.sort(chance.uniform(0, 70, 200))
        predicted = labels_at(times, video.found)
        right = frames = 0
        for time, label in zip(times, predicted, strict=True):
            says = [(score, of) for start, end, of, score in found if start <= time < end]
            assert label == (max(says)[1] if says else NOTHING)
            if any(start <= time < end for start, end in annotated):
                shown = {of for start, end, of in truth if start <= time < end} or {NOTHING}
                right += label in shown
                frames += 1
        assert count_frames(times, predicted, video.truth, video.annotated) == (right, frames)


def test_the_interval_comes_from_groups_of_videos_drawn_again():
    """Of two videos, one found and one not, a draw has mAP 1, 0.5 or 0; of equal videos each draw has the same."""
    good = judged([(0, 10, 0, 0.9)], [(0, 10, 0)])
    bad = judged([], [(0, 10, 0)])
    matched = match_videos([good, bad], THRESHOLDS)
    assert map_interval(matched, THRESHOLDS, ["a", "b"]) == (0.5, 0.0, 1.0)
    assert map_interval(matched, THRESHOLDS, ["a", "a"]) is None
    assert map_interval(match_videos([good, good], THRESHOLDS), THRESHOLDS, ["a", "b"]) == (1.0, 1.0, 1.0)
    assert map_interval(match_videos([judged([], [])] * 2, THRESHOLDS), THRESHOLDS, ["a", "b"]) is None
