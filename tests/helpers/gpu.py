"""Where tests of a GPU run: on a GPU, on the CPU to prove the tests themselves, or nowhere."""

import pytest
import torch

OPTION = "--device"


def reason_to_skip(asked):
    """Why tests that are marked ``gpu`` are skipped, given what ``--device`` asks for; "" where they run.

    Raises:
        pytest.UsageError: a GPU is asked for that is not there.
    """
    if asked == "cpu" or torch.cuda.is_available():
        return ""
    if asked == "cuda":
        raise pytest.UsageError(
            f"{OPTION} is cuda, and PyTorch {torch.__version__} finds no such GPU here, only the CPU; take {OPTION} cpu"
        )
    return f"PyTorch finds no NVIDIA GPU; {OPTION} cpu runs this on the CPU"
