"""Frames read in order are those that are asked for one by one, whichever decoder reads them."""

import pytest
import torch

from helpers.numbered_videos import numbers
from video_rs.video import open_video
from video_rs.video.readers.in_memory import InMemoryReader


@pytest.mark.parametrize("name", ["closed.mp4", "one_key.mp4"])
def test_frames_in_order(decoder, files, name):
    check_order(files(name), decoder)


@pytest.mark.parametrize("name", ["open.mp4", "refresh.mp4"])
def test_frames_in_order_where_a_seek_would_lead_back(files, name):
    check_order(files(name), "pyav")


def check_order(path, decoder):
    with open_video(path, decoder) as reader:
        chunks = [range(start, min(start + 21, 100), 3) for start in range(0, 100, 21)]
        assert [number for chunk in chunks for number in numbers(reader.next_frames(chunk))] == list(range(0, 100, 3))
        # Back to the beginning, and on.
        assert numbers(reader.next_frames([5, 2, 5, 60])) == [5, 2, 5, 60]


def test_frames_in_memory_too():
    frames = torch.arange(4, dtype=torch.uint8).reshape(4, 1, 1, 1).expand(4, 2, 2, 3)
    assert InMemoryReader(frames).next_frames([1, 3])[:, 0, 0, 0].tolist() == [1, 3]
