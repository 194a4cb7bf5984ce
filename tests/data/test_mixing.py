"""Mixing of clips against plain loops, the authors' box in integers, and the Beta distribution in closed form."""

import math
import random
from collections import Counter
from dataclasses import asdict

import numpy as np
import pytest
import torch
from torch.nn import functional

from video_rs.data.mixing import Mixing, cutmix, mixup, random_cut, random_ring, random_share
from video_rs.engine.objectives.losses import cross_entropy
from video_rs.runtime.errors import InputError

CLASSES = 5
SHAPE = (3, 2, 6, 8)
MIXINGS = [Mixing(mixup_alpha=0.8), Mixing(cutmix_alpha=1.0), Mixing(0.8, 1.0)]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def make_batch(count=4, seed=0, shape=SHAPE, smoothing=0.1):
    """Float clips of any sign, integer labels and their smoothed targets."""
    generator = seeded(seed)
    clips = torch.randn(count, *shape, generator=generator)
    labels = torch.randint(CLASSES, (count,), generator=generator)
    return clips, labels, functional.one_hot(labels, CLASSES) * (1 - smoothing) + smoothing / CLASSES


def shares_of(mixing, count, seed, shape=SHAPE):
    """``[B, B]``: how much of clip j's target the mixed clip i has. Each clip is a class of its own."""
    return mixing(torch.zeros(count, *shape), torch.eye(count), seeded(seed))[1]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 0.75, 1.0])
def test_mixup_against_loops(share):
    clips, _, targets = make_batch()
    partners = [2, 0, 3, 1]
    mixed, mixed_targets = mixup(clips, targets, torch.tensor(partners), share)
    for i, partner in enumerate(partners):
        for index in np.ndindex(*SHAPE):
            expected = share * float(clips[(i, *index)]) + (1 - share) * float(clips[(partner, *index)])
            # Two roundings of float32 at sizes up to 4.
            assert float(mixed[(i, *index)]) == pytest.approx(expected, abs=1e-6)
        for k in range(CLASSES):
            expected = share * float(targets[i, k]) + (1 - share) * float(targets[partner, k])
            assert float(mixed_targets[i, k]) == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("box", [(1, 2, 5, 4), (0, 0, 6, 8), (0, 3, 2, 8), (3, 3, 3, 3), (2, 4, 2, 8)])
def test_cutmix_against_loops(box):
    clips, _, targets = make_batch()
    partners = [1, 3, 0, 2]
    mixed, mixed_targets = cutmix(clips, targets, torch.tensor(partners), box)
    top, left, bottom, right = box
    for i, partner in enumerate(partners):
        swapped = 0
        for channel, t, y, x in np.ndindex(*SHAPE):
            inside = top <= y < bottom and left <= x < right
            assert mixed[i, channel, t, y, x] == clips[partner if inside else i, channel, t, y, x]
            swapped += inside
        share = 1 - swapped / math.prod(SHAPE)
        for k in range(CLASSES):
            expected = share * float(targets[i, k]) + (1 - share) * float(targets[partner, k])
            assert float(mixed_targets[i, k]) == pytest.approx(expected, abs=1e-7)


def test_cutmix_targets_have_the_area_that_is_seen():
    """Each clip is filled with its own number: whose pixels there are is counted, and must be what the target says."""
    seen = Counter()
    for seed in range(50):
        clips = torch.arange(4.0)[:, None, None, None, None].expand(4, *SHAPE)
        mixed, targets = Mixing(cutmix_alpha=1.0)(clips, torch.eye(4), seeded(seed))
        assert torch.equal(mixed, mixed[:, :1, :1].expand_as(mixed))  # one box in all channels and frames
        counted = torch.stack([(mixed[:, 0, 0] == number).flatten(1).float().mean(1) for number in range(4)], dim=1)
        torch.testing.assert_close(targets, counted, rtol=0, atol=1e-7)  # float32 rounding of shares
        seen[round(float(targets[0, 0]) * 48)] += 1
    assert len(seen) > 8


