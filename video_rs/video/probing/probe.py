"""The facts of a video file, found by reading it as training would."""

import os
from dataclasses import dataclass
from typing import Any

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

_AT_ONCE = 16  # frames that are decoded together, which bounds the memory
_HDR = {16: "PQ", 18: "HLG"}  # transfer characteristics by their numbers in ITU-T H.273, which are FFmpeg's


@dataclass(frozen=True)
class Probe:
    """Facts of one file.

    Attributes:
        kind: "ok", or what is wrong: a kind of :class:`DecodeError`, "hung" or "crashed". The facts below are then
            those that were found before.
        reason: why the file cannot be read; empty if ok.
        depth: one of :data:`DEPTHS`.
        fingerprint: hash of the size and parts of the content, equal for files of equal content. It is empty where the
            content was not read, or where the system refused to give it: such a verdict may be gone although the file
            has not changed.
        frames: number of frames that a full decode shows.
        fps: average frames per second.
        height, width: pixels, as shown.
        codec, container, pixel_format: FFmpeg's names.
        header_frames: number of frames that the container's header, or the numbers of the pictures, tell; 0 where they
            tell nothing.
        quarter_turns: by which frames are turned, counter-clockwise, after they were mirrored.
        mirrored: whether frames are shown mirrored left to right.
        other_angle: degrees counter-clockwise by which frames are not turned although the file says so, because it is
            no quarter turn.
        interlaced: whether frames hold two fields, which were filmed one after the other; of those decoded.
        hdr: "PQ" or "HLG" where the brightness is that of a high dynamic range, else empty.
        sample_aspect: width over height of a stored pixel.
        variable_rate: whether the times between frames differ by more than rounding.
        key_interval: the longest way from a key frame to the next, in frames.
        notes: what else is worth knowing; the doctor has an explanation for each kind.
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
    """Read a file as training would.

    Args:
        path: a file, a part of a shard, a folder of frames, or a URL, which is fetched.
        depth: one of :data:`DEPTHS`.

    Returns:
        The facts of the file, and its frame index, which only a sound file has.
    """
    facts: dict[str, Any] = {"depth": depth}
    try:
        path = local_path(path)
        if os.path.isdir(path):
            return _probe_folder(path, depth), None

        check_file(path)
        facts["fingerprint"] = fingerprint(path)
        if is_animated_webp(path):
            return _probe_animation(path, facts)
        index = _probe_video(path, facts)
    except DecodeError as error:
        return _failed_probe(path, facts, error), None
    return Probe(**facts), index


def _probe_video(path: str, facts: dict[str, Any]) -> FrameIndex:
    """Add to ``facts`` what is found of a video; when something fails, what was found before is there."""
    first_stream, header_facts = _read_header(path)
    facts |= header_facts

    # Of several streams, the scan may have chosen another one than the first.
    index = scan(path)
    if index.stream != first_stream:
        _, header_facts = _read_header(path, index.stream)
        facts |= header_facts
    facts |= _timing(index)

    with PyAVReader(path, index) as reader:
        facts["height"] = reader.height
        facts["width"] = reader.width
        _decode(reader, facts["depth"])
        facts |= _presentation(reader)
        facts["notes"] += _note_on_sizes(reader)
    return index


def _probe_animation(path: str, facts: dict[str, Any]) -> tuple[Probe, FrameIndex]:
    """Return the facts and the frame index of an animated WebP."""
    with AnimatedWebpReader(path) as reader:  # opening it decodes the first frame
        _decode(reader, facts["depth"])
        facts |= _timing(reader.index)
        size = {"height": reader.height, "width": reader.width}
        return Probe(**facts, **size, codec="webp", container="webp"), reader.index


def _probe_folder(path: str, depth: str) -> Probe:
    """Return the facts of a folder of frames."""
    reader = ImageFolderReader(path)  # opening it decodes the first picture
    _decode(reader, depth)

    # Where numbers are left out, the last one tells how many pictures there were to be.
    pictures = reader.paths()
    gap = numbering_gap(pictures)
    header_frames = len(pictures) + gap if gap else 0

    return Probe(
        depth=depth,
        fingerprint=folder_fingerprint(pictures),
        frames=reader.num_frames,
        fps=reader.fps,
        height=reader.height,
        width=reader.width,
        codec="images",
        container="folder",
        header_frames=header_frames,
        key_interval=1,
    )


def _failed_probe(path: str, facts: dict[str, Any], error: DecodeError) -> Probe:
    """Return the facts of a file that cannot be read; they have no fingerprint where the system is at fault."""
    facts["kind"] = error.kind
    facts["reason"] = error.reason

    # What has no fingerprint is not kept in the cache, but probed again when the system may be well.
    if isinstance(error.__cause__, OSError):
        facts["fingerprint"] = ""
    elif "fingerprint" in facts:
        system_words = reading_error(path)
        if system_words:
            facts |= {"fingerprint": "", "kind": "unreadable", "reason": system_words}
    return Probe(**facts)


def _read_header(path: str, number: int | None = None) -> tuple[int, dict[str, Any]]:
    """Return the number of a stream and what the container says of it; of the first video without a ``number``."""
    with open_container(path) as container:
        stream = video_streams(container, path)[0]
        if number is not None:
            stream = container.streams[number]

        aspect = stream.sample_aspect_ratio
        return stream.index, {
            "codec": stream.codec_context.name,
            "container": container.format.name,
            "pixel_format": stream.codec_context.pix_fmt or "",
            "header_frames": stream.frames,
            "sample_aspect": float(aspect) if aspect else 1.0,
        }


def _timing(index: FrameIndex) -> dict[str, Any]:
    """Return the facts that the frame index tells."""
    num_frames = len(index.pts)

    # From the last key frame on, the way goes to the end of the video.
    key_frames = np.flatnonzero(index.key)
    key_interval = num_frames
    if len(key_frames):
        key_interval = int(np.diff(key_frames, append=num_frames).max())

    return {
        "frames": num_frames,
        "fps": index.fps,
        "variable_rate": index.variable_rate,
        "key_interval": key_interval,
        "notes": index.notes,
    }


def _presentation(reader: PyAVReader) -> dict[str, Any]:
    """Return how the frames are shown, of those that were decoded."""
    return {
        "quarter_turns": reader.orientation.quarter_turns,
        "mirrored": reader.orientation.mirrored,
        "other_angle": reader.other_angle,
        "interlaced": reader.interlaced,
        "hdr": _HDR.get(reader.transfer, ""),
    }


def _note_on_sizes(reader: PyAVReader) -> tuple[Note, ...]:
    """Return a note where frames that were decoded have another size than the first."""
    if reader.other_size is None:
        return ()
    height, width = reader.other_size
    return (Note("size_change", f"{reader.width}x{reader.height} at first, then {width}x{height}"),)


def _decode(reader: VideoReader, depth: str) -> None:
    """Decode the frames that ``depth`` asks for; opening the reader has decoded the first.

    Raises:
        DecodeError: one of them is damaged.
    """
    if depth == "ends":
        reader.frames([reader.num_frames - 1])
        return
    for start in range(0, reader.num_frames, _AT_ONCE):
        stop = min(start + _AT_ONCE, reader.num_frames)
        reader.frames(range(start, stop))
