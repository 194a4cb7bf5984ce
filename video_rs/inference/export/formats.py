"""The formats of exported networks, by name."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from video_rs.engine.evaluation import Scorer
from video_rs.inference.conversion import missing
from video_rs.inference.export.description import Description
from video_rs.inference.export.network import TrainedNetwork
from video_rs.inference.export.onnx_file import read_onnx, write_onnx
from video_rs.inference.export.open_vino_file import read_open_vino, write_open_vino
from video_rs.inference.export.safetensors_file import read_weights, write_weights
from video_rs.inference.export.torch_file import read_torch, write_torch
from video_rs.runtime.errors import InputError


@dataclass(frozen=True)
class Format:
    """A kind of file.

    Attributes:
        ending: of its files.
        write: makes a file of a network.
        read: path and device -> what gives the probabilities of views, and the description.
        packages: what writing needs beside PyTorch.
        reading_packages: what reading needs.
        extra: that has the former.
        reading_extra: that has the latter.
    """

    ending: str
    write: Callable[[TrainedNetwork, Path], None]
    read: Callable[[Path, str], tuple[Scorer, Description]]
    packages: tuple[str, ...] = ()
    reading_packages: tuple[str, ...] = ()
    extra: str = ""
    reading_extra: str = ""

    def require_for_writing(self, path: Path) -> None:
        """Raise InputError where a package is missing without which a file is not written, and read again."""
        _require((*self.packages, *self.reading_packages), self.extra, f"writing {path}")

    def require_for_reading(self, path: Path) -> None:
        """Raise InputError where a package is missing without which a file is not read."""
        _require(self.reading_packages, self.reading_extra, f"reading {path}")


FORMATS = {
    "onnx": Format(".onnx", write_onnx, read_onnx, ("onnx", "onnxscript"), ("onnxruntime",), "export", "onnxruntime"),
    "torch": Format(".pt2", write_torch, read_torch),
    "safetensors": Format(".safetensors", write_weights, read_weights, (), ("safetensors",), "hub", "hub"),
    "openvino": Format(".xml", write_open_vino, read_open_vino, (), ("openvino",), "accelerate", "accelerate"),
}
ENDINGS = ", ".join(kind.ending for kind in FORMATS.values())


def format_by_ending(path: Path) -> Format | None:
    """Return the format whose files end like a path; None where there is none."""
    for kind in FORMATS.values():
        if path.suffix == kind.ending:
            return kind
    return None


def _require(packages: tuple[str, ...], extra: str, what: str) -> None:
    """Raise InputError that names an extra unless packages are installed."""
    absent = missing(packages)
    if absent:
        raise InputError(f"{what} needs {', '.join(absent)}, not installed here; pip install 'video_rs[{extra}]'")
