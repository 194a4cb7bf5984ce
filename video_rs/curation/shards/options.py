"""What the user of packing chooses; importing this module is quick, so that a command line can show defaults."""

import math
from dataclasses import dataclass

from video_rs.runtime.errors import InputError


@dataclass(frozen=True)
class PackOptions:
    """Options of :func:`video_rs.curation.shards.packing.run_packing`.

    Attributes:
        source: list file, or folder of class folders.
        output: folder for what is written.
        root: what relative paths start from; empty: the list's own folder.
        shard_size: MB of video in one shard; only a file that is larger makes a larger shard.
        seed: of the order within each split.
        overwrite: whether all files are packed again where the folder holds shards already.
        path_handlers: iopath handlers of URLs, ``module:Class``; the list may be behind them.
    """

    source: str
    output: str
    root: str = ""
    shard_size: float = 1000.0
    seed: int = 0
    overwrite: bool = False
    path_handlers: tuple[str, ...] = ()

    def check(self) -> None:
        """Raise InputError for a number out of range."""
        if not 0 < self.shard_size < math.inf:
            raise InputError(f"--shard-size: got {self.shard_size}, allowed: above 0 (MB)")
