"""The loop around the training step: its calls, stops and resumption, step by step."""

import dataclasses
import itertools
import math
from types import SimpleNamespace

import pytest
import torch

import video_rs
from helpers.calls import Calls
from helpers.training import (
    CLASSES,
    assert_same,
    make_batch,
    make_plan,
    make_step,
    norm_network,
    plain_network,
    prepare,
    run_fit,
    snapshot,
)
from video_rs.engine import loop
from video_rs.engine.average import Ema
from video_rs.engine.guards import NonFiniteStep, TooManyFailed
from video_rs.engine.loop import CheckpointClock, Totals
from video_rs.engine.objectives import Classification, Ratio
from video_rs.engine.objectives.losses import SoftmaxLoss
from video_rs.engine.optimizer import adamw, parameter_groups, sgd
from video_rs.engine.schedule import Schedule
from video_rs.engine.step import Step, StepResult
from video_rs.engine.update_ratio import UpdateRatio
from video_rs.runtime.errors import Stopped


def run(step, calls, plan, batches=None, max_failed_share=1.0, skip_non_finite=False):
    with torch.random.fork_rng(devices=[]):
        batches = batches or (make_batch(seed, 2) for seed in itertools.count())
        run_fit(step, batches, plan, calls.hooks(), max_failed_share, skip_non_finite)


def scheduled(stop_after=None, **plan):
    calls = Calls(stop_after)
    run(make_step(plain_network()), calls, make_plan(**plan))
    return calls


SEVEN = {
    "total_steps": 7,
    "batch_size": 2,
    "num_samples": 4,
    "checkpoint_steps": 3,
    "log_steps": 100,
    "validation_epochs": 3,
}


def test_fit_calls_at_the_ends_of_its_periods():
    # 3 samples a step of 7: epochs end in steps 3, 5, 7 and 10.
    calls = scheduled(total_steps=11, batch_size=3, num_samples=7, validation_epochs=2, log_steps=4)
    assert calls.of("log") == [4, 8, 11]
    assert calls.of("validate") == [5, 10, 11]
    # Around a validation it saves twice: what was trained, then with the result.
    assert calls.of("save") == [3, 5, 5, 7, 10, 10, 11, 11]
    around = calls.events.index(("validate", 5))
    assert calls.events[around - 1] == calls.events[around + 1] == ("save", 5)
    assert calls.steps == 11


def test_fit_with_a_period_of_steps_for_checkpoints():
    calls = scheduled(**SEVEN)
    assert calls.of("save") == [3, 6, 6, 7, 7]
    assert calls.of("validate") == [6, 7]
    assert calls.of("log") == [7]


def test_minutes_between_checkpoints(monkeypatch):
    """On a clock of 25 seconds a step; a checkpoint of the steps' own period starts the minutes anew."""
    now = [0.0]
    monkeypatch.setattr(loop, "time", SimpleNamespace(perf_counter=lambda: now[0]))

    def due(**settings):
        now[0] = 0.0
        clock, steps = CheckpointClock(make_plan(**settings)), []
        for step in range(1, 13):
            now[0] += 25
            steps += [step] * clock.due(step)
        return steps

    often = {"batch_size": 1, "num_samples": 400, "checkpoint_minutes": 1.0}
    assert due(**often) == [3, 6, 9, 12]
    assert due(**often, checkpoint_steps=5) == [3, 5, 8, 10]
    assert due(**{**often, "checkpoint_minutes": 0.0}, checkpoint_steps=5) == [5, 10]
    assert due(**{**often, "num_samples": 4}) == [3, 4, 7, 8, 11, 12]


def test_what_waits_for_the_file():
    """The last step, a stop and a refusal; training goes on meanwhile after any other."""
    calls = scheduled(**SEVEN)
    assert calls.of("save") == [3, 6, 6, 7, 7]
    assert calls.waited == [7]
    stopped = Calls(stop_after=4)
    with pytest.raises(Stopped):
        run(make_step(plain_network()), stopped, make_plan(total_steps=9, num_samples=400))
    assert stopped.waited == [4]
    refused = Calls()
    with pytest.raises(TooManyFailed):
        run(make_step(plain_network()), refused, make_plan(total_steps=50, num_samples=12), failing_from(3), 0.2)
    assert refused.waited == [5]


def test_fit_with_epochs_shorter_than_a_step():
    calls = scheduled(total_steps=3, batch_size=8, num_samples=3, log_steps=1, validation_epochs=5)
    assert calls.of("log") == [1, 2, 3]
    assert calls.of("save") == [1, 2, 2, 3, 3]
    assert calls.of("validate") == [2, 3]  # 5.3 and 8 epochs


def test_fit_takes_one_micro_batch_for_each_accumulation():
    taken = []

    def stream():
        for seed in itertools.count():
            taken.append(seed)
            yield make_batch(seed, 2, 3)

    calls = Calls()
    plan = make_plan(total_steps=2, batch_size=9, num_samples=9, micro_batches=3, log_steps=2)
    run(make_step(plain_network()), calls, plan, stream())
    assert taken == list(range(6))
    assert calls.failures == [(f"{seed}-0.mp4", "broken") for seed in range(6)]
    assert calls.logged[0]["failed"] == 6


