"""Whether an exported file gives the network's own probabilities, at shapes for which it was not made too."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from video_rs.engine.evaluation import Scorer
from video_rs.inference.export.network import TrainedNetwork
from video_rs.inference.full_precision import without_tf32
from video_rs.runtime.errors import CheckFailed
from video_rs.runtime.torch_files import first_sentence

TOLERANCE = 1e-4
"""Largest difference over the largest probability: float32 sums in another order. More is a wrong result."""

OTHER_SIZES = ((1, 5, 33, 47), (3, 8, 128, 81), (5, 12, 64, 160))
"""Batch, frames, height and width that no graph is captured with."""

NOISE = 24  # largest change of a value from the block that it lies in


@dataclass(frozen=True)
class Parity:
    """How near a file's probabilities come to the network's.

    Attributes:
        shape: of the clips, (B, 3, T, H, W).
        difference: the largest.
        largest: the largest probability.
    """

    shape: tuple[int, ...]
    difference: float
    largest: float

    @property
    def allowed(self) -> float:
        """The largest difference that rounding explains."""
        return TOLERANCE * self.largest

    @property
    def holds(self) -> bool:
        """Whether the probabilities are the same, to rounding."""
        return self.difference <= self.allowed  # and not NaN


def compare(network: TrainedNetwork, scorer: Scorer, smallest: Mapping[str, int]) -> list[Parity]:
    """Return the parity at the shape that the network is used with, and at three other ones.

    Args:
        network: what has been exported.
        scorer: the file, read back.
        smallest: sizes that the file takes.

    Raises:
        CheckFailed: the file does not run.
    """
    shapes = [network.description.preprocessing.clip_shape(1)]
    # Wherever a graph takes them, the other shapes are the same for every network: small, odd, even, and not square.
    for batch, frames, height, width in OTHER_SIZES:
        at_least = [smallest.get(name, 1) for name in ("frames", "height", "width")]
        frames, height, width = map(max, (frames, height, width), at_least)
        shapes.append((batch, 3, frames, height, width))

    program = network.program
    rows = []
    for seed, shape in enumerate(shapes):
        clips = example_clips(shape, seed)
        with torch.inference_mode(), without_tf32():
            expected = program(clips)
            # Each runtime has errors of its own.
            try:
                probabilities = scorer(clips).cpu()
            except Exception as error:
                raise CheckFailed(
                    f"the file does not run with clips {list(shape)} ({first_sentence(error)}); take another --format"
                ) from error
        rows.append(Parity(shape, largest_difference(probabilities, expected), float(expected.max())))
    return rows


def largest_difference(probabilities: Tensor, expected: Tensor) -> float:
    """Return the largest difference of two tensors, infinite where their shapes differ."""
    if probabilities.shape != expected.shape:
        return float("inf")
    return float((probabilities - expected).abs().max())


def example_clips(shape: tuple[int, ...], seed: int) -> Tensor:
    """Return uint8 clips of coloured blocks under noise: even noise would look the same to every network."""
    generator = torch.Generator().manual_seed(seed)
    batch, channels, frames, height, width = shape
    blocks = torch.randint(256, (batch, channels, 3, 4, 4), generator=generator).float()
    blocks = interpolate(blocks, size=(frames, height, width))
    noise = torch.randint(-NOISE, NOISE + 1, shape, generator=generator)
    return (blocks + noise).clamp(0, 255).to(torch.uint8)


def require_parity(rows: list[Parity]) -> None:
    """Raise CheckFailed where some probabilities differ by more than rounding explains."""
    wrong = [row for row in rows if not row.holds]
    if wrong:
        row = wrong[0]
        raise CheckFailed(
            f"the file gives other probabilities than the network, by {row.difference:.1e} with clips "
            f"{list(row.shape)}; allowed: {row.allowed:.1e}, {TOLERANCE:.0e} of the largest; nothing was kept, take "
            "another --format"
        )
