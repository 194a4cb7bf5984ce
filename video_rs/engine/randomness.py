"""Random numbers of a training step as functions of seed, step and rank: a resumed run draws the same."""

import hashlib

import torch

from video_rs.runtime import distributed


def seed_step(seed: int, step: int) -> None:
    """Seed torch's global generator, from which dropout and stochastic depth draw, by (seed, step, rank)."""
    torch.manual_seed(_hashed(seed, step, distributed.rank()))


def micro_batch_generator(seed: int, step: int, micro_batch: int) -> torch.Generator:
    """Return a CPU generator seeded by (seed, step, rank, micro-batch), apart from the one of :func:`seed_step`."""
    return torch.Generator().manual_seed(_hashed(seed, step, distributed.rank(), micro_batch))


def _hashed(*numbers: int) -> int:
    """Return 56 bits in which nearby numbers have nothing in common."""
    text = ",".join(map(str, numbers)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=7).digest(), "little")
