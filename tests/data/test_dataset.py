"""Samples and views of real files: which frames, from which segment, and what a failure looks like."""

import sys

import av
import numpy as np
import pytest
import torch

from helpers.clips import clip_spec, eval_transform, train_transform
from video_rs.data import dataset, resized_frames
from video_rs.data.dataset import ClipReader, VideoSource, ViewReader, sample_generator
from video_rs.data.preprocessing import Preprocessing
from video_rs.lists.records import VideoRecord
from video_rs.runtime.errors import InputError
from video_rs.video import open_video
from video_rs.video.encoding import write_video
from video_rs.video.segments import whole_video


@pytest.fixture(scope="module")
def ramp(tmp_path_factory):
    """75 frames of 32 x 32 at 10 per second; frame i is the grey level 3 i + 20, apart by more than a rounding."""
    path = tmp_path_factory.mktemp("ramp") / "ramp.mp4"
    levels = (3 * np.arange(75) + 20).astype(np.uint8)
    write_video(path, np.broadcast_to(levels[:, None, None, None], (75, 32, 32, 3)), fps=10, crf=1)
    return str(path)


def record(path, start=None, end=None, labels=(1,)):
    return VideoRecord(path, labels, start, end, "id")


def frame_numbers(clip):
    """Which frames of the ramp a uint8 ``[3, T, h, w]`` shows."""
    return torch.round((clip.float().mean((0, 2, 3)) - 20) / 3).int().tolist()


def clip_reader(clip=None, seed=0, decoder="auto", clips=1):
    return ClipReader(
        clip or clip_spec(4, 3), train_transform(crop_size=16, flip=0.0), VideoSource(decoder), seed, clips
    )


def sample(record, epoch=0, pick=0, **reader):
    [only] = clip_reader(**reader)(record, epoch, pick)
    return only


def view_reader(clip=None, num_clips=2, num_crops=1, decoder="auto"):
    clip = clip or clip_spec(4, 3)
    return ViewReader(
        Preprocessing(clip, num_clips, eval_transform(16, 16, num_crops), (0,) * 3, (1,) * 3), VideoSource(decoder)
    )


def views(record, **reader):
    return view_reader(**reader)(record, 0)


def test_a_training_clip_is_a_function_of_seed_epoch_and_pick(ramp):
    one = sample(record(ramp), 0, 1)
    assert (one.labels, one.error, one.clip.shape) == ((1,), None, (3, 4, 16, 16))
    first = frame_numbers(one.clip)
    assert first == list(range(first[0], first[0] + 12, 3))
    assert torch.equal(one.clip, sample(record(ramp), 0, 1).clip)
    others = [sample(record(ramp), 1, 1), sample(record(ramp), 0, 2), sample(record(ramp), 0, 1, seed=1)]
    assert all(frame_numbers(other.clip) != first for other in others)


@pytest.mark.parametrize("crop", ["resized", "short_side"])
@pytest.mark.parametrize("size", [(48, 80), (47, 61)], ids=["even", "odd"])
def test_a_clip_of_which_a_part_is_read_is_that_of_whole_frames(tmp_path, crop, size):
    pictures = np.random.default_rng(0).integers(0, 256, (20, 48, 80, 3), dtype=np.uint8)
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "5"})
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p" if size == (48, 80) else "yuv444p"
        for picture in pictures[:, : size[0], : size[1]]:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24")))
        container.mux(stream.encode(None))

    transform = train_transform(crop_size=24, crop=crop, short_side=(24, 40), color_jitter=0.4)
    read = ClipReader(clip_spec(4, 3), transform, VideoSource(), 0)
    for epoch in range(12):
        generator = sample_generator(0, epoch, 5)
        with open_video(tmp_path / "a.mp4") as reader:
            frames = reader.frames(clip_spec(4, 3).random(whole_video(20, 25.0), generator))
        expected = transform(frames, generator)
        [found] = read(record(str(tmp_path / "a.mp4")), epoch, 5)
        assert torch.equal(found.clip, expected)
        assert found.clip.is_contiguous()


def test_a_segment_bounds_the_clip(ramp):
    for epoch in range(20):
        numbers = frame_numbers(sample(record(ramp, 5.0, 6.5), epoch).clip)
        assert min(numbers) >= 50
        assert max(numbers) < 65


