"""The model table: against the published sizes, and in the README."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from helpers.networks import on_meta
from video_rs import create_model, list_models
from video_rs.models.table import gmac, model_table, parameters
from video_rs.runtime.errors import InputError

# One after the other: the table would be worked out by both workers.
pytestmark = pytest.mark.xdist_group("model table")

# Parameters and GMAC at 32 x 224, 32 x 256, 48 x 224, 48 x 256, and 32 x 224 with the pool's stride of 2.
PUBLISHED = {
    "r3d_rs_50": (48_129_840, 88.0, 115.0, 132.0, 172.4, 47.2),
    "r3d_rs_101": (84_969_520, 175.4, 229.1, 263.1, 343.6, 90.9),
    "r3d_rs_152": (114_788_144, 256.2, 334.6, 384.2, 501.8, 131.3),
    "r3d_rs_200": (121_376_560, 312.1, 407.6, 468.1, 611.4, 159.3),
}
BY_FORMULA = {
    "r3d_rs_270": (169_038_064, 425.5),
    "r3d_rs_300": (174_087_536, 455.1),
    "r3d_rs_350": (213_094_256, 547.6),
}


@pytest.fixture(scope="module")
def table():
    """The table at its defaults, which takes seconds."""
    return model_table()


@pytest.fixture(scope="module")
def rows(table):
    """``{model: cells}`` of the table."""
    lines = table.splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0] == [
        "model",
        "parameters, 400 classes",
        "GMAC, 32 x 224 x 224",
        "stride in time",
        "in space, by stage",
    ]
    return {row[0].strip("`"): row[1:] for row in cells[2:]}


def test_the_table_has_every_model(rows):
    assert list(rows) == list_models()


@pytest.mark.parametrize("name", [*PUBLISHED, *BY_FORMULA])
def test_published_models_have_their_published_size(rows, name):
    size, work = {**PUBLISHED, **BY_FORMULA}[name][:2]
    assert rows[name] == [f"{size:,}", f"{work:.1f}", "2", "4, 8, 16, 32"]


@pytest.mark.parametrize(("frames", "size", "column"), [(32, 256, 2), (48, 224, 3), (48, 256, 4)])
def test_multiply_adds_at_other_clips(frames, size, column):
    for name in ("r3d_rs_50", "r3d_rs_101"):
        assert gmac(on_meta(name), frames, size) == pytest.approx(PUBLISHED[name][column], abs=0.05)


def test_multiply_adds_with_a_pool_that_strides_in_time():
    for name, facts in PUBLISHED.items():
        model = on_meta(name, stem_pool_temporal_stride=2)
        assert gmac(model, 32, 224) == pytest.approx(facts[5], abs=0.05)


def test_multiply_adds_by_hand():
    with torch.device("meta"):
        model = create_model("r3d_rs_tiny", 7, depths=(1, 1, 1, 1), width=0.125, se_ratio=0)
    # 4 x 16 x 16 clip; widths 4-4-8 (stem), 8, 16, 32, 64; maps of 2 frames of 8, 4 (pooled), 4, 2, 1 and 1 pixels.
    stem = 2 * 64 * (3 * 4 * 45 + 4 * 4 * 9 + 4 * 8 * 9)
    stages = [(8, 8, 16, False), (8, 16, 4, True), (16, 32, 1, True), (32, 64, 1, True)]
    blocks = sum(2 * cells * (i * o * 27 + o * o * 9 + i * o * projects) for i, o, cells, projects in stages)
    assert gmac(model, 4, 16) == pytest.approx((stem + blocks + 64 * 7) / 1e9, rel=1e-12)
    assert parameters(model) == sum(p.numel() for p in model.parameters())


def test_the_documentation_has_the_table(table):
    page = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
    shown = page.split("<!-- video-rs models -->\n")[1].split("\n<!-- end -->")[0]
    assert shown == table


def test_the_command_prints_a_part_of_the_table_for_another_clip():
    command = [
        sys.executable,
        "-m",
        "video_rs",
        "models",
        "r3d_rs_t*",
        "--frames",
        "8",
        "--size",
        "64",
        "--classes",
        "3",
    ]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert answer.stdout.strip() == model_table("r3d_rs_t*", 3, 8, 64)
    assert answer.stdout.count("\n") == 3
    nothing = subprocess.run([*command[:4], "nosuch*"], capture_output=True, text=True, timeout=100)
    assert (nothing.returncode, nothing.stdout, nothing.stderr.count("\n")) == (2, "", 1)
    assert nothing.stderr.startswith(
        "error: no model's name matches 'nosuch*'; allowed: names and shell-style patterns"
    )
    refused = subprocess.run([*command[:-1], "0"], capture_output=True, text=True, timeout=100)
    assert refused.returncode == 2
    assert refused.stderr.splitlines()[-1].endswith("error: --classes, --frames and --size must be at least 1")


def test_counting_leaves_the_network_as_it_was_and_counts_what_the_counter_does():
    """Layers without products are passed over while it is counted, and only then."""
    model = on_meta("r3d_rs_tiny")
    clip = torch.empty(1, 3, 4, 32, 32, device="meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(clip)
    assert gmac(model, 4, 32) == counter.get_total_flops() / 2e9
    assert not any("forward" in vars(module) for module in model.modules())
    with pytest.raises(InputError, match="at least 1 frame of 1 x 1 pixel"):
        gmac(model, 4, 0)
    assert not any("forward" in vars(module) for module in model.modules())
