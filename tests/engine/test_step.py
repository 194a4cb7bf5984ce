"""The training step against one written by hand, and what a resumed one keeps."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional

from helpers.training import (
    CLASSES,
    SHAPE,
    Batch,
    assert_close,
    assert_same,
    kernels,
    make_batch,
    make_step,
    norm_network,
    plain_network,
    prepare,
    snapshot,
    split,
)
from video_rs import create_model
from video_rs.data.mixing import Mixing
from video_rs.engine.batch_norm import synchronize
from video_rs.engine.objectives import Ratio
from video_rs.engine.randomness import micro_batch_generator, seed_step
from video_rs.engine.schedule import Schedule
from video_rs.engine.step import StepResult
from video_rs.engine.update_ratio import UpdateRatio
from video_rs.models.fast import speed_up
from video_rs.runtime import distributed


def test_a_step_equals_one_written_by_hand():
    batches = [make_batch(seed, 4) for seed in range(4)]
    ours = make_step(norm_network(), label_smoothing=0.1)
    ours.model.train()
    measured = [ours([batch]) for batch in batches]

    model = norm_network().train()
    velocity = {name: None for name, _ in model.named_parameters()}
    average = {n: torch.zeros_like(v) for n, v in model.state_dict().items() if v.is_floating_point()}
    for step, batch in enumerate(batches):
        rate = Schedule(0.5, 8, 2)(step)
        seed_step(7, step)
        logits = model(batch.clips.float() / 255)
        losses = functional.cross_entropy(logits, batch.labels, reduction="none", label_smoothing=0.1)
        (losses.sum() * (1 / 4)).backward()
        norm = torch.stack([p.grad.norm() for p in model.parameters()]).norm()
        # The fused optimizer rounds a multiply-add once, this one twice: float32's 6e-8, a few steps long.
        assert measured[step].loss == pytest.approx(losses.sum().item(), rel=1e-6)
        assert measured[step].ratios["top1"].total == (logits.argmax(1) == batch.labels).sum()
        assert measured[step].grad_norm == pytest.approx(norm.item(), rel=1e-5)
        assert (measured[step].clips, measured[step].failed) == (4, 0)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                gradient = parameter.grad.add(parameter, alpha=0.05 if name in kernels(model) else 0.0)
                old = velocity[name]
                velocity[name] = gradient * rate if old is None else old.mul(0.9).add(gradient, alpha=rate)
                parameter.sub_(gradient * rate + velocity[name] * 0.9)
                parameter.grad = None
            decay = min(0.9, (2 + step) / (11 + step))
            for name in average:
                average[name].lerp_(model.state_dict()[name], 1 - decay)
    assert_close(ours.model.state_dict(), model.state_dict())
    assert_close({name: ours.average.state_dict()[name] for name in average}, average)
    assert ours.number == 4


@pytest.mark.parametrize("sizes", [(2, 2), (3, 1), (1, 1, 1, 1)])
def test_accumulated_micro_batches_equal_one_batch(sizes):
    whole, parts = make_step(plain_network()), make_step(plain_network())
    for seed in range(3):
        batch = make_batch(seed, 4)
        one, several = whole([batch]), parts(split(batch, *sizes))
        assert several.ratios["top1"].total == one.ratios["top1"].total
        assert several.clips == one.clips == 4
        assert several.loss == pytest.approx(one.loss, rel=1e-5)
        assert several.grad_norm == pytest.approx(one.grad_norm, rel=1e-5)
    for name, value in parts.model.state_dict().items():
        # The same sums of gradients in another order: float32 rounding.
        torch.testing.assert_close(value, whole.model.state_dict()[name], rtol=1e-5, atol=1e-6)


def test_the_loss_is_the_mean_over_valid_clips():
    """A batch with failed slots trains exactly like a batch of its valid clips."""
    full, gaps = make_step(plain_network()), make_step(plain_network())
    for seed in range(3):
        batch = make_batch(seed, 3)
        expected = full([batch])
        measured = gaps([Batch(batch.clips, batch.labels, 5)])
        assert measured == replace(expected, failed=2)
    assert_same(gaps.model.state_dict(), full.model.state_dict())


def test_micro_batches_with_different_numbers_of_valid_clips_weigh_clips_equally():
    whole, parts = make_step(plain_network()), make_step(plain_network())
    for seed in range(3):
        batch = make_batch(seed, 4)
        whole([batch])
        first, second = split(batch, 3, 1)
        empty = make_batch(9, 0, 4)
        parts([first, Batch(second.clips, second.labels, 4), empty])
    for name, value in parts.model.state_dict().items():
        # The same sums in another order; the empty micro-batch adds zeros.
        torch.testing.assert_close(value, whole.model.state_dict()[name], rtol=1e-5, atol=1e-6)


def test_an_empty_micro_batch_leaves_batch_norm_alone():
    with_gap, without = make_step(norm_network()), make_step(norm_network())
    for trained in (with_gap, without):
        trained.model.train()
    batch = make_batch(1, 4)
    with_gap([batch, make_batch(2, 0, 4)])
    without([batch])
    assert with_gap.model.training
    assert_same(with_gap.model.state_dict(), without.model.state_dict())


def test_a_batch_without_a_valid_slot_changes_the_step_number_only():
    trained = make_step(norm_network())
    trained.model.train()
    trained([make_batch(0, 4)])
    trained([make_batch(1, 4)])
    before = snapshot(trained.state_dict())
    measured = trained([make_batch(2, 0, 2), make_batch(3, 0, 2)])
    nothing = {"top1": Ratio(0.0, 0.0)}
    assert measured == StepResult(clips=0, failed=4, loss=0.0, ratios=nothing, grad_norm=0.0, finite=True)
    after = trained.state_dict()
    assert_same(after["model"], before["model"])
    assert_same(after["ema"], before["ema"])
    for index, kept in before["optimizer"]["state"].items():
        assert torch.equal(after["optimizer"]["state"][index]["momentum_buffer"], kept["momentum_buffer"])
    assert after["step"] == 3


@pytest.mark.parametrize("share", [0.5, 2.0])
def test_gradient_clipping(share):
    """Below the limit nothing changes; above it the gradient is scaled to the limit, and the norm is that before."""
    batch = make_batch(0, 4)
    free = make_step(plain_network(), warmup_steps=0, decay=0.0)
    norm = free([batch]).grad_norm
    clipped = make_step(plain_network(), warmup_steps=0, decay=0.0, clip_norm=share * norm)
    assert clipped([batch]).grad_norm == norm
    start = plain_network().state_dict()
    for name, value in clipped.model.state_dict().items():
        moved, expected = value - start[name], (free.model.state_dict()[name] - start[name]) * min(1, share)
        # torch divides by the norm + 1e-6; differences of float32 weights of size 0.3.
        torch.testing.assert_close(moved, expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_lower_precision_is_close_to_float32(precision):
    exact, rough = make_step(plain_network()), make_step(plain_network(), precision=precision)
    for seed in range(3):
        batch = make_batch(seed, 4)
        losses = [trained([batch]).loss for trained in (exact, rough)]
        # bfloat16 keeps 8 bits (4e-3 of a logit of size 1), four clips; float16 is finer.
        assert losses[1] == pytest.approx(losses[0], abs=4 * 8e-3)
        assert losses[1] != losses[0]
    assert all(p.dtype == torch.float32 for p in rough.model.parameters())
    assert rough.scaler.is_enabled() == (precision == torch.float16)
    for name, value in rough.model.state_dict().items():
        start = plain_network().state_dict()[name]
        moved, expected = value - start, exact.model.state_dict()[name] - start
        assert (moved - expected).norm() < 0.05 * expected.norm()  # a few roundings of 4e-3 each


def test_all_that_bfloat16_trains_stays_in_float32():
    """Weights, momenta, average and batch-norm statistics, with more digits than bfloat16 has."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = speed_up(create_model("r3d_rs_tiny", num_classes=CLASSES, width=0.125))
    trained = make_step(model, precision=torch.bfloat16, warmup_steps=0)
    model.train()
    norm = next(module for module in model.modules() if isinstance(module, nn.BatchNorm3d))
    maps = []
    norm.register_forward_pre_hook(lambda _, inputs: maps.append(inputs[0].detach()))
    trained([make_batch(0, 4, shape=(3, 4, 32, 32))])

    momenta = {index: kept["momentum_buffer"] for index, kept in trained.optimizer.state_dict()["state"].items()}
    for state in (model.state_dict(), trained.average.state_dict(), momenta):
        floats = [value for value in state.values() if value.is_floating_point()]
        assert {value.dtype for value in floats} == {torch.float32}
        assert all((value != value.bfloat16()).any() for value in floats if value.numel() > 1000)

    # The statistics of rounded maps are exact themselves.
    [rounded] = maps
    assert rounded.dtype == torch.bfloat16
    mean = norm.momentum * rounded.double().mean((0, 2, 3, 4))
    torch.testing.assert_close(norm.running_mean.double(), mean, rtol=1e-5, atol=1e-6)


