"""At which steps epochs end."""

import pytest

from video_rs.engine.schedule import Plan


def test_which_steps_end_an_epoch():
    plan = Plan(total_steps=100, batch_size=3, num_samples=7)
    assert plan.epoch(7) == 3.0
    # Positions 3s of 7 samples: epochs 1..6 end within these steps.
    assert [s for s in range(1, 15) if plan.ends_epochs(s, 1)] == [3, 5, 7, 10, 12, 14]
    assert [s for s in range(1, 15) if plan.ends_epochs(s, 2)] == [5, 10, 14]
    assert [s for s in range(1, 15) if plan.ends_epochs(s, 5)] == [12]


def test_epochs_end_with_epochs_shorter_than_a_step():
    plan = Plan(total_steps=100, batch_size=10, num_samples=4)
    assert [s for s in range(1, 7) if plan.ends_epochs(s, 1)] == [1, 2, 3, 4, 5, 6]
    assert [s for s in range(1, 7) if plan.ends_epochs(s, 5)] == [2, 4, 6]
    assert [s for s in range(1, 9) if plan.ends_epochs(s, 10)] == [4, 8]


@pytest.mark.parametrize(("num_samples", "batch_size"), [(3, 7), (49, 7), (215570, 1024), (1000003, 3)])
def test_each_epoch_ends_once(num_samples, batch_size):
    """Against integers: no epoch is missed or counted twice by rounding."""
    plan = Plan(total_steps=1, batch_size=batch_size, num_samples=num_samples)
    # The step that ends epoch k is the first at or past its last sample.
    ends = {-(-k * num_samples // batch_size) for k in range(1, 3000 * batch_size // num_samples + 2)}
    steps = range(1, 3000)
    assert [step for step in steps if plan.ends_epochs(step, 1)] == [step for step in steps if step in ends]
