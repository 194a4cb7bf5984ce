"""Tests of a GPU are skipped without one, unless a device is asked for."""

import pytest
import torch

from helpers.gpu import reason_to_skip


@pytest.mark.parametrize(
    ("there", "asked", "reason"),
    [
        (True, None, ""),
        (True, "cuda", ""),
        (True, "cpu", ""),
        (False, "cpu", ""),
        (False, None, "PyTorch finds no NVIDIA GPU; --device cpu runs this on the CPU"),
    ],
)
def test_without_a_gpu_the_reason_says_how_to_run_them(monkeypatch, there, asked, reason):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert reason_to_skip(asked) == reason


def test_a_gpu_that_is_asked_for_and_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(pytest.UsageError, match=r"^--device is cuda, and PyTorch .* only the CPU; take --device cpu$"):
        reason_to_skip("cuda")
