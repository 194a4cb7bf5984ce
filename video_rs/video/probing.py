"""What there is to know of a video file before anybody trains on it."""

import contextlib
import hashlib
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from video_rs.runtime.errors import InputError
from video_rs.video.container import open_container, video_streams
from video_rs.video.fetching import local
from video_rs.video.images import ImageFolderReader, numbering_gap
from video_rs.video.index import FrameIndex, Note
from video_rs.video.location import Location
from video_rs.video.opening import open_video
from video_rs.video.packets import scan
from video_rs.video.pyav import PyAVReader
from video_rs.video.reader import DecodeError, VideoReader, check_file, system_reason
from video_rs.video.span import segment_span, whole_video
from video_rs.video.webp import AnimatedWebpReader, is_animated_webp

Segment = tuple[float | None, float | None]

DEPTHS = ("ends", "all")
"""How much is decoded: the first and the last frame, or every frame."""
_AT_ONCE = 16  # frames decoded together: bounds the memory
_READ_AT_ONCE = 2**20  # bytes
_READ_AGAIN = 2**28  # bytes of an undecodable file that are read to see if the disk is at fault: seconds on slow disks
_SAMPLE = 65536  # bytes of the start, the middle and the end of a file that make its fingerprint
_HDR = {16: "PQ", 18: "HLG"}  # transfer characteristics of ITU-T H.273, which FFmpeg numbers alike
_STILL_HEIGHT = 128  # rows of a still: as many as a page shows (reports/plots.py)


@dataclass(frozen=True)
class Probe:
    """Facts of one file.

    Attributes:
        kind: ok, or what is wrong: a kind of :class:`DecodeError`, hung or crashed. The facts below are those that were
            found before.
        reason: why it cannot be read; empty if ok.
        depth: one of :data:`DEPTHS`.
        fingerprint: of the size and parts of the content; files of equal content have equal ones. Empty where the
            content was not read, or where the system refused to: the verdict may be gone although the file has not
            changed.
        frames: that a full decode shows.
        fps: average.
        height, width: in pixels, as shown.
        codec, container, pixel_format: FFmpeg's names.
        header_frames: what the container's header, or the numbers of the pictures, say; 0 where they say nothing.
        quarter_turns: by which frames are turned, counter-clockwise, after they were mirrored.
        mirrored: frames are shown mirrored left to right.
        other_angle: degrees counter-clockwise by which they are not turned although the file says so: no quarter turn.
        interlaced: frames hold two fields, which were filmed one after the other; of those decoded.
        hdr: PQ or HLG where the brightness is that of a high dynamic range, else empty.
        sample_aspect: width over height of a stored pixel.
        variable_rate: the times between frames differ by more than rounding.
        key_interval: the longest way from a key frame to the next, in frames.
        notes: what else is worth knowing, as (kind, detail); kinds are of NOTES in data/doctor.py.
    """

    kind: str = "ok"
    reason: str = ""
    depth: str = "ends"
    fingerprint: str = ""
    frames: int = 0
    fps: float = 0.0
    height: int = 0
    width: int = 0
    codec: str = ""
    container: str = ""
    pixel_format: str = ""
    header_frames: int = 0
    quarter_turns: int = 0
    mirrored: bool = False
    other_angle: float = 0.0
    interlaced: bool = False
    hdr: str = ""
    sample_aspect: float = 1.0
    variable_rate: bool = False
    key_interval: int = 0
    notes: tuple[Note, ...] = ()


def probe(path: str, depth: str = "ends") -> tuple[Probe, FrameIndex | None]:
    """Reads the file as training would, and its frame index, which a sound file has. A URL is fetched."""
    facts = {"depth": depth}
    try:
        path = local(path)
        if os.path.isdir(path):
            return _probe_folder(path, depth), None
        check_file(path)
        facts["fingerprint"] = fingerprint(path)
        if is_animated_webp(path):
            return _probe_animation(path, facts)
        first, stated = _header(path)
        facts |= stated
        index = scan(path)
        if index.stream != first:
            _, stated = _header(path, index.stream)
        facts |= stated | _timing(index)
        with PyAVReader(path, index) as reader:
            facts |= {"height": reader.height, "width": reader.width}
            _decode(reader, depth)
            facts |= _presentation(reader)
            facts["notes"] += _note_on_sizes(reader)
    except DecodeError as error:
        facts |= {"kind": error.kind, "reason": error.reason}
        if isinstance(error.__cause__, OSError):
            facts["fingerprint"] = ""
        elif "fingerprint" in facts and (refusal := _refusal(path)):
            facts |= {"fingerprint": "", "kind": "unreadable", "reason": refusal}
        return Probe(**facts), None
    return Probe(**facts), index


def _probe_animation(path: str, facts: dict) -> tuple[Probe, FrameIndex]:
    """An animated WebP: opening it decodes the first frame."""
    with AnimatedWebpReader(path) as reader:
        _decode(reader, facts["depth"])
        size = {"height": reader.height, "width": reader.width}
        return Probe(**facts, codec="webp", container="webp", **_timing(reader.index), **size), reader.index


def _probe_folder(path: str, depth: str) -> Probe:
    """A folder of frames: opening it decodes the first."""
    reader = ImageFolderReader(path)
    _decode(reader, depth)
    names = reader.paths()
    gap = numbering_gap(names)
    known = {"fingerprint": _of_frames(names), "header_frames": len(names) + gap if gap else 0}
    size = {"frames": reader.num_frames, "fps": reader.fps, "height": reader.height, "width": reader.width}
    return Probe(depth=depth, codec="images", container="folder", key_interval=1, **size, **known)


