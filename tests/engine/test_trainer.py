"""The training step against one written by hand, and what a resumed trainer keeps."""

import math

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
    make_trainer,
    norm_network,
    plain_network,
    prepare,
    snapshot,
    split,
)
from video_rs.data.mixing import Mixing
from video_rs.engine.batch_norm import synchronize
from video_rs.engine.losses import SoftmaxLoss
from video_rs.engine.optim import learning_rate, parameter_groups, sgd
from video_rs.engine.trainer import Trainer, TrainSettings, micro_generator, seed_step
from video_rs.runtime import distributed
from video_rs.runtime.errors import InputError


def test_a_step_equals_one_written_by_hand():
    batches = [make_batch(seed, 4) for seed in range(4)]
    ours = make_trainer(norm_network(), label_smoothing=0.1)
    ours.model.train()
    measured = [ours.train_step([batch]) for batch in batches]

    model = norm_network().train()
    velocity = {name: None for name, _ in model.named_parameters()}
    average = {n: torch.zeros_like(v) for n, v in model.state_dict().items() if v.is_floating_point()}
    for step, batch in enumerate(batches):
        rate = learning_rate(step, 0.5, 8, 2)
        seed_step(7, step)
        logits = model(batch.clips.float() / 255)
        losses = functional.cross_entropy(logits, batch.labels, reduction="none", label_smoothing=0.1)
        (losses.sum() * (1 / 4)).backward()
        norm = torch.stack([p.grad.norm() for p in model.parameters()]).norm()
        # The fused optimizer rounds a multiply-add once, this one twice: float32's 6e-8, a few steps long.
        assert measured[step]["loss"] == pytest.approx(losses.sum().item(), rel=1e-6)
        assert measured[step]["hits"] == (logits.argmax(1) == batch.labels).sum()
        assert measured[step]["grad_norm"] == pytest.approx(norm.item(), rel=1e-5)
        assert (measured[step]["clips"], measured[step]["failed"]) == (4, 0)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                gradient = parameter.grad.add(parameter, alpha=0.05 if name in kernels(model) else 0.0)
                old = velocity[name]
                velocity[name] = gradient.clone() if old is None else old.mul(0.9).add(gradient)
                parameter.add_(gradient.add(velocity[name], alpha=0.9), alpha=-rate)
                parameter.grad = None
            decay = min(0.9, (2 + step) / (11 + step))
            for name in average:
                average[name].lerp_(model.state_dict()[name], 1 - decay)
    assert_close(ours.model.state_dict(), model.state_dict())
    assert_close({name: ours.ema.state_dict()[name] for name in average}, average)
    assert ours.step == 4


@pytest.mark.parametrize("sizes", [(2, 2), (3, 1), (1, 1, 1, 1)])
def test_accumulated_micro_batches_equal_one_batch(sizes):
    whole, parts = make_trainer(plain_network()), make_trainer(plain_network())
    for seed in range(3):
        batch = make_batch(seed, 4)
        one, several = whole.train_step([batch]), parts.train_step(split(batch, *sizes))
        assert several["hits"] == one["hits"]
        assert several["clips"] == one["clips"] == 4
        assert several["loss"] == pytest.approx(one["loss"], rel=1e-5)
        assert several["grad_norm"] == pytest.approx(one["grad_norm"], rel=1e-5)
    for name, value in parts.model.state_dict().items():
        # The same sums of gradients in another order: float32 rounding.
        torch.testing.assert_close(value, whole.model.state_dict()[name], rtol=1e-5, atol=1e-6)


def test_the_loss_is_the_mean_over_valid_clips():
    """A batch with failed slots trains exactly like a batch of its valid clips."""
    full, gaps = make_trainer(plain_network()), make_trainer(plain_network())
    for seed in range(3):
        batch = make_batch(seed, 3)
        expected = full.train_step([batch])
        measured = gaps.train_step([Batch(batch.clips, batch.labels, 5)])
        assert measured == {**expected, "failed": 2}
    assert_same(gaps.model.state_dict(), full.model.state_dict())
    assert (gaps.seen, gaps.failed) == (15, 6)
    assert (full.seen, full.failed) == (9, 0)


