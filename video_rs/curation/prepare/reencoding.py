"""Write a file's own frames again, smaller and quick to read from anywhere inside."""

import os
from pathlib import Path

import numpy as np

from video_rs.curation.prepare.copy_plan import CopyPlan, plan_copy
from video_rs.curation.prepare.ffmpeg_program import encode_with_ffmpeg
from video_rs.curation.prepare.pyav_encoding import encode_with_pyav
from video_rs.runtime.errors import InputError
from video_rs.video.encoding import atomic_file
from video_rs.video.fetching import local_path
from video_rs.video.index.packet_scan import scan


def reencode(
    source: str | os.PathLike,
    path: str | os.PathLike,
    *,
    short_side: int,
    keyframe_interval: int = 12,
    crf: int = 18,
    stride: int = 1,
    program: str = "pyav",
) -> None:
    """Write each frame that a reader of ``source`` shows to ``path`` (MP4), once, in its order and at its own time.

    H.264, yuv420p, limited range, without sound or a display matrix: frames come as shown, turned and mirrored. The
    first frame's time becomes 0. Colours mean what they did, and the pixel aspect ratio stays what it was. The file
    appears whole or not at all, and only if its frames and times are found to be the source's.

    Args:
        source: as for :func:`video_rs.video.open_video`: a file, part of a shard, URL or folder of frames.
        path: of the file to write.
        short_side: pixels, even; no video is enlarged, and an odd side loses a pixel (a single pixel becomes two).
        keyframe_interval: frames from a key frame to the next, at most.
        crf: constant rate factor of x264; lower is better and bigger.
        stride: of the clips that will be read; above 1, the frames between are B-frames that a reader can leave
            out, and ``keyframe_interval`` has to be a multiple of it.
        program: "pyav" or "ffmpeg". PyAV always encodes a folder of frames, whose order ffmpeg does not know, and a
            video that is not shown as stored: versions of ffmpeg turn it differently.

    Raises:
        DecodeError: the source cannot be fetched, or a frame of the source cannot be decoded.
        InputError: the encoder refuses the frames, or the program lost some.
        OSError: the folder is missing or cannot be written.
    """
    plan = plan_copy(local_path(os.fspath(source)), short_side)
    if plan.has_pictures or plan.has_matrix:
        program = "pyav"

    with atomic_file(Path(path), "libx264") as temporary:
        if program == "ffmpeg":
            encode_with_ffmpeg(plan, temporary, keyframe_interval, crf, stride)
        else:
            encode_with_pyav(plan, temporary, keyframe_interval, crf, stride)
        compare_times(plan, temporary, program)


def compare_times(plan: CopyPlan, path: Path, program: str) -> None:
    """Raise InputError unless the file shows as many frames as the source, at the same times."""
    copy = scan(path)
    if len(copy.pts) != len(plan.times):
        raise InputError(f"{program} wrote {len(copy.pts)} frames of {len(plan.times)}")

    seconds = (copy.pts - copy.pts[0]) * float(copy.time_base)
    late = np.abs(seconds - plan.times * float(plan.time_base))
    if late.max() > float(plan.time_base) / 2:
        raise InputError(f"{program} wrote frame {late.argmax()} of {len(late)} {late.max():.4g} s from its time")
