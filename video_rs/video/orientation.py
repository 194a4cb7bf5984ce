"""How the stored pictures of a video are to be shown: turned, mirrored, or both."""

import math
from typing import NamedTuple

import av
import numpy as np

# FFmpeg's program rounds the angle to whole degrees before it compares the angle with a quarter turn.
_TOLERANCE = 0.5  # degrees


class Orientation(NamedTuple):
    """What is done to a stored picture before it is shown.

    Attributes:
        quarter_turns: by which the picture is turned counter-clockwise, 0 to 3, after it was mirrored.
        mirrored: the picture is mirrored, left to right.
    """

    quarter_turns: int = 0
    mirrored: bool = False

    @property
    def swaps_sides(self) -> bool:
        """Whether height and width change places."""
        return self.quarter_turns % 2 == 1

    def shown_size(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width as shown of a picture that is stored with these."""
        if self.swaps_sides:
            return width, height
        return height, width

    def filters(self) -> tuple[str, ...]:
        """Return the filters of FFmpeg that turn and mirror a picture, which are those that its program takes."""
        return _FILTERS[self]

    def describe(self) -> str:
        """Return what is done to the stored picture, as a person would say it; "" for nothing."""
        if self.mirrored:
            return _MIRRORINGS[self.quarter_turns]
        if self.quarter_turns:
            return f"{90 * self.quarter_turns} degrees counter-clockwise"
        return ""


AS_STORED = Orientation()

_FILTERS = {
    Orientation(0, False): (),
    Orientation(1, False): ("transpose=cclock",),
    Orientation(2, False): ("hflip", "vflip"),
    Orientation(3, False): ("transpose=clock",),
    Orientation(0, True): ("hflip",),
    Orientation(1, True): ("transpose=cclock_flip",),
    Orientation(2, True): ("vflip",),
    Orientation(3, True): ("transpose=clock_flip",),
}

_MIRRORINGS = (
    "left to right",
    "left to right, then turned 90 degrees counter-clockwise",
    "top to bottom",
    "left to right, then turned 270 degrees counter-clockwise",
)


def frame_orientation(frame: av.VideoFrame) -> Orientation:
    """Return how a decoded frame is to be shown; as stored where its display matrix is no quarter turn.

    The matrix is the container's (MP4, MOV, Matroska) or, where the container has none, the one in the frame's own data
    (the display orientation message of H.264 and HEVC).
    """
    matrix = _display_matrix(frame)
    if matrix is None:
        return AS_STORED
    return _orientation_of_matrix(matrix) or AS_STORED


def other_angle(frame: av.VideoFrame) -> float:
    """Return the degrees counter-clockwise of a matrix that is no quarter turn, which is not applied; else 0."""
    matrix = _display_matrix(frame)
    if matrix is None or _orientation_of_matrix(matrix) is not None:
        return 0.0
    angle_of_rows, _ = _axis_angles(matrix)
    return angle_of_rows


def _display_matrix(frame: av.VideoFrame) -> np.ndarray | None:
    """Return the display matrix of a frame; None where there is none, or where it maps an axis to nothing.

    Returns:
        float64 ``[2, 2]``: where a step to the right, (1, 0), goes, and where a step down, (0, 1), goes; x to the
        right, y down.
    """
    # Where both the container and the frame's data have a matrix, FFmpeg puts the container's first.
    for data in frame.side_data:
        if data.type.name == "DISPLAYMATRIX":
            values = np.frombuffer(data, np.int32, 9).reshape(3, 3)
            matrix = values[:2, :2].astype(np.float64)

            # Some files hold nothing but zeros in their matrix, which would shrink every picture to a point.
            keeps_both_axes = matrix.any(axis=1).all()
            return matrix if keeps_both_axes else None
    return None


def _orientation_of_matrix(matrix: np.ndarray) -> Orientation | None:
    """Return the orientation that a matrix stands for; None where it turns by another angle, or skews."""
    mirrored = bool(np.linalg.det(matrix) < 0)
    if mirrored:
        # The mirroring comes before the turn: what was on the left goes where the matrix sends what is on the right.
        matrix = matrix * [[-1], [1]]

    quarter_turns = set()
    for angle in _axis_angles(matrix):
        nearest = round(angle / 90)
        if abs(angle - 90 * nearest) > _TOLERANCE:
            return None
        quarter_turns.add(nearest % 4)

    # A matrix that turns its two axes by different angles skews the picture.
    if len(quarter_turns) != 1:
        return None
    return Orientation(quarter_turns.pop(), mirrored)


def _axis_angles(matrix: np.ndarray) -> tuple[float, float]:
    """Return the degrees counter-clockwise by which the rows and the columns of a picture are turned."""
    (right_x, right_y), (down_x, down_y) = matrix
    angle_of_rows = math.degrees(math.atan2(-right_y, right_x))
    angle_of_columns = math.degrees(math.atan2(down_x, down_y))
    return angle_of_rows, angle_of_columns