def test_micro_batches_with_different_numbers_of_valid_clips_weigh_clips_equally():
    whole, parts = make_trainer(plain_network()), make_trainer(plain_network())
    for seed in range(3):
        batch = make_batch(seed, 4)
        whole.train_step([batch])
        first, second = split(batch, 3, 1)
        empty = make_batch(9, 0, 4)
        parts.train_step([first, Batch(second.clips, second.labels, 4), empty])
    for name, value in parts.model.state_dict().items():
        # The same sums in another order; the empty micro-batch adds zeros.
        torch.testing.assert_close(value, whole.model.state_dict()[name], rtol=1e-5, atol=1e-6)


def test_an_empty_micro_batch_leaves_batch_norm_alone():
    with_gap, without = make_trainer(norm_network()), make_trainer(norm_network())
    for trainer in (with_gap, without):
        trainer.model.train()
    batch = make_batch(1, 4)
    with_gap.train_step([batch, make_batch(2, 0, 4)])
    without.train_step([batch])
    assert with_gap.model.training
    assert_same(with_gap.model.state_dict(), without.model.state_dict())


def test_a_batch_without_a_valid_slot_changes_the_step_number_only():
    trainer = make_trainer(norm_network())
    trainer.model.train()
    trainer.train_step([make_batch(0, 4)])
    trainer.train_step([make_batch(1, 4)])
    before = snapshot(trainer.state_dict())
    measured = trainer.train_step([make_batch(2, 0, 2), make_batch(3, 0, 2)])
    assert measured == {
        "loss": 0.0,
        "hits": 0.0,
        "judged": 0.0,
        "clips": 0,
        "failed": 4,
        "grad_norm": 0.0,
        "finite": True,
    }
    after = trainer.state_dict()
    assert_same(after["model"], before["model"])
    assert_same(after["ema"], before["ema"])
    for index, kept in before["optimizer"]["state"].items():
        assert torch.equal(after["optimizer"]["state"][index]["momentum_buffer"], kept["momentum_buffer"])
    assert (after["step"], trainer.seen, trainer.failed) == (3, 12, 4)


@pytest.mark.parametrize(
    ("num_samples", "allowed", "slots", "failed", "refused"),
    [
        (8, 0.25, 8, 3, True),  # judged after an epoch, if that is shorter than 200 samples
        (8, 0.25, 8, 2, False),  # exactly the allowed share
        (8, 0.25, 7, 7, False),  # not yet
        (1000, 0.25, 199, 199, False),
        (1000, 0.25, 200, 51, True),
        (1000, 0.25, 200, 50, False),
        (8, 1.0, 800, 800, False),
        (8, 0.0, 8, 1, True),
    ],
)
def test_check_failures(num_samples, allowed, slots, failed, refused):
    trainer = make_trainer(plain_network(), num_samples=num_samples, max_failed_share=allowed)
    trainer.seen, trainer.failed = slots, failed
    if not refused:
        trainer.check_failures()
        return
    with pytest.raises(InputError) as caught:
        trainer.check_failures()
    assert str(caught.value) == (
        f"{failed} of {slots} training samples could not be read ({failed / slots:.1%}), allowed: {allowed:.1%} "
        "(DATA.MAX_FAILED_SHARE)"
    )