class Bursting(nn.Module):
    """Logits that are multiplied by ``bad`` where the first clip begins with 255."""

    def __init__(self, bad, synced):
        super().__init__()
        self.inner, self.bad = norm_network(), bad
        if synced:
            synchronize(self.inner)

    def forward(self, clips):
        logits = self.inner(clips)
        return logits * self.bad if clips[0, 0, 0, 0, 0] == 1 else logits


@pytest.mark.parametrize("synced", [False, True])
@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e38])
def test_a_step_that_is_not_finite_changes_the_step_number_only(bad, synced):
    """Logits of 1e38 are finite themselves; their loss or its gradient is not."""
    trained = make_step(Bursting(bad, synced))
    trained.model.train()
    good, evil = make_batch(0, 4), make_batch(1, 4)
    good.clips[0, 0, 0, 0, 0], evil.clips[0, 0, 0, 0, 0] = 0, 255
    trained([good])
    before = snapshot(trained.state_dict())
    measured = trained([good, evil])
    assert measured.finite is False
    assert not (math.isfinite(measured.loss) and math.isfinite(measured.grad_norm))
    after = trained.state_dict()
    assert_same(after["model"], before["model"])
    assert_same(after["ema"], before["ema"])
    for index, kept in before["optimizer"]["state"].items():
        assert torch.equal(after["optimizer"]["state"][index]["momentum_buffer"], kept["momentum_buffer"])
    assert after["step"] == 2
    # And the step after it is the one that a run takes in which it never was, at its own step number.
    other = make_step(Bursting(bad, synced))
    other.model.train()
    other([good])
    other.number = 2
    assert trained([good]) == other([good])
    assert_same(trained.model.state_dict(), other.model.state_dict())


