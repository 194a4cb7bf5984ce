"""Ways to answer for a video: whole frames, one pass over it, and views until the answer is decided."""

import argparse
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch

from helpers.clips import clip_spec, eval_transform
from helpers.networks import NARROW, refusal
from video_rs import Predictor, create_model
from video_rs.commands import network as network_options
from video_rs.config import OPTIONS
from video_rs.data import whole_video
from video_rs.data.dataset import VideoSource, ViewReader
from video_rs.data.preprocessing import VIEWS, Preprocessing
from video_rs.engine import stopping
from video_rs.engine.evaluation import NetworkScorer, evaluate
from video_rs.inference import dense
from video_rs.inference.calibration import StoppingRule
from video_rs.inference.dense import parts_of
from video_rs.inference.engines import ENGINES
from video_rs.inference.precision import PRECISIONS
from video_rs.inference.prediction import Answers
from video_rs.inference.video_scoring import largest_clips, video_scorer
from video_rs.lists.records import VideoRecord
from video_rs.models.temporal_reach import TemporalReach, temporal_reach
from video_rs.video.encoding import write_video
from video_rs.video.readers.in_memory import InMemoryReader

FRAMES = 8
RATE = 2
LOCAL = {"se_ratio": 0.0, "self_gating": False}
# Of 40 x 64, the size of films here before and behind resizing: each side is a crop's, 32, and a multiple of 32 more.
WHOLE = (slice(4, 36), slice(0, 64))


def preprocessing(views, num_clips=4, num_crops=3):
    transform = eval_transform(short_side=40, crop_size=32, num_crops=num_crops)
    return Preprocessing(clip_spec(FRAMES, RATE), num_clips, transform, (0.4, 0.4, 0.4), (0.2, 0.2, 0.2), views)


def network(**overrides):
    """A narrow network in double precision, as a scorer."""
    torch.manual_seed(0)
    model = create_model("r3d_rs_tiny", 3, **{**NARROW, **overrides}).eval().double()
    with torch.no_grad():
        model.fc.weight.mul_(20)
    prepare = partial(preprocessing("published").prepare, device=torch.device("cpu"))
    return NetworkScorer(model, lambda clips: prepare(clips).double())


@dataclass(frozen=True)
class Held:
    """A source of one video in memory."""

    frames: np.ndarray

    def open(self, path):
        return InMemoryReader(self.frames, 25.0)


def film(count, height=40, width=64, seed=0):
    """Noise that drifts in brightness, uint8 ``[T, H, W, 3]``."""
    draw = np.random.default_rng(seed)
    brightness = 128 + 100 * np.sin(np.arange(count) / 7)
    noise = draw.normal(0, 40, (count, height, width, 3))
    return (brightness[:, None, None, None] + noise).clip(0, 255).astype(np.uint8)


def item_of(frames, views, **changes):
    read = ViewReader(replace(preprocessing(views), **changes), Held(frames))
    return read(VideoRecord("film", (0,), None, None, "film"), 0)


def answer(scorer, item, views, stop_at=0.0, batch=8):
    rule = StoppingRule(stop_at, 4, 3)
    (result,) = evaluate(video_scorer(scorer, preprocessing(views), rule, batch), [item], batch, keep_views=True)
    assert result.error is None
    return result


@torch.inference_mode()
def cells_of(scorer, item):
    """The last map of one pass, pooled over space, float64 ``[C, T']``."""
    return torch.cat(list(video_scorer(scorer, preprocessing("dense"), None, 8).cells(item)), 1)


# -- Whole frames