@pytest.mark.parametrize("share", [0.5, 2.0])
def test_gradient_clipping(share):
    """Below the limit nothing changes; above it the gradient is scaled to the limit, and the norm is that before."""
    batch = make_batch(0, 4)
    free = make_trainer(plain_network(), warmup_steps=0, decay=0.0)
    norm = free.train_step([batch])["grad_norm"]
    clipped = make_trainer(plain_network(), warmup_steps=0, decay=0.0, clip_norm=share * norm)
    assert clipped.train_step([batch])["grad_norm"] == norm
    start = plain_network().state_dict()
    for name, value in clipped.model.state_dict().items():
        moved, expected = value - start[name], (free.model.state_dict()[name] - start[name]) * min(1, share)
        # torch divides by the norm + 1e-6; differences of float32 weights of size 0.3.
        torch.testing.assert_close(moved, expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_lower_precision_is_close_to_float32(precision):
    exact, rough = make_trainer(plain_network()), make_trainer(plain_network(), precision)
    for seed in range(3):
        batch = make_batch(seed, 4)
        losses = [trainer.train_step([batch])["loss"] for trainer in (exact, rough)]
        # bfloat16 keeps 8 bits (4e-3 of a logit of size 1), four clips; float16 is finer.
        assert losses[1] == pytest.approx(losses[0], abs=4 * 8e-3)
        assert losses[1] != losses[0]
    assert all(p.dtype == torch.float32 for p in rough.model.parameters())
    assert rough.scaler.is_enabled() == (precision == torch.float16)
    for name, value in rough.model.state_dict().items():
        start = plain_network().state_dict()[name]
        moved, expected = value - start, exact.model.state_dict()[name] - start
        assert (moved - expected).norm() < 0.05 * expected.norm()  # a few roundings of 4e-3 each


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
    trainer = make_trainer(Bursting(bad, synced))
    trainer.model.train()
    good, evil = make_batch(0, 4), make_batch(1, 4)
    good.clips[0, 0, 0, 0, 0], evil.clips[0, 0, 0, 0, 0] = 0, 255
    trainer.train_step([good])
    before = snapshot(trainer.state_dict())
    measured = trainer.train_step([good, evil])
    assert measured["finite"] is False
    assert not (math.isfinite(measured["loss"]) and math.isfinite(measured["grad_norm"]))
    after = trainer.state_dict()
    assert_same(after["model"], before["model"])
    assert_same(after["ema"], before["ema"])
    for index, kept in before["optimizer"]["state"].items():
        assert torch.equal(after["optimizer"]["state"][index]["momentum_buffer"], kept["momentum_buffer"])
    assert (after["step"], trainer.seen) == (2, 12)
    # And the step after it is the one that a run takes in which it never was, at its own step number.
    other = make_trainer(Bursting(bad, synced))
    other.model.train()
    other.train_step([good])
    other.step = 2
    assert trainer.train_step([good]) == other.train_step([good])
    assert_same(trainer.model.state_dict(), other.model.state_dict())


def test_overflows_of_float16_are_its_scalers():
    """The step is skipped by the scaler, which lowers its scale; nothing is reported."""
    trainer = make_trainer(plain_network(), torch.float16)
    trainer.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127)
    before = snapshot(trainer.model.state_dict())
    measured = trainer.train_step([make_batch(0, 4)])
    assert measured["finite"] is True
    assert not math.isfinite(measured["grad_norm"])
    assert_same(trainer.model.state_dict(), before)
    assert trainer.scaler.get_scale() == 2.0**126


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
    ours = make_trainer(norm_network(), mix=rolled_halves, label_smoothing=0.1, warmup_steps=0, decay=0.0)
    ours.model.train()
    batches = [make_batch(0, 4), make_batch(1, 2, 5)]
    measured = ours.train_step(batches)

    model = norm_network().train()
    seed_step(7, 0)
    total = hits = 0
    for micro, batch in enumerate(batches):
        share = float(torch.rand((), generator=micro_generator(7, 0, micro)))
        clips = batch.clips.float() / 255
        logits = model(share * clips + (1 - share) * clips.roll(1, 0))
        for part, labels in ((share, batch.labels), (1 - share, batch.labels.roll(1))):
            total = total + part * functional.cross_entropy(logits, labels, reduction="sum", label_smoothing=0.1)
        hits += int((logits.argmax(1) == batch.labels).sum())
    (total / 6).backward()
    # Two ways to sum the same terms: float32 rounding.
    assert measured["loss"] == pytest.approx(total.item(), rel=1e-6)
    norm = torch.stack([p.grad.norm() for p in model.parameters()]).norm()
    assert measured["grad_norm"] == pytest.approx(norm.item(), rel=1e-5)
    assert (measured["hits"], measured["clips"], measured["failed"]) == (hits, 6, 3)
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
    trainer = make_trainer(Constant(), mix=lambda clips, targets, _: (clips.roll(1, 0), targets.roll(1, 0)))
    assert trainer.train_step([batch])["hits"] == 1


