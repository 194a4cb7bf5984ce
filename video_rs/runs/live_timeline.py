"""The timeline of a live video: printed while it comes, in files that are whole at any moment."""

import json
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from io import TextIOWrapper
from pathlib import Path

from video_rs.inference.predictor import Predictor
from video_rs.inference.timeline.files import segment_dict
from video_rs.inference.timeline.live import LiveSettings, LiveTimeline
from video_rs.inference.timeline.segments import Segment
from video_rs.inference.timeline.timeline import Timeline
from video_rs.runs.timeline import (
    MARK,
    OWN_FILES,
    TimelineJob,
    print_paths,
    screen_clock,
    segment_line,
    unwritable,
    write_all,
)
from video_rs.runtime.errors import InputError, Stopped
from video_rs.runtime.outputs import require_own
from video_rs.runtime.progress import print_line
from video_rs.runtime.signals import StopSignals
from video_rs.runtime.wording import pluralize
from video_rs.video.live import is_live, without_password

SAVE_SECONDS = 10.0
"""Between two writes of the files, and between two lines about dropped frames."""
LOG = "segments.jsonl"


class StopLive(StopSignals):
    """A Ctrl-C is how a live video ends; a second one ends the process. SIGTERM and SIGHUP end it, too.

    Attributes:
        kind: the signal that came last, or None.
    """

    ANSWER = "stopping and writing the files"

    def __init__(self):
        super().__init__()
        self.kind: int | None = None

    def _handle(self, kind: int, frame) -> None:
        self.kind = kind
        super()._handle(kind, frame)


def live_address(job: TimelineJob, forced: bool) -> str:
    """Return the address of the live video of a call; "" where its videos are files.

    Args:
        job: what to do.
        forced: whether ``--live`` says that the video is live.

    Raises:
        InputError: a live video is not alone, or something is asked for that only files have.
    """
    live = [video for video in job.videos if forced or is_live(video)]
    if not live:
        if forced:
            raise InputError("--live needs a VIDEO; name a camera or a stream")
        return ""

    address = live[0]
    shown = without_password(address)
    if len(job.videos) > 1:
        raise InputError(f"{shown} is live, and one call follows one live video; call it once for each")
    only_for_files = {
        "--annotate": job.annotate,
        "--against": job.against,
        "--start": job.start is not None,
        "--end": job.end is not None,
    }
    for option, is_given in only_for_files.items():
        if is_given:
            raise InputError(
                f"{option} is for files, and {shown} is live; record it (ffmpeg -i URL -c copy FILE) and give the file"
            )
    return address


def run_live(predictor: Predictor, address: str, job: TimelineJob, live: LiveSettings) -> None:
    """Follow a live video, print each segment when it has ended, and write the files every ten seconds and at the end.

    Raises:
        InputError: there is no video at the address, or the folder cannot be written to.
        Stopped: somebody ended the process by SIGTERM or SIGHUP; the files are written.
    """
    stop = StopLive()
    stop.start()
    try:
        with LiveTimeline(predictor, address, job.settings, live) as following, _log(job.out) as log:
            print_line(f"following {following.address}; Ctrl-C ends it")
            _follow(following, Output(following, job.out, log), stop)
    finally:
        stop.close()

    facts = following.facts
    if stop.kind is None and not len(following.timeline().windows):
        raise InputError(
            f"{following.address} gave no window: it ended after {pluralize(facts.frames, 'frame')}, and a window "
            "takes more; look whether it plays: ffplay ADDRESS"
        )
    if stop.kind not in (None, signal.SIGINT):
        raise Stopped(f"stopped following {without_password(address)}", "all files are whole")


def _follow(following: LiveTimeline, output: "Output", stop: StopLive) -> None:
    """Follow a live video until it ends or somebody stops it."""
    for segments in following:
        output.tell(segments)
        if stop.asked:
            output.tell(following.finish())
            break
        output.save_sometimes()
    output.finish()


@contextmanager
def _log(out: str) -> Iterator[TextIOWrapper | None]:
    """Open the file with a line for each segment; None where no files are asked for."""
    if not out:
        yield None
        return
    require_own("--out", Path(out), OWN_FILES, MARK)
    try:
        Path(out).mkdir(parents=True, exist_ok=True)
        log = (Path(out) / LOG).open("w", encoding="utf-8", errors="backslashreplace", buffering=1)
    except OSError as error:
        raise unwritable(Path(out), error) from error
    with log:
        yield log


class Output:
    """What is printed and written of a live video.

    Args:
        following: the video.
        out: folder of the files; "": none are written.
        log: takes a line for each segment, or None.
    """

    def __init__(self, following: LiveTimeline, out: str, log: TextIOWrapper | None):
        self._following = following
        self._out = out
        self._log = log
        self._saved = time.monotonic()
        self._dropped = 0

    def tell(self, segments: Sequence[Segment]) -> None:
        """Print and log segments that have ended, and what has happened to the connection."""
        for line in self._following.news():
            print_line(f"note: {line}")
        if not segments:
            return

        timeline = self._following.timeline()
        for segment in segments:
            print_line(f"  {segment_line(timeline, segment)}")
            if self._log is not None:
                self._log.write(self._line(timeline, segment))

    def _line(self, timeline: Timeline, segment: Segment) -> str:
        """Return a segment as a line of JSON, with the date and time at which it began."""
        began = self._following.began + timedelta(seconds=segment.start)
        row = {"time": began.isoformat(timespec="milliseconds"), **segment_dict(timeline, segment)}
        return json.dumps(row, ensure_ascii=False) + "\n"

    def save_sometimes(self) -> None:
        """Write the files, and say how many frames were dropped, if the last time is long enough ago."""
        if time.monotonic() - self._saved < SAVE_SECONDS:
            return
        self._saved = time.monotonic()
        self._tell_dropped()
        if self._out:
            write_all(Path(self._out), self._following.timeline(), film="")

    def _tell_dropped(self) -> None:
        facts = self._following.facts
        newly_dropped = facts.dropped - self._dropped
        self._dropped = facts.dropped
        if newly_dropped:
            print_line(
                f"note: dropped {pluralize(newly_dropped, 'frame')} that came too fast for the network; "
                f"{facts.dropped} of {facts.frames} up to now"
            )

    def finish(self) -> None:
        """Write the files for the last time, and say what became of the video."""
        timeline = self._following.timeline()
        facts = timeline.live
        if facts.ending:
            print_line(f"note: {facts.ending}")
        print_line(
            f"  {pluralize(len(timeline.windows), 'window')} of {screen_clock(timeline.end)}, "
            f"{pluralize(facts.frames, 'frame')}, {facts.dropped} dropped, {facts.damaged} damaged, reconnected "
            f"{pluralize(facts.reconnected, 'time')}"
        )
        if self._out:
            print_paths([*write_all(Path(self._out), timeline, film=""), Path(self._out) / LOG])
