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


def randomized(network, seed, last_norm):
    """Fill weights and statistics so that numbers stay of order one at any depth, and return it in evaluation mode.

    ``last_norm`` is how the scales of the last norm of a block end: branches are weak.
    """
    draw = {"generator": torch.Generator().manual_seed(seed)}
    for name, value in network.state_dict().items():
        if name.endswith("num_batches_tracked"):
            value.fill_(seed)
        elif value.dim() > 1:
            value.uniform_(-1, 1, **draw).mul_((6 / value[0].numel()) ** 0.5)
        elif name.endswith(last_norm):
            value.uniform_(0.1, 0.3, **draw)
        elif name.endswith(("running_var", "weight")):
            value.uniform_(0.5, 1.5, **draw)
        else:
            value.uniform_(-0.5, 0.5, **draw)
    return network.eval()


def refusal(call, *args, **kwargs):
    with pytest.raises(InputError) as refused:
        call(*args, **kwargs)
    message = str(refused.value)
    assert "\n" not in message
    return message