@pytest.mark.parametrize("scales", [False, True])
def test_the_update_ratio_is_the_change_of_the_weights_over_their_norm(scales):
    trainer = make_trainer(norm_network(), warmup_steps=0)
    plain = make_trainer(norm_network(), warmup_steps=0)
    for one in (trainer, plain):
        one.model.train()
        if scales:
            one.optimizer.param_groups[1]["lr_scale"] = 0.25
    for step in range(2):
        before = torch.cat([p.detach().flatten().clone() for p in trainer.model.parameters()]).double()
        measured = trainer.train_step([make_batch(step, 4)], measure_update=True)
        after = torch.cat([p.detach().flatten() for p in trainer.model.parameters()]).double()
        assert measured["update_ratio"] == pytest.approx(float((after - before).norm() / before.norm()), rel=1e-5)
        assert "update_ratio" not in plain.train_step([make_batch(step, 4)])
    assert_same(trainer.model.state_dict(), plain.model.state_dict())
    nothing = trainer.train_step([Batch(make_batch(0, 0).clips, make_batch(0, 0).labels, 4)], measure_update=True)
    assert nothing["update_ratio"] == 0


def test_without_mixing_a_run_is_what_it_was():
    """The loss of integer labels bit for bit; a mixing that leaves all alone differs from it by rounding."""
    plain = make_trainer(norm_network(), label_smoothing=0.1)
    idle = make_trainer(norm_network(), label_smoothing=0.1, mix=Mixing(0.8, prob=0.0))
    for trainer in (plain, idle):
        trainer.model.train()
        for step in range(3):
            trainer.train_step([make_batch(step, 4)])
    for name, value in idle.model.state_dict().items():
        torch.testing.assert_close(value, plain.model.state_dict()[name], rtol=1e-5, atol=1e-6)

    model = norm_network().train()
    seed_step(7, 0)
    batch = make_batch(0, 4)
    losses = functional.cross_entropy(model(prepare(batch.clips)), batch.labels, reduction="none", label_smoothing=0.1)
    again = make_trainer(norm_network(), label_smoothing=0.1)
    again.model.train()
    assert again.train_step([batch])["loss"] == losses.sum().item()


@pytest.mark.parametrize("mix", MIXINGS)
def test_failed_slots_do_not_change_a_mixed_step(mix):
    full, gaps = make_trainer(norm_network(), mix=mix), make_trainer(norm_network(), mix=mix)
    for trainer in (full, gaps):
        trainer.model.train()
    for seed in range(4):
        batch, empty = make_batch(seed, 3), make_batch(9, 0, 4)
        expected = full.train_step([batch])
        assert gaps.train_step([Batch(batch.clips, batch.labels, 5), empty]) == {**expected, "failed": 6}
    assert_same(gaps.model.state_dict(), full.model.state_dict())


