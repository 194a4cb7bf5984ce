"""What a benchmark measures, as plain data that can be handed to a process of its own."""

from dataclasses import dataclass
from typing import Any

# The network that ours is compared with: the same depth, width and kernels.
MAIN_PEER = "pytorchvideo slow_r50"
BEST_LAYER = "best single layer"
LARGE_PRODUCT = "large matrix product"

# What is measured.
FORWARD = "forward"
TRAIN = "train"
LAYERS = "layers"
PRODUCT = "product"
DATA = "data"
LOOP = "loop"
EVAL = "eval"

# Whose it is; a limit is what nothing can be faster than.
OURS = "ours"
PEER = "peer"
LIMIT = "limit"


@dataclass(frozen=True)
class Subject:
    """One row of a benchmark.

    Attributes:
        kind: :data:`FORWARD` passes, :data:`TRAIN` steps, single :data:`LAYERS`, a large matrix :data:`PRODUCT`,
            :data:`DATA`, a whole :data:`LOOP`, or :data:`EVAL`, testing of videos.
        side: :data:`OURS`, :data:`PEER` or :data:`LIMIT`.
        way: how it is computed or read; each kind of benchmark lists its ways.
        network: a model of ours, or a peer's; of a trained run, what the run is called; empty in :data:`EVAL`: decoding
            alone.
        checkpoint: of the trained run whose network is measured; empty: one with fresh weights.
        overrides: fields of ours that differ from those of that name, as (field, value).
        engine: of ``accelerate``, where the way is "accelerate".
        decoder: what reads the videos.
        clips_per_video: clips of each video read, where ours reads, and in all of :data:`EVAL`.
        crops: of each clip, in :data:`EVAL`.
        files: "originals", "prepared", or "for stride 2": prepared for clips of the published stride.
        start_multiple: clips begin at frames whose numbers are multiples of this.
        quick: ours resizes in integers.
        batch, frames, size: clips of ``[batch, 3, frames, size, size]``.
        device: "cpu" or "cuda".
        precision: "float32" or "bfloat16" (autocast); of ``accelerate`` also "int8".
        videos: paths.
        cache: probe cache that ours reads; empty: none.
        workers: reading processes.
    """

    kind: str
    side: str
    way: str
    batch: int
    frames: int
    size: int
    network: str = ""
    checkpoint: str = ""
    engine: str = ""
    decoder: str = "auto"
    clips_per_video: int = 1
    crops: int = 1
    files: str = ""
    start_multiple: int = 1
    quick: bool = False
    device: str = "cpu"
    precision: str = "float32"
    videos: tuple[str, ...] = ()
    cache: str = ""
    workers: int = 1
    overrides: tuple[tuple[str, Any], ...] = ()

    @property
    def name(self) -> str:
        """Return what the row is called."""
        if self.kind == DATA:
            return f"{self.method}, {self.files}, {self.frames} frames"
        return self.method

    @property
    def method(self) -> str:
        """Return the name without what the clips and files are."""
        if self.kind == LAYERS:
            return BEST_LAYER
        if self.kind == PRODUCT:
            return LARGE_PRODUCT
        if self.kind == LOOP:
            return self.way
        if self.kind == EVAL:
            return f"{self.way}, {self.network.removeprefix('pytorchvideo ') or 'decoding alone'}"
        if self.kind == DATA:
            return self._reading_method()
        if self.side == PEER:
            return self.network
        # Of the other ways all rows have the same one.
        precision = self.precision if self.engine and self.precision != "float32" else ""
        return " ".join(part for part in (self.network, self.way, self.engine, precision) if part)

    def _reading_method(self) -> str:
        if self.way == "decode":
            return f"decode {self.decoder}"
        if self.way == "dataset":
            return f"pytorchvideo {self.decoder}"
        if self.side == PEER:
            return self.way

        # Ours: the name says in what it differs from training by default.
        if self.clips_per_video > 1:
            return f"ours, {self.clips_per_video} clips a video{', quick' if self.quick else ''}"
        if self.quick:
            return "ours, quick resize"
        if self.way == "loader":
            return f"ours {self.decoder}"
        return f"ours, {self.way}"

    @property
    def views(self) -> int:
        """Return the number of views of a video, in :data:`EVAL`."""
        return self.clips_per_video * self.crops

    @property
    def has_our_settings(self) -> bool:
        """Return whether our layout and our settings of the process belong to it."""
        # The plain network has neither, or the layout alone.
        if self.kind in (FORWARD, TRAIN) and self.way in ("plain", "channels-last"):
            return False

        # The limits of arithmetic are taken with our settings; decoding alone needs none.
        if self.kind in (LAYERS, LOOP):
            return self.side != PEER
        return self.side == OURS
