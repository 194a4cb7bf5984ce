"""A copy of a video with its timeline drawn into it: what is shown now, and a bar with all segments and the place."""

import os
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import islice

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from video_rs.data.dataset import VideoSource, record_span
from video_rs.inference.predictor import part_of
from video_rs.inference.timeline.files import caption
from video_rs.inference.timeline.segments import Segment
from video_rs.inference.timeline.timeline import Timeline
from video_rs.video import VideoReader
from video_rs.video.encoding import write_video
from video_rs.video.segments import Span

AT_ONCE = 8  # frames decoded at a time
SMALLEST_TEXT = 10  # pixels
TEXT_SHARE = 1 / 16  # of the height of a frame
BAR_SHARE = 1 / 40
BACKGROUND = (0, 0, 0)
TEXT = (255, 255, 255)
UNSURE = (150, 150, 150)
PLACE = (255, 255, 255)
COLORS = ((68, 140, 220), (230, 120, 40), (80, 170, 85), (180, 90, 175), (200, 165, 30), (215, 70, 115), (40, 160, 175))


def annotate(
    timeline: Timeline,
    path: str | os.PathLike,
    decoder: str = "auto",
    progress: Callable[[Iterable, int], Iterator] = lambda items, total: iter(items),
) -> None:
    """Write the part of a video that a timeline is of as H.264, without sound, with the labels drawn into it.

    The video is decoded once more, frame after frame; its memory does not grow with its length. The copy has an even
    rate, the mean one of the video, and even sides: an odd side loses a pixel.

    Args:
        timeline: of a file.
        path: of the file to write (MP4); whole or not at all.
        decoder: one of :data:`video_rs.video.DECODERS`.
        progress: shows how far the frames are.

    Raises:
        DecodeError: a frame cannot be decoded.
        OSError: the folder is missing or cannot be written.
    """
    record = part_of(timeline.video, timeline.start, timeline.end)
    with VideoSource(decoder).open(record.path) as reader:
        span = record_span(reader, record)
        count = span.frames_at(span.fps)
        pictures = progress(_pictures(timeline, reader, span, count), count)
        write_video(path, pictures, span.fps, options={"preset": "veryfast"})


def _pictures(timeline: Timeline, reader: VideoReader, span: Span, count: int) -> Iterator[np.ndarray]:
    """Yield the frames of the copy, uint8 ``[H, W, 3]``."""
    height = max(2, reader.height // 2 * 2)
    width = max(2, reader.width // 2 * 2)
    drawing = Drawing(timeline, height, width)

    numbers = iter(range(count))
    while chunk := list(islice(numbers, AT_ONCE)):
        # What is on the screen in the middle of each frame of the copy.
        times = (np.array(chunk) + 0.5) / span.fps
        shown = span.on_screen(torch.from_numpy(times))
        frames = reader.next_frames(shown)
        for seconds, frame in zip(times.tolist(), frames, strict=True):
            yield drawing.draw(_even(frame.numpy()), timeline.start + seconds)


def _even(frame: np.ndarray) -> np.ndarray:
    """Return a frame without its last row or column where their number is odd; a single one is doubled."""
    for axis in (0, 1):
        size = frame.shape[axis]
        if size == 1:
            frame = frame.repeat(2, axis)
        elif size % 2:
            frame = frame.take(range(size - 1), axis)
    return frame


class Drawing:
    """Draws a timeline into frames of one size.

    Args:
        timeline: what is drawn.
        height, width: of the frames, in pixels.
    """

    def __init__(self, timeline: Timeline, height: int, width: int):
        self._timeline = timeline
        self._height = height
        self._width = width
        self._text_size = max(SMALLEST_TEXT, round(height * TEXT_SHARE))
        self._starts = np.array([segment.start for segment in timeline.segments])
        self._ends = np.array([segment.end for segment in timeline.segments])
        self._bar = self._draw_bar()

    def draw(self, frame: np.ndarray, seconds: float) -> np.ndarray:
        """Return a frame uint8 ``[height, width, 3]`` with what is shown at a time of the video."""
        picture = Image.fromarray(frame)
        canvas = ImageDraw.Draw(picture)

        place = 0
        for number in np.flatnonzero((self._starts <= seconds) & (seconds < self._ends)):
            place = self._draw_caption(canvas, self._timeline.segments[number], place)

        top = self._height - self._bar.height
        picture.paste(self._bar, (0, top))
        now = self._column(seconds)
        canvas.rectangle((now, top - 2, now + 1, self._height), fill=PLACE)
        return np.asarray(picture)

    def _draw_bar(self) -> Image.Image:
        """Return the bar of all segments."""
        bar = Image.new("RGB", (self._width, max(4, round(self._height * BAR_SHARE))), BACKGROUND)
        canvas = ImageDraw.Draw(bar)
        for segment in self._timeline.segments:
            left = self._column(segment.start)
            right = max(left, self._column(segment.end) - 1)
            canvas.rectangle((left, 1, right, bar.height), fill=self._color(segment))
        return bar

    def _draw_caption(self, canvas: ImageDraw.ImageDraw, segment: Segment, top: int) -> int:
        """Draw what a segment is called below ``top``; return where the next line begins."""
        size = self._text_size
        margin = size // 4
        text = shortened_to(caption(self._timeline, segment), size, self._width - size)

        corner = (2 * margin, top + margin)
        _, _, right, bottom = canvas.textbbox(corner, text, font=font(size))
        below = bottom + margin

        canvas.rectangle((0, top, right + 2 * margin, below), fill=BACKGROUND)
        canvas.rectangle((0, top, margin, below), fill=self._color(segment))
        canvas.text(corner, text, font=font(size), fill=TEXT)
        return below + 1

    def _column(self, seconds: float) -> int:
        """Return the column of a time."""
        share = (seconds - self._timeline.start) / self._timeline.seconds
        return round(share * self._width)

    def _color(self, segment: Segment) -> tuple[int, int, int]:
        if self._timeline.is_unsure(segment.score):
            return UNSURE
        return COLORS[segment.label % len(COLORS)]


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """Return Pillow's own font, which has the letters of most languages that are written in Latin script."""
    return ImageFont.load_default(size)


def shortened_to(text: str, size: int, width: int) -> str:
    """Return a text that is at most so many pixels wide, with an ellipsis in the place of what was cut off."""
    if font(size).getlength(text) <= width:
        return text

    while text and font(size).getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"
