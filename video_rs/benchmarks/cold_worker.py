"""A process that answers for one video: ``python -m video_rs.benchmarks.cold_worker CHECKPOINT VIDEO DEVICE``.

It prints a line of JSON: the seconds of each stage, and how many views the video has. What it imports at the top takes
next to no time.
"""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from video_rs.runtime.allocator import keep_large_blocks
from video_rs.runtime.errors import InputError


def main() -> None:
    """Answer for the command line."""
    try:
        answer = answer_for(*sys.argv[1:])
    except InputError as error:
        sys.exit(str(error))
    print(json.dumps(answer))


def answer_for(path: str, video: str, device: str) -> dict[str, float]:
    """Return the seconds of each stage, and ``views``; all is done as ``video-rs predict`` does for a single video.

    Raises:
        InputError: the checkpoint or the video cannot be read.
    """
    keep_large_blocks()
    seconds: dict[str, float] = {}

    with _stage(seconds, "torch_s"):
        import torch  # noqa: F401
        import torchvision  # noqa: F401

    with _stage(seconds, "import_s"):
        import video_rs.inference.answer_files
        import video_rs.inference.answer_text
        import video_rs.lists.chosen_videos  # noqa: F401
        from video_rs.data.dataset import VideoSource, ViewReader
        from video_rs.engine.evaluation import evaluate
        from video_rs.inference.predictor import Predictor, part_of

    with _stage(seconds, "load_s"):
        predictor = Predictor.from_checkpoint(path, device)

    with _stage(seconds, "decode_s"):
        read = ViewReader(predictor.preprocessing, VideoSource(predictor.decoder))
        item = read(part_of(video), 0)

    with _stage(seconds, "compute_s"):
        (result,) = evaluate(predictor.scorer, [item], predictor.batch)
        predictor.answers.of(result)

    if result.error is not None:
        raise InputError(f"{video} cannot be read: {result.error}")
    return {**seconds, "views": result.views}


@contextmanager
def _stage(seconds: dict[str, float], name: str) -> Iterator[None]:
    """Note how long the block takes."""
    started = time.perf_counter()
    yield
    seconds[name] = time.perf_counter() - started


if __name__ == "__main__":
    main()
