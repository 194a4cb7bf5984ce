"""The timeline of a live stream: segments as they end, with a lag that has a bound and a memory that has one."""

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from video_rs.inference.predictor import Predictor
from video_rs.inference.timeline.building import TimelineBuilder
from video_rs.inference.timeline.live_reading import LiveReader
from video_rs.inference.timeline.live_windows import LiveClip, LivePlan, LiveWindows, Wait
from video_rs.inference.timeline.scoring import WindowScorer
from video_rs.inference.timeline.segments import Segment
from video_rs.inference.timeline.settings import TimelineSettings
from video_rs.inference.timeline.smoothing import windows_of
from video_rs.inference.timeline.timeline import LiveFacts, Timeline
from video_rs.inference.timeline.window_log import WindowLog
from video_rs.runtime.errors import InputError
from video_rs.video.live import LiveVideo, without_password

MOST_WINDOWS = 20_000
"""Windows of which the best classes are kept: of 1.28 s, they are seven hours."""
MOST_SEGMENTS = 20_000
LOOK = 0.2
"""Seconds after which the stream is left for a moment to see whether somebody wants to stop."""


@dataclass(frozen=True)
class LiveSettings:
    """How a stream is followed.

    Attributes:
        lag: seconds by which a window may be older than the newest frame when its turn comes; older ones are dropped.
        reconnects: how often in a row to connect again.
        seconds: of the stream to follow; None: until it ends or somebody stops.
    """

    lag: float = 2.0
    reconnects: int = 5
    seconds: float | None = None

    def __post_init__(self):
        if not 0 <= self.lag < float("inf"):
            raise InputError(f"--lag: got {self.lag:g}, allowed: seconds from 0")
        if self.reconnects < 0:
            raise InputError(f"--reconnects: got {self.reconnects}, allowed: from 0")
        if self.seconds is not None and not 0 < self.seconds < float("inf"):
            raise InputError(f"--stop-after: got {self.seconds:g}, allowed: seconds above 0")

    def refuse_for_files(self) -> None:
        """Raise InputError where something is set, which would have no meaning for files."""
        usual = LiveSettings()
        options = {"--lag": "lag", "--reconnects": "reconnects", "--stop-after": "seconds"}
        for option, name in options.items():
            if getattr(self, name) != getattr(usual, name):
                raise InputError(f"{option} is for a live video, and none is given; leave it out, or add --live")


class LiveTimeline:
    """Follows a stream. Use it as a context manager, and iterate over it once.

    Args:
        predictor: gives the probabilities.
        address: of a camera or a stream, see :class:`video_rs.video.live.LiveVideo`.
        settings: how the timeline is made.
        live: how the stream is followed.

    Attributes:
        address: of the stream, without a password.
        began: date and time at which it began.

    Raises:
        DecodeError: there is nothing at the address, or no video.
    """

    def __init__(self, predictor: Predictor, address: str, settings: TimelineSettings, live: LiveSettings):
        self.address = without_password(address)
        self._answers = predictor.answers
        self._live = live
        connect = partial(LiveVideo, address)
        video = connect()

        clip = predictor.preprocessing.clip
        self._stride, self._smoothing = settings.steps(clip, video.fps)
        self._fps = video.fps
        self._rules = settings.rules(self._answers.threshold, self._answers.multi_label)
        self._scorer = WindowScorer.of(predictor, settings.crops)
        self._windows = LiveWindows(LivePlan.of(clip, video.fps, self._stride, live.lag))

        self._log = WindowLog(len(self._answers.label_names), MOST_WINDOWS)
        width = windows_of(self._smoothing, self._stride)
        self._builder = TimelineBuilder(self._rules, width, self._log)
        self._segments: deque[Segment] = deque(maxlen=MOST_SEGMENTS)
        self._end = 0.0
        self._started = time.monotonic()
        self.began = datetime.now().astimezone()
        self._reader = LiveReader(video, connect, self._windows, self._scorer.transform, live.reconnects)

    def __enter__(self) -> "LiveTimeline":
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc_info) -> None:
        self._reader.stop()
        # Frames that end because their thread has failed are no stream that has ended.
        if kind is None and self._reader.fault is not None:
            raise self._reader.fault

    def __iter__(self) -> Iterator[list[Segment]]:
        """Yield the segments that have ended, several times a second: whoever iterates may stop at any time.

        The stream ends with the last of its segments.
        """
        while True:
            taken = self._windows.take(LOOK)
            if taken is Wait.END:
                break
            yield self._keep(self._ended(taken))

            if self._live.seconds is not None and self._seconds() >= self._live.seconds:
                break

        yield self.finish()

    def _seconds(self) -> float:
        """Return for how long the stream has been followed; one that is silent gets older all the same."""
        return max(self._end, time.monotonic() - self._started)

    def _ended(self, taken: LiveClip | Wait) -> list[Segment]:
        """Return the segments that end with what was taken from the stream."""
        if taken is Wait.NOT_YET:
            return []
        if taken is Wait.GAP:
            return self._builder.finish()

        (row,) = self._scorer.probabilities([taken.clip])
        self._end = taken.window.end
        return self._builder.add(taken.window, row)

    def finish(self) -> list[Segment]:
        """Return the segments that have not ended yet, because nobody looks any longer."""
        return self._keep(self._builder.finish())

    def _keep(self, segments: list[Segment]) -> list[Segment]:
        self._segments.extend(segments)
        return segments

    def news(self) -> list[str]:
        """Return what has happened to the connection since the last call, as lines."""
        return self._reader.news()

    @property
    def facts(self) -> LiveFacts:
        """Return what became of the stream up to now."""
        reader = self._reader
        return LiveFacts(
            began=self.began.isoformat(timespec="seconds"),
            frames=reader.frames,
            damaged=reader.damaged,
            dropped=self._windows.dropped,
            reconnected=reader.reconnected,
            ending=reader.ending,
        )

    def timeline(self) -> Timeline:
        """Return the timeline up to now: the latest windows and segments, those included that have not ended yet."""
        segments = sorted([*self._segments, *self._builder.so_far()])
        return Timeline(
            video=self.address,
            start=0.0,
            end=self._end,
            fps=self._fps,
            label_names=self._answers.label_names,
            rules=self._rules,
            smoothing=self._smoothing,
            stride=self._stride,
            threshold=self._answers.threshold,
            windows=self._log.table(),
            segments=tuple(segments),
            live=self.facts,
        )
