"""Short films whose frames show their numbers, encoded in every way, and what a plain decode of a file shows."""

from fractions import Fraction

import av
import numpy as np
import torch

from helpers.numbered_videos import numbers


def film(
    path,
    pictures,
    pts=None,
    *,
    codec="libx264",
    options=None,
    degrees=0,
    audio=False,
    interval=24,
    base=25,
    pixel_format="yuv420p",
    aspect=Fraction(1),
):
    """Encode uint8 [T,H,W,3] at ``pts`` (units of 1 / ``base`` s; default: one after the other)."""
    with av.open(str(path), "w", options={"movflags": "faststart"} if path.suffix == ".mp4" else {}) as container:
        stream = container.add_stream(codec, rate=base, options=options or {})
        stream.height, stream.width = pictures.shape[1:3]
        stream.pix_fmt = pixel_format
        stream.codec_context.sample_aspect_ratio = aspect
        stream.codec_context.gop_size = interval
        if degrees:
            stream.set_display_rotation(degrees)
        sound = container.add_stream("aac", rate=48000) if audio else None
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts = number if pts is None else int(pts[number])
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if sound is not None:
            silence = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), "fltp", "stereo")
            silence.sample_rate = 48000
            container.mux(sound.encode(silence))
            container.mux(sound.encode(None))
    return path


def shown(path):
    """Return what a plain decode of the file shows: seconds from the first frame, and uint8 [T,H,W,3]."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        assert all(frame.rotation == 0 for frame in frames)
        pixels = torch.from_numpy(np.stack([frame.to_ndarray(format="rgb24") for frame in frames]))
        seconds = [(frame.pts - frames[0].pts) * frame.time_base for frame in frames]
    return seconds, pixels


def small_numbers(pixels):
    """Return the numbers on frames of half of the size of :func:`helpers.numbered_videos.numbered`, 24 x 56."""
    return numbers(torch.repeat_interleave(torch.repeat_interleave(pixels, 2, dim=1), 2, dim=2))


def with_colour_matrix(source, path, matrix):
    """Write an H.264 file again whose headers name another matrix of colours (``matrix_coefficients``, ITU-T H.273)."""
    with av.open(str(source)) as original, av.open(str(path), "w") as container:
        template = original.streams.video[0]
        stream = container.add_stream_from_template(template)
        rewrite = av.BitStreamFilterContext(f"h264_metadata=matrix_coefficients={matrix}", template, stream)
        for packet in original.demux(template):
            # The empty packet at the end empties the filter, too.
            for rewritten in rewrite.filter(packet if packet.size else None):
                rewritten.stream = stream
                container.mux(rewritten)
    return path