def test_fit_logs_means_over_its_period():
    reference = make_step(plain_network(), total_steps=5)
    steps, ratios = [], []
    for seed in range(5):
        with UpdateRatio(reference.optimizer) as ratio:
            steps.append(reference([make_batch(seed, seed + 1)]))
        ratios.append(ratio.value)
    calls = Calls()
    batches = (make_batch(seed, seed + 1) for seed in range(5))
    run(make_step(plain_network(), total_steps=5), calls, make_plan(total_steps=5, log_steps=3), batches)
    for scalars, last, part in zip(calls.logged, (2, 4), (steps[:3], steps[3:]), strict=True):
        clips = sum(result.clips for result in part)
        assert scalars["loss"] == pytest.approx(sum(result.loss for result in part) / clips)
        assert scalars["top1"] == sum(result.ratios["top1"].total for result in part) / clips
        assert scalars["grad_norm"] == part[-1].grad_norm
        assert scalars["update_ratio"] == ratios[last] > 0
    assert [scalars["lr"] for scalars in calls.logged] == [Schedule(0.5, 5, 2)(step) for step in (2, 4)]


def test_totals_of_no_clip_are_zero():
    totals = Totals()
    totals.add(StepResult(clips=0, failed=3, loss=math.nan, ratios={"top1": Ratio(1, 1)}, grad_norm=0.0, finite=False))
    scalars = totals.scalars()
    assert (scalars["loss"], scalars["top1"], scalars["failed"]) == (0, 0, 3)


def test_rates_leave_validation_out(monkeypatch):
    """On a clock where each look takes a second and validation an hour, both logs show the same speed."""
    looks, paused = itertools.count(), []

    def clock():
        return next(looks) + 3600 * len(paused)

    monkeypatch.setattr(loop, "time", SimpleNamespace(perf_counter=clock))
    monkeypatch.setattr(loop, "Totals", lambda: Totals(started=clock()))
    calls = Calls()
    plan = make_plan(total_steps=6, batch_size=2, num_samples=4, log_steps=3, validation_epochs=1)
    hooks = dataclasses.replace(calls.hooks(), validate=paused.append)
    with torch.random.fork_rng(devices=[]):
        run_fit(make_step(plain_network()), (make_batch(seed, 2) for seed in itertools.count()), plan, hooks)
    assert paused == [2, 4, 6]
    # Nine looks a log (start, two around each of three waits and of one validation, end) are eight seconds, less the
    # validation's own second, and one more passes after each validation before the loop goes on.
    for scalars in calls.logged:
        assert scalars["clips_per_s"] == 6 / 8
        assert scalars["data_wait"] == 3 / 8


def test_fit_stops_after_saving():
    calls = Calls(stop_after=4)
    step = make_step(plain_network())
    with pytest.raises(Stopped, match=r"^stopped after step 4$"):
        run(step, calls, make_plan(total_steps=9, num_samples=400))
    assert calls.events == [("save", 4)]
    assert step.number == 4


def test_a_stop_with_the_last_step_is_no_stop():
    calls = Calls(stop_after=3)
    run(make_step(plain_network()), calls, make_plan(total_steps=3, num_samples=400, log_steps=50))
    assert calls.events == [("log", 3), ("save", 3), ("validate", 3), ("save", 3)]


def failing_from(first):
    """Batches of four, of which three samples cannot be read from batch ``first`` on."""
    return (make_batch(seed, 1 if seed >= first else 4, 4) for seed in itertools.count())


def test_fit_refuses_too_many_failures_after_saving():
    calls = Calls()
    step = make_step(plain_network())
    # 3 of 16 is allowed, and 6 of 20 is not.
    with pytest.raises(TooManyFailed, match=r"^6 of 20 training samples could not be read \(30\.0%\)"):
        run(step, calls, make_plan(total_steps=50, num_samples=12, log_steps=50), failing_from(3), 0.2)
    assert calls.of("save")[-1] == 5
    # Once the videos are mended, the saved state goes on.
    resumed = make_step(plain_network())
    resumed.load_state_dict(snapshot(step.state_dict()))
    mended = (make_batch(seed, 4) for seed in itertools.count())
    run(resumed, Calls(), make_plan(total_steps=7, num_samples=12), mended, 0.2)
    assert resumed.number == 7


def test_a_run_whose_first_samples_fail_is_no_run():
    calls = Calls()
    plan = make_plan(total_steps=50, num_samples=12, log_steps=50)
    with pytest.raises(TooManyFailed, match=r"^9 of 12 training samples could not be read \(75\.0%\)"):
        run(make_step(plain_network()), calls, plan, failing_from(0), 0.2)
    assert calls.of("save") == []


class Faulty(Step):
    """A step of which those numbered in ``bad`` (from 1) are not finite."""

    bad = frozenset()

    def __call__(self, micro_batches, rate=None):
        result = super().__call__(micro_batches, rate)
        return dataclasses.replace(result, loss=math.nan, finite=False) if self.number in self.bad else result


