"""What the pages say: their numbers are the measured ones, and what they claim holds."""

import re

import pytest
import torch

from helpers.tools import ROOT
from video_rs import create_model

TRAINING = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
MODELS = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
BENCHMARKS = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("column", [-3, -2], ids=["peak", "of a clip"])
def test_the_memory_of_activation_checkpointing_is_the_measured_one(column):
    """Of the rows "r3d_rs_50 eager" and "checkpointed" of a training step: peak MiB, MiB/clip, spread at the end."""
    step = BENCHMARKS.split("## Training step")[1]
    eager, checkpointed = (
        re.search(rf"r3d_rs_50 {kind} .*", step)[0].split()[column] for kind in ("eager", "checkpointed")
    )
    assert re.search(rf"from {eager} to\s+{checkpointed}\b", TRAINING)
    if column == -2:
        assert f"`TRAIN.ACTIVATION_CHECKPOINTING 5`: {eager} -> {checkpointed} MiB a clip" in TRAINING


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")
def test_trace_and_export_take_a_network_and_script_does_not():
    assert (
        "`torch.jit.trace`, `torch.export` and `torch.compile` take the networks; `torch.jit.script` does not" in MODELS
    )
    model, clips = create_model("r3d_rs_tiny", 3).eval(), torch.rand(1, 3, 4, 32, 32)
    expected = model(clips)
    for recorded in (torch.jit.trace(model, clips), torch.export.export(model, (clips,)).module()):
        # The same float32 sums in another order.
        torch.testing.assert_close(recorded(clips), expected, rtol=0, atol=1e-6)
    with pytest.raises(RuntimeError):
        torch.jit.script(model)
