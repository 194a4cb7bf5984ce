"""Pixels against exact integer bilinear interpolation, literal crop offsets and enumerated boxes."""

import json
import random
from collections import Counter
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional

from helpers.clips import eval_transform, train_transform
from video_rs.data.normalisation import to_float
from video_rs.data.random_boxes import random_box
from video_rs.data.resizing import resize, short_side_size
from video_rs.data.train_transform import TrainTransform
from video_rs.runtime.errors import InputError

AUGMENTED = {
    "rand_augment": {"rand_augment_layers": 2, "rand_augment_magnitude": 20},
    "color_jitter": {"color_jitter": 0.4},
    "random_erasing": {"random_erasing": 1.0},
}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(*shape, seed=0):
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=seeded(seed))


def ramp(frames, height, width):
    """Red is the row, green the column, blue the frame: a crop tells where it came from."""
    t, y, x = torch.meshgrid(torch.arange(frames), torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([y, x, t], dim=-1).to(torch.uint8)


def exact_bilinear(frames, height, width):
    """Half-pixel bilinear of uint8 [T,H,W,3] in integers: (numerator [3,T,h,w], denominator), no rounding."""

    def taps(size_in, size_out):
        position = (2 * np.arange(size_out) + 1) * size_in - size_out  # over 2 * size_out
        low, part = np.divmod(position, 2 * size_out)
        return np.clip(low, 0, size_in - 1), np.clip(low + 1, 0, size_in - 1), part, 2 * size_out

    values = frames.numpy().astype(np.int64)
    low, high, part, rows = taps(values.shape[1], height)
    part = part[:, None, None]
    values = values[:, low] * (rows - part) + values[:, high] * part
    low, high, part, columns = taps(values.shape[2], width)
    part = part[:, None]
    values = values[:, :, low] * (columns - part) + values[:, :, high] * part
    return torch.from_numpy(values.transpose(3, 0, 1, 2)), rows * columns


@pytest.mark.parametrize(
    ("size_in", "size_out"), [((37, 52), (24, 24)), ((15, 11), (24, 30)), ((40, 20), (20, 20)), ((1, 3), (4, 2))]
)
def test_resize_truncates_exact_bilinear(size_in, size_out):
    frames = noise(3, *size_in, 3)
    numerator, denominator = exact_bilinear(frames, *size_out)
    got = resize(frames, *size_out).long()
    # float32 may see a value within 2 ** -11 of an integer on its other side; everywhere else truncation is exact
    remainder = (numerator % denominator) / denominator
    near = (remainder > 0) & ((remainder < 2**-11) | (remainder > 1 - 2**-11))
    assert torch.equal(got[~near], (numerator // denominator)[~near])
    assert near.float().mean() < 0.01
    assert (got - numerator // denominator).abs().max() <= 1


def test_resize_differs_from_rounding():
    frames = noise(2, 37, 52, 3)
    numerator, denominator = exact_bilinear(frames, 24, 24)
    rounded = (numerator + denominator // 2) // denominator
    assert (resize(frames, 24, 24).long() != rounded).float().mean() > 0.4


def test_resize_keeps_constants_and_identities():
    for value in range(256):
        frames = torch.full((1, 37, 23, 3), value, dtype=torch.uint8)
        assert (resize(frames, 64, 29) == value).all(), value
    frames = noise(2, 13, 17, 3)
    assert torch.equal(resize(frames, 13, 17), frames.permute(3, 0, 1, 2))
    assert torch.equal(resize(frames, 13, 17, antialias=True), frames.permute(3, 0, 1, 2))
    assert resize(frames, 13, 17).is_contiguous()


@pytest.mark.parametrize("box", [slice(None), slice(2, 9)], ids=["whole", "box"])
def test_frames_of_the_right_size_are_taken_apart_by_colour(box):
    """Contiguous planes of their own memory, of frames of any strides."""
    frames = ramp(3, 10, 12)[:, box]
    planes = resize(frames, *frames.shape[1:3])
    assert planes.shape == (3, 3, frames.shape[1], 12)
    assert planes.is_contiguous()
    assert all(torch.equal(planes[colour], frames[..., colour]) for colour in range(3))

    # Red is the row.
    planes.zero_()
    assert frames[0, 1, 0, 0] == (1 if box == slice(None) else 3)


def test_resize_takes_views_and_frames_independently():
    frames = noise(4, 30, 40, 3)
    view = frames[1:3, 5:25, 3:33]
    assert torch.equal(resize(view, 16, 16), resize(view.contiguous(), 16, 16))
    assert torch.equal(resize(frames, 16, 16)[:, 2:3], resize(frames[2:3], 16, 16))


def test_antialias_averages_when_shrinking():
    frames = noise(1, 64, 64, 3)
    smooth = resize(frames, 8, 8, antialias=True)
    expected = functional.resize(frames.permute(0, 3, 1, 2), [8, 8], antialias=True).transpose(0, 1)
    assert torch.equal(smooth, expected)
    # each output weighs 16 x 16 pixels instead of 2 x 2: the spread must fall far below that of the plain resize
    assert smooth.float().std() < 0.4 * resize(frames, 8, 8).float().std()


def test_the_quick_resize_is_the_true_value_rounded():
    """Its weights are of 16 bits, and the rows are rounded between the two directions: within a level of the truth."""
    frames = noise(2, 50, 70, 3)
    for size in ((24, 24), (64, 90)):
        numerator, denominator = exact_bilinear(frames, *size)
        quick = resize(frames, *size, quick=True)
        assert quick.is_contiguous()
        assert (quick - numerator / denominator).abs().max() < 1.5
        off = (quick.int() - resize(frames, *size).int()).abs()
        assert off.max() <= 2
        # The published values are truncated: half of them are a level lower.
        assert 0.4 < (off > 0).float().mean() < 0.6

    transform = train_transform(crop_size=24)
    pictures = frames.expand(2, 50, 70, 3)
    box, again = seeded(), seeded()
    placement = transform.draw(50, 70, again)
    quick = replace(transform, quick=True)(pictures, box)
    assert torch.equal(quick, placement.cut(pictures, 24, antialias=False, quick=True))
    assert not torch.equal(quick, placement.cut(pictures, 24, antialias=False))


def test_random_box_is_tensorflows_distribution():
    """Aspect 1 in 10 x 10: heights round(sqrt(8)) = 3 .. 10 equally often, 3 x 3 rejected as below a tenth."""
    generator = seeded()
    boxes = [random_box(10, 10, (0.08, 1.0), (1.0, 1.0), generator) for _ in range(7000)]
    assert all(height == width for *_, height, width in boxes)
    heights = Counter(box[2] for box in boxes)
    assert set(heights) == set(range(4, 11))
    assert all(abs(count - 1000) < 5 * 30 for count in heights.values())  # 5 binomial deviations
    for height in range(4, 11):
        rows = Counter(top for top, _, h, _ in boxes if h == height)
        assert set(rows) == set(range(max(1, 10 - height)))  # TensorFlow's Uniform(H - h) leaves out H - h itself
        mean = heights[height] / len(rows)
        assert all(abs(count - mean) < 5 * mean**0.5 + 1 for count in rows.values())


def test_random_box_mends_rounded_areas():
    """Areas 90 .. 184.5 in 30 x 30: heights 9 .. 14 are drawn, 9 becomes 10 and 14 becomes 13."""
    generator = seeded()
    heights = Counter(random_box(30, 30, (0.1, 0.205), (1.0, 1.0), generator)[2] for _ in range(6000))
    assert set(heights) == {10, 11, 12, 13}
    for height, expected in ((10, 2000), (11, 1000), (12, 1000), (13, 2000)):
        assert abs(heights[height] - expected) < 5 * 37  # binomial deviations 29 and 37


def test_random_box_aspect_is_uniform_not_log_uniform():
    generator = seeded()
    ratios = []
    for _ in range(3000):
        top, left, height, width = random_box(1000, 1000, (0.1, 0.2), (0.5, 2.0), generator)
        assert 0 <= top <= 1000 - height
        assert 0 <= left <= 1000 - width
        assert 0.1e6 <= height * width <= 0.2e6
        ratios.append(width / height)
    assert 0.49 < min(ratios) < 0.52
    assert 1.98 < max(ratios) < 2.01
    # uniform mean 1.25, deviation 0.433 / sqrt(3000) = 0.008; log-uniform would have 1.08
    assert abs(np.mean(ratios) - 1.25) < 0.04


@pytest.mark.parametrize(
    ("height", "width", "area", "aspect"),
    [
        (30, 40, (0.01, 0.05), (1.0, 1.0)),  # never covers a tenth
        (100, 4, (0.5, 1.0), (2.0, 2.0)),  # half the area is not to be had at this aspect
        (1, 1, (0.08, 1.0), (0.5, 2.0)),
    ],
)
def test_random_box_falls_back_to_the_whole_frame(height, width, area, aspect):
    assert random_box(height, width, area, aspect, seeded()) == (0, 0, height, width)


def test_random_box_is_bounded_by_a_narrow_frame():
    boxes = {random_box(20, 4, (0.08, 1.0), (1.0, 1.0), seeded(seed))[2:] for seed in range(60)}
    assert boxes == {(3, 3), (4, 4)}  # round(sqrt(6.4)) = 3 up to the width


def test_train_transform_is_box_then_resize_then_flip():
    frames = noise(3, 60, 80, 3)
    for flip in (0.0, 1.0):
        top, left, height, width = random_box(60, 80, (0.08, 1.0), (0.5, 2.0), seeded(7))
        box = frames[:, top : top + height, left : left + width]
        numerator, denominator = exact_bilinear(box, 32, 32)
        expected = numerator // denominator
        expected = expected.flip(-1) if flip else expected
        got = train_transform(crop_size=32, flip=flip)(frames, seeded(7))
        assert got.dtype == torch.uint8
        assert got.is_contiguous()
        difference = (got.long() - expected).abs()
        assert difference.max() <= 1  # float noise at exact integers, see test_resize_truncates_exact_bilinear
        assert (difference > 0).float().mean() < 0.01


def test_flip_probability():
    frames, generator = ramp(1, 4, 4), seeded()
    transform = train_transform(crop_size=4, area=(1.0, 1.0), aspect=(1.0, 1.0), flip=0.25)
    flipped = sum(transform(frames, generator)[1, 0, 0, 0].item() == 3 for _ in range(1000))
    assert abs(flipped - 250) < 5 * 14  # binomial deviation 13.7


@pytest.mark.parametrize("shape", [(40, 60), (60, 40)])
def test_short_side_crop_draws_every_scale_and_offset(shape):
    frames, generator = ramp(2, *shape), seeded()
    transform = train_transform(crop_size=40, crop="short_side", short_side=(40, 40), flip=0.0)
    offsets = Counter()
    for _ in range(1000):
        clip = transform(frames, generator)
        top, left = clip[0, 0, 0, 0].item(), clip[1, 0, 0, 0].item()
        assert torch.equal(clip, frames[:, top : top + 40, left : left + 40].permute(3, 0, 1, 2))
        offsets[top, left] += 1
    longer = range(21)
    assert set(offsets) == {(0, x) if shape[1] == 60 else (x, 0) for x in longer}


def test_short_side_crop_scales_within_its_range(monkeypatch):
    sizes = Counter()
    monkeypatch.setattr(
        "video_rs.data.train_transform.resize",
        lambda frames, h, w, *_: sizes.update([(h, w)]) or torch.zeros(3, len(frames), h, w, dtype=torch.uint8),
    )
    transform, generator = train_transform(crop_size=8, crop="short_side", short_side=(10, 12)), seeded()
    for _ in range(300):
        transform(ramp(1, 30, 20), generator)
    assert set(sizes) == {(15, 10), (16, 11), (18, 12)}  # 11 * 30 / 20 = 16.5, rounded down
    assert min(sizes.values()) > 60


@pytest.mark.parametrize("options", AUGMENTED.values(), ids=AUGMENTED.keys())
def test_augmentations_change_the_clip_the_same_in_every_frame(options):
    frames = noise(1, 32, 32, 3).expand(5, -1, -1, -1)
    plain = train_transform(crop_size=32, area=(1.0, 1.0), aspect=(1.0, 1.0), flip=0.0)
    transform = TrainTransform(**{**asdict(plain), **options})
    changed = 0
    for seed in range(10):
        clip = transform(frames, seeded(seed))
        assert clip.dtype == torch.uint8
        assert clip.is_contiguous()
        assert (clip == clip[:, :1]).all()
        changed += not torch.equal(clip, plain(frames, seeded(seed)))
    assert changed >= 8  # RandAugment may draw Identity twice


def test_random_erasing_greys_one_box_and_only_that():
    frames = noise(3, 40, 40, 3)
    transform = train_transform(crop_size=40, area=(1.0, 1.0), aspect=(1.0, 1.0), flip=0.0, random_erasing=1.0)
    clip = transform(frames, seeded(3))
    changed = (clip != frames.permute(3, 0, 1, 2)).any(dim=0).any(dim=0)
    rows, columns = changed.any(1).nonzero(), changed.any(0).nonzero()
    box = clip[:, :, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    assert (box == 128).all()
    assert 0.01 < changed.float().mean() < 0.4


def test_color_jitter_stays_within_its_strength():
    grey = torch.full((1, 8, 8, 3), 100, dtype=torch.uint8)  # contrast and saturation leave grey alone
    transform = train_transform(crop_size=8, color_jitter=0.2)
    values = {transform(grey, seeded(seed))[0, 0, 0, 0].item() for seed in range(200)}
    assert min(values) >= 77  # 100 * 0.8, rounded down by each of three operations
    assert max(values) <= 120
    assert max(values) - min(values) > 30


@pytest.mark.parametrize("options", [{}, {"crop": "short_side", "short_side": (40, 60)}, *AUGMENTED.values()])
def test_randomness_is_the_generators_alone(options):
    frames = noise(2, 50, 70, 3)
    transform = train_transform(crop_size=32, **options)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
    first, same, other = (transform(frames, seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == random.getstate()
    assert (before[2] == np.random.get_state()[1]).all()


def test_transforms_are_plain_data():
    train = train_transform(crop_size=32, area=(0.3, 0.9), rand_augment_layers=2, flip=0.0)
    evaluation = eval_transform(short_side=40, crop_size=32, num_crops=1, antialias=True)
    for transform in (train, evaluation):
        assert type(transform)(**asdict(transform)) == transform
        assert type(transform)(**json.loads(json.dumps(asdict(transform)))) == transform


@pytest.mark.parametrize(
    ("height", "width", "size"),
    [
        (240, 320, (256, 341)),
        (320, 240, (341, 256)),
        (100, 100, (256, 256)),
        (256, 340, (256, 340)),
        (1, 3, (256, 768)),
    ],
)
def test_short_side_size(height, width, size):
    assert short_side_size(height, width, 256) == size


def test_eval_resize_is_exact_bilinear_and_skips_what_fits():
    frames = noise(2, 24, 33, 3)
    transform = eval_transform(short_side=16, crop_size=16)
    numerator, denominator = exact_bilinear(frames, 16, 22)
    resized = transform.resize(frames)
    assert resized.shape == (3, 2, 16, 22)
    assert (resized.long() != numerator // denominator).float().mean() < 0.01  # float noise at exact integers
    fits = noise(2, 16, 22, 3)
    assert torch.equal(transform.resize(fits), fits.permute(3, 0, 1, 2))
    chunks = [transform.resize(part) for part in noise(5, 24, 33, 3).split(2)]
    assert torch.equal(torch.cat(chunks, dim=1), transform.resize(noise(5, 24, 33, 3)))


@pytest.mark.parametrize(
    ("longer", "middle"),
    [(16, 0), (17, 0), (18, 1), (19, 2), (21, 2), (22, 3)],  # halves go to the even neighbour: 0.5, 1.5, 2.5
)
@pytest.mark.parametrize("upright", [False, True])
def test_three_crops_along_the_longer_side(longer, middle, upright):
    shape = (longer, 16) if upright else (16, longer)
    clip = ramp(2, *shape).permute(3, 0, 1, 2).contiguous()
    crops = eval_transform(short_side=16, crop_size=16).crops(clip)
    starts = [crop[0 if upright else 1, 0, 0, 0].item() for crop in crops]
    assert starts == [0, middle, longer - 16]
    for start, crop in zip(starts, crops, strict=True):
        assert torch.equal(crop, clip.narrow(2 if upright else 3, start, 16))
        assert crop.untyped_storage().data_ptr() == clip.untyped_storage().data_ptr()


def test_crops_centre_on_the_shorter_side_and_one_crop_on_both():
    clip = ramp(1, 20, 31).permute(3, 0, 1, 2)
    three = eval_transform(short_side=20, crop_size=16).crops(clip)
    assert [crop[:2, 0, 0, 0].tolist() for crop in three] == [[2, 0], [2, 8], [2, 15]]
    (one,) = eval_transform(short_side=20, crop_size=16, num_crops=1).crops(clip)
    assert one[:2, 0, 0, 0].tolist() == [2, 7]
    assert one[:2, 0, -1, -1].tolist() == [17, 22]


def test_eval_call_is_crops_of_resize():
    transform, frames = eval_transform(short_side=16, crop_size=12), noise(2, 24, 33, 3)
    for got, expected in zip(transform(frames), transform.crops(transform.resize(frames)), strict=True):
        assert torch.equal(got, expected)


def test_to_float_published_range_is_exact():
    clips = torch.arange(256, dtype=torch.uint8).view(1, 1, 1, 16, 16).expand(2, 3, 1, 16, 16).contiguous()
    got = to_float(clips)
    assert torch.equal(got, torch.from_numpy(clips.numpy().astype(np.float32) / np.float32(255)))
    assert clips[0, 0, 0, -1, -1] == 255  # the input is untouched


def test_to_float_mean_std_dtype_and_layout():
    clips = noise(2, 3, 4, 5, 6)
    mean, std = (0.45, 0.4, 0.3), (0.225, 0.5, 1.0)
    expected = (clips.numpy() / 255.0 - np.reshape(mean, (3, 1, 1, 1))) / np.reshape(std, (3, 1, 1, 1))
    got = to_float(clips, mean, std)
    # float32 has 24 bits: results up to 3 differ from float64 by a few 2 ** -23
    np.testing.assert_allclose(got.numpy(), expected, rtol=0, atol=2e-6)
    last = to_float(clips, mean, std, torch.bfloat16, torch.channels_last_3d)
    assert last.is_contiguous(memory_format=torch.channels_last_3d)
    assert torch.equal(last, got.to(torch.bfloat16))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: train_transform(area=(0.0, 1.0)), r"area: got \(0.0, 1.0\), allowed: two numbers with 0 < low"),
        (lambda: train_transform(aspect=(2.0, 0.5)), "aspect: got"),
        (lambda: train_transform(short_side=(0, 5)), "short_side: got"),
        (
            lambda: train_transform(crop="short_side", short_side=(200, 320)),
            "got 200, allowed: at least crop_size, 224",
        ),
        (lambda: eval_transform(short_side=224), "short_side: got 224, allowed: .* at least crop_size, 256"),
        (lambda: eval_transform().resize(torch.zeros(2, 8, 8, 3)), r"frames: got 'torch.float32 \[2, 8, 8, 3\]'"),
        (lambda: train_transform()(noise(2, 3, 8, 8), seeded()), r"allowed: torch.uint8 \[T, H, W, 3\], not empty"),
        (lambda: train_transform()(noise(0, 8, 8, 3), seeded()), "not empty"),
        (lambda: to_float(torch.zeros(1, 3, 1, 2, 2)), "clips: got torch.float32, allowed: torch.uint8"),
        (lambda: to_float(noise(1, 3, 1, 2, 2), std=(1.0, 0.0, 1.0)), "mean, std: got"),
    ],
)
def test_refusals(make, message):
    with pytest.raises(InputError, match=message) as refused:
        make()
    assert "\n" not in str(refused.value)
