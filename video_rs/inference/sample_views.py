"""Real clips to choose a precision by: the middle view of each of some videos of a list."""

import dataclasses
import math
import random
from collections.abc import Sequence
from contextlib import closing

import torch
from torch import Tensor

from video_rs.data.dataset import ViewReader
from video_rs.data.loader import ViewLoader, Workers
from video_rs.data.order import Partition
from video_rs.lists.records import VideoRecord
from video_rs.runtime.errors import InputError

CALIBRATION_VIDEOS = 64
CHECK_VIDEOS = 256
VIEWS_BYTES = 2**29
FEWEST_VIEWS = 32
IN_THIS_PROCESS = Workers()


def sample_views(
    records: Sequence[VideoRecord], source: str, read: ViewReader, workers: Workers = IN_THIS_PROCESS
) -> tuple[Tensor, Tensor]:
    """Return views of videos to calibrate on, and of others to check a precision by.

    Both come from all over the list, the same with each call. No group of videos is on both sides: ranges that fit the
    very scenes that are checked say little of others.

    Args:
        records: of the list.
        source: the list, for messages.
        read: makes views; of each video the middle clip's middle crop is taken.
        workers: who reads.

    Returns:
        uint8 ``[N, 3, T, h, w]`` of up to 64 videos, and of up to 256 others, of large clips fewer; one that cannot be
        read is passed over.

    Raises:
        InputError: there are no readable videos for one of the two.
    """
    middle = dataclasses.replace(read, preprocessing=read.preprocessing.single_view())

    to_calibrate, to_check = _two_sides(records)
    calibration = _views(ViewLoader(to_calibrate, middle, Partition(), workers), CALIBRATION_VIDEOS)
    check = _views(ViewLoader(to_check, middle, Partition(), workers), CHECK_VIDEOS)
    for views, purpose in ((calibration, "to calibrate on"), (check, "to check a precision by")):
        if not views:
            raise InputError(
                f"{source} has no readable video {purpose}; allowed: readable videos of at least two groups; give "
                "another --calibration"
            )
    return torch.stack(calibration), torch.stack(check)


def _two_sides(records: Sequence[VideoRecord]) -> tuple[list[VideoRecord], list[VideoRecord]]:
    """Return the records of half of the groups, and those of the others, each in a drawn order."""
    generator = random.Random(0)
    groups = sorted({record.group_or_file for record in records})
    generator.shuffle(groups)
    first = set(groups[: len(groups) // 2])

    drawn = list(records)
    generator.shuffle(drawn)
    sides = ([], [])
    for record in drawn:
        sides[record.group_or_file not in first].append(record)
    return sides


def _views(loader: ViewLoader, most: int) -> list[Tensor]:
    """Return the views of the first ``most`` videos that can be read, each uint8 ``[3, T, h, w]``.

    Of large clips they are fewer: :data:`VIEWS_BYTES`, but :data:`FEWEST_VIEWS` at least.
    """
    _, *shape = loader.read.preprocessing.clip_shape(1)
    most = min(most, max(FEWEST_VIEWS, VIEWS_BYTES // math.prod(shape)))
    views = []
    # The processes that read end with the loop.
    with closing(iter(loader)) as videos:
        for video in videos:
            if video.error is None:
                (view,) = next(video.views(1))
                views.append(view)
            if len(views) == most:
                break
    return views
