"""The clips of the motion demo, as a pure function of class and seed.

A clip shows one textured object over a static textured background. The object has four coordinates, each a fraction
of a full cycle in [0, 1): across and down the frame (leaving on one side, it comes back on the other), scale and angle.
A class moves one coordinate at a constant rate, forwards or backwards, and leaves the other three alone.

No single frame tells the class. All four coordinates start uniform on their cycle, whatever the class and the rate;
adding a constant to a uniform point of a cycle gives a uniform point. So at every frame index and for every class the
four coordinates are uniform and independent, and texture, colours and background are drawn without looking at the
label: each single frame has the same distribution in all classes. Playing a class backwards gives its opposite.

Scale becomes a cycle as pitch does in a Shepard tone: the object is a nest of discs, each ``_NEST`` times the next one
inside and of the same texture. The outermost disc fades away while it grows, and once it is gone the next one has
exactly taken its place: an object grows for ever without a jump, and is equally often of each size.
"""

import math

import numpy as np

VERSION = 1
"""Version of the generator: any change to the pixels raises it."""

FRAMES = 24
SIZE = 96

_ACROSS, _DOWN, _SCALE, _ANGLE = range(4)
_MOTIONS = {  # the coordinate that a class moves, and which way
    "moving_left": (_ACROSS, -1),
    "moving_right": (_ACROSS, 1),
    "moving_up": (_DOWN, -1),
    "moving_down": (_DOWN, 1),
    "turning_clockwise": (_ANGLE, 1),
    "turning_counterclockwise": (_ANGLE, -1),
    "growing": (_SCALE, 1),
    "shrinking": (_SCALE, -1),
}
LABELS = tuple(_MOTIONS)

_RADIUS = 0.46  # of the largest disc, in frame sizes: below 0.5, or the object would meet its own other side
_NEST = 1.6  # a disc's radius over that of the next one inside it
_RATES = {  # slowest and fastest, in cycles per frame
    _ACROSS: (0.7 / 96, 1.3 / 96),  # 0.7 to 1.3 pixels at 96 pixels
    _DOWN: (0.7 / 96, 1.3 / 96),
    _SCALE: (math.log(1.03, _NEST), math.log(1.04, _NEST)),  # 3 to 4 %
    _ANGLE: (0.08 / (2 * math.pi), 0.14 / (2 * math.pi)),  # 0.08 to 0.14 radians
}


def motion_path(label: int | str, seed: int, frames: int = FRAMES) -> np.ndarray:
    """Return the object's coordinates in each frame.

    Args:
        label: class name or class id.
        seed: the first row and the rate's place in its range depend on the seed alone, not on the label.
        frames: number of frames.

    Returns:
        float64 ``[frames, 4]`` in [0, 1), columns across, down, scale, angle (clockwise).

    Raises:
        ValueError: there is no such class.
    """
    axis, sign = _MOTIONS[_label_name(label)]
    slowest, fastest = _RATES[axis]
    rng = np.random.default_rng([seed, 0])
    start = rng.random(4)
    pace = rng.random()

    velocity = np.zeros(4)
    velocity[axis] = sign * (slowest + pace * (fastest - slowest))
    return (start + np.arange(frames)[:, None] * velocity) % 1.0


def motion_clip(label: int | str, seed: int, frames: int = FRAMES, size: int = SIZE) -> np.ndarray:
    """Return one clip.

    Args:
        label: class name or class id.
        seed: clips of one seed and different labels have the same first frame, texture and background.
        frames: number of frames.
        size: height and width in pixels.

    Returns:
        uint8 ``[frames, size, size, 3]``.

    Raises:
        ValueError: there is no such class.
    """
    rng = np.random.default_rng([seed, 1])
    lowest = [[0.35], [0.0], [0.7]]
    highest = [[0.65], [0.3], [1.0]]
    middle, dark, light = rng.uniform(lowest, highest, (3, 3))  # RGB colours

    background = _paint(_cyclic_noise(rng, ((4, 4), (12, 12)), (size, size)), middle - 0.12, middle + 0.12)
    texture = _paint(_disc_texture(rng), dark, light)
    path = motion_path(label, seed, frames)
    clip = np.stack([_draw(background, texture, *point) for point in path.tolist()])
    return np.rint(clip * 255).astype(np.uint8)


def object_radius(scale: float | np.ndarray) -> float | np.ndarray:
    """Return the radius of the outermost disc at a scale in [0, 1), in frame sizes."""
    return _RADIUS * _NEST ** (scale - 1)


