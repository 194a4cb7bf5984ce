"""The thread that reads a live stream whatever the scoring does, and connects again where the stream breaks."""

import math
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue

from video_rs.data.eval_transform import EvalTransform
from video_rs.inference.timeline.live_windows import LONGEST_HOLD, LiveWindows
from video_rs.video import DecodeError
from video_rs.video.live import LiveFrame, LiveVideo

LONGEST_WAIT = 10.0
"""Seconds between two tries to connect, at most."""
JOIN_SECONDS = 1.0


class LiveReader:
    """Reads a stream into its windows until it ends for good or :meth:`stop` is called.

    Args:
        video: the connection, which was opened to learn what the stream is.
        connect: opens it again.
        windows: take the frames.
        transform: resizes them.
        reconnects: how often in a row to connect again without a frame in between.

    Attributes:
        frames: how many have come whole.
        damaged: how many have come damaged, up to the last connection that has ended.
        reconnected: how often the stream came back.
        ending: why no frames come any more; "" while they do.
        fault: what has ended the thread, if it should not have; None otherwise.
    """

    def __init__(
        self,
        video: LiveVideo,
        connect: Callable[[], LiveVideo],
        windows: LiveWindows,
        transform: EvalTransform,
        reconnects: int,
    ):
        self.frames = 0
        self.damaged = 0
        self.reconnected = 0
        self.ending = ""
        self.fault: Exception | None = None
        self._video: LiveVideo | None = video
        self._connect = connect
        self._windows = windows
        self._transform = transform
        self._reconnects = reconnects
        self._stopped = threading.Event()
        self._news: SimpleQueue[str] = SimpleQueue()
        self._began = time.monotonic()
        self._shown: tuple[float, LiveFrame] | None = None  # since when in the stream's time, what
        self._given_until = 0.0
        self._hold = LONGEST_HOLD
        self._thread = threading.Thread(target=self._run, daemon=True, name="video_rs live")
        self._thread.start()

    def news(self) -> list[str]:
        """Return what has happened since the last call, as lines."""
        lines = []
        while True:
            try:
                lines.append(self._news.get_nowait())
            except Empty:
                return lines

    def stop(self) -> None:
        """End the thread; it is left alone where it waits for a packet."""
        self._stopped.set()
        self._windows.end()
        self._thread.join(JOIN_SECONDS)

    def _run(self) -> None:
        """Read connection after connection."""
        tries = 0
        try:
            while not self._stopped.is_set():
                before = self.frames
                reason = self._read()
                # Frames have come: whatever breaks now is a new trouble.
                if self.frames > before:
                    tries = 0
                if self._stopped.is_set():
                    return
                if tries >= self._reconnects:
                    self.ending = reason
                    return

                tries += 1
                self._news.put(f"{reason}; connecting again ({tries} of {self._reconnects})")
                self._stopped.wait(min(2.0 ** (tries - 1) - 1, LONGEST_WAIT))
        except Exception as error:  # noqa: BLE001 - the thread that scores raises it, whatever it is
            self.fault = error
        finally:
            self._windows.end()

    def _read(self) -> str:
        """Read one connection to its end; return why it has ended."""
        try:
            is_new = self._video is None
            if is_new:
                self._video = self._connect()
            with self._video as video:
                try:
                    self._read_frames(video, is_new)
                finally:
                    self.damaged += video.damaged
        except DecodeError as error:
            return error.reason
        finally:
            self._video = None
            self._shown = None
        return "the stream has ended"

    def _read_frames(self, video: LiveVideo, is_new: bool) -> None:
        """Take the frames of a connection, whose time is added to the time of the first one."""
        self._hold = max(LONGEST_HOLD, 2 / video.fps)
        offset = None
        for frame in video:
            if self._stopped.is_set():
                return
            if offset is None:
                offset = self._begin_connection(is_new)
            self.frames += 1
            self._show(frame, offset + frame.seconds)

        # The last frame was shown for as long as frames are.
        if self._shown is not None:
            self._give(self._shown[0] + 1 / video.fps)
            self._shown = None

    def _begin_connection(self, is_new: bool) -> float:
        """Return the seconds of the stream at which the first frame of a connection appears."""
        if not is_new:
            self._began = time.monotonic()
            return 0.0
        self.reconnected += 1
        self._news.put("connected again")
        # However short the break was, a tick has no frame: no window joins what was before and what comes after.
        return max(time.monotonic() - self._began, self._given_until + 1 / self._windows.plan.rate)

    def _show(self, frame: LiveFrame, seconds: float) -> None:
        """Take a frame that appears at a time of the stream: the one before was on the screen until then."""
        if self._shown is not None:
            self._give(seconds)
        self._shown = seconds, frame

    def _give(self, until: float) -> None:
        """Give the frame on the screen to the windows, for the ticks whose middle is in its time."""
        seconds, frame = self._shown
        first = self._first_tick_at(seconds)
        stop = self._first_tick_at(min(until, seconds + self._hold))
        self._given_until = until
        if any(map(self._windows.plan.is_needed, range(first, stop))):
            self._windows.add(first, stop, self._transform.resize(frame.picture()[None])[:, 0])

    def _first_tick_at(self, seconds: float) -> int:
        """Return the first tick whose middle is not before a time."""
        return math.ceil(seconds * self._windows.plan.rate - 0.5)
