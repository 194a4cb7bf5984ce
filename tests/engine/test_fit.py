"""The loop around the training step: its calls, stops and resumption, step by step."""

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
    make_trainer,
    norm_network,
    plain_network,
    prepare,
    snapshot,
)
from video_rs.engine import loop
from video_rs.engine.ema import Ema
from video_rs.engine.loop import Periods, Stopped, Totals, fit
from video_rs.engine.losses import SoftmaxLoss
from video_rs.engine.optim import adamw, learning_rate, parameter_groups, sgd
from video_rs.engine.trainer import Trainer, TrainSettings
from video_rs.runtime.errors import InputError


def run(trainer, calls, batches=None):
    with torch.random.fork_rng(devices=[]):
        fit(trainer, batches or (make_batch(seed, 2) for seed in itertools.count()), **calls.handlers())


def scheduled(stop_after=None, **settings):
    calls = Calls(stop_after)
    run(make_trainer(plain_network(), **settings), calls)
    return calls


def test_fit_calls_at_the_ends_of_its_periods():
    # 3 samples a step of 7: epochs end in steps 3, 5, 7 and 10.
    calls = scheduled(total_steps=11, batch_size=3, num_samples=7, eval_epochs=2, log_steps=4)
    assert calls.of("log") == [4, 8, 11]
    assert calls.of("validate") == [5, 10, 11]
    # Around a validation it saves twice: what was trained, then with the result.
    assert calls.of("save") == [3, 5, 5, 7, 10, 10, 11, 11]
    around = calls.events.index(("validate", 5))
    assert calls.events[around - 1] == calls.events[around + 1] == ("save", 5)
    assert calls.steps == 11


def test_fit_with_a_period_of_steps_for_checkpoints():
    calls = scheduled(total_steps=7, batch_size=2, num_samples=4, checkpoint_steps=3, log_steps=100, eval_epochs=3)
    assert calls.of("save") == [3, 6, 6, 7, 7]
    assert calls.of("validate") == [6, 7]
    assert calls.of("log") == [7]


def test_minutes_between_checkpoints(monkeypatch):
    """On a clock of 25 seconds a step; a checkpoint of the steps' own period starts the minutes anew."""
    now = [0.0]
    monkeypatch.setattr(loop, "time", SimpleNamespace(perf_counter=lambda: now[0]))

    def due(**settings):
        now[0] = 0.0
        periods, steps = Periods(make_trainer(plain_network(), **settings).settings), []
        for step in range(1, 13):
            now[0] += 25
            steps += [step] * periods.due(step)
        return steps

    often = {"batch_size": 1, "num_samples": 400, "checkpoint_minutes": 1.0}
    assert due(**often) == [3, 6, 9, 12]
    assert due(**often, checkpoint_steps=5) == [3, 5, 8, 10]
    assert due(**{**often, "checkpoint_minutes": 0.0}, checkpoint_steps=5) == [5, 10]
    assert due(**{**often, "num_samples": 4}) == [3, 4, 7, 8, 11, 12]


def test_what_waits_for_the_file():
    """The last step, a stop and a refusal; training goes on meanwhile after any other."""
    calls = scheduled(total_steps=7, batch_size=2, num_samples=4, checkpoint_steps=3, log_steps=100, eval_epochs=3)
    assert calls.of("save") == [3, 6, 6, 7, 7]
    assert calls.waited == [7]
    stopped = Calls(stop_after=4)
    with pytest.raises(Stopped):
        run(make_trainer(plain_network(), total_steps=9, num_samples=400), stopped)
    assert stopped.waited == [4]
    refused = Calls()
    trainer = make_trainer(plain_network(), total_steps=50, num_samples=12, max_failed_share=0.2)
    with pytest.raises(InputError):
        run(trainer, refused, failing_from(3))
    assert refused.waited == [5]


def test_fit_with_epochs_shorter_than_a_step():
    calls = scheduled(total_steps=3, batch_size=8, num_samples=3, log_steps=1, eval_epochs=5)
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
    trainer = make_trainer(plain_network(), total_steps=2, batch_size=9, num_samples=9, accumulation=3, log_steps=2)
    run(trainer, calls, stream())
    assert taken == list(range(6))
    assert calls.failures == [(f"{seed}-0.mp4", "broken") for seed in range(6)]
    assert calls.logged[0]["failed"] == 6
    assert (trainer.seen, trainer.failed) == (18, 6)