def test_overflows_of_float16_are_its_scalers():
    """The step is skipped by the scaler, which lowers its scale; nothing is reported."""
    trained = make_step(plain_network(), precision=torch.float16)
    trained.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127)
    before = snapshot(trained.model.state_dict())
    measured = trained([make_batch(0, 4)])
    assert measured.finite is True
    assert not math.isfinite(measured.grad_norm)
    assert_same(trained.model.state_dict(), before)
    assert trained.scaler.get_scale() == 2.0**126


def test_seed_step_is_a_function_of_seed_and_step():
    def draw(seed, step):
        seed_step(seed, step)
        return torch.rand(4).tolist()

    with torch.random.fork_rng(devices=[]):
        first = draw(3, 5)
        draws = [draw(3, 6), draw(4, 5), draw(5, 3), draw(0, 35), draw(35, 0)]
        assert draw(3, 5) == first
    assert len({tuple(d) for d in [first, *draws]}) == 6


def rolled_halves(clips, targets, generator):
    """A mixing that is easily written by hand: with the clip before, by a share that is drawn."""
    share = float(torch.rand((), generator=generator))
    return share * clips + (1 - share) * clips.roll(1, 0), share * targets + (1 - share) * targets.roll(1, 0)


MIXINGS = [Mixing(mixup_alpha=0.8), Mixing(cutmix_alpha=1.0), Mixing(0.8, 1.0, 0.7)]


def test_a_mixed_step_equals_one_written_by_hand():
    """Two micro-batches with 4 and 2 valid clips; the loss is torch's own, smoothed, towards both labels."""
    ours = make_step(norm_network(), mix=rolled_halves, label_smoothing=0.1, warmup_steps=0, decay=0.0)
    ours.model.train()
    batches = [make_batch(0, 4), make_batch(1, 2, 5)]
    measured = ours(batches)

    model = norm_network().train()
    seed_step(7, 0)
    total = hits = 0
    for micro, batch in enumerate(batches):
        share = float(torch.rand((), generator=micro_batch_generator(7, 0, micro)))
        clips = batch.clips.float() / 255
        logits = model(share * clips + (1 - share) * clips.roll(1, 0))
        for part, labels in ((share, batch.labels), (1 - share, batch.labels.roll(1))):
            total = total + part * functional.cross_entropy(logits, labels, reduction="sum", label_smoothing=0.1)
        hits += int((logits.argmax(1) == batch.labels).sum())
    (total / 6).backward()
    # Two ways to sum the same terms: float32 rounding.
    assert measured.loss == pytest.approx(total.item(), rel=1e-6)
    norm = torch.stack([p.grad.norm() for p in model.parameters()]).norm()
    assert measured.grad_norm == pytest.approx(norm.item(), rel=1e-5)
    assert (measured.ratios["top1"].total, measured.clips, measured.failed) == (hits, 6, 3)
    start = norm_network().state_dict()
    for name, parameter in model.named_parameters():
        # A first step of Nesterov's momentum 0.9 moves by 1.9 gradients; differences of weights of size 1.
        moved = ours.model.state_dict()[name] - start[name]
        torch.testing.assert_close(moved, -0.5 * 1.9 * parameter.grad, rtol=1e-4, atol=5e-7)


