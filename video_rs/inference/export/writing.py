"""Exported files: written aside, compared with the network, and only then put where they belong."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from video_rs.inference.export.formats import Format
from video_rs.inference.export.network import TrainedNetwork
from video_rs.inference.export.parity import Parity, compare, require_parity
from video_rs.runtime.errors import InputError
from video_rs.runtime.unfinished import temporary_folder

Report = Callable[[list[Parity]], None]


def export_network(network: TrainedNetwork, kind: Format, out: Path, report: Report) -> None:
    """Write a network to ``out``, once the file has given the network's own probabilities.

    Args:
        network: what to write.
        kind: of the file.
        out: its path; a file there is replaced. OpenVINO's weights lie beside it.
        report: takes the comparison, whether it came out well or not.

    Raises:
        InputError: the file cannot be written, a package is missing, or the network's clips are too small for a graph.
        CheckFailed: the file gives other probabilities. What was at ``out`` before is there still.
    """
    kind.require_for_writing(out)
    with folder_beside(out) as folder:
        written = folder / out.name
        kind.write(network, written)

        # What is compared is the file, as whoever gets it reads it.
        scorer, description = kind.read(written, "cpu")
        require_large_clips(network, description.smallest)
        rows = compare(network, scorer, description.smallest)
        report(rows)
        require_parity(rows)

        put_files_in_place(folder, out)


@contextmanager
def folder_beside(out: Path) -> Iterator[Path]:
    """Make a folder beside a file for the time of writing it.

    Raises:
        InputError: nothing can be written there.
    """
    with ExitStack() as stack:
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            aside = stack.enter_context(temporary_folder(f".{out.name}-", out.parent))
        except OSError as error:
            raise InputError(f"cannot write {out}: {error.strerror}; give another --out") from error
        yield aside


def put_files_in_place(folder: Path, out: Path) -> None:
    """Move what has been written into a folder to ``out`` and beside it.

    Raises:
        InputError: a folder is where a file should be.
    """
    written = folder / out.name
    # Weights first: whoever sees the new main file sees what belongs to it.
    beside = [path for path in folder.iterdir() if path != written]
    for path in (*beside, written):
        if (out.parent / path.name).is_dir():
            raise InputError(f"cannot write {out.parent / path.name}: a folder of that name is there; rename it")
    for path in (*beside, written):
        put_in_place(path, out.parent / path.name)


def put_in_place(path: Path, target: Path) -> None:
    """Rename a file once it is on the disk: after a crash of the machine the new name has the whole file."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
    os.replace(path, target)


def require_large_clips(network: TrainedNetwork, smallest: Mapping[str, int]) -> None:
    """Raise InputError where the network is used with clips that are too small for its graph."""
    _, _, frames, height, width = network.description.preprocessing.clip_shape(1)
    for name, size in {"frames": frames, "height": height, "width": width}.items():
        least = smallest.get(name, 1)
        if size < least:
            raise InputError(
                f"the network is used with clips of {name} {size}, and its graph takes {least} or more: a pool as wide "
                "as its stride needs them; take --format safetensors"
            )