def _of_frames(names: Sequence[str]) -> str:
    """A hash of the sizes of all pictures and of the first, the middle and the last."""
    try:
        sizes = np.array([os.path.getsize(name) for name in names], "<i8")
    except OSError as error:
        raise DecodeError(os.path.dirname(names[0]), system_reason(error)) from error
    digest = hashlib.blake2b(sizes.tobytes(), digest_size=16)
    for name in (names[0], names[len(names) // 2], names[-1]):
        digest.update(fingerprint(name).encode())
    return digest.hexdigest()


def fingerprint(path: str) -> str:
    """A hash of the size and of the start, the middle and the end of a file, or of its part in an archive.

    Raises:
        DecodeError: the system does not let it be read.
    """
    location = Location.of(path)
    try:
        size = location.bytes()
        digest = hashlib.blake2b(size.to_bytes(8, "little"), digest_size=16)
        with open(location.file, "rb") as file:
            for start in (0, size // 2, max(0, size - _SAMPLE)):
                file.seek(location.start + start)
                digest.update(file.read(min(_SAMPLE, size - start)))
    except OSError as error:
        raise DecodeError(path, system_reason(error)) from error
    return digest.hexdigest()


def _refusal(path: str) -> str:
    """What the system says where it does not give the file, or its first 256 MiB, or "".

    FFmpeg takes a failing disk for the end of the file, which would count as damaged when the disk is well again.
    """
    location = Location.of(path)
    try:
        left = min(location.bytes(), _READ_AGAIN)
        with open(location.file, "rb", 0) as file:
            file.seek(location.start)
            while left > 0 and (data := file.read(min(left, _READ_AT_ONCE))):
                left -= len(data)
    except OSError as error:
        return system_reason(error)
    return ""


def _header(path: str, number: int | None = None) -> tuple[int, dict]:
    """The number of a stream and what the container says of it; of the first video where its number is not known."""
    with open_container(path) as container:
        stream = video_streams(container, path)[0] if number is None else container.streams[number]
        context, aspect = stream.codec_context, stream.sample_aspect_ratio
        return stream.index, {
            "codec": context.name,
            "container": container.format.name,
            "pixel_format": context.pix_fmt or "",
            "header_frames": stream.frames,
            "sample_aspect": float(aspect) if aspect else 1.0,
        }


def _timing(index: FrameIndex) -> dict:
    keys = np.flatnonzero(index.key)
    ends = np.append(keys, len(index.pts))
    return {
        "frames": len(index.pts),
        "fps": index.fps,
        "variable_rate": index.variable_rate,
        "key_interval": int(np.diff(ends).max()) if len(keys) else len(index.pts),
        "notes": index.notes,
    }


def _presentation(reader: PyAVReader) -> dict:
    """How the frames are shown; known of those that were decoded."""
    return {
        **reader.orientation._asdict(),
        "other_angle": reader.other_angle,
        "interlaced": reader.interlaced,
        "hdr": _HDR.get(reader.transfer, ""),
    }


def _note_on_sizes(reader: PyAVReader) -> tuple[Note, ...]:
    """A note where frames that were decoded have another size than the first."""
    if reader.other_size is None:
        return ()
    height, width = reader.other_size
    return (Note("size_change", f"{reader.width}x{reader.height} at first, then {width}x{height}"),)


def _decode(reader: VideoReader, depth: str) -> None:
    """DecodeError at the first frame that is damaged; opening the reader has decoded the first."""
    if depth == "ends":
        reader.frames([reader.num_frames - 1])
        return
    for start in range(0, reader.num_frames, _AT_ONCE):
        reader.frames(range(start, min(start + _AT_ONCE, reader.num_frames)))


def stills(
    path: str, segments: Sequence[Segment] = ((None, None),), index: FrameIndex | None = None
) -> list[np.ndarray]:
    """Return pictures of segments of a file, which is opened once for all of them.

    Args:
        path: a file, a URL or a folder of frames.
        segments: (start, end) in seconds, None for that of the video; of one without a frame, the whole video is shown.
        index: of the file where it is known, as for :func:`open_video`.

    Returns:
        For each segment its first, its middle and its last frame, as far as they can be decoded: uint8
        ``[0..3, h, w, 3]``, shrunk by a whole factor to at most 128 rows.
    """
    pictures: list[list[np.ndarray]] = [[] for _ in segments]
    with contextlib.suppress(DecodeError, OSError), open_video(path, index=index) as reader:
        for kept, (start, end) in zip(pictures, segments, strict=True):
            with contextlib.suppress(DecodeError, OSError):
                for number in _shown(reader, start, end):
                    kept.append(_shrunk(reader.frames([number])[0]).numpy())
    return [np.stack(kept) if kept else np.empty((0, 1, 1, 3), np.uint8) for kept in pictures]


def _shown(reader: VideoReader, start: float | None, end: float | None) -> list[int]:
    """The first, the middle and the last frame of a segment."""
    try:
        span = segment_span(reader.num_frames, reader.fps, start, end, reader.times)
    except InputError:
        span = whole_video(reader.num_frames, reader.fps)
    return sorted({span.first, span.first + span.count // 2, span.first + span.count - 1})


def _shrunk(frame: torch.Tensor) -> torch.Tensor:
    """The mean of each block of pixels: uint8 ``[H, W, 3]`` -> ``[h, w, 3]``."""
    factor = min(math.ceil(frame.shape[0] / _STILL_HEIGHT), frame.shape[1])
    small = torch.nn.functional.avg_pool2d(frame.permute(2, 0, 1).float(), factor)
    return small.round().to(torch.uint8).permute(1, 2, 0)
