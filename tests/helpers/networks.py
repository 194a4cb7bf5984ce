"""What the tests of the networks share: a narrow network, one without memory, and the words of a refusal."""

import pytest
import torch

from video_rs import create_model
from video_rs.runtime.errors import InputError

NARROW = {"depths": (1, 2, 1, 1), "width": 0.125}


def on_meta(name, num_classes=400, **overrides):
    """A model without memory: shapes only."""
    with torch.device("meta"):
        return create_model(name, num_classes, **overrides)


def refusal(call, *args, **kwargs):
    with pytest.raises(InputError) as refused:
        call(*args, **kwargs)
    message = str(refused.value)
    assert "\n" not in message
    return message
