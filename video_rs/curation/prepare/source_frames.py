"""The frames of a video that is copied, in their order, none left out; and the filters that make them the copy's."""

from collections.abc import Iterator

import av

from video_rs.curation.prepare.copy_plan import CopyPlan
from video_rs.video import DecodeError, open_video
from video_rs.video.container import ffmpeg_reason
from video_rs.video.filter_graph import FilterGraph
from video_rs.video.index.frame_numbering import FrameNumbering
from video_rs.video.index.numbered_packets import NumberedPackets


def source_frames(plan: CopyPlan) -> Iterator[av.VideoFrame]:
    """Give the frames of the plan's index.

    Raises:
        DecodeError: a frame is damaged, or does not come.
    """
    if plan.has_pictures:
        return _pictures(plan)
    return _decoded(plan)


def scaled_frames(plan: CopyPlan) -> Iterator[av.VideoFrame]:
    """Give the frames as the copy has them: turned, scaled, in yuv420p.

    Raises:
        DecodeError: a frame is damaged, or does not come, or cannot be converted.
    """
    # The filters depend on a frame's format, which may change inside a video.
    filters = FilterGraph(lambda frame: [*plan.orientation.filters(), scale_filter(plan, frame), "format=yuv420p"])
    for frame in source_frames(plan):
        try:
            scaled = filters(frame)
        except av.FFmpegError as error:
            reason = f"its frames cannot be converted ({ffmpeg_reason(error)})"
            raise DecodeError(plan.source, reason, "unreadable") from error
        yield scaled


def scale_filter(plan: CopyPlan, frame: av.VideoFrame) -> str:
    """Return FFmpeg's filter that gives frames like ``frame`` the size and the range of the copy."""
    matrix = ""
    if frame.format.is_rgb:  # RGB has no matrix to keep
        matrix = ":out_color_matrix=bt601"
    return f"scale={plan.width}:{plan.height}:flags=bicubic:out_range=tv{matrix}"


def _pictures(plan: CopyPlan) -> Iterator[av.VideoFrame]:
    """Give the frames of a folder or of an animated WebP."""
    # One after the other: all pictures at once may not fit into memory.
    with open_video(plan.source) as reader:
        for number in range(len(plan.times)):
            picture = reader.frames([number])[0].numpy()
            yield av.VideoFrame.from_ndarray(picture, "rgb24")


def _decoded(plan: CopyPlan) -> Iterator[av.VideoFrame]:
    """Give the frames of a video file."""
    total = len(plan.times)
    done = 0
    reason = "the decoder does not give it"

    # Each frame is told by its packet: a decoder may drop frames, or give them in another order.
    numbering = FrameNumbering(plan.index)
    packets = NumberedPackets(plan.source, plan.index.stream)
    try:
        for _, packet in packets:
            for number, frame in numbering.number(packets.decode(packet)):
                if frame.is_corrupt:
                    reason = "its data is damaged"
                if number != done or frame.is_corrupt:
                    raise DecodeError(plan.source, f"frame {done} of {total}: {reason}", "damaged")
                yield frame

                done += 1
                if done == total:
                    return
    except av.FFmpegError as error:
        reason = ffmpeg_reason(error)
    finally:
        packets.close()
    raise DecodeError(plan.source, f"frame {done} of {total}: {reason}", "damaged")
