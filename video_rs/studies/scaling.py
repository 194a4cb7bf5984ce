"""The scaling study (Bello et al. 2021, arXiv 2103.07579, section 6): a grid of sizes of network, clip and training."""

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from video_rs.builders import build_architecture
from video_rs.config import Config, load_config
from video_rs.models import list_models
from video_rs.runtime.errors import InputError
from video_rs.studies.study import Study, keys_of, with_seeds

MEASURES = ("error", "cross_entropy")
"""What is fitted against compute: 1 - top-1, or the mean cross-entropy of the test videos in nats."""

AXES = ("depths", "widths", "sizes", "frames", "epochs")
# Keys that the values of an axis set whatever the base has there.
SET_BY_AXIS = {
    "depths": ("MODEL.DEPTHS",),
    "widths": ("MODEL.WIDTH",),
    "frames": ("DATA.NUM_FRAMES",),
    "epochs": ("SOLVER.MAX_EPOCH", "SOLVER.MAX_STEPS"),
}


@dataclass(frozen=True)
class Grid:
    """What is varied; an axis without values stays as the base has it.

    Attributes:
        depths: a published depth, such as "101", or blocks of each stage, such as "2-2-2-2".
        widths: of MODEL.WIDTH.
        sizes: of DATA.TRAIN_CROP_SIZE, in pixels.
        frames: of DATA.NUM_FRAMES.
        epochs: of SOLVER.MAX_EPOCH.
    """

    depths: tuple[str, ...] = ()
    widths: tuple[float, ...] = ()
    sizes: tuple[int, ...] = ()
    frames: tuple[int, ...] = ()
    epochs: tuple[int, ...] = ()

    def given(self) -> dict[str, tuple]:
        """Return the values of the axes that have any."""
        return {axis: getattr(self, axis) for axis in AXES if getattr(self, axis)}


def grid_from_text(texts: Mapping[str, str]) -> Grid:
    """Return a grid from what was typed: axis -> values with commas between them; an empty text is no axis.

    Raises:
        InputError: all axes are empty, a value is repeated, or a value is none of its axis.
    """
    axes = {}
    for axis, text in texts.items():
        if text:
            axes[axis] = _values(axis, text)
    if not axes:
        named = ", ".join(f"--{axis}" for axis in AXES)
        raise InputError(f"the grid is empty: give values of at least one of {named}, such as --widths 0.5,1")
    return Grid(**axes)


def _values(axis: str, text: str) -> tuple:
    """Return the values of an axis.

    Raises:
        InputError: there is none, one is repeated, or one is none of this axis.
    """
    parse, allowed = _PARSERS[axis]
    values: list[Any] = []
    for part in text.split(","):
        value = parse(part.strip())
        if value is None:
            raise InputError(f"--{axis} {text}: cannot take {part!r}; give {allowed} with commas between them")
        if value in values:
            raise InputError(f"--{axis} {text}: {part.strip()} is there twice; give each value once")
        values.append(value)
    return tuple(values)


def _depth(text: str) -> str | None:
    return text if re.fullmatch(r"[1-9]\d*(-[1-9]\d*)*", text) else None