@pytest.mark.parametrize("spec", [clip_spec(4, 3), clip_spec(60, 2)], ids=["inside", "wrapped"])
def test_several_clips_of_one_video_are_decoded_together(ramp, monkeypatch, spec):
    calls = []
    monkeypatch.setattr(dataset, "open_video", lambda *given: calls.append(given) or open_video(*given))
    samples = clip_reader(spec, clips=4)(record(ramp), 0, 5)
    assert len(samples) == 4
    assert len(calls) == 1
    shown = [frame_numbers(s.clip) for s in samples]
    generator = sample_generator(0, 0, 5)
    assert shown == [spec.random(whole_video(75, 10.0), generator).tolist() for _ in range(4)]
    assert len({numbers[0] for numbers in shown}) > 1
    assert len({s.clip.numpy().tobytes() for s in samples}) == 4
    assert [(s.labels, s.video, s.error) for s in samples] == [((1,), ramp, None)] * 4


def test_a_video_that_cannot_be_read_leaves_as_many_slots_empty(ramp):
    samples = clip_reader(clips=3)(record(ramp, 20.0, 30.0), 0, 0)
    assert len(samples) == 3
    assert all(s.clip is None and "holds no frame" in s.error for s in samples)


def test_views_are_the_published_clips_of_the_segment(ramp):
    item = views(record(ramp, 3.0, 6.0), num_clips=3)
    # 30 frames from 30, span 12: offsets 0, 9 and 18.
    shown = [frame_numbers(view) for batch in item.views(2) for view in batch]
    assert shown == [[30, 33, 36, 39], [39, 42, 45, 48], [48, 51, 54, 57]]
    assert len(frame_numbers(item.frames)) == len({n for view in shown for n in view})


@pytest.mark.parametrize("frames_at_once", [0.5, 1, 7, 1000])
def test_views_do_not_depend_on_how_many_frames_are_decoded_at_once(ramp, monkeypatch, frames_at_once):
    whole = views(record(ramp), clip=clip_spec(71, 1), num_clips=1)
    monkeypatch.setattr(resized_frames, "CHUNK_BYTES", int(frames_at_once * 32 * 32 * 3))
    item = views(record(ramp), clip=clip_spec(71, 1), num_clips=1)
    assert frame_numbers(item.frames) == list(range(2, 73))
    assert torch.equal(item.frames, whole.frames)


def test_views_come_crop_by_crop(ramp):
    item = views(record(ramp), num_clips=2, num_crops=3)
    starts = [frame_numbers(view)[0] for batch in item.views(4) for view in batch]
    assert starts == [0, 63] * 3
    assert [len(batch) for batch in item.views(4)] == [4, 2]


@pytest.mark.parametrize(("height", "width"), [(40, 64), (64, 40)])
@pytest.mark.parametrize(("frames", "batch"), [(4, 1), (4, 4), (12, 30)], ids=["alone", "some", "wrapped"])
def test_views_are_the_pixels_of_frames_read_one_by_one(tmp_path, height, width, frames, batch):
    """Each frame of each view decoded, resized and cut out by itself."""
    noise = np.random.default_rng(0).integers(0, 256, (30, height, width, 3), dtype=np.uint8)
    path = str(tmp_path / "noise.mp4")
    write_video(path, noise, fps=10)
    transform = eval_transform(32, 24, 3)
    # Twelve frames reach past the end, and start over.
    spec = clip_spec(frames, 3)
    reader = ViewReader(Preprocessing(spec, 3, transform, (0,) * 3, (1,) * 3), VideoSource())
    found = list(reader(record(path), 0).views(batch))
    assert all(part.is_contiguous() and part.dtype == torch.uint8 for part in found)

    clips = spec.uniform(whole_video(30, 10.0), 3).tolist()
    expected = []
    for crop in range(3):
        for clip in clips:
            with open_video(path) as video:
                alone = [transform(video.frames([frame]))[crop] for frame in clip]
            expected.append(torch.cat(alone, dim=1))
    assert torch.equal(torch.cat(found), torch.stack(expected))
    assert [len(part) for part in found] == [len(part) for part in torch.arange(9).split(batch)]


