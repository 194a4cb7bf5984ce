"""Changes of colours, grey and blur: by torchvision's own operations, one draw for all frames of a clip."""

import pytest
import torch
from torchvision.transforms.v2 import functional

from helpers.clips import train_transform

FRAMES = 3


@pytest.fixture(scope="module")
def clip():
    """The same noise in every frame, uint8 [3, T, 40, 40]."""
    still = torch.randint(256, (3, 1, 40, 40), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return still.expand(3, FRAMES, 40, 40).contiguous()


def augmented(clip, seed=0, **options):
    return train_transform(crop_size=40, **options).augment(clip, torch.Generator().manual_seed(seed))


def test_every_frame_is_changed_alike(clip):
    everything = {"color_jitter": 0.8, "hue_jitter": 0.2, "color_jitter_prob": 0.8, "grey": 0.5, "blur": 0.5}
    results = [augmented(clip, seed, **everything) for seed in range(12)]
    for result in results:
        assert all(torch.equal(result[:, 0], result[:, frame]) for frame in range(1, FRAMES))
    # In one of twenty, nothing is drawn to be done.
    assert len({tuple(result.flatten().tolist()) for result in results}) >= 10


def test_grey_is_luma_in_all_channels(clip):
    result = augmented(clip, grey=1.0)
    expected = functional.rgb_to_grayscale(clip.transpose(0, 1), num_output_channels=3).transpose(0, 1)
    assert torch.equal(result, expected)
    assert torch.equal(result[0], result[1])


def test_blur_is_gaussian_of_a_drawn_deviation(clip):
    """A kernel of 5 pixels for 40, a tenth and odd; the deviation is the one in [0.1, 2] that explains the result."""
    seen = []
    for seed in range(4):
        result = augmented(clip, seed, blur=1.0).transpose(0, 1)
        deviations = torch.linspace(0.1, 2, 400).tolist()
        distances = []
        for deviation in deviations:
            blurred = functional.gaussian_blur(clip.transpose(0, 1), [5, 5], [deviation, deviation])
            distances.append(float((blurred.float() - result.float()).abs().mean()))
        # Neighbouring deviations round to a few other values.
        assert min(distances) < 0.1
        seen.append(deviations[distances.index(min(distances))])
    assert len(set(seen)) == 4


def test_hue_alone_keeps_brightness_and_contrast(clip):
    """The largest channel of a pixel, HSV's value, stays to rounding."""
    result = augmented(clip, seed=1, hue_jitter=0.5)
    assert not torch.equal(result, clip)
    assert (result.amax(0).int() - clip.amax(0).int()).abs().max() <= 1


@pytest.mark.parametrize(
    ("options", "probability"),
    [
        ({"grey": 0.2}, 0.2),
        ({"blur": 0.5}, 0.5),
        ({"color_jitter": 0.5, "color_jitter_prob": 0.3}, 0.3),
        ({"hue_jitter": 0.3, "color_jitter_prob": 0.0}, 0.0),
    ],
)
def test_probabilities(clip, options, probability):
    """Over 300 draws, within four standard deviations."""
    small = clip[:, :1, :8, :8].contiguous()
    changed = sum(not torch.equal(augmented(small, seed, **options), small) for seed in range(300))
    assert abs(changed / 300 - probability) <= 4 * (probability * (1 - probability) / 300) ** 0.5
