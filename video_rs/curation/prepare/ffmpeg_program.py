"""Encode the copy of a video with the program ffmpeg."""

import ctypes
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np

from video_rs.curation.prepare.copy_plan import CopyPlan
from video_rs.curation.prepare.source_frames import scale_filter, scaled_frames, source_frames
from video_rs.curation.prepare.x264 import quick_to_read
from video_rs.runtime.errors import InputError
from video_rs.video.location import Location

_QUIET = ["ffmpeg", "-nostdin", "-v", "error"]
_PR_SET_PDEATHSIG = 1  # of <sys/prctl.h>


def encode_with_ffmpeg(plan: CopyPlan, path: Path, keyframe_interval: int, crf: int, stride: int) -> None:
    """Let the program decode, scale and encode.

    Args:
        plan: of the copy.
        path: of the file to write (MP4).
        keyframe_interval: frames from a key frame to the next, at most.
        crf: constant rate factor of x264.
        stride: of the clips that will be read.

    Raises:
        DecodeError: the first frame cannot be decoded or converted.
        InputError: the program fails.
    """
    # One stream alone, as it is stored; any error ends the program.
    command = [*_QUIET, "-xerror", "-threads", "1", "-noautorotate", "-i", Location.parse(plan.source).url()]
    command += ["-map", f"0:{plan.index.stream}", "-an", "-sn", "-dn", "-map_metadata", "-1", "-map_chapters", "-1"]

    # Passthrough keeps each frame at its time; without it the program may drop frames and repeat others.
    command += ["-vf", _filters(plan), "-fps_mode", "passthrough", "-enc_time_base", str(plan.time_base)]
    command += ["-c:v", "libx264", "-g", str(keyframe_interval), "-threads", "1"]
    for name, value in quick_to_read(crf, stride).items():
        command += [f"-{name}", value]
    command += ["-movflags", "faststart", "-f", "mp4", f"file:{path}"]

    done = subprocess.run(command, capture_output=True, check=False, preexec_fn=_end_with_parent)
    if done.returncode:
        raise InputError(f"ffmpeg: {_last_line(done.stderr)}")


def check_ffmpeg() -> None:
    """Raise InputError unless the program is there, is new enough for us and can encode H.264."""
    # A tenth of a second of a colour, with the options that old versions do not know.
    command = [*_QUIET, "-f", "lavfi", "-i", "color=size=32x32:duration=0.1"]
    command += ["-fps_mode", "passthrough", "-c:v", "libx264", "-f", "null", "-"]
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except OSError as error:
        raise InputError(f"cannot run ffmpeg ({error.strerror}); install it, or use --program pyav") from error
    if done.returncode:
        raise InputError(
            f"this ffmpeg does not do ({_last_line(done.stderr)}): 5.1 or newer with libx264 is needed; install it, or "
            "use --program pyav"
        )


def _filters(plan: CopyPlan) -> str:
    """Return the program's filters: times from 0, the copy's size, and its pixel aspect."""
    steps = np.unique(np.diff(plan.times))
    times = "PTS-STARTPTS"
    if len(steps) <= 1:
        # Where a container stores no times, this ffmpeg may reckon other times than PyAV's.
        times = f"N*{steps.sum()}"

    # The program keeps colours that no reader of the copy could show.
    next(scaled_frames(plan))

    first = next(source_frames(plan))
    filters = [f"settb={plan.time_base}", f"setpts={times}", scale_filter(plan, first)]
    filters += [f"setsar={plan.aspect}", "format=yuv420p"]
    return ",".join(filters)


def _last_line(output: bytes) -> str:
    """Return the program's last words without the part and the address they come from ("[h264 @ 0x55] message")."""
    lines = output.decode(errors="backslashreplace").strip().splitlines()
    if not lines:
        return "it gives no reason"
    return re.sub(r"^(\[[^\]]*\] )+", "", lines[-1])


def _end_with_parent() -> None:
    """Make the program end with a worker that is killed; elsewhere than on Linux it ends when it is done."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