def test_fit_logs_means_over_its_period():
    reference = make_trainer(plain_network(), total_steps=5)
    steps = [reference.train_step([make_batch(seed, seed + 1)], measure_update=True) for seed in range(5)]
    calls = Calls()
    trainer = make_trainer(plain_network(), total_steps=5, log_steps=3)
    run(trainer, calls, (make_batch(seed, seed + 1) for seed in range(5)))
    for scalars, part in zip(calls.logged, (steps[:3], steps[3:]), strict=True):
        clips = sum(s["clips"] for s in part)
        assert scalars["loss"] == pytest.approx(sum(s["loss"] for s in part) / clips)
        assert scalars["top1"] == sum(s["hits"] for s in part) / clips
        assert scalars["grad_norm"] == part[-1]["grad_norm"]
        assert scalars["update_ratio"] == part[-1]["update_ratio"] > 0
    assert [scalars["lr"] for scalars in calls.logged] == [learning_rate(s, 0.5, 5, 2) for s in (2, 4)]


def test_totals_of_no_clip_are_zero():
    scalars = Totals(failed=3).scalars()
    assert (scalars["loss"], scalars["top1"], scalars["failed"]) == (0, 0, 3)


def test_rates_leave_validation_out(monkeypatch):
    """On a clock where each look takes a second and validation an hour, both logs show the same speed."""
    looks, paused = itertools.count(), []

    def clock():
        return next(looks) + 3600 * len(paused)

    monkeypatch.setattr(loop, "time", SimpleNamespace(perf_counter=clock))
    monkeypatch.setattr(loop, "Totals", lambda: Totals(started=clock()))
    calls = Calls()
    trainer = make_trainer(plain_network(), total_steps=6, batch_size=2, num_samples=4, log_steps=3, eval_epochs=1)
    handlers = {**calls.handlers(), "validate": paused.append}
    with torch.random.fork_rng(devices=[]):
        fit(trainer, (make_batch(seed, 2) for seed in itertools.count()), **handlers)
    assert paused == [2, 4, 6]
    # Nine looks a log (start, two around each of three waits and of one validation, end) are eight seconds, less the
    # validation's own second, and one more passes after each validation before the loop goes on.
    for scalars in calls.logged:
        assert scalars["clips_per_s"] == 6 / 8
        assert scalars["data_wait"] == 3 / 8


def test_fit_stops_after_saving():
    calls = Calls(stop_after=4)
    trainer = make_trainer(plain_network(), total_steps=9, num_samples=400)
    with pytest.raises(Stopped, match=r"^stopped after step 4$"):
        run(trainer, calls)
    assert calls.events == [("save", 4)]
    assert trainer.step == 4


def test_a_stop_with_the_last_step_is_no_stop():
    calls = Calls(stop_after=3)
    run(make_trainer(plain_network(), total_steps=3, num_samples=400, log_steps=50), calls)
    assert calls.events == [("log", 3), ("save", 3), ("validate", 3), ("save", 3)]


def failing_from(first):
    """Batches of four, of which three samples cannot be read from batch ``first`` on."""
    return (make_batch(seed, 1 if seed >= first else 4, 4) for seed in itertools.count())


def test_fit_refuses_too_many_failures_after_saving():
    calls = Calls()
    trainer = make_trainer(plain_network(), total_steps=50, num_samples=12, max_failed_share=0.2, log_steps=50)
    # 3 of 16 is allowed, and 6 of 20 is not.
    with pytest.raises(InputError, match=r"^6 of 20 training samples could not be read \(30\.0%\)"):
        run(trainer, calls, failing_from(3))
    assert calls.of("save")[-1] == 5
    # Once the videos are mended, the saved state goes on.
    resumed = make_trainer(plain_network(), total_steps=7, num_samples=12, max_failed_share=0.2)
    resumed.load_state_dict(snapshot(trainer.state_dict()))
    run(resumed, Calls(), (make_batch(seed, 4) for seed in itertools.count()))
    assert resumed.step == 7


def test_a_run_whose_first_samples_fail_is_no_run():
    calls = Calls()
    trainer = make_trainer(plain_network(), total_steps=50, num_samples=12, max_failed_share=0.2, log_steps=50)
    with pytest.raises(InputError, match=r"^9 of 12 training samples could not be read \(75\.0%\)"):
        run(trainer, calls, failing_from(0))
    assert calls.of("save") == []


class Faulty:
    """A trainer of which the steps numbered here (from 1) are not finite."""

    def __init__(self, bad, **settings):
        self.trainer = make_trainer(plain_network(), num_samples=400, **settings)
        step = self.trainer.train_step

        def train_step(micro, **options):
            measured = step(micro, **options)
            if self.trainer.step in bad:
                measured.update(loss=math.nan, finite=False)
            return measured

        self.trainer.train_step = train_step


def named_batches():
    for seed in itertools.count():
        batch = make_batch(seed, 2)
        batch.videos = [f"{seed}-0.mp4", f"{seed}-1.mp4"]
        yield batch


