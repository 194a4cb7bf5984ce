"""How a timeline is made: windows, smoothing and thresholds, where nobody names them those that fit the checkpoint."""

from dataclasses import dataclass

from video_rs.data.preprocessing import ClipSpec
from video_rs.inference.timeline.segments import SegmentRules
from video_rs.runtime.errors import InputError

ON = 0.5
OFF_TO_ON = 0.6
SHORTEST = 1.0
LEAST_STRIDE = 0.001
"""Seconds; no camera here has more frames in a second than that, and windows of one frame are all the same."""


@dataclass(frozen=True)
class TimelineSettings:
    """How a timeline is made. What is None follows from the checkpoint.

    Attributes:
        stride: seconds from the start of a window to that of the next; None: half a window.
        smoothing: seconds that probabilities are averaged over; None: a window. 0: not at all.
        on, off: probabilities at which a segment begins and ends; None for ``on``: the checkpoint's threshold, or 0.5;
            None for ``off``: 0.6 of ``on``.
        shortest: seconds that a segment lasts at least.
        crops: 1 or 3 of each window.
    """

    stride: float | None = None
    smoothing: float | None = None
    on: float | None = None
    off: float | None = None
    shortest: float = SHORTEST
    crops: int = 1

    def __post_init__(self):
        if self.stride is not None and not LEAST_STRIDE <= self.stride < float("inf"):
            raise InputError(f"--stride: got {self.stride:g}, allowed: seconds from {LEAST_STRIDE}")
        if self.smoothing is not None and not 0 <= self.smoothing < float("inf"):
            raise InputError(f"--smooth: got {self.smoothing:g}, allowed: seconds from 0")

    def rules(self, threshold: float | None, multi_label: bool) -> SegmentRules:
        """Return when segments begin and end.

        Args:
            threshold: of the checkpoint, below which an answer is unsure, or None.
            multi_label: whether several classes may be shown at a time.
        """
        on = self.on
        if on is None:
            # A threshold of 0 is none: every probability reaches it.
            on = threshold or ON

        off = self.off
        if off is None:
            off = OFF_TO_ON * on
        return SegmentRules(on, off, self.shortest, exclusive=not multi_label)

    def steps(self, clip: ClipSpec, fps: float) -> tuple[float, float]:
        """Return the stride and the seconds of smoothing for a video of ``fps`` frames per second."""
        window = clip.seconds(fps)

        stride = self.stride
        if stride is None:
            stride = window / 2

        smoothing = self.smoothing
        if smoothing is None:
            smoothing = window
        return stride, smoothing
