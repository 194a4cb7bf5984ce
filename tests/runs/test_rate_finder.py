"""The learning-rate finder: its numbers against ones written by hand, and ``tools/find_lr.py`` on real files."""

import itertools
import json
import math
import shutil

import pytest
import torch

from helpers.jobs import run_job
from helpers.runs import tiny_run
from helpers.training import assert_same, make_batch, make_step, plain_network
from helpers.videos import make_videos
from video_rs.engine import rate_finder
from video_rs.engine.checkpoint import load_checkpoint
from video_rs.engine.guards import FailureLimit, TooManyFailed
from video_rs.engine.rate_finder import (
    NonFiniteStart,
    Suggestion,
    Sweep,
    growing_rates,
    has_diverged,
    risen_above,
    smooth,
    suggest,
    sweep,
)
from video_rs.engine.schedule import Schedule
from video_rs.engine.step import Step, StepResult
from video_rs.reports.plots import png
from video_rs.reports.rate_plot import rate_plot
from video_rs.reports.run_log import read_log
from video_rs.runs import find_lr
from video_rs.runs.find_lr import describe

# One after the other: a job of several processes takes the cores of the machine as if it were alone.
pytestmark = [pytest.mark.xdist_group("processes"), pytest.mark.usefixtures("blank_charts")]

RATES = growing_rates()


def test_the_rates_grow_by_one_factor():
    assert growing_rates(4, 1e-3, 1.0) == pytest.approx([1e-3, 1e-2, 1e-1, 1.0], rel=1e-12)
    assert len(RATES) == 100
    expected = [10 ** (-5 + 6 * i / 99) for i in range(100)]
    assert expected == pytest.approx(RATES, rel=1e-12)  # float64 rounding


def test_smoothing_is_a_weighted_mean_of_what_came_before():
    losses = torch.rand(30, generator=torch.Generator().manual_seed(0), dtype=torch.float64).tolist()
    for i, value in enumerate(smooth(losses)):
        weights = [0.9 ** (i - j) for j in range(i + 1)]
        mean = sum(w * loss for w, loss in zip(weights, losses[: i + 1], strict=True)) / sum(weights)
        assert value == pytest.approx(mean, rel=1e-12)
    assert smooth([]) == []


def test_diverged_is_more_than_four_times_the_lowest():
    assert not has_diverged([3.0, 1.0, 4.0])
    assert has_diverged([3.0, 1.0, 4.0001])
    assert not has_diverged([9.0, 1.0, 3.0])


def falling(centre, width=4):
    """A loss that falls from 6 to 2 around rate number ``centre`` and rises after number 80."""
    return [6 - 4 / (1 + math.exp((centre - i) / width)) + max(0, i - 80) for i in range(100)]


@pytest.mark.parametrize("centre", [30, 45, 60])
def test_the_suggestion_is_where_the_smoothed_loss_falls_fastest(centre):
    losses = falling(centre)
    smoothed = smooth(losses)
    lowest = min(range(10, 100), key=lambda i: smoothed[i])
    steepest = min(range(10, lowest + 1), key=lambda i: smoothed[i + 1] - smoothed[i - 1])
    found = suggest(RATES, losses)
    assert (found.steepest, found.lowest) == (RATES[steepest], RATES[lowest])
    # The lag that the docstring speaks of, and no more.
    assert centre < steepest <= centre + 6


def test_an_unsmoothed_suggestion_is_the_steepest_point_itself(monkeypatch):
    monkeypatch.setattr(rate_finder, "SMOOTHING", 0.0)
    found = suggest(RATES, falling(50))
    assert (found.steepest, found.lowest) == (RATES[50], RATES[80])


def test_what_falls_after_the_lowest_or_before_it_has_settled_is_no_suggestion():
    """A jump in the first steps, and a steeper fall on the way down from a burst, which stays above the lowest."""
    losses = falling(50)
    expected = suggest(RATES, losses)
    start = [30.0, 2.0, *losses[2:]]
    assert suggest(RATES, start).steepest == expected.steepest
    burst = [*losses[:85], *[40.0] * 4, *[4.0] * 11]
    assert suggest(RATES, burst) == expected