def test_fit_stops_at_a_loss_that_is_not_finite_and_says_what_it_was():
    calls = Calls()
    trainer = Faulty({3}, total_steps=9, accumulation=2, checkpoint_steps=1).trainer
    with pytest.raises(InputError) as caught:
        run(trainer, calls, named_batches())
    norm = calls.non_finite[0][1]["grad_norm"]
    rate = learning_rate(2, 0.5, 9, 2)
    assert str(caught.value) == (
        f"the loss of step 3 is nan, its gradient's norm {norm:.4g} (learning rate {rate:.4g}; its clips are in "
        "log.jsonl); the last checkpoint is from before: lower SOLVER.BASE_LR, lengthen SOLVER.WARMUP_EPOCHS or set "
        "SOLVER.CLIP_GRAD_L2NORM, or TRAIN.NON_FINITE skip, and go on with --resume --allow-changes"
    )
    assert [(step, videos) for step, _, videos in calls.non_finite] == [
        (3, ["4-0.mp4", "4-1.mp4", "5-0.mp4", "5-1.mp4"])
    ]
    assert math.isnan(calls.non_finite[0][1]["loss"])
    assert calls.non_finite[0][1]["lr"] == rate
    assert calls.of("save") == [1, 2]


def test_fit_skips_what_is_not_finite_by_key():
    calls = Calls()
    trainer = Faulty({3, 4, 7}, total_steps=9, skip_non_finite=True, log_steps=1).trainer
    run(trainer, calls, named_batches())
    assert [step for step, _, _ in calls.non_finite] == [3, 4, 7]
    assert trainer.step == 9
    assert [math.isfinite(scalars["loss"]) for scalars in calls.logged] == [True] * 9


def test_fit_stops_where_nothing_is_finite_any_more():
    calls = Calls()
    trainer = Faulty({2, *range(4, 50)}, total_steps=50, skip_non_finite=True).trainer
    with pytest.raises(
        InputError, match=r"log\.jsonl\); 10 steps in a row were skipped; the last .* SOLVER\.CLIP_GRAD_"
    ):
        run(trainer, calls, named_batches())
    assert trainer.step == 13


def test_fit_restores_training_mode_after_validation():
    trainer = make_trainer(norm_network(), total_steps=4, batch_size=2, num_samples=4)
    modes = []
    calls = Calls()

    def validate(step):
        modes.append(trainer.model.training)
        trainer.model.eval()

    with torch.random.fork_rng(devices=[]):
        batches = (make_batch(seed, 2) for seed in itertools.count())
        fit(trainer, batches, **{**calls.handlers(), "validate": validate})
    assert modes == [True, True]


def random_network():
    """The project's own network with dropout and stochastic depth."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return video_rs.create_model("r3d_rs_tiny", CLASSES, dropout=0.5, stochastic_depth=0.5, width=0.125)


def random_trainer(kind="sgd"):
    model = random_network()
    groups = parameter_groups(model, model.weight_decay_names(), 1e-3)
    optimizer = sgd(groups, 0.9, True) if kind == "sgd" else adamw(groups, (0.9, 0.99))
    settings = TrainSettings(total_steps=6, batch_size=4, num_samples=10, base_lr=0.05, warmup_steps=2, accumulation=2)
    return Trainer(model, optimizer, Ema(model, 0.9), prepare, torch.float32, settings, SoftmaxLoss(CLASSES))


def stream_from(step, taken=None):
    """Micro-batches of a run that continues at ``step``."""
    for number in itertools.count(2 * step):
        if taken is not None:
            taken.append(number)
        yield make_batch(number, 2, shape=(3, 4, 16, 16))


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_a_resumed_run_is_the_uninterrupted_one(tmp_path, kind):
    whole = random_trainer(kind)
    run(whole, Calls(), stream_from(0))

    stopped, calls = random_trainer(kind), Calls(stop_after=3)
    with pytest.raises(Stopped):
        run(stopped, calls, stream_from(0))
    torch.save(stopped.state_dict(), tmp_path / "state.pth")
    torch.rand(100)  # whatever happens to the global generator in between

    resumed, taken = random_trainer(kind), []
    resumed.load_state_dict(torch.load(tmp_path / "state.pth", weights_only=True))
    assert resumed.step == 3
    run(resumed, Calls(), stream_from(resumed.step, taken))
    assert taken == [6, 7, 8, 9, 10, 11]
    assert resumed.step == whole.step == 6
    assert_same(resumed.model.state_dict(), whole.model.state_dict())
    assert_same(resumed.ema.state_dict(), whole.ema.state_dict())

    # The draws matter: with another seed the same data ends elsewhere.
    other = random_trainer(kind)
    other.settings = TrainSettings(**{**vars(other.settings), "seed": 1})
    run(other, Calls(), stream_from(0))
    assert not torch.equal(other.model.fc.weight, whole.model.fc.weight)
