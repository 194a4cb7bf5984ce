"""What the README says: its Python runs as it stands, block after block, and its numbers are the measured ones."""

import os
import re
import shutil
import subprocess
import sys

import pytest
import torch

from helpers.tools import ROOT
from video_rs import create_model

README = (ROOT / "README.md").read_text(encoding="utf-8")
BENCHMARKS = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")


def test_the_python_blocks_run_pasted_in_their_order(hub, trained, videos, tmp_path):
    """Where a run and a video are that it names, and timm's weights in its cache."""
    (tmp_path / "runs" / "mine" / "checkpoints").mkdir(parents=True)
    shutil.copy(trained / "checkpoints" / "last.pth", tmp_path / "runs" / "mine" / "checkpoints")
    shutil.copy(videos.parent / "val" / "dark" / "0.mp4", tmp_path / "video.mp4")
    blocks = re.findall(r"^```python\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    assert len(blocks) == 6
    # Shapes that the text promises, asked after the last block.
    shapes = "print([list(x.shape) for x in (fast(clips), logits, maps['res5'], model(clips))], fast.engine)"
    environment = {**os.environ, "HF_HOME": str(hub), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", "\n".join([*blocks, shapes])],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    # The accelerated copy was made of the model that reset_classifier gave 101 classes.
    assert done.stdout.startswith("[[2, 101], [1, 80], [2, 2048, 4, 4], [2, 2048, 4, 7, 7]] ")


@pytest.mark.parametrize("column", [-3, -2], ids=["peak", "of a clip"])
def test_the_memory_of_activation_checkpointing_is_the_measured_one(column):
    """Of the rows "r3d_rs_50 eager" and "checkpointed" of a training step: peak MiB, MiB/clip, spread at the end."""
    step = BENCHMARKS.split("## Training step")[1]
    eager, checkpointed = (
        re.search(rf"r3d_rs_50 {kind} .*", step)[0].split()[column] for kind in ("eager", "checkpointed")
    )
    assert re.search(rf"from {eager} to\s+{checkpointed}\b", README)
    if column == -2:
        assert f"`TRAIN.ACTIVATION_CHECKPOINTING 5`: {eager} -> {checkpointed} MiB a clip" in README


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")
def test_trace_and_export_take_a_network_and_script_does_not():
    assert (
        "`torch.jit.trace`, `torch.export` and `torch.compile` take the networks; `torch.jit.script` does not" in README
    )
    model, clips = create_model("r3d_rs_tiny", 3).eval(), torch.rand(1, 3, 4, 32, 32)
    expected = model(clips)
    for recorded in (torch.jit.trace(model, clips), torch.export.export(model, (clips,)).module()):
        # The same float32 sums in another order.
        torch.testing.assert_close(recorded(clips), expected, rtol=0, atol=1e-6)
    with pytest.raises(RuntimeError):
        torch.jit.script(model)