@pytest.mark.parametrize("mixing", MIXINGS)
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
def test_targets_are_distributions_with_two_owners(mixing, smoothing):
    for seed in range(20):
        clips, _, targets = make_batch(seed=seed, smoothing=smoothing)
        mixed = mixing(clips, targets, seeded(seed))[1]
        torch.testing.assert_close(mixed.sum(1), torch.ones(4), rtol=0, atol=5e-7)  # float32 rounding of five terms
        assert ((mixed >= 0) & (mixed <= 1)).all()
        shares = shares_of(mixing, 4, seed)
        assert (shares.diagonal() == shares[0, 0]).all()
        off = shares - shares.diagonal().diag()
        assert ((off > 0).sum(1) <= 1).all()
        # Column sums: each clip goes on to count as one clip.
        torch.testing.assert_close(shares.sum(0), torch.ones(4), rtol=0, atol=5e-7)


@pytest.mark.parametrize("mixing", MIXINGS)
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_labels_are_smoothed_exactly_once(mixing, smoothing):
    """The loss equals torch's own smoothed one towards both labels, mixed by hand."""
    for seed in range(10):
        clips, labels, targets = make_batch(seed=seed, smoothing=smoothing)
        logits = 3 * torch.randn(4, CLASSES, generator=seeded(seed + 100))
        loss = cross_entropy(logits, mixing(clips, targets, seeded(seed))[1])
        shares = shares_of(mixing, 4, seed)
        towards = torch.stack(
            [
                functional.cross_entropy(logits, y.repeat(4), reduction="none", label_smoothing=smoothing)
                for y in labels
            ],
            dim=1,
        )
        # float32 rounding of losses of size 10.
        torch.testing.assert_close(loss, (shares * towards).sum(1), rtol=1e-5, atol=2e-6)
        # And mixing before smoothing is the same.
        late = mixing(clips, functional.one_hot(labels, CLASSES).float(), seeded(seed))[1]
        torch.testing.assert_close(cross_entropy(logits, late, smoothing), loss, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("mixing", [*MIXINGS, Mixing(0.4, 0.4, 0.5)])
def test_draws_are_a_function_of_the_generator_alone(mixing):
    clips, _, targets = make_batch(8)
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    first = mixing(clips, targets, seeded(3))
    after = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    assert after[:2] == states[:2]
    assert torch.equal(after[2], states[2])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(99)
        again = mixing(clips, targets, seeded(3))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    others = {mixing(clips, targets, seeded(seed))[1].numpy().tobytes() for seed in range(40)}
    assert len(others) > 10


@pytest.mark.parametrize("mixing", MIXINGS)
def test_inputs_are_not_changed(mixing):
    clips, _, targets = make_batch()
    kept = clips.clone(), targets.clone()
    mixed, mixed_targets = mixing(clips, targets, seeded(1))
    assert mixed is not clips
    assert mixed_targets is not targets
    assert torch.equal(clips, kept[0])
    assert torch.equal(targets, kept[1])


@pytest.mark.parametrize("mixing", MIXINGS)
def test_memory_format_and_dtype_are_kept(mixing):
    """Convolutions on a GPU want channels last; a result in another layout would cost a conversion in each step."""
    clips, _, targets = make_batch()
    for kind in (torch.contiguous_format, torch.channels_last_3d):
        for dtype in (torch.float32, torch.bfloat16):
            laid = clips.to(dtype).contiguous(memory_format=kind)
            mixed, mixed_targets = mixing(laid, targets, seeded(2))
            assert mixed.is_contiguous(memory_format=kind)
            assert (mixed.dtype, mixed_targets.dtype) == (dtype, torch.float32)
    plain, last = (
        mixing(clips.contiguous(memory_format=kind), targets, seeded(2))[0]
        for kind in (torch.contiguous_format, torch.channels_last_3d)
    )
    assert torch.equal(plain, last)


@pytest.mark.parametrize("mixing", MIXINGS)
@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_clips_are_left_alone(mixing, count):
    clips, _, targets = make_batch(count)
    mixed, mixed_targets = mixing(clips, targets, seeded())
    assert mixed is clips
    assert mixed_targets is targets


@pytest.mark.parametrize("mixing", [Mixing(), Mixing(prob=0.3), Mixing(1.0, 1.0, 0.0)])
def test_off_leaves_a_batch_alone(mixing):
    clips, _, targets = make_batch()
    mixed, mixed_targets = mixing(clips, targets, seeded())
    assert mixed is clips
    assert mixed_targets is targets


@pytest.mark.parametrize("mixing", MIXINGS)
@pytest.mark.parametrize("shape", [(3, 1, 1, 1), (3, 1, 1, 7), (3, 4, 5, 1)])
def test_the_smallest_clips(mixing, shape):
    clips, _, targets = make_batch(2, shape=shape)
    for seed in range(10):
        mixed, mixed_targets = mixing(clips, targets, seeded(seed))
        assert mixed.shape == clips.shape
        torch.testing.assert_close(mixed_targets.sum(1), torch.ones(2))


def test_two_clips_take_each_other():
    clips, _, targets = make_batch(2)
    for seed in range(5):
        mixed, _ = Mixing(mixup_alpha=1.0)(clips, targets, seeded(seed))
        torch.testing.assert_close(mixed.sum(0), clips.sum(0), rtol=1e-5, atol=1e-6)
        assert shares_of(Mixing(mixup_alpha=1.0), 2, seed)[0, 1] > 0


def test_prob_is_the_share_of_mixed_batches():
    clips, _, targets = make_batch(2)
    mixing = Mixing(mixup_alpha=1.0, prob=0.3)
    mixed = sum(mixing(clips, targets, seeded(seed))[0] is not clips for seed in range(2000))
    assert abs(mixed / 2000 - 0.3) < 4 * math.sqrt(0.3 * 0.7 / 2000)  # four standard deviations


def test_both_kinds_have_equal_chances():
    """Clips 0 and 1 in constant colours: mixup gives a third colour, cutmix none."""
    clips = torch.arange(2.0)[:, None, None, None, None].expand(2, *SHAPE)
    results = [Mixing(1.0, 1.0)(clips, torch.eye(2), seeded(seed))[0] for seed in range(2000)]
    cut = sum(bool(((mixed == 0) | (mixed == 1)).all()) for mixed in results)
    assert abs(cut / 2000 - 0.5) < 4 * math.sqrt(0.25 / 2000)


@pytest.mark.parametrize("count", [2, 3, 4])
def test_partners_form_every_ring_equally_often(count):
    """Against enumeration: there are (n - 1)! cyclic permutations."""
    rings = Counter()
    for seed in range(1200):
        partners = random_ring(count, seeded(seed)).tolist()
        place, visited = 0, []
        for _ in range(count):
            visited.append(place)
            place = partners[place]
        assert place == 0
        assert sorted(visited) == list(range(count))
        rings[tuple(visited)] += 1
    assert len(rings) == math.factorial(count - 1)
    share = 1 / len(rings)
    for times in rings.values():
        assert abs(times / 1200 - share) <= 4 * math.sqrt(share * (1 - share) / 1200)


DISTRIBUTIONS = {
    0.5: lambda x: 2 / math.pi * np.arcsin(np.sqrt(x)),
    1.0: lambda x: x,
    2.0: lambda x: 3 * x**2 - 2 * x**3,
}


@pytest.mark.parametrize("alpha", DISTRIBUTIONS)
def test_shares_follow_the_beta_distribution(alpha):
    """Kolmogorov-Smirnov against the distribution function in closed form."""
    count = 4000
    draws = np.sort([random_share(alpha, seeded(seed)) for seed in range(count)])
    expected = DISTRIBUTIONS[alpha](draws)
    steps = np.arange(count + 1) / count
    distance = max((steps[1:] - expected).max(), (expected - steps[:-1]).max())
    assert distance < 1.95 / math.sqrt(count)  # exceeded once in a thousand seeds
    # Var of Beta(a, a) is 1 / (4 (2a + 1)); another alpha of those above is off by a quarter at least.
    assert draws.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.06)


