"""Batch-norm statistics of fixed weights, against fvcore's precise BN and against the moments of all values."""

import pytest
import torch
from fvcore.nn.precise_bn import update_bn_stats
from torch import nn

import video_rs
from helpers.configs import build
from helpers.runs import tiny_run
from helpers.training import CLASSES, assert_same, make_batch, norm_network, prepare
from video_rs.engine.checkpoint import load_checkpoint
from video_rs.engine.precise_bn import recompute_statistics
from video_rs.models import freeze_stages

pytestmark = pytest.mark.usefixtures("blank_charts")

BATCHES = [make_batch(1, 4), make_batch(2, 3), make_batch(3, 5)]


def random_network():
    """Dropout and stochastic depth that would show."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return video_rs.create_model("r3d_rs_tiny", CLASSES, dropout=0.5, stochastic_depth=0.8, width=0.125)


def fvcore_state(model, batches):
    """fvcore's, of the layers that train, with all else in evaluation mode."""
    model.train()
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm3d) and m.training]
    model.eval()
    for norm in norms:
        norm.train()
    tracked = [norm.num_batches_tracked.clone() for norm in norms]
    update_bn_stats(model, [prepare(batch.clips) for batch in batches], len(batches))
    for norm, count in zip(norms, tracked, strict=True):
        norm.num_batches_tracked.copy_(count)  # theirs count on
    return model.state_dict()


def test_the_statistics_of_one_layer_are_the_moments_of_all_values():
    model = norm_network()
    values = torch.cat([model[0](prepare(batch.clips)).detach() for batch in BATCHES]).double()
    recompute_statistics(model, BATCHES, prepare)
    assert not model.training
    torch.testing.assert_close(model[1].running_mean, values.mean((0, 2, 3, 4)).float())
    torch.testing.assert_close(model[1].running_var, values.var((0, 2, 3, 4), correction=0).float())
    assert model[1].num_batches_tracked == 0


@pytest.mark.parametrize("frozen", [0, 2, 5])
def test_the_statistics_of_a_network_are_those_of_fvcore(frozen):
    ours, theirs = random_network(), random_network()
    for model in (ours, theirs):
        freeze_stages(model.backbone, frozen)
    start = {name: value.clone() for name, value in ours.state_dict().items()}
    batches = [make_batch(seed, 4, shape=(3, 4, 32, 32)) for seed in range(3)]
    assert recompute_statistics(ours, batches, prepare) == (0 if frozen == 5 else 12)
    expected = fvcore_state(theirs, batches)
    changed = set()
    for name, value in ours.state_dict().items():
        # E[x^2] - E[x]^2 in float32 there, deviations in float64 here.
        torch.testing.assert_close(value, expected[name], rtol=1e-3, atol=1e-5)
        if not torch.equal(value, start[name]):
            changed.add(name)
    statistics = {name for name in start if name.endswith(("running_mean", "running_var"))}
    kept = {
        name
        for name in statistics
        if frozen and name.startswith(("backbone.stem", "backbone.res2") if frozen == 2 else "backbone.")
    }
    assert changed == statistics - kept


def test_batches_without_clips_do_not_count():
    ours, theirs = norm_network(), norm_network()
    assert recompute_statistics(ours, [BATCHES[0], make_batch(0, 0, 2), BATCHES[1]], prepare) == 7
    recompute_statistics(theirs, BATCHES[:2], prepare)
    assert_same(ours.state_dict(), theirs.state_dict())
    start = norm_network()
    recompute_statistics(start, [make_batch(0, 0, 2)], prepare)
    assert_same(start.state_dict(), norm_network().state_dict())


def test_a_run_keeps_the_statistics_of_its_averaged_weights(tool, videos, config_file, tmp_path):
    """Of the clips of the steps that would come; interrupted between the steps, it ends with the same."""
    keys = {"BN__NUM_BATCHES_PRECISE": 2, "SOLVER__MAX_STEPS": 4}
    keys |= {"TRAIN__CHECKPOINT_STEPS": 1, "TRAIN__KEEP_CHECKPOINTS": 5}
    arguments = tiny_run(videos, tmp_path / "run", **keys)
    result = tool("train_net", "--cfg", config_file, *arguments)
    assert result.code == 0
    for step in (2, 4):
        assert f"batch-norm statistics of step {step} over 8 clips (BN.NUM_BATCHES_PRECISE)\n" in result.out
    state = load_checkpoint(tmp_path / "run/checkpoints/last.pth")

    # Steps 4 and 5 of a longer run of the same seed read these clips.
    overrides = dict(zip(arguments[::2], arguments[1::2], strict=True))
    training = build(videos, {**overrides, "SOLVER.MAX_STEPS": 6})
    batches = list(training.loader(4))
    training.step.model.load_state_dict(state["ema"])
    expected = fvcore_state(training.step.model, [type("Batch", (), {"clips": b.clips}) for b in batches])
    for name, value in state["ema"].items():
        torch.testing.assert_close(value, expected[name], rtol=1e-3, atol=1e-5)
    # The raw model has its own, of its last batch.
    name = "backbone.stem.1.running_mean"
    assert not torch.allclose(state["model"][name], state["ema"][name])

    (tmp_path / "run/checkpoints/step_3.pth").rename(tmp_path / "run/checkpoints/last.pth")
    assert tool("train_net", "--cfg", config_file, "--resume", *arguments).code == 0
    assert_same(load_checkpoint(tmp_path / "run/checkpoints/last.pth")["ema"], state["ema"])


def test_without_an_average_the_model_itself_takes_them(tool, videos, config_file, tmp_path):
    keys = {"BN__NUM_BATCHES_PRECISE": 1, "SOLVER__EMA_DECAY": 0, "MODEL__NORM_MOMENTUM": 0.1, "SOLVER__MAX_STEPS": 2}
    states = []
    for name, extra in (("with", {}), ("without", {"BN__NUM_BATCHES_PRECISE": 0})):
        arguments = tiny_run(videos, tmp_path / name, **{**keys, **extra})
        assert tool("train_net", "--cfg", config_file, *arguments).code == 0
        states.append(load_checkpoint(tmp_path / name / "checkpoints/last.pth")["model"])
    different = {name for name, value in states[0].items() if not torch.equal(value, states[1][name])}
    assert different == {name for name in states[0] if name.endswith(("running_mean", "running_var"))}


def test_clips_that_cannot_be_read_are_told(tool, videos, config_file, tmp_path):
    rows = videos.read_text().splitlines()
    rows.insert(1, "broken.mp4,dark,train")
    for path in ("train", "val"):
        (tmp_path / path).symlink_to(videos.parent / path)
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    (tmp_path / "list.csv").write_text("\n".join(rows) + "\n")
    keys = {"BN__NUM_BATCHES_PRECISE": 3, "SOLVER__MAX_STEPS": 3, "DATA__MAX_FAILED_SHARE": 1, "TRAIN__BATCH_SIZE": 3}
    result = tool("train_net", "--cfg", config_file, *tiny_run(tmp_path / "list.csv", tmp_path / "run", **keys))
    assert result.code == 0
    # Three steps are an epoch of nine videos, and so are the three batches.
    said = "batch-norm statistics of step 3 over 8 clips (BN.NUM_BATCHES_PRECISE); 1 more could not be read\n"
    assert said in result.out
