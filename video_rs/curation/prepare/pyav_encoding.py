"""Encode the copy of a video with PyAV, in this process."""

from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
from av.video.frame import PictureType

from video_rs.curation.prepare.copy_plan import CopyPlan
from video_rs.curation.prepare.source_frames import scaled_frames
from video_rs.curation.prepare.x264 import quick_to_read
from video_rs.video.encoding import reproducible_options


def encode_with_pyav(plan: CopyPlan, path: Path, keyframe_interval: int, crf: int, stride: int) -> None:
    """Decode, scale and encode one frame after the other, in one thread each.

    Args:
        plan: of the copy.
        path: of the file to write (MP4).
        keyframe_interval: frames from a key frame to the next, at most.
        crf: constant rate factor of x264.
        stride: of the clips that will be read.

    Raises:
        DecodeError: a frame is damaged, or does not come.
    """
    frames = scaled_frames(plan)
    first = next(frames)
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = _add_stream(container, plan, first, quick_to_read(crf, stride))
        stream.codec_context.gop_size = keyframe_interval

        for time, frame in zip(plan.times.tolist(), chain([first], frames), strict=True):
            # With the source's picture types x264 would take over the source's key frames and B-frames.
            frame.pict_type = PictureType.NONE
            frame.pts = time
            frame.time_base = plan.time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _add_stream(
    container: av.container.OutputContainer, plan: CopyPlan, first: av.VideoFrame, x264: dict[str, str]
) -> av.VideoStream:
    """Add the video stream, with the colours that its first frame states."""
    rate = Fraction(plan.index.fps).limit_denominator(1001)
    options = reproducible_options("libx264", x264)
    stream = container.add_stream("libx264", rate=rate, options=options)
    stream.height = plan.height
    stream.width = plan.width
    stream.pix_fmt = "yuv420p"
    stream.time_base = plan.time_base

    context = stream.codec_context
    context.time_base = plan.time_base
    context.sample_aspect_ratio = plan.aspect
    context.thread_count = 1
    context.colorspace = first.colorspace
    context.color_range = first.color_range
    context.color_trc = first.color_trc
    context.color_primaries = first.color_primaries
    return stream
