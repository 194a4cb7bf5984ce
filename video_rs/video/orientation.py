"""How a video says that its stored pictures are to be shown: turned, mirrored, or both."""

import math
from typing import NamedTuple

import numpy as np

# FFmpeg's program rounds the angle to whole degrees before it compares it with a quarter turn.
_TOLERANCE = 0.5  # degrees


class Orientation(NamedTuple):
    """A stored picture is first ``mirrored``, left to right, then turned counter-clockwise by ``quarter_turns``."""

    quarter_turns: int = 0
    mirrored: bool = False

    @property
    def swaps_sides(self) -> bool:
        """Whether height and width change places."""
        return self.quarter_turns % 2 == 1

    def shown_size(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width as shown of a picture that is stored with these."""
        return (width, height) if self.swaps_sides else (height, width)

    def filters(self) -> tuple[str, ...]:
        """Return the filters of FFmpeg that do it, the ones that its program takes."""
        return _FILTERS[self]

    def describe(self) -> str:
        """Return what is done to the stored picture, as a person would say it; "" for nothing."""
        if self.mirrored:
            return _MIRRORINGS[self.quarter_turns]
        if self.quarter_turns:
            return f"{90 * self.quarter_turns} degrees counter-clockwise"
        return ""


AS_STORED = Orientation()

# Of the units that hold messages (SEI): the bits of the first byte that tell their type, the type, bytes in front.
_SEI = {"h264": (0x1F, 6, 1), "hevc": (0x7E, 39 << 1, 2)}
_ORIENTATION = 47

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


def frame_orientation(frame) -> Orientation:
    """Return how a frame that PyAV decoded is to be shown; as stored where its matrix is no quarter turn.

    The matrix is the container's (MP4, MOV, Matroska), and where that has none, the one in the frame's own data (the
    display orientation message of H.264 and HEVC).
    """
    matrix = _display_matrix(frame)
    if matrix is None:
        return AS_STORED
    return _orientation(matrix) or AS_STORED


def other_angle(frame) -> float:
    """Return the degrees counter-clockwise of a matrix that is no quarter turn, which is not applied; else 0."""
    matrix = _display_matrix(frame)
    if matrix is None or _orientation(matrix) is not None:
        return 0.0
    to_the_right, _ = _angles(matrix)
    return to_the_right


def _display_matrix(frame) -> np.ndarray | None:
    """Where the first row, (1, 0), and the second, (0, 1), of this float64 [2, 2] go: x to the right, y down.

    FFmpeg puts the container's matrix in front of the one in the data. None also for one that is no turn at all.
    """
    for data in frame.side_data:
        if data.type.name == "DISPLAYMATRIX":
            values = np.frombuffer(data, np.int32, 9).reshape(3, 3)
            matrix = values[:2, :2].astype(np.float64)
            return matrix if matrix.any(axis=1).all() else None
    return None


def _orientation(matrix: np.ndarray) -> Orientation | None:
    """The orientation of a matrix; None where it turns by another angle, or skews."""
    mirrored = bool(np.linalg.det(matrix) < 0)
    if mirrored:
        # What was left goes where the matrix sends what is right.
        matrix = matrix * [[-1], [1]]
    turns = set()
    for angle in _angles(matrix):
        if abs(angle - 90 * round(angle / 90)) > _TOLERANCE:
            return None
        turns.add(round(angle / 90) % 4)
    return Orientation(turns.pop(), mirrored) if len(turns) == 1 else None


def _angles(matrix: np.ndarray) -> tuple[float, float]:
    """Degrees counter-clockwise by which the two axes of a picture are turned."""
    (right_x, right_y), (down_x, down_y) = matrix
    return math.degrees(math.atan2(-right_y, right_x)), math.degrees(math.atan2(down_x, down_y))


def states_orientation(codec: str, packet: memoryview) -> bool:
    """Return whether a packet of H.264 or HEVC holds a display orientation message of its own, type 47 (annexes D).

    Its units have 4-byte lengths in front (MP4, Matroska, FLV).
    """
    if codec not in _SEI:
        return False
    mask, kind, header = _SEI[codec]
    at = 0
    while at + 4 < len(packet):
        length = int.from_bytes(packet[at : at + 4], "big")
        unit = packet[at + 4 : at + 4 + length]
        if len(unit) > header and unit[0] & mask == kind and _ORIENTATION in _message_types(unit[header:]):
            return True
        at += 4 + length
    return False


def _message_types(messages: memoryview) -> list[int]:
    """The types of the messages in a unit. Each says its type and its size, in steps of 255, then its content."""
    types, at = [], 0
    while at + 2 < len(messages):
        numbers = []
        for _ in range(2):
            number = 0
            while at < len(messages) and messages[at] == 255:
                number, at = number + 255, at + 1
            if at == len(messages):
                return types
            numbers.append(number + messages[at])
            at += 1
        types.append(numbers[0])
        at += numbers[1]
    return types