@pytest.mark.parametrize("alpha", [1e-6, 1e-3, 0.1, 50.0, 1e6])
def test_shares_are_numbers_for_extreme_alphas(alpha):
    draws = np.array([random_share(alpha, seeded(seed)) for seed in range(200)])
    assert np.isfinite(draws).all()
    assert ((draws >= 0) & (draws <= 1)).all()
    # Beta(0, 0) is a coin, Beta(inf, inf) is 1/2; four standard deviations of the mean.
    assert abs(draws.mean() - 0.5) < 4 * math.sqrt(1 / (4 * (2 * alpha + 1)) / 200)
    assert (draws.round(2) == 0.5).all() == (alpha == 1e6)


def test_mixup_takes_the_share_that_is_drawn():
    """The diagonal of the shares has the same law as the draws: mean 1/2, variance 1 / (4 (2a + 1))."""
    shares = np.array([float(shares_of(Mixing(mixup_alpha=0.5), 2, seed)[0, 0]) for seed in range(2000)])
    assert shares.mean() == pytest.approx(0.5, abs=4 * math.sqrt(1 / 8 / 2000))
    assert shares.var() == pytest.approx(1 / 8, rel=0.06)


@pytest.mark.parametrize(("height", "width"), [(6, 8), (7, 7), (224, 160), (1, 5)])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 0.99, 1.0])
def test_boxes_are_the_authors(height, width, share):
    """Against ``rand_bbox`` of the authors' code by enumerating its centres."""
    cut_height, cut_width = int(height * np.sqrt(1 - share)), int(width * np.sqrt(1 - share))
    allowed = set()
    for cy in range(height):
        for cx in range(width):
            top, left = np.clip(cy - cut_height // 2, 0, height), np.clip(cx - cut_width // 2, 0, width)
            bottom, right = np.clip(cy + cut_height // 2, 0, height), np.clip(cx + cut_width // 2, 0, width)
            allowed.add((int(top), int(left), int(bottom), int(right)))
    drawn = {random_cut(height, width, share, seeded(seed)) for seed in range(1000)}
    assert drawn <= allowed
    if height * width < 60:
        assert drawn == allowed


def test_a_share_of_one_leaves_no_box():
    top, left, bottom, right = random_cut(6, 8, 1.0, seeded())
    assert (bottom - top, right - left) == (0, 0)


def test_a_bad_batch_is_refused():
    clips, labels, targets = make_batch()
    for bad_clips, bad_targets in [
        (clips, labels),
        (clips.byte(), targets),
        (clips[:3], targets),
        (clips[0], targets[0]),
        (clips, targets.long()),
    ]:
        with pytest.raises(InputError) as caught:
            Mixing(1.0)(bad_clips, bad_targets, seeded())
        assert str(caught.value) == (
            f"clips, targets: got '{bad_clips.dtype} {list(bad_clips.shape)}, {bad_targets.dtype} "
            f"{list(bad_targets.shape)}', allowed: float [B, 3, T, H, W] and float [B, K]; "
            "correct the argument or the config"
        )


def test_mixing_is_plain_data():
    mixing = Mixing(0.2, 1, 0.5)
    assert Mixing(**asdict(mixing)) == mixing
    assert asdict(mixing) == {"mixup_alpha": 0.2, "cutmix_alpha": 1, "prob": 0.5}
    with pytest.raises(AttributeError):
        mixing.prob = 1.0