@pytest.mark.parametrize(
    ("size", "resized", "whole"), [(256, (256, 340), (256, 320)), (80, (88, 200), (80, 176)), (32, (40, 64), (32, 64))]
)
def test_whole_frames_end_where_a_crop_does(size, resized, whole):
    transform = eval_transform(short_side=resized[0], crop_size=size)
    assert transform.whole_size(*resized) == whole
    assert transform.whole_size(*resized[::-1]) == whole[::-1]
    clip = torch.arange(3 * resized[0] * resized[1]).view(3, 1, *resized)
    top, left = ((have - want) // 2 for have, want in zip(resized, whole, strict=True))
    assert torch.equal(transform.whole(clip), clip[:, :, top : top + whole[0], left : left + whole[1]])


def test_full_views_are_the_clips_in_whole_frames():
    scorer = network()
    frames = film(60)
    item = item_of(frames, "full")
    result = answer(scorer, item, "full")
    assert result.views == 4
    # 60 frames hold a clip of 16 at 0, 14, 29 and 44.
    clips = [frames[start : start + 16 : 2, *WHOLE] for start in (0, 14, 29, 44)]
    clips = torch.from_numpy(np.stack(clips)).permute(0, 4, 1, 2, 3)
    with torch.inference_mode():
        expected = scorer(clips)
    torch.testing.assert_close(result.view_probabilities, expected, rtol=1e-6, atol=1e-7)


def test_videos_of_several_sizes_are_tested_together():
    scorer = network()
    films = [film(30, 40, 64), film(30, 64, 40, seed=1), film(30, 40, 64, seed=2), film(30, 40, 64, seed=3)]
    items = [item_of(frames, "full", num_clips=1) for frames in films]
    together = list(evaluate(scorer, items, batch=8))
    for item, found in zip(items, together, strict=True):
        (alone,) = evaluate(scorer, [item], batch=1)
        torch.testing.assert_close(found.probabilities, alone.probabilities)
    assert [item.view_size for item in items] == [(32, 64), (64, 32), (32, 64), (32, 64)]


# -- One pass


def test_a_video_of_one_clip_is_that_clip():
    """Whatever the network: gating and squeeze-and-excitation see the same."""
    scorer = network()
    frames = film(16)
    result = answer(scorer, item_of(frames, "dense"), "dense")
    with torch.inference_mode():
        expected = scorer(torch.from_numpy(frames[::2, *WHOLE]).permute(3, 0, 1, 2)[None])
    assert result.views == 1
    torch.testing.assert_close(result.view_probabilities, expected)


def test_a_shorter_video_is_a_clip_that_starts_over():
    frames = film(9)
    item = item_of(frames, "dense")
    assert item.numbers.tolist() == [0, 2, 4, 6, 8, 1, 3, 5]
    assert torch.equal(item.frames, torch.from_numpy(frames[item.numbers]).permute(3, 0, 1, 2))
    # Shorter than what a cell of the last map sees, too.
    assert answer(network(**LOCAL), item, "dense").views == 1


def test_the_answer_is_the_mean_over_windows_of_one_pass():
    scorer = network()
    frames = film(57)
    result = answer(scorer, item_of(frames, "dense"), "dense")

    clip = torch.from_numpy(frames[::2, *WHOLE]).permute(3, 0, 1, 2)[None]
    with torch.inference_mode():
        cells = scorer.model.backbone(scorer.prepare(clip))["res5"].mean((3, 4))[0].T  # [T', C]
        stride = scorer.model.backbone.output_shape()["res5"].temporal_stride
        width = FRAMES // stride
        pooled = torch.stack([cells[start : start + width].mean(0) for start in range(len(cells) - width + 1)])
        expected = (pooled @ scorer.model.fc.weight.T + scorer.model.fc.bias).softmax(1)
    assert result.views == len(expected) > 8
    torch.testing.assert_close(result.view_probabilities, expected.float(), rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(result.probabilities, expected.mean(0).float(), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("overrides", [{}, {"padding": "symmetric", "temporal_strides": (1, 2, 1, 1)}], ids=str)
def test_parts_give_what_one_pass_gives(overrides, monkeypatch):
    """Exactly, without gating and squeeze-and-excitation, which take their means over a part."""
    local = network(**LOCAL, **overrides)
    seeing_all = network(**overrides)
    frames = film(16 * 16 * 2)
    item = item_of(frames, "dense")
    monkeypatch.setattr(dense, "PART_CLIPS", 1000)
    whole = cells_of(local, item)
    near = answer(seeing_all, item, "dense").view_probabilities
    monkeypatch.setattr(dense, "PART_CLIPS", 3)
    scorer = video_scorer(local, preprocessing("dense"), None, 8)
    seen = scorer.reach.before + scorer.reach.after
    assert len(parts_of(len(item.numbers), max(FRAMES, seen) * dense.PART_CLIPS, scorer.reach)) > 2
    parts = cells_of(local, item)
    assert whole.std(1).max() > 1e-3
    assert (parts - whole).abs().max() < 1e-12 * whole.abs().max()
    assert (answer(seeing_all, item, "dense").view_probabilities - near).abs().max() > 1e-5


def test_parts_cover_a_video_once_and_share_what_cells_see():
    reach = TemporalReach(stride=4, before=9, after=14)
    parts = parts_of(frames=203, part_frames=64, reach=reach)
    # 50 cells of 4 frames; 16 a part, of which 3 and 4 are shared.
    assert [(part.first, part.last) for part in parts] == [
        (0, 52),
        (24, 88),
        (60, 124),
        (96, 160),
        (132, 196),
        (168, 200),
    ]
    own = [(part.first // 4 + part.begin, part.first // 4 + part.end) for part in parts]
    assert own == [(0, 9), (9, 18), (18, 27), (27, 36), (36, 45), (45, 50)]
    assert parts_of(frames=63, part_frames=64, reach=reach) == [(0, 63, 0, 16)]
    # However little a part is to have, it gets on.
    assert all(later.first > earlier.first for earlier, later in pairwise(parts_of(400, 8, reach)[1:]))


def test_a_long_video_is_read_while_it_is_answered(tmp_path, monkeypatch):
    path = str(tmp_path / "film.mp4")
    write_video(path, torch.from_numpy(film(200)), fps=25)
    read = ViewReader(preprocessing("dense"), VideoSource())
    record = VideoRecord(path, (0,), None, None, "film")
    scorer = network()
    held = read(record, 0)
    expected = answer(scorer, held, "dense")
    monkeypatch.setattr(whole_video, "HELD_BYTES", 1000)
    item = read(record, 0)
    assert held.frames.shape == (3, 100, 40, 64)
    assert item.frames is None
    found = answer(scorer, item, "dense")
    assert torch.equal(found.view_probabilities, expected.view_probabilities)

    # One that has gone meanwhile is a failed video, and no failed test.
    (tmp_path / "film.mp4").unlink()
    (result,) = evaluate(video_scorer(scorer, preprocessing("dense"), None, 8), [item], 8)
    assert result.error == "no such file"


def test_frames_by_time_are_those_on_the_screen():
    """Of a video of 25 frames a second, every second tick of 10 a second."""
    item = item_of(film(150), "dense", clip=clip_spec(FRAMES, RATE, target_fps=10.0))
    assert item.numbers.tolist() == [int((2 * tick + 0.5) * 2.5) for tick in range(30)]


def test_the_largest_clips_are_those_of_whole_frames():
    """Whose convolutions a GPU is checked with."""
    model = create_model("r3d_rs_50", 3, **NARROW)
    assert largest_clips(model, preprocessing("published"), 8) == (8, 3, 8, 32, 32)
    assert largest_clips(model, preprocessing("full"), 8) == (8, 3, 8, 32, 64)
    # A cell of the last map sees more than a clip, and so parts are of four times that.
    reach = temporal_reach(model.backbone.architecture)
    assert reach.before + reach.after == 12
    assert largest_clips(model, preprocessing("dense"), 8) == (1, 3, 48, 32, 64)


# -- Until the answer is decided


def test_views_are_taken_far_apart():
    # Crop-major: view 13 is clip 3 of the second crop of five clips.
    assert stopping.spread_out(5, 1) == [2, 0, 4, 1, 3]
    assert stopping.spread_out(5, 3) == [7, 0, 14, 6, 3, 2, 10, 9, 1, 13, 12, 5, 4, 11, 8]
    assert sorted(stopping.spread_out(10, 3)) == list(range(30))
    assert {view % 10 for view in stopping.spread_out(10, 3)[:10]} == set(range(10))
    assert stopping.looks(30) == [1, 2, 3, 4, 6, 8, 12, 16, 24, 30]
    assert stopping.looks(1) == [1]


def test_the_answer_is_decided_by_its_margin():
    mean = torch.tensor([0.2, 0.5, 0.3])
    assert stopping.decidedness(mean, 4, 12) == pytest.approx(0.2 / (1 / 4 - 1 / 12) ** 0.5)
    assert stopping.decidedness(mean, 12, 12) == float("inf")


def test_views_are_taken_until_the_answer_is_decided():
    scorer = network()
    item = item_of(film(100), "adaptive")
    with torch.inference_mode():
        views = torch.cat([scorer(batch) for batch in item.views(4)])[stopping.spread_out(4, 3)]
    decided = {count: stopping.decidedness(views[:count].mean(0), count, 12) for count in stopping.looks(12)}
    for count in (1, 2, 4, 12):
        stop_at = max([0, *(value for other, value in decided.items() if other < count)]) + 1e-9
        if stop_at > decided[count]:
            continue
        result = answer(scorer, item, "adaptive", stop_at, batch=3)
        assert result.views == count
        torch.testing.assert_close(result.view_probabilities, views[:count].float(), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(result.probabilities, views[:count].mean(0).float(), rtol=1e-5, atol=1e-6)
    assert answer(scorer, item, "adaptive", 0.0).views == 1
    everything = answer(scorer, item, "adaptive", 1e9)
    published = answer(scorer, item_of(film(100), "published"), "published")
    assert (everything.views, published.views) == (12, 12)
    torch.testing.assert_close(everything.probabilities, published.probabilities)


# -- Refusals


def test_adaptive_views_need_a_rule():
    assert refusal(video_scorer, network(), preprocessing("adaptive"), None, 8) == (
        "views 'adaptive' need a rule to stop by, which this network does not have; make one: video-rs calibrate "
        "--checkpoint CKPT --adaptive 0.01 (and export an exported one anew)"
    )


def test_a_rule_is_for_its_views():
    assert refusal(video_scorer, network(), preprocessing("adaptive"), StoppingRule(1.0, 10, 3), 8) == (
        "the rule for adaptive views was made for 10 clips x 3 crops, and these are 4 clips x 3 crops; take those, or "
        "calibrate with these"
    )


def test_adaptive_views_are_for_one_label_a_video():
    predictor = Predictor(lambda clips: clips, preprocessing("adaptive"), Answers(("a", "b"), True))
    assert refusal(predictor.predict, film(20)) == (
        "adaptive views stop where the best class is decided, and with DATA.MULTI_LABEL each class is judged by "
        "itself; allowed: published, full, dense"
    )


def test_one_pass_needs_the_networks_inside():
    predictor = Predictor(lambda clips: clips, preprocessing("dense"), Answers(("a", "b")))
    assert refusal(predictor.predict, film(20)) == (
        "views 'dense' need the network's inside, and an exported file has its answers alone; allowed here: published, "
        "full, adaptive; give the --checkpoint, or choose other --views"
    )


def test_the_choices_of_options_are_those_that_there_are():
    """Named again where a command is parsed, which must not import what computes."""
    (option,) = [option for option in OPTIONS if option.key == "TEST.VIEWS"]
    parser = argparse.ArgumentParser()
    network_options.add_views(parser)
    network_options.add_engine(parser)
    choices = {action.dest: action.choices for action in parser._actions}
    assert option.choices == choices["views"] == VIEWS
    assert set(choices["engine"]) == {"auto", *ENGINES}
    assert set(choices["precision"]) == {"auto", *PRECISIONS}


def test_unknown_views_are_refused():
    assert refusal(preprocessing, "sparse") == (
        "views: got 'sparse', allowed: published, full, dense, adaptive; correct the argument or the config"
    )
    stored = {**preprocessing("dense").to_dict(), "views": "sparse"}
    assert "views: got 'sparse'" in refusal(Preprocessing.from_dict, stored)
    assert Preprocessing.from_dict(preprocessing("dense").to_dict()) == preprocessing("dense")
