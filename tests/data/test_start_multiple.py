"""Clips that begin at certain frames (DATA.START_MULTIPLE), of files in which a decoder can leave out the others."""

from collections import Counter
from dataclasses import replace

import pytest
import torch

from helpers.clips import clip_spec
from video_rs.builders.data import build_clip_spec
from video_rs.config import load_config
from video_rs.runtime.errors import InputError
from video_rs.video.segments import Span, whole_video


def drawn(spec, span, seed) -> list[int]:
    return spec.random(span, torch.Generator().manual_seed(seed)).tolist()


@pytest.mark.parametrize("multiple", [2, 3])
def test_clips_begin_at_the_last_multiple_before_their_draw(multiple):
    free, span = clip_spec(4, 2), whole_video(30, 25.0)
    bound = replace(free, start_multiple=multiple)
    for seed in range(50):
        start = drawn(free, span, seed)[0]
        begin = start - start % multiple
        assert drawn(bound, span, seed) == [begin, begin + 2, begin + 4, begin + 6]


def test_each_multiple_is_drawn_as_often_as_the_frames_up_to_the_next():
    """25 starts fit into 31 frames: 0 to 24."""
    spec, span = replace(clip_spec(4, 2), start_multiple=4), whole_video(31, 25.0)
    generator = torch.Generator().manual_seed(0)
    starts = Counter(int(spec.random(span, generator)[0]) for _ in range(10_000))
    assert sorted(starts) == [0, 4, 8, 12, 16, 20, 24]
    for start in (0, 4, 8, 12, 16, 20):
        # 1600 expected, with a deviation of 37.
        assert starts[start] == pytest.approx(1600, abs=4 * 37)
    assert starts[24] == pytest.approx(400, abs=4 * 20)


def test_a_segment_counts_from_the_beginning_of_its_video():
    spec, span = replace(clip_spec(4, 2), start_multiple=2), Span(7, 10, 25.0, 0.4)
    clips = {tuple(drawn(spec, span, seed)) for seed in range(60)}
    assert clips == {(8, 10, 12, 14), (10, 12, 14, 16)}


def test_a_clip_without_room_stays_where_it_is():
    # Frames 7 to 13 hold one clip, which begins at 7; a shorter span starts over, as without a multiple.
    spec = replace(clip_spec(4, 2), start_multiple=2)
    assert drawn(spec, Span(7, 7, 25.0, 0.28), 0) == [7, 9, 11, 13]
    for seed in range(5):
        assert drawn(spec, whole_video(5, 25.0), seed) == drawn(clip_spec(4, 2), whole_video(5, 25.0), seed)


def test_pairs_and_second_forms_begin_there_too():
    free, span = clip_spec(4, 2), whole_video(40, 25.0)
    bound = replace(free, start_multiple=2)
    for seed in range(20):
        generators = [torch.Generator().manual_seed(seed) for _ in range(3)]
        pair = free.random_pair(span, 1.0, generators[0])
        for clip, moved in zip(pair, bound.random_pair(span, 1.0, generators[1]), strict=True):
            assert torch.equal(moved, clip - clip[0] % 2)

        first, second = bound.random_twice(span, 8, generators[2])
        assert first.tolist() == drawn(bound, span, seed)
        assert second.tolist() == list(range(first[0], first[0] + 8))


@pytest.mark.parametrize("by_time", [{"DATA.TARGET_FPS": 15.0}, {"DATA.CLIP_SAMPLER": "pytorchvideo"}])
def test_clips_by_time_have_no_multiples(by_time):
    with pytest.raises(InputError) as caught:
        build_clip_spec(load_config("", {"DATA.START_MULTIPLE": 2, **by_time}))
    assert str(caught.value) == (
        "DATA.START_MULTIPLE: got 2, but clips are taken by time, not by frame number; set it to 1, or DATA.TARGET_FPS "
        "0 and DATA.CLIP_SAMPLER frames"
    )
