"""What refuses a run: too many samples that cannot be read."""

import pytest

from video_rs.engine.guards import FailureLimit, TooManyFailed


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
def test_the_share_of_failed_samples(num_samples, allowed, slots, failed, refused):
    limit = FailureLimit(allowed, num_samples)
    if not refused:
        limit.add(slots, failed)
        assert limit.accepted == (slots >= min(200, num_samples))
        return
    with pytest.raises(TooManyFailed) as caught:
        limit.add(slots, failed)
    assert not limit.accepted
    assert str(caught.value) == (
        f"{failed} of {slots} training samples could not be read ({failed / slots:.1%}), allowed: {allowed:.1%}"
    )