@pytest.mark.parametrize(
    "losses",
    [
        [],
        [2.0],
        [2.0] * 100,
        [2 + i / 50 for i in range(100)],
        [2.0 + (-1) ** i * 0.3 for i in range(100)],
        [6.0 - i for i in range(6)],
    ],
    ids=["none", "one", "flat", "rising", "noise", "ended before it settled"],
)
def test_a_loss_that_does_not_fall_has_no_suggestion(losses):
    assert suggest(RATES[: len(losses)], losses) is None


def sweeping(step, batches, rates, micro_batches=1, limit=None, failed_video=pytest.fail):
    return sweep(step, batches, micro_batches, rates, limit or FailureLimit(1.0, 8), failed_video)


def test_a_sweep_takes_the_steps_that_training_takes_at_those_rates():
    ours, reference = (make_step(plain_network(), total_steps=3) for _ in range(2))
    rates = [0.01, 0.1, 0.3]
    batches = [make_batch(seed, 2) for seed in range(6)]
    losses = []
    for number, rate in enumerate(rates):
        reference.schedule = lambda _, rate=rate: rate
        losses.append(reference(batches[2 * number : 2 * number + 2]).loss / 4)
    assert sweeping(ours, batches, rates, micro_batches=2) == Sweep(rates, losses, None)
    assert_same(ours.model.state_dict(), reference.model.state_dict())


class Scripted(Step):
    """A step whose losses are given."""

    def __call__(self, micro_batches, rate=None):
        return StepResult(clips=3, failed=0, loss=next(self.losses) * 3, ratios={}, grad_norm=1.0, finite=True)


def test_a_sweep_ends_where_the_loss_diverges():
    step = make_step(plain_network())
    step.__class__, step.losses = Scripted, iter([2.0, 1.0, 1.5, 1.0, 40.0, 1.0])
    found = sweeping(step, (make_batch(seed, 3) for seed in itertools.count()), [1, 2, 3, 4, 5, 6])
    assert found == Sweep([1, 2, 3, 4, 5], [2.0, 1.0, 1.5, 1.0, 40.0], 4)


def test_a_sweep_ends_where_the_loss_is_not_finite():
    step = make_step(plain_network(), warmup_steps=0)
    batches = [make_batch(seed, 2) for seed in range(5)]
    found = sweeping(step, batches, [0.1, 0.2, 1e38, 0.3, 0.4])
    assert (found.rates, found.unstable, step.number) == ([0.1, 0.2, 1e38], 1e38, 4)
    assert all(map(math.isfinite, found.losses))
    broken = make_step(plain_network())
    broken.model[0].weight.data.fill_(math.nan)
    with pytest.raises(NonFiniteStart) as caught:
        sweeping(broken, batches, [0.1, 0.2])
    assert str(caught.value) == (
        "the loss of the start weights is nan, its gradient's norm nan, before any learning rate acts"
    )


def test_a_sweep_leaves_out_steps_without_clips_and_names_what_failed():
    failures = []
    batches = [make_batch(0, 2), make_batch(1, 0, 2), make_batch(2, 1, 2)]
    step = make_step(plain_network())
    found = sweeping(step, batches, [0.1, 0.2, 0.3], failed_video=lambda *failure: failures.append(failure))
    assert found.rates == [0.1, 0.3]
    assert failures == [("1-0.mp4", "broken"), ("1-1.mp4", "broken"), ("2-0.mp4", "broken")]
    with pytest.raises(TooManyFailed, match=r"^2 of 2 training samples could not be read"):
        sweeping(step, batches[1:], [0.1, 0.2], limit=FailureLimit(0.5, 2), failed_video=lambda *_: None)


def results(**changes):
    return {"suggested": 0.03, "base_lr": 0.03, "lowest": 0.3, "unstable": 0.9, "batch_size": 64, **changes}


