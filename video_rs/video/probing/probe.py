"""What there is to know of a video file before anybody trains on it."""

import os
from dataclasses import dataclass

import numpy as np

from video_rs.video.container import open_container, video_streams
from video_rs.video.errors import DecodeError
from video_rs.video.fetching import local_path
from video_rs.video.index.frame_index import FrameIndex, Note
from video_rs.video.index.packet_scan import scan
from video_rs.video.location import check_file
from video_rs.video.probing.fingerprint import fingerprint, folder_fingerprint, reading_error
from video_rs.video.reader import VideoReader
from video_rs.video.readers.images import ImageFolderReader, numbering_gap
from video_rs.video.readers.pyav import PyAVReader
from video_rs.video.readers.webp import AnimatedWebpReader, is_animated_webp

DEPTHS = ("ends", "all")
"""How much is decoded: the first and the last frame, or every frame."""
_AT_ONCE = 16  # frames decoded together: bounds the memory
_HDR = {16: "PQ", 18: "HLG"}  # transfer characteristics of ITU-T H.273, which FFmpeg numbers alike


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
        path = local_path(path)
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
        elif "fingerprint" in facts and (refusal := reading_error(path)):
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
    known = {"fingerprint": folder_fingerprint(names), "header_frames": len(names) + gap if gap else 0}
    size = {"frames": reader.num_frames, "fps": reader.fps, "height": reader.height, "width": reader.width}
    return Probe(depth=depth, codec="images", container="folder", key_interval=1, **size, **known)


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