def _factor(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 < value < float("inf") else None


def _count(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[1-9]\d*", text) else None


def _pixels(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[1-9]\d{0,3}", text) else None


_PARSERS: dict[str, tuple[Callable[[str], Any], str]] = {
    "depths": (_depth, "published depths, such as 50, or blocks of each stage, such as 2-2-2-2,"),
    "widths": (_factor, "numbers above 0"),
    "sizes": (_pixels, "pixels, whole numbers from 1 to 9999,"),
    "frames": (_count, "whole numbers above 0"),
    "epochs": (_count, "whole numbers above 0"),
}


@dataclass(frozen=True)
class Point:
    """A point of the grid.

    Attributes:
        depth: a published depth, or blocks of each stage with "-" between them.
        width: factor on the widths.
        size: pixels of a side of a training clip.
        frames: of a clip.
        epochs: of the training.
    """

    depth: str
    width: float
    size: int
    frames: int
    epochs: int

    @property
    def name(self) -> str:
        """The name of the row; all axes are in it, so that it stays when another axis is added."""
        return f"d{self.depth}_w{self.width:g}_s{self.size}_f{self.frames}_e{self.epochs}"


def point_of(config: Config) -> Point:
    """Return where a configuration lies."""
    arch = build_architecture(config)
    number = published_depth(config.MODEL.ARCH)
    depth = "-".join(map(str, arch.depths))
    if number and config.MODEL.DEPTHS is None:
        depth = number
    data = config.DATA
    return Point(depth, arch.width, data.TRAIN_CROP_SIZE, data.NUM_FRAMES, config.SOLVER.MAX_EPOCH)


def published_depth(name: str) -> str:
    """Return the number at the end of a model's name, or "" where it has none."""
    found = re.search(r"_(\d+)$", name)
    return found[1] if found else ""


def scaling_study(
    folder: str | Path, base: Config, grid: Grid, seeds: int, threads: int, measure: str = "error"
) -> Study:
    """Return the study of a grid.

    Args:
        folder: of the study.
        base: what all runs share.
        grid: what is varied; each value of an axis with each of the others.
        seeds: runs of each point.
        threads: of each run.
        measure: one of :data:`MEASURES`.

    Raises:
        InputError: an unknown measure or depth, a point twice, a network that cannot be built, or a base that is
            trained for so many steps, whatever its epochs.
    """
    if measure not in MEASURES:
        raise InputError(f"--measure {measure}: allowed are {', '.join(MEASURES)}")
    if base.SOLVER.MAX_STEPS and not grid.epochs:
        raise InputError(
            f"SOLVER.MAX_STEPS is {base.SOLVER.MAX_STEPS} and overrides the epochs, by which points of the grid are "
            "named and compared; give --epochs, or set it to 0"
        )
    given = grid.given()
    rows: dict[str, dict[str, Any]] = {}
    blocks: dict[tuple, str] = {}
    for values in itertools.product(*given.values()):
        config = config_at(base, dict(zip(given, values, strict=True)))
        point = point_of(config)
        # Two ways to write the blocks of a network are one depth.
        place = (build_architecture(config).depths, point.width, point.size, point.frames, point.epochs)
        if place in blocks:
            raise InputError(
                f"--depths: {point.depth} is the network of {blocks[place]} once more; give each depth once"
            )
        blocks[place] = point.depth
        rows[point.name] = keys_of(config)
    return Study(Path(folder), "scaling", {"measure": measure}, threads, with_seeds(rows, dict.fromkeys(rows, seeds)))


def refuse_axis_keys(grid: Grid, overrides: Sequence[str]) -> None:
    """Check that no KEY VALUE pair sets what an axis sets.

    Raises:
        InputError: one does.
    """
    for axis in grid.given():
        for key in SET_BY_AXIS.get(axis, ()):
            if key in overrides[::2]:
                raise InputError(f"{key} is set by --{axis} in each run; leave one of the two away")


def config_at(base: Config, values: Mapping[str, Any]) -> Config:
    """Return the base with one value of each axis that is varied.

    Raises:
        InputError: an unknown depth.
    """
    keys: dict[str, Any] = {}
    if "depths" in values:
        keys |= _depth_keys(base, values["depths"])
    if "widths" in values:
        keys["MODEL.WIDTH"] = values["widths"]
    if "sizes" in values:
        keys |= _size_keys(base, values["sizes"])
    if "frames" in values:
        keys["DATA.NUM_FRAMES"] = values["frames"]
    if "epochs" in values:
        keys |= _epoch_keys(base, values["epochs"])
    return load_config("", {**keys_of(base), **keys})


def _depth_keys(base: Config, depth: str) -> dict[str, Any]:
    """Return the keys of a depth: another network of the zoo, or other blocks in each stage of this one."""
    if "-" in depth:
        return {"MODEL.DEPTHS": [int(blocks) for blocks in depth.split("-")]}

    name = base.MODEL.ARCH
    blocks_instead = "give blocks of each stage, such as 2-2-2-2"
    number = published_depth(name)
    if not number:
        raise InputError(f"--depths {depth}: the name of MODEL.ARCH {name} has no depth to replace; {blocks_instead}")
    family = name.removesuffix(number)
    if f"{family}{depth}" not in list_models():
        known = ", ".join(published_depth(other) for other in list_models(f"{family}[0-9]*"))
        raise InputError(f"--depths {depth}: there is no {family}{depth}; {family}* has {known}; or {blocks_instead}")
    return {"MODEL.ARCH": f"{family}{depth}", "MODEL.DEPTHS": None}


def _size_keys(base: Config, size: int) -> dict[str, Any]:
    """Return the keys of a resolution: all sides in pixels change in proportion to the training crop.

    In relation to its clip, a network then sees things in the same size at any resolution.
    """
    data = base.DATA
    ratio = size / data.TRAIN_CROP_SIZE
    return {
        "DATA.TRAIN_CROP_SIZE": size,
        "DATA.TRAIN_JITTER_SCALES": [round(side * ratio) for side in data.TRAIN_JITTER_SCALES],
        "DATA.TEST_CROP_SIZE": round(data.TEST_CROP_SIZE * ratio),
        "DATA.TEST_SHORT_SIDE": round(data.TEST_SHORT_SIDE * ratio),
    }


def _epoch_keys(base: Config, epochs: int) -> dict[str, Any]:
    """Return the keys of a length of training: the schedule is stretched, warm-up included."""
    solver = base.SOLVER
    warmup = solver.WARMUP_EPOCHS * epochs / solver.MAX_EPOCH
    return {"SOLVER.MAX_EPOCH": epochs, "SOLVER.MAX_STEPS": 0, "SOLVER.WARMUP_EPOCHS": round(warmup, 6)}
