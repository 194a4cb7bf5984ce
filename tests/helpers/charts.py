"""A picture that stands in for the charts of a report."""

import contextlib
import io

import pytest
from PIL import Image

from video_rs.reports import plots


@contextlib.contextmanager
def blank_charts():
    """Reports that this process writes show one white pixel in the place of each chart.

    To draw the charts takes longer than a run of seconds trains. They are looked at in tests/reports, and the runs of
    test_training_job.py and all processes of their own draw them.
    """
    picture = io.BytesIO()
    Image.new("RGB", (1, 1), "white").save(picture, "PNG")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "png", lambda figure, crop=False: picture.getvalue())
        yield