def faulty(bad):
    step = make_step(plain_network())
    step.__class__, step.bad = Faulty, frozenset(bad)
    return step


def named_batches():
    for seed in itertools.count():
        batch = make_batch(seed, 2)
        batch.videos = [f"{seed}-0.mp4", f"{seed}-1.mp4"]
        yield batch


def test_fit_stops_at_a_loss_that_is_not_finite_and_says_what_it_was():
    calls = Calls()
    plan = make_plan(total_steps=9, num_samples=400, micro_batches=2, checkpoint_steps=1)
    with pytest.raises(NonFiniteStep) as caught:
        run(faulty({3}), calls, plan, named_batches())
    norm = calls.non_finite[0][1]["grad_norm"]
    assert str(caught.value) == f"the loss of step 3 is nan, its gradient's norm {norm:.4g}"
    assert caught.value.skipped == 1
    assert [(step, videos) for step, _, videos in calls.non_finite] == [
        (3, ["4-0.mp4", "4-1.mp4", "5-0.mp4", "5-1.mp4"])
    ]
    assert math.isnan(calls.non_finite[0][1]["loss"])
    assert calls.non_finite[0][1]["lr"] == Schedule(0.5, 8, 2)(2)
    assert calls.of("save") == [1, 2]


def test_fit_skips_what_is_not_finite_by_key():
    calls = Calls()
    step = faulty({3, 4, 7})
    run(step, calls, make_plan(total_steps=9, num_samples=400, log_steps=1), named_batches(), skip_non_finite=True)
    assert [number for number, _, _ in calls.non_finite] == [3, 4, 7]
    assert step.number == 9
    assert [math.isfinite(scalars["loss"]) for scalars in calls.logged] == [True] * 9


def test_fit_stops_where_nothing_is_finite_any_more():
    step = faulty({2, *range(4, 50)})
    with pytest.raises(NonFiniteStep) as caught:
        run(step, Calls(), make_plan(total_steps=50, num_samples=400), named_batches(), skip_non_finite=True)
    assert caught.value.skipped == 10
    assert step.number == 13


def test_fit_restores_training_mode_after_validation():
    trained = make_step(norm_network())
    modes = []
    calls = Calls()

    def validate(step):
        modes.append(trained.model.training)
        trained.model.eval()

    with torch.random.fork_rng(devices=[]):
        batches = (make_batch(seed, 2) for seed in itertools.count())
        hooks = dataclasses.replace(calls.hooks(), validate=validate)
        run_fit(trained, batches, make_plan(total_steps=4, batch_size=2, num_samples=4), hooks)
    assert modes == [True, True]


def random_network():
    """The project's own network with dropout and stochastic depth."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return video_rs.create_model("r3d_rs_tiny", CLASSES, dropout=0.5, stochastic_depth=0.5, width=0.125)


RANDOM_PLAN = make_plan(total_steps=6, batch_size=4, num_samples=10, micro_batches=2)


def random_step(kind="sgd", seed=0):
    model = random_network()
    groups = parameter_groups(model, model.weight_decay_names(), 1e-3)
    optimizer = sgd(groups, 0.9, True) if kind == "sgd" else adamw(groups, (0.9, 0.99))
    objective = Classification(SoftmaxLoss(CLASSES), prepare)
    return Step(model, optimizer, objective, Schedule(0.05, 6, 2), average=Ema(model, 0.9), seed=seed)


def stream_from(step, taken=None):
    """Micro-batches of a run that continues at ``step``."""
    for number in itertools.count(2 * step):
        if taken is not None:
            taken.append(number)
        yield make_batch(number, 2, shape=(3, 4, 16, 16))


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_a_resumed_run_is_the_uninterrupted_one(tmp_path, kind):
    whole = random_step(kind)
    run(whole, Calls(), RANDOM_PLAN, stream_from(0))

    stopped, calls = random_step(kind), Calls(stop_after=3)
    with pytest.raises(Stopped):
        run(stopped, calls, RANDOM_PLAN, stream_from(0))
    torch.save(stopped.state_dict(), tmp_path / "state.pth")
    torch.rand(100)  # whatever happens to the global generator in between

    resumed, taken = random_step(kind), []
    resumed.load_state_dict(torch.load(tmp_path / "state.pth", weights_only=True))
    assert resumed.number == 3
    run(resumed, Calls(), RANDOM_PLAN, stream_from(resumed.number, taken))
    assert taken == [6, 7, 8, 9, 10, 11]
    assert resumed.number == whole.number == 6
    assert_same(resumed.model.state_dict(), whole.model.state_dict())
    assert_same(resumed.average.state_dict(), whole.average.state_dict())

    # The draws matter: with another seed the same data ends elsewhere.
    other = random_step(kind, seed=1)
    run(other, Calls(), RANDOM_PLAN, stream_from(0))
    assert not torch.equal(other.model.fc.weight, whole.model.fc.weight)