@pytest.mark.parametrize("sampler", ["frames", "pytorchvideo"])
def test_both_clip_samplers_stay_inside_the_video(ramp, sampler):
    spec = clip_spec(4, 5, clip_sampler=sampler)
    random = frame_numbers(sample(record(ramp), 3, clip=spec).clip)
    assert 0 <= random[0] < random[-1] < 75
    # pytorchvideo takes the frames of two seconds evenly, ends included; ours have the stride exactly.
    assert random[-1] - random[0] == (15 if sampler == "frames" else 19)
    uniform = [frame_numbers(v) for b in views(record(ramp), clip=spec, num_clips=2).views(8) for v in b]
    assert uniform[0][0] == 0
    # 75 frames less the span of 20: ours ends there, pytorchvideo divides it by the number of clips.
    assert uniform[1][0] == (55 if sampler == "frames" else 28)


@pytest.mark.parametrize("read", [sample, views])
def test_a_failure_is_a_reason_and_not_another_video(ramp, tmp_path, read):
    gone, past_the_end = record(str(tmp_path / "gone.mp4")), record(ramp, 20.0, 30.0)
    items = [read(r) for r in (gone, past_the_end, record(ramp))]
    assert items[0].error == "no such file"
    assert items[0].video == str(tmp_path / "gone.mp4")
    assert "20" in items[1].error
    assert items[2].error is None


@pytest.mark.parametrize("reader", [clip_reader, view_reader])
def test_a_decoder_that_is_not_installed_is_refused_before_any_video(reader, monkeypatch):
    monkeypatch.setitem(sys.modules, "decord", None)
    monkeypatch.delitem(sys.modules, "video_rs.video.readers.decord", raising=False)
    with pytest.raises(
        InputError, match=r"^decoder 'decord' needs the package 'decord', which is not installed: pip install"
    ):
        reader(decoder="decord")


def test_sample_generators_do_not_repeat_in_a_small_run():
    seeds = {sample_generator(s, e, i).initial_seed() for s in range(3) for e in range(20) for i in range(-1, 200)}
    assert len(seeds) == 3 * 20 * 201


def write_levels(path, levels, rate, ticks=None):
    """A grey picture of each of ``levels``; ``ticks`` are their times in frames of ``rate``, else 0, 1, 2, ..."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "1"})
        stream.height = stream.width = 32
        for number, level in enumerate(levels):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), level, np.uint8), "rgb24")
            frame.pts = number if ticks is None else ticks[number]
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return str(path)


def test_a_segment_between_two_slides_shows_the_first(tmp_path):
    """Pictures at 0 and 5 s: from 1 to 3 s the first is on the screen, in training and in testing."""
    path = write_levels(tmp_path / "slides.mp4", (80, 200), 10, (0, 50))
    for start, end, level in ((1.0, 3.0, 80), (4.0, 6.0, 200), (7.0, 8.0, 200)):
        for spec in (clip_spec(4, 3), clip_spec(4, 3, target_fps=5.0)):
            trained = sample(record(path, start, end), clip=spec)
            tested = views(record(path, start, end), clip=spec)
            assert (trained.error, tested.error) == (None, None)
            shown = [trained.clip, *(view for batch in tested.views(8) for view in batch)]
            # A grey of yuv420p is back within a level or two.
            assert all((clip.float() - level).abs().max() < 3 for clip in shown)
    behind = [read(record(path, 11.0, 12.0)).error for read in (sample, views)]
    assert all(error.startswith("segment 11.0..12.0 s holds no frame: the video has 2 frames") for error in behind)


def test_with_a_target_rate_clips_of_15_and_60_frames_per_second_show_the_same(tmp_path):
    """Four seconds that grow brighter, filmed at two rates."""
    paths = [
        write_levels(tmp_path / f"{rate}.mp4", np.linspace(20, 230, 4 * rate).astype(np.uint8), rate)
        for rate in (15, 60)
    ]
    for spec, alike in ((clip_spec(8, 4), False), (clip_spec(8, 4, target_fps=15.0), True)):
        tested = [next(iter(views(record(path), clip=spec, num_clips=1).views(1)))[0] for path in paths]
        trained = [sample(record(path), clip=spec).clip for path in paths]
        for clips in (tested, trained):
            brightness = [clip.float().mean((0, 2, 3)) for clip in clips]
            slow, fast = (levels[-1] - levels[0] for levels in brightness)
            # 28 frames of 15 per second are 98 levels, of 60 per second 25. A frame may begin its length, up to 3.5
            # levels, before the moment that it stands for.
            assert abs(slow - 98) < 5
            assert abs(fast - (98 if alike else 25)) < 5