def test_hits_of_mixed_clips_are_those_of_their_own_labels():
    """A mixing that hands every clip over to its neighbour: what counts is still the label that came with the slot."""

    class Constant(nn.Module):
        """Says class 0."""

        def __init__(self):
            super().__init__()
            self.bias = nn.Parameter(torch.tensor([5.0, 0.0, 0.0]))

        def forward(self, clips):
            return self.bias.expand(len(clips), CLASSES)

    batch = Batch(make_batch(0, 3).clips, torch.tensor([0, 1, 2]), 3)
    trained = make_step(Constant(), mix=lambda clips, targets, _: (clips.roll(1, 0), targets.roll(1, 0)))
    assert trained([batch]).ratios["top1"].total == 1


@pytest.mark.parametrize("scales", [False, True])
def test_the_update_ratio_is_the_change_of_the_weights_over_their_norm(scales):
    trained = make_step(norm_network(), warmup_steps=0)
    plain = make_step(norm_network(), warmup_steps=0)
    for one in (trained, plain):
        one.model.train()
        if scales:
            one.optimizer.param_groups[1]["lr_scale"] = 0.25
    for step in range(2):
        before = torch.cat([p.detach().flatten().clone() for p in trained.model.parameters()]).double()
        with UpdateRatio(trained.optimizer) as ratio:
            trained([make_batch(step, 4)])
        after = torch.cat([p.detach().flatten() for p in trained.model.parameters()]).double()
        assert ratio.value == pytest.approx(float((after - before).norm() / before.norm()), rel=1e-5)
        with UpdateRatio(plain.optimizer, enabled=False) as ratio:
            plain([make_batch(step, 4)])
        assert ratio.value == 0
    assert_same(trained.model.state_dict(), plain.model.state_dict())
    with UpdateRatio(trained.optimizer) as ratio:
        trained([make_batch(0, 0, 4)])
    assert ratio.value == 0


def test_without_mixing_a_run_is_what_it_was():
    """The loss of integer labels bit for bit; a mixing that leaves all alone differs from it by rounding."""
    plain = make_step(norm_network(), label_smoothing=0.1)
    idle = make_step(norm_network(), label_smoothing=0.1, mix=Mixing(0.8, prob=0.0))
    for trained in (plain, idle):
        trained.model.train()
        for step in range(3):
            trained([make_batch(step, 4)])
    for name, value in idle.model.state_dict().items():
        torch.testing.assert_close(value, plain.model.state_dict()[name], rtol=1e-5, atol=1e-6)

    model = norm_network().train()
    seed_step(7, 0)
    batch = make_batch(0, 4)
    losses = functional.cross_entropy(model(prepare(batch.clips)), batch.labels, reduction="none", label_smoothing=0.1)
    again = make_step(norm_network(), label_smoothing=0.1)
    again.model.train()
    assert again([batch]).loss == losses.sum().item()


@pytest.mark.parametrize("mix", MIXINGS)
def test_failed_slots_do_not_change_a_mixed_step(mix):
    full, gaps = make_step(norm_network(), mix=mix), make_step(norm_network(), mix=mix)
    for trained in (full, gaps):
        trained.model.train()
    for seed in range(4):
        batch, empty = make_batch(seed, 3), make_batch(9, 0, 4)
        expected = full([batch])
        assert gaps([Batch(batch.clips, batch.labels, 5), empty]) == replace(expected, failed=6)
    assert_same(gaps.model.state_dict(), full.model.state_dict())


