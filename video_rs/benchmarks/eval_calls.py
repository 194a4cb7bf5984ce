"""Ways of testing videos by many views, and of decoding them alone, as rounds whose views per second are measured."""

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch

from video_rs.benchmarks.eval_peers import pytorchvideo_decoding, pytorchvideo_testing
from video_rs.benchmarks.eval_ways import OUR_TESTING, PER_VIEW, PYTORCHVIDEO, Pipeline
from video_rs.benchmarks.our_testing import decode_once, decode_per_view, our_testing, testing_per_view
from video_rs.benchmarks.stopwatch import Stopwatch
from video_rs.benchmarks.subject import Subject

# A round is at least a video, and takes at least so long.
ROUND_SECONDS = 2.0


class Way(NamedTuple):
    """A way of testing.

    Attributes:
        test: a subject, and the stopwatches of waiting for views and of the network -> the pipeline.
        decode: a subject -> without end, how many pictures were decoded for the views of the next video.
    """

    test: Callable[[Subject, Stopwatch, Stopwatch], Pipeline]
    decode: Callable[[Subject], Iterator[int]]


WAYS = {
    OUR_TESTING: Way(our_testing, decode_once),
    PER_VIEW: Way(testing_per_view, decode_per_view),
    PYTORCHVIDEO: Way(pytorchvideo_testing, pytorchvideo_decoding),
}


class TestingRounds:
    """Rounds of testing, from files to probabilities."""

    # pytest collects classes of this name.
    __test__ = False

    def __init__(self, subject: Subject):
        self.subject = subject
        self.waiting = Stopwatch()
        self.computing = Stopwatch(subject.device)
        self.pipeline = WAYS[subject.way].test(subject, self.waiting, self.computing)

    def warm_up(self) -> None:
        """Score what comes first."""
        next(self.pipeline.scored)

    def measure(self) -> dict[str, list[float]]:
        """Score one round.

        Returns:
            ``clips_per_s``, where a clip is a view, and of the seconds of a view those that the network has waited for
            it, ``wait_s``, and those that it has computed, ``compute_s``.
        """
        # What was read ahead while other subjects had their turn took no time of this round. It is scored, not thrown
        # away, so that as many views are ready when the round begins as at any other time.
        views = 0
        while views < self.pipeline.ahead:
            views += next(self.pipeline.scored)

        self.waiting.reset()
        self.computing.reset()
        views = 0
        started = time.perf_counter()
        while views < self.subject.views or time.perf_counter() - started < ROUND_SECONDS:
            views += next(self.pipeline.scored)
        seconds = time.perf_counter() - started
        return {
            "clips_per_s": [views / seconds],
            "wait_s": [self.waiting.seconds / views],
            "compute_s": [self.computing.seconds / views],
        }

    def end(self) -> dict[str, float]:
        """Return nothing more."""
        return {}


class DecodingRounds:
    """Rounds of decoding alone, by one thread: from the file to the pictures of all views of a video."""

    def __init__(self, subject: Subject):
        self.subject = subject
        torch.set_num_threads(1)
        self.pictures = WAYS[subject.way].decode(subject)

    def warm_up(self) -> None:
        """Decode a video."""
        next(self.pictures)

    def measure(self) -> dict[str, list[float]]:
        """Decode one round.

        Returns:
            ``clips_per_s``, where a clip is a view, and ``pictures``, how many were decoded for each video.
        """
        pictures: list[float] = []
        started = time.perf_counter()
        while not pictures or time.perf_counter() - started < ROUND_SECONDS:
            pictures.append(next(self.pictures))
        seconds = time.perf_counter() - started
        return {"clips_per_s": [len(pictures) * self.subject.views / seconds], "pictures": pictures}

    def end(self) -> dict[str, float]:
        """Return nothing more."""
        return {}


def eval_rounds(subject: Subject) -> TestingRounds | DecodingRounds:
    """Return the rounds of a subject: testing, or where it has no network decoding alone."""
    if subject.network:
        return TestingRounds(subject)
    return DecodingRounds(subject)