def test_what_is_said():
    assert describe(results(lowest=0.2), 0) == (
        "take SOLVER.BASE_LR 0.03 at most, where the loss falls fastest with batches of 64 clips; on the safe side is "
        "0.02, a tenth of where it is lowest; unstable above 0.9"
    )
    assert describe(results(base_lr=0.48, unstable=None), 1024) == (
        "take SOLVER.BASE_LR 0.48 at most, where the loss falls fastest with batches of 64 clips; no rise up to the "
        "last; of all these, batches of 64 clips take 0.0625 (SOLVER.LR_FOR_BATCH_SIZE)"
    )
    assert describe(results(suggested=None, base_lr=None, lowest=None), 0) == (
        "no learning rate to suggest: with batches of 64 clips the loss never falls by more than its noise; unstable "
        "above 0.9; a larger TRAIN.BATCH_SIZE has less noise"
    )


def test_the_picture_marks_the_suggestion():
    losses = falling(50)
    figure = rate_plot(RATES, losses, smooth(losses), RATES[55], RATES[90])
    axes = figure.axes[0]
    raw, smoothed, suggested, point, unstable = axes.lines
    assert axes.get_xscale() == "log"
    assert (list(raw.get_ydata()), list(smoothed.get_ydata())) == (losses, smooth(losses))
    assert list(suggested.get_xdata()) == [RATES[55]] * 2
    assert (list(point.get_xdata()), list(point.get_ydata())) == ([RATES[55]], [smooth(losses)[55]])
    assert list(unstable.get_xdata()) == [RATES[90]] * 2
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["loss of a step", "smoothed", f"suggested: {RATES[55]:.2g}", f"unstable above {RATES[90]:.2g}"]
    # The rise to 22 does not press the fall from 6 to 2 flat.
    assert axes.get_ylim() == pytest.approx((min(losses) - 0.4, 10), abs=0.1)
    # The legend is above the axes, and within the picture.
    figure.canvas.draw()
    box = axes.get_legend().get_window_extent()
    assert box.y0 >= axes.get_window_extent().y1
    assert box.x1 <= figure.bbox.x1


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([], None),
        ([2.0], None),
        ([2.0] * 5, None),
        ([2.0, 1.0, 5.0, 1.0, 1.0], None),
        ([2.0, 1.0, 1.0, 1.2, 9.0], RATES[2]),
        ([2.0, 1.0, 1.2, 1.05, 1.2], RATES[3]),
    ],
)
def test_the_rate_above_which_the_loss_has_risen(monkeypatch, losses, expected):
    monkeypatch.setattr(rate_finder, "SMOOTHING", 0.0)
    assert risen_above(RATES[: len(losses)], losses) == expected


@pytest.mark.parametrize(("losses", "unstable"), [([], None), ([2.0], None), ([], 1e-5)])
def test_a_picture_of_little(losses, unstable):
    figure = rate_plot(RATES[: len(losses)], losses, losses, None, unstable)
    assert len(figure.axes[0].lines) == 2 + (unstable is not None)
    assert png(figure).startswith(b"\x89PNG")


@pytest.fixture
def few_rates(monkeypatch):
    """Sweeps of the first steps only."""
    monkeypatch.setattr(find_lr, "growing_rates", lambda: RATES[:12])


def read(folder):
    return json.loads((folder / "lr_finder.json").read_text())


def test_find_lr_leaves_two_files_and_a_folder_to_train_in(tool, videos, config_file, tmp_path):
    run = tmp_path / "run"
    arguments = tiny_run(videos, run)
    found = tool("find_lr", "--cfg", config_file, *arguments)
    assert found.code == 0, found.err
    assert sorted(path.name for path in run.iterdir()) == ["lr_finder.json", "lr_finder.png"]
    result = read(run)
    # The run itself has four steps: the sweep goes on into further epochs.
    assert result["rates"] == RATES[: len(result["rates"])]
    assert len(result["losses"]) == len(result["rates"]) > 50
    assert result["smoothed"] == smooth(result["losses"])
    expected = suggest(result["rates"], result["losses"])
    assert (result["suggested"], result["lowest"]) == (expected.steepest, expected.lowest)
    assert (result["base_lr"], result["batch_size"]) == (expected.steepest, 4)
    lines = found.out.splitlines()
    assert lines == [
        "trying 100 learning rates from 1e-05 to 10, each for one step of 4 clips on 1 x cpu",
        describe(result, 0),
        f"picture: {run}/lr_finder.png  numbers: {run}/lr_finder.json",
    ]
    assert (run / "lr_finder.png").read_bytes().startswith(b"\x89PNG")

    trained = tool("train_net", "--cfg", config_file, *arguments)
    assert trained.code == 0, trained.err
    losses = [r["loss"] for r in read_log(run / "log.jsonl") if r["kind"] == "train"]
    assert losses[0] == result["losses"][0]


