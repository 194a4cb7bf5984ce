"""Heat over pictures: as frames of a film, and as a strip with a curve over time. All of it from plain arrays."""

from collections.abc import Iterator, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont
from PIL import Image, ImageDraw, ImageFont

from video_rs.reports.drawn_names import drawable
from video_rs.reports.plots import BLUE, GREY, hide_frame

COLORS = "inferno"
# The hottest place is covered by its colour to so much; where there is no heat, the picture is as it was.
MOST_OPAQUE = 0.75
STRIP_FRAMES = 8  # at most
STRIP_INCHES = 1.15  # of a frame's longer side

FILM_SIDE = 256  # pixels that the short side of a small picture is enlarged to
FILM_GAP = 8  # white pixels between the two pictures
FILM_TEXT = 28  # pixels of the line above them
FONT_PIXELS = 15


def warmed(pictures: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Return pictures under their heat, uint8 ``[T, H, W, 3]``.

    Args:
        pictures: uint8 ``[T, H, W, 3]``.
        heat: float ``[T, H, W]`` in [0, 1]: the colour goes from black over red to yellow, and covers the more of the
            picture the hotter it is.
    """
    colors = matplotlib.colormaps[COLORS](heat)[..., :3] * 255
    opacity = MOST_OPAQUE * heat[..., None]
    return np.rint(pictures * (1 - opacity) + colors * opacity).astype(np.uint8)


def film_frames(pictures: np.ndarray, heat: np.ndarray, captions: Sequence[str]) -> Iterator[np.ndarray]:
    """Yield the frames of a film: a line of text, below it each picture, and the same picture under its heat beside it.

    Args:
        pictures: uint8 ``[T, H, W, 3]``; small ones are enlarged.
        heat: float ``[T, H, W]`` in [0, 1].
        captions: T lines of text.

    Yields:
        uint8 ``[h, w, 3]`` of one size, both even.
    """
    height, width = pictures.shape[1:3]
    scale = max(1, round(FILM_SIDE / min(height, width)))
    size = (width * scale, height * scale)
    font = ImageFont.truetype(findfont(FontProperties()), FONT_PIXELS)

    for picture, hot, caption in zip(pictures, heat, captions, strict=True):
        # One picture after the other: a long film would not fit into memory.
        pair = [picture, warmed(picture[None], hot[None])[0]]
        frame = Image.new("RGB", (even(2 * size[0] + FILM_GAP), even(FILM_TEXT + size[1])), "white")
        for place, image in enumerate(pair):
            enlarged = Image.fromarray(image).resize(size, Image.Resampling.BICUBIC)
            frame.paste(enlarged, (place * (size[0] + FILM_GAP), FILM_TEXT))

        text = fitting(drawable(caption), font, frame.width - 2 * FILM_GAP)
        ImageDraw.Draw(frame).text((FILM_GAP, FILM_TEXT // 2), text, "black", font, anchor="lm")
        yield np.asarray(frame)


def even(size: int) -> int:
    """Return an even number of pixels, which video needs."""
    return size + size % 2


def fitting(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """Return a text of at most ``width`` pixels: the words at its end stay, and what is too long of the rest goes."""
    if font.getlength(text) <= width:
        return text

    start, _, end = text.partition("  ")
    while start and font.getlength(f"{start}…  {end}") > width:
        start = start[:-1]
    return f"{start}…  {end}"


def heat_strip(pictures: np.ndarray, heat: np.ndarray, times: np.ndarray, title: str) -> Figure:
    """Draw some frames, below each the same frame under its heat, and below them the heat over time.

    Args:
        pictures: uint8 ``[T, H, W, 3]``.
        heat: float ``[T, H, W]`` in [0, 1].
        times: float ``[T]``, seconds.
        title: a line above.
    """
    count = min(len(pictures), STRIP_FRAMES)
    shown = np.linspace(0, len(pictures) - 1, count).round().astype(np.int64)
    hot = warmed(pictures[shown], heat[shown])

    height, width = pictures.shape[1:3]
    inches = STRIP_INCHES / max(height, width)
    # The curve and the title need some width, however few frames there are.
    figure = Figure(
        figsize=(max(4.5, count * (inches * width + 0.06) + 0.6), 2 * inches * height + 1.75), layout="constrained"
    )
    figure.suptitle(drawable(title), fontsize=9, parse_math=False)
    rows = figure.add_gridspec(3, count, height_ratios=[inches * height, inches * height, 1.0])
    for column, number in enumerate(shown):
        above = figure.add_subplot(rows[0, column])
        _show(above, pictures[number])
        above.set_title(f"{times[number]:.2f} s", fontsize=7, pad=3)
        _show(figure.add_subplot(rows[1, column]), hot[column])

    _draw_curve(figure.add_subplot(rows[2, :]), heat, times, times[shown])
    return figure


def _show(axes: Axes, picture: np.ndarray) -> None:
    axes.imshow(picture, interpolation="nearest")
    axes.set_axis_off()


def _draw_curve(axes: Axes, heat: np.ndarray, times: np.ndarray, marked: np.ndarray) -> None:
    """Draw the mean heat of each frame over time, with a point at each frame that is shown."""
    means = heat.mean(axis=(1, 2))
    axes.plot(times, means, color=BLUE, linewidth=1.2)
    axes.plot(marked, np.interp(marked, times, means), "o", color=BLUE, markersize=3, clip_on=False)

    axes.set_ylim(0, max(1e-9, float(means.max())) * 1.15)
    if len(times) > 1:
        axes.set_xlim(times[0], times[-1])
    axes.set_xlabel("seconds", fontsize=7)
    axes.set_ylabel("mean heat", fontsize=7)
    axes.tick_params(labelsize=7, colors=GREY)
    hide_frame(axes)
