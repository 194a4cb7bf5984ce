"""Networks with their published accuracy on Kinetics-400: published.csv, which lies beside this module."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from video_rs.runtime.errors import InputError
from video_rs.runtime.wording import nearest

TABLE = Path(__file__).with_name("published.csv")
OURS = "video_rs"


@dataclass(frozen=True)
class Published:
    """A network as published, at the clip of its evaluation.

    Attributes:
        name: by which it is asked for.
        title: what people call it.
        library: whose network is measured: video_rs, pytorchvideo or torchvision; "" where there are numbers only.
        maker: the name of the network in its library.
        frames, size: of one view, ``[3, frames, size, size]``.
        views, crops: in time and in space; a video is seen ``views * crops`` times.
        top1: on the validation videos of Kinetics-400, in per cent.
        gflops: of one view, in the unit of the source, which is mostly 10^9 multiply-adds.
        is_counted: whether ``gflops`` are multiply-adds counted here, as the source has no number of this clip.
        params_m: parameters in millions; None where the source has no number.
        other_data: what it has been trained on beside Kinetics-400; "" for nothing.
        source: public pages with these numbers.
    """

    name: str
    title: str
    library: str
    maker: str
    frames: int
    size: int
    views: int
    crops: int
    top1: float
    gflops: float
    is_counted: bool
    params_m: float | None
    other_data: str
    source: str

    @property
    def total_views(self) -> int:
        """How often the network runs for a video."""
        return self.views * self.crops

    @property
    def video_gflops(self) -> float:
        """GFLOPs of a whole video, as ``gflops`` are counted."""
        return self.total_views * self.gflops

    @property
    def network(self) -> str:
        """What benchmarks call the network: its name, with the library's before it if that is not this one."""
        if self.library == OURS:
            return self.maker
        return f"{self.library} {self.maker}"


def published_networks() -> list[Published]:
    """Return the networks of the table, in its order."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        return [_row(fields) for fields in csv.DictReader(file)]


def _row(fields: dict[str, str]) -> Published:
    numbers = {name: int(fields[name]) for name in ("frames", "size", "views", "crops")}
    words = {name: fields[name] for name in ("name", "title", "library", "maker", "other_data", "source")}

    # Some sources do not say how large a network is.
    params = None
    if fields["params_m"]:
        params = float(fields["params_m"])
    return Published(
        **words,
        **numbers,
        top1=float(fields["top1"]),
        gflops=float(fields["gflops"]),
        is_counted=fields["gflops_by"] == "counted",
        params_m=params,
    )


def chosen_networks(names: Sequence[str], networks: Iterable[Published]) -> list[Published]:
    """Return the networks of some names that can be measured, in the order of the table; without names all of them.

    Raises:
        InputError: an unknown name, or one of a network that is not in a library here.
    """
    known = {network.name: network for network in networks}
    can_be_measured = {name: network for name, network in known.items() if network.library}

    for name in names:
        if name not in known:
            near = nearest(name, can_be_measured)
            hint = f"did you mean {near!r}?" if near else f"allowed: {', '.join(can_be_measured)}"
            raise InputError(f"--networks has no {name!r}; {hint}")
        if name not in can_be_measured:
            raise InputError(
                f"{name} cannot be measured: only its published numbers are here, and they are drawn without asking; "
                f"allowed: {', '.join(can_be_measured)}"
            )

    return [network for name, network in can_be_measured.items() if not names or name in names]