def inside_object_box(path: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return which places lie in the square around the object, which reaches over the frame's edges as the object does.

    Args:
        path: float64 ``[frames, 4]`` of :func:`motion_path`.
        x: float ``[w]``, places across the frame, in frame sizes from its left edge.
        y: float ``[h]``, places down the frame, from its top.

    Returns:
        bool ``[frames, h, w]``.
    """
    across, down, scale, _ = path.T
    radius = object_radius(scale)[:, None]
    # Distances from the object's middle are by the short way round the frame.
    is_near_across = np.abs((x - across[:, None] + 0.5) % 1.0 - 0.5) <= radius
    is_near_down = np.abs((y - down[:, None] + 0.5) % 1.0 - 0.5) <= radius
    return is_near_down[:, :, None] & is_near_across[:, None, :]


def _label_name(label: int | str) -> str:
    """Return the name of a class."""
    if isinstance(label, str):
        if label in LABELS:
            return label
    elif 0 <= label < len(LABELS):
        return LABELS[label]
    raise ValueError(f"no motion class {label!r}: one of {', '.join(LABELS)} or 0 to {len(LABELS) - 1}")


def _draw(
    background: np.ndarray, texture: np.ndarray, across: float, down: float, scale: float, angle: float
) -> np.ndarray:
    """Return the object over the background.

    Args:
        background: float32 ``[S, S, 3]`` in [0, 1].
        texture: of the object, float32 ``[angle, log radius, 3]`` in [0, 1].
        across, down, scale, angle: coordinates of the object, in [0, 1).

    Returns:
        float32 ``[S, S, 3]`` in [0, 1].
    """
    # Distances from the object's middle are signed, by the short way round the frame.
    size = len(background)
    pixels = (np.arange(size, dtype=np.float32) + 0.5) / size
    x = (pixels - across + 0.5) % 1.0 - 0.5
    y = (pixels - down + 0.5) % 1.0 - 0.5
    radius = np.maximum(np.hypot(x[None, :], y[:, None]), 0.5 / size)

    outer = object_radius(scale)
    nest = np.log(radius / outer) / math.log(_NEST)  # 0 at the outer edge, -1 at the edge of the next disc
    turn = np.arctan2(y[:, None], x[None, :]) / (2 * math.pi) - angle  # y points down: this is clockwise
    disc = _look_up(texture, turn, nest)

    # Edges are one pixel wide. The outermost disc fades away while it grows.
    inner = np.clip(0.5 + size * (outer / _NEST - radius), 0, 1)
    whole = np.clip(0.5 + size * (outer - radius), 0, 1)
    opacity = np.maximum(inner, whole * (1 - scale**3))[..., None]
    return (background * (1 - opacity) + disc * opacity).astype(np.float32)


def _disc_texture(rng: np.random.Generator) -> np.ndarray:
    """Return one cycle of the object, float ``[angle, log radius]`` in [0, 1], fine enough to look up unblended."""
    texture = _cyclic_noise(rng, ((8, 1), (8, 2)), (720, 128))
    low = texture.min()
    high = texture.max()
    shade = np.linspace(1.0, 0.5, texture.shape[1])  # darkest at the rim: every disc shows its edge
    return (texture - low) / (high - low) * shade


def _paint(shades: np.ndarray, dark: np.ndarray, light: np.ndarray) -> np.ndarray:
    """Return shades ``[...]`` in [0, 1] as colours between two colours ``[3]``, float32 ``[..., 3]``."""
    return (dark + shades[..., None] * (light - dark)).astype(np.float32)


def _look_up(texture: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return the texture's colours ``[..., 3]`` at places given in cycles, ``[...]``."""
    height, width, _ = texture.shape
    row = np.floor(rows * height).astype(np.int64) % height
    column = np.floor(columns * width).astype(np.int64) % width
    return texture.reshape(-1, 3)[row * width + column]


def _cyclic_noise(rng: np.random.Generator, cells: tuple[tuple[int, int], ...], shape: tuple[int, int]) -> np.ndarray:
    """Return random shades that join smoothly over every edge, float ``[*shape]`` in [0, 1].

    The shades are the mean of one grid of random shades for each entry of ``cells``, given as (rows, columns).
    """
    height, width = shape
    grids = [rng.random(size) for size in cells]
    blended = []
    for grid in grids:
        rows, columns = grid.shape
        blended.append(_blend(height, rows) @ grid @ _blend(width, columns).T)
    return np.mean(blended, axis=0)


def _blend(points: int, cells: int) -> np.ndarray:
    """Return the weights ``[points, cells]`` of a smooth cyclic interpolation; each row sums to one."""
    place = np.arange(points) * cells / points
    cell = place.astype(np.int64)
    along = place % 1.0
    weight = along**2 * (3 - 2 * along)
    eye = np.eye(cells)
    return eye[cell] * (1 - weight)[:, None] + eye[(cell + 1) % cells] * weight[:, None]