@pytest.mark.usefixtures("few_rates")
def test_find_lr_in_the_folder_of_a_run_changes_none_of_its_files(tool, trained, videos, config_file, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    arguments = tiny_run(videos, run)
    found = tool("find_lr", "--cfg", config_file, *arguments)
    assert found.code == 0, found.err
    new = {run / "lr_finder.json", run / "lr_finder.png"}
    assert {path for path in run.rglob("*") if path.is_file()} == before.keys() | new
    assert all(path.read_bytes() == content for path, content in before.items())

    # The same again gives the same two files; another batch size, others.
    kept = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    again = tool("find_lr", "--cfg", config_file, *arguments)
    assert again.code == 0, again.err
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == kept
    other = tool("find_lr", "--cfg", config_file, *tiny_run(videos, run, TRAIN__BATCH_SIZE=8))
    assert other.code == 0, other.err
    assert read(run)["batch_size"] == 8
    # To replace the run is not to replace them.
    assert tool("train_net", "--cfg", config_file, "--overwrite", *tiny_run(videos, run, SOLVER__MAX_STEPS=1)).code == 0
    assert read(run)["batch_size"] == 8
    assert load_checkpoint(run / "checkpoints" / "last.pth")["step"] == 1


@pytest.mark.usefixtures("few_rates")
def test_find_lr_says_the_base_rate_that_gives_the_rate(tool, videos, config_file, tmp_path, monkeypatch):
    monkeypatch.setattr(find_lr, "suggest", lambda *_: Suggestion(steepest=RATES[6], lowest=RATES[9]))
    for name, meant in (("plain", 0), ("scaled", 32)):
        arguments = tiny_run(videos, tmp_path / name, SOLVER__LR_FOR_BATCH_SIZE=meant)
        assert tool("find_lr", "--cfg", config_file, *arguments).code == 0
    plain, scaled = read(tmp_path / "plain"), read(tmp_path / "scaled")
    assert scaled["losses"] == plain["losses"]
    assert scaled["suggested"] == plain["suggested"] == plain["base_lr"] == RATES[6]
    assert scaled["base_lr"] == 8 * RATES[6]


@pytest.mark.usefixtures("few_rates")
def test_find_lr_starts_from_the_weights_that_training_would(tool, trained, videos, config_file, tmp_path):
    source = trained / "checkpoints" / "last.pth"
    torch.save(load_checkpoint(source)["ema"], tmp_path / "weights.pth")
    firsts = []
    for name, start in (("finetune", ["--finetune", source]), ("pretrained", ["MODEL.PRETRAINED", "weights.pth"])):
        start = [str(tmp_path / part) if part == "weights.pth" else part for part in start]
        arguments = [*start, *tiny_run(videos, tmp_path / name, SOLVER__MAX_STEPS=1)]
        assert tool("find_lr", "--cfg", config_file, *arguments).code == 0
        assert tool("train_net", "--cfg", config_file, *arguments).code == 0
        log = read_log(tmp_path / name / "log.jsonl")
        firsts += [read(tmp_path / name)["losses"][0], next(r["loss"] for r in log if r["kind"] == "train")]
    assert len(set(firsts)) == 1
    both = ["--finetune", source, "MODEL.PRETRAINED", tmp_path / "weights.pth"]
    refused = tool("find_lr", "--cfg", config_file, *both, *tiny_run(videos, tmp_path / "both"))
    assert refused.code == 2
    assert "both say where to start" in refused.err


@pytest.mark.parametrize("other", ["--resume", "--overwrite"])
def test_find_lr_has_no_run_to_resume_or_overwrite(tool, config_file, other):
    result = tool("find_lr", "--cfg", config_file, other)
    assert result.code == 2
    assert result.err.startswith(f"error: unrecognized arguments: {other}; ")


@pytest.mark.usefixtures("few_rates")
def test_find_lr_refuses_bad_input_in_one_line_and_writes_nothing(tool, videos, config_file, tmp_path):
    missing = tool("find_lr", "--cfg", config_file, *tiny_run(tmp_path / "no.csv", tmp_path / "run"))
    assert missing.code == 2
    assert missing.err.startswith(f"error: list {tmp_path}/no.csv does not exist")
    assert missing.err.count("\n") == 1
    assert not (tmp_path / "run").exists()
    broken = make_videos(tmp_path / "broken", per_class=2)
    (tmp_path / "broken/train/dark/0.mp4").write_bytes(b"not a video")
    arguments = tiny_run(broken, tmp_path / "run", DATA__MAX_FAILED_SHARE=0.2)
    result = tool("find_lr", "--cfg", config_file, *arguments)
    assert result.code == 2
    assert result.out.count(f"cannot read {tmp_path}/broken/train/dark/0.mp4: ") == 1
    assert result.err.startswith("error: 1 of 4 training samples could not be read (25.0%), allowed: 20.0% (DATA.MAX")
    assert f"; 'video-rs check_dataset {broken} --out check' lists the others in check/clean.csv" in result.err
    assert list((tmp_path / "run").iterdir()) == []
    allowed = tiny_run(broken, tmp_path / "run", DATA__MAX_FAILED_SHARE=0.5)
    result = tool("find_lr", "--cfg", config_file, *allowed)
    assert result.code == 0, result.err
    assert result.out.count("cannot read") == 1


def test_find_lr_without_enough_memory_says_what_to_lower(tool, videos, config_file, tmp_path, monkeypatch):
    def fail(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total\n...")

    monkeypatch.setattr(Step, "__call__", fail)
    result = tool("find_lr", "--cfg", config_file, *tiny_run(videos, tmp_path / "run"))
    assert (result.code, result.err) == (
        2,
        "error: not enough memory for a step on 4 clips of 4 x 32 x 32 at a time (CUDA out of memory. Tried to "
        "allocate 2.00 GiB); raise TRAIN.ACCUMULATION_STEPS (TRAIN.AUTO_BATCH true finds how far; nothing but "
        "batch norm and mixing see the difference), or set TRAIN.ACTIVATION_CHECKPOINTING 5, or set TRAIN.PRECISION "
        "bfloat16, or lower DATA.TRAIN_CROP_SIZE or DATA.NUM_FRAMES\n",
    )


# In every process of a job. Differences of rounding grow with the steps, and with the rate.
THIRTY_RATES = """
from video_rs.runs import find_lr
rates = find_lr.growing_rates()[:30]
find_lr.growing_rates = lambda: rates
"""


def test_two_processes_find_one_rate(tool, videos, config_file, tmp_path, monkeypatch):
    """With synchronized batch norm their losses are those of one, to the order of addition."""
    synced = {"TRAIN__SYNC_BATCH_NORM": True, "SOLVER__LABEL_SMOOTHING": 0}
    command = ("find_lr", "--cfg", config_file)
    done = run_job(tmp_path, 2, *command, *tiny_run(videos, tmp_path / "two", **synced), before=THIRTY_RATES)
    assert done.codes == [0, 0], done.err
    assert done.out.count("picture: ") == 1

    monkeypatch.setattr(find_lr, "growing_rates", lambda: RATES[:30])
    assert tool(*command, *tiny_run(videos, tmp_path / "one", **synced)).code == 0
    two, one = read(tmp_path / "two"), read(tmp_path / "one")
    assert two["rates"] == one["rates"] == RATES[:30]
    assert two["losses"] == pytest.approx(one["losses"], rel=1e-4)
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == ["lr_finder.json", "lr_finder.png"]


def test_a_rate_of_its_own_takes_the_place_of_the_schedules():
    given, scheduled = (make_step(plain_network(), warmup_steps=0) for _ in range(2))
    batch = make_batch(0, 4)
    given([batch], Schedule(0.5, 8)(0))
    scheduled([batch])
    assert_same(given.model.state_dict(), scheduled.model.state_dict())
    still = make_step(plain_network(), warmup_steps=0)
    still([batch], 0.0)
    assert_same(still.model.state_dict(), plain_network().state_dict())
