"""Videos whose frames show their numbers, and the decoders that read them."""

import functools
import subprocess
import sys

import av
import numpy as np
import torch
from PIL import Image

from video_rs.video.encoding import write_video

COUNT = 100


BITS = 7


@functools.cache
def importable(decoder: str) -> bool:
    ours = "import video_rs.video.readers.torchcodec"  # the package itself is imported without FFmpeg's libraries too
    command = ours if decoder == "torchcodec" else f"import {decoder.replace('pyav', 'av')}"
    return subprocess.run([sys.executable, "-c", command], capture_output=True).returncode == 0


def numbered(count: int = COUNT, height: int = 48, width: int = 112) -> np.ndarray:
    """uint8 [T,H,W,3]; column block b of frame t is white if bit b of t is set, else black."""
    bits = (np.arange(count)[:, None] >> np.arange(BITS)) & 1
    columns = np.repeat(bits * 255, width // BITS, axis=1).astype(np.uint8)
    return np.broadcast_to(columns[:, None, :, None], (count, height, width, 3)).copy()


def numbers(frames: torch.Tensor) -> list[int]:
    """The numbers drawn into uint8 [T,H,W,3]: block centres against middle gray, far from any coding error."""
    step = frames.shape[2] // BITS
    centres = frames[:, 20, step // 2 :: step, 0] > 127
    return [sum(int(bit) << b for b, bit in enumerate(row[:BITS])) for row in centres]


def clock(path, codec="libx264", options=None, interval=24, fps=25):
    write_video(path, numbered(), fps=fps, codec=codec, keyframe_interval=interval, options=options)
    return path


# Where a file is not ``addressable``, decord has to refuse it.
FILES = {
    "closed.mp4": ("libx264", {"bf": "3"}, True),
    "closed.mkv": ("libx264", {"bf": "3"}, True),
    "unfinished.mkv": ("libx264", {"bf": "3"}, True),  # as a recorder that was switched off leaves it: without a size
    "closed.flv": ("libx264", {"bf": "3"}, True),
    "one_key.mp4": ("libx264", {"bf": "3", "g": "1000"}, True),
    "hidden.webm": ("libvpx", {"auto-alt-ref": "1", "lag-in-frames": "16", "deadline": "realtime"}, None),
    "open.mp4": ("libx264", {"bf": "3", "x264-params": "open-gop=1"}, False),
    "refresh.mp4": ("libx264", {"bf": "0", "x264-params": "intra-refresh=1"}, False),
    "transport.ts": ("libx264", {"bf": "3"}, False),
    "mpeg2.ts": ("mpeg2video", {"bf": "2"}, False),
    "program.mpg": ("mpeg2video", {"bf": "2"}, False),
    "reordered.avi": ("libx264", {"bf": "3"}, False),
    "mpeg4.avi": ("mpeg4", {"bf": "2"}, False),
    "mpeg4.mp4": ("mpeg4", {"bf": "2"}, False),
    "plain.avi": ("mpeg4", {}, True),
    "raw.h264": ("libx264", {"bf": "3"}, False),
}


def decoded_in_order(path, **options) -> list[int]:
    """The numbers drawn into the frames that a plain decode of the whole file shows."""
    shown = []
    with av.open(str(path), **options) as container:
        stream = container.streams.best("video")
        for packet in container.demux(stream):
            if packet.size or packet.dts is None:
                shown += stream.decode(packet if packet.size else None)
    return [numbers(torch.from_numpy(frame.to_ndarray(format="rgb24")[None]))[0] for frame in shown]


def picture_folder(folder, count, **size):
    """Write ``img_1.png`` to ``img_COUNT.png`` with their numbers on them; return the folder."""
    folder.mkdir(parents=True)
    for number, picture in enumerate(numbered(count, **size)):
        Image.fromarray(picture).save(folder / f"img_{number + 1}.png")
    return folder