@pytest.mark.parametrize("mix", MIXINGS)
def test_one_valid_clip_is_trained_unmixed(mix):
    mixed, plain = make_step(plain_network(), mix=mix), make_step(plain_network())
    for seed in range(3):
        batches = split(make_batch(seed, 2), 1, 1)
        assert mixed(batches).ratios["top1"].total == plain(batches).ratios["top1"].total
    for name, value in mixed.model.state_dict().items():
        # Soft targets sum the same terms in another order.
        torch.testing.assert_close(value, plain.model.state_dict()[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("mix", MIXINGS)
def test_a_resumed_step__mixes_as_if_it_had_never_stopped(mix, precision):
    def steps(trained, first, last):
        trained.model.train()
        for step in range(first, last):
            trained([make_batch(2 * step, 4), make_batch(2 * step + 1, 3, 4)])

    whole = make_step(norm_network(), precision=precision, mix=mix)
    steps(whole, 0, 6)
    first = make_step(norm_network(), precision=precision, mix=mix)
    steps(first, 0, 3)
    saved = snapshot(first.state_dict())
    torch.rand(7)  # the global generator is elsewhere in a new process
    resumed = make_step(norm_network(), precision=precision, mix=mix)
    resumed.load_state_dict(saved)
    steps(resumed, 3, 6)
    assert_same(resumed.state_dict()["model"], whole.state_dict()["model"])
    assert_same(resumed.state_dict()["ema"], whole.state_dict()["ema"])
    plain = make_step(norm_network(), precision=precision)
    steps(plain, 0, 6)
    assert not torch.equal(plain.model.state_dict()["0.weight"], whole.model.state_dict()["0.weight"])


def test_micro_batch_generator_is_a_function_of_its_numbers_and_the_rank(monkeypatch):
    def draw(*numbers):
        return tuple(torch.rand(4, generator=micro_batch_generator(*numbers)).tolist())

    before = torch.get_rng_state()
    draws = [draw(3, 5, 1), draw(4, 5, 1), draw(3, 6, 1), draw(3, 5, 2), draw(5, 3, 1), draw(35, 1, 0)]
    assert draw(3, 5, 1) == draws[0]
    assert torch.equal(torch.get_rng_state(), before)
    monkeypatch.setattr(distributed, "rank", lambda: 1)
    draws.append(draw(3, 5, 1))
    with torch.random.fork_rng(devices=[]):
        seed_step(3, 5)
        draws.append(tuple(torch.rand(4).tolist()))
    assert len(set(draws)) == len(draws)


def test_mixing_does_not_move_dropout():
    """Dropout draws the same whether clips are mixed or not: the two streams are apart."""
    masks = []
    for mix in (None, Mixing(0.8, 1.0)):
        model = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(math.prod(SHAPE), CLASSES))
        model[1].register_forward_hook(lambda module, inputs, output: masks.append(output != 0))
        trained = make_step(model, mix=mix)
        # No zeros of its own.
        trained.objective = replace(trained.objective, prepare=lambda clips: clips.float() / 255 + 1)
        model.train()
        trained([make_batch(0, 4)])
    assert torch.equal(*masks)


def test_a_resumed_step__keeps_its_own_weight_decay_and_momentum():
    """A changed option that was allowed takes effect instead of being overwritten by the saved one."""
    first = make_step(plain_network(), decay=0.05)
    first([make_batch(0, 4)])
    resumed = make_step(plain_network(), decay=0.01)
    resumed.load_state_dict(snapshot(first.state_dict()))
    assert [group["weight_decay"] for group in resumed.optimizer.param_groups] == [0.01, 0.0]
    for ours, saved in zip(resumed.model.parameters(), first.model.parameters(), strict=True):
        kept = first.optimizer.state[saved]["momentum_buffer"]
        assert torch.equal(resumed.optimizer.state[ours]["momentum_buffer"], kept)


def test_a_run_may_resume_with_an_average_it_did_not_have():
    first = make_step(plain_network(), average=None)
    first([make_batch(0, 4)])
    assert first.state_dict()["ema"] is None
    resumed = make_step(plain_network())
    resumed.load_state_dict(snapshot(first.state_dict()))
    assert_same(resumed.average.state_dict(), first.model.state_dict())


def test_a_run_may_resume_in_a_precision_that_scales_its_loss():
    first = make_step(plain_network())
    first([make_batch(0, 4)])
    resumed = make_step(plain_network(), precision=torch.float16)
    resumed.load_state_dict(snapshot(first.state_dict()))
    assert math.isfinite(resumed([make_batch(1, 4)]).loss)
    again = make_step(plain_network(), precision=torch.float16)
    resumed.scaler.update(512.0)
    again.load_state_dict(snapshot(resumed.state_dict()))
    assert again.scaler.get_scale() == 512.0
    make_step(plain_network()).load_state_dict(snapshot(resumed.state_dict()))