@pytest.mark.parametrize("mix", MIXINGS)
def test_one_valid_clip_is_trained_unmixed(mix):
    mixed, plain = make_trainer(plain_network(), mix=mix), make_trainer(plain_network())
    for seed in range(3):
        batches = split(make_batch(seed, 2), 1, 1)
        assert mixed.train_step(batches)["hits"] == plain.train_step(batches)["hits"]
    for name, value in mixed.model.state_dict().items():
        # Soft targets sum the same terms in another order.
        torch.testing.assert_close(value, plain.model.state_dict()[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("mix", MIXINGS)
def test_a_resumed_trainer_mixes_as_if_it_had_never_stopped(mix, precision):
    def steps(trainer, first, last):
        trainer.model.train()
        for step in range(first, last):
            trainer.train_step([make_batch(2 * step, 4), make_batch(2 * step + 1, 3, 4)])

    whole = make_trainer(norm_network(), precision, mix=mix)
    steps(whole, 0, 6)
    first = make_trainer(norm_network(), precision, mix=mix)
    steps(first, 0, 3)
    saved = snapshot(first.state_dict())
    torch.rand(7)  # the global generator is elsewhere in a new process
    resumed = make_trainer(norm_network(), precision, mix=mix)
    resumed.load_state_dict(saved)
    steps(resumed, 3, 6)
    assert_same(resumed.state_dict()["model"], whole.state_dict()["model"])
    assert_same(resumed.state_dict()["ema"], whole.state_dict()["ema"])
    plain = make_trainer(norm_network(), precision)
    steps(plain, 0, 6)
    assert not torch.equal(plain.model.state_dict()["0.weight"], whole.model.state_dict()["0.weight"])


def test_micro_generator_is_a_function_of_its_numbers_and_the_rank(monkeypatch):
    def draw(*numbers):
        return tuple(torch.rand(4, generator=micro_generator(*numbers)).tolist())

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
        trainer = make_trainer(model, mix=mix)
        trainer.prepare = lambda clips: clips.float() / 255 + 1  # no zeros of its own
        model.train()
        trainer.train_step([make_batch(0, 4)])
    assert torch.equal(*masks)


def test_epoch_and_crosses():
    settings = TrainSettings(total_steps=100, batch_size=3, num_samples=7, base_lr=0.1, warmup_steps=0)
    assert settings.epoch(7) == 3.0
    # Positions 3s of 7 samples: epochs 1..6 end within these steps.
    assert [s for s in range(1, 15) if settings.crosses(s, 1)] == [3, 5, 7, 10, 12, 14]
    assert [s for s in range(1, 15) if settings.crosses(s, 2)] == [5, 10, 14]
    assert [s for s in range(1, 15) if settings.crosses(s, 5)] == [12]


def test_crosses_with_epochs_shorter_than_a_step():
    settings = TrainSettings(total_steps=100, batch_size=10, num_samples=4, base_lr=0.1, warmup_steps=0)
    assert [s for s in range(1, 7) if settings.crosses(s, 1)] == [1, 2, 3, 4, 5, 6]
    assert [s for s in range(1, 7) if settings.crosses(s, 5)] == [2, 4, 6]
    assert [s for s in range(1, 9) if settings.crosses(s, 10)] == [4, 8]


@pytest.mark.parametrize(("num_samples", "batch_size"), [(3, 7), (49, 7), (215570, 1024), (1000003, 3)])
def test_crosses_once_for_each_epoch(num_samples, batch_size):
    """Against integers: no epoch is missed or counted twice by rounding."""
    settings = TrainSettings(total_steps=1, batch_size=batch_size, num_samples=num_samples, base_lr=0, warmup_steps=0)
    # The step that ends epoch k is the first at or past its last sample.
    ends = {-(-k * num_samples // batch_size) for k in range(1, 3000 * batch_size // num_samples + 2)}
    steps = range(1, 3000)
    assert [step for step in steps if settings.crosses(step, 1)] == [step for step in steps if step in ends]


def test_a_resumed_trainer_keeps_its_own_weight_decay_and_momentum():
    """A changed option that was allowed takes effect instead of being overwritten by the saved one."""
    first = make_trainer(plain_network(), decay=0.05)
    first.train_step([make_batch(0, 4)])
    resumed = make_trainer(plain_network(), decay=0.01)
    resumed.load_state_dict(snapshot(first.state_dict()))
    assert [group["weight_decay"] for group in resumed.optimizer.param_groups] == [0.01, 0.0]
    for ours, saved in zip(resumed.model.parameters(), first.model.parameters(), strict=True):
        kept = first.optimizer.state[saved]["momentum_buffer"]
        assert torch.equal(resumed.optimizer.state[ours]["momentum_buffer"], kept)


def test_a_run_may_resume_with_an_average_it_did_not_have():
    model = plain_network()
    settings = TrainSettings(total_steps=8, batch_size=4, num_samples=8, base_lr=0.5, warmup_steps=0)
    optimizer = sgd(parameter_groups(model, (), 0), 0.9, True)
    first = Trainer(model, optimizer, None, prepare, torch.float32, settings, SoftmaxLoss(CLASSES))
    first.train_step([make_batch(0, 4)])
    assert first.state_dict()["ema"] is None
    resumed = make_trainer(plain_network())
    resumed.load_state_dict(snapshot(first.state_dict()))
    assert_same(resumed.ema.state_dict(), first.model.state_dict())


def test_a_run_may_resume_in_a_precision_that_scales_its_loss():
    first = make_trainer(plain_network())
    first.train_step([make_batch(0, 4)])
    resumed = make_trainer(plain_network(), torch.float16)
    resumed.load_state_dict(snapshot(first.state_dict()))
    assert math.isfinite(resumed.train_step([make_batch(1, 4)])["loss"])
    again = make_trainer(plain_network(), torch.float16)
    resumed.scaler.update(512.0)
    again.load_state_dict(snapshot(resumed.state_dict()))
    assert again.scaler.get_scale() == 512.0
    make_trainer(plain_network()).load_state_dict(snapshot(resumed.state_dict()))
