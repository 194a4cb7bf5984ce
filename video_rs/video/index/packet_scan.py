"""The scan of all packets of a file, which gives the frame index that every reader relies on."""

import os
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from video_rs.video.container import open_container, video_streams
from video_rs.video.errors import DecodeError
from video_rs.video.index.frame_index import FrameIndex, Note, average_fps, usable_rate
from video_rs.video.index.full_decode import DecodedFrames, decode_all
from video_rs.video.index.packet_reading import read_packet_tables
from video_rs.video.index.packet_table import UNKNOWN, PacketTable
from video_rs.video.index.stream_choice import ScannedStream, StreamFacts, choose_stream
from video_rs.video.index.truncation import (
    last_packet_is_whole,
    may_end_in_damage,
    missing_bytes,
    refuse_truncated,
    shown_before,
)

# These containers store no times at which frames are shown. FFmpeg makes them up from the order of decoding, and makes
# up others after a seek. With B-frames, such times name the wrong frames.
_WITHOUT_PTS = ("avi", "mpeg", "h264", "hevc", "m4v", "mpegvideo")

# Containers in which TorchCodec and decord were measured to return the frames asked for. In MPEG-TS and MPEG-PS they
# do not.
_ADDRESSABLE = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "flv", "avi", "gif")

# Codecs that FFmpeg decodes with an external library (dav1d), whose version differs between builds. An older one was
# seen to give frames without a word that a newer one refuses as damaged. TorchCodec also counts the streams of animated
# AVIF otherwise.
_OTHER_DECODERS_DIFFER = ("av1",)

_LARGEST_DENOMINATOR = 1001  # of the usual frame rates, such as 30000/1001


@dataclass(frozen=True)
class _Scanned:
    """A file whose packets have been read.

    Attributes:
        path: of the file.
        stream: the stream that is read.
        missing: how much of the file is there, where it states a larger size; else "".
        notes: what was found so far.
    """

    path: str
    stream: ScannedStream
    missing: str
    notes: tuple[Note, ...]

    @property
    def facts(self) -> StreamFacts:
        """What the container says of the stream."""
        return self.stream.facts

    @property
    def table(self) -> PacketTable:
        """The packets of the stream."""
        return self.stream.table

    @property
    def may_end_in_damage(self) -> bool:
        """Whether the last frame has to be looked at."""
        return may_end_in_damage(self.facts.container, self.missing)


def scan(path: str | os.PathLike) -> FrameIndex:
    """Return which frames a video shows: by its packets, or by decoding it once where the packets do not tell.

    Args:
        path: a file or a part of a shard.

    Raises:
        DecodeError: the file cannot be opened, has no video stream or no frames, or ends before its own index says
            (MP4, MOV).
    """
    scanned = _read_file(os.fspath(path))
    if _packets_are_trusted(scanned.stream):
        return _index_by_times(scanned)

    decoded = decode_all(scanned.path, scanned.facts.number, scanned.table)

    # Times that looked suspect may turn out right; they are worth keeping, since other decoders go by them.
    stores_times = scanned.facts.container not in _WITHOUT_PTS and scanned.table.tells_frames
    if stores_times and np.array_equal(decoded.packets, _packets_by_time(scanned.table)):
        return _index_by_times(scanned, counted=True)
    return _index_by_decoding(scanned, decoded)


def _read_file(path: str) -> _Scanned:
    """Read the packets of all video streams, and choose one of the streams."""
    with open_container(path) as container:
        streams = video_streams(container, path)
        refuse_truncated(path, container.format.name, streams)
        facts = [StreamFacts.read(container, stream) for stream in streams]
        tables = read_packet_tables(container, streams)

    with_packets = []
    for stream_facts, table in zip(facts, tables, strict=True):
        if len(table):
            with_packets.append(ScannedStream(stream_facts, table))
    if not with_packets:
        raise DecodeError(path, "the video stream has no frames")

    chosen, notes = choose_stream(with_packets)
    return _Scanned(path, chosen, missing_bytes(path), notes)


def _packets_are_trusted(stream: ScannedStream) -> bool:
    """Return whether the packets' times are known to tell the frames and their order."""
    table, facts = stream.table, stream.facts
    if not table.tells_frames:
        return False

    may_reorder = facts.has_b_frames or table.is_reordered
    if not may_reorder:
        return True

    # With B-frames, frames are shown in another order than they are decoded in. If the times do not say so, they may be
    # the times of decoding. If the container stores no times, FFmpeg has made them up.
    return table.is_reordered and facts.container not in _WITHOUT_PTS


def _packets_by_time(table: PacketTable) -> np.ndarray:
    """Return the numbers of the packets that are shown, in the order of the times that they state: int64 ``[N]``."""
    shown = np.flatnonzero(table.shown)
    order = np.argsort(table.pts[shown], kind="stable")
    return shown[order]


def _index_by_times(scanned: _Scanned, counted: bool = False) -> FrameIndex:
    """Return the index of a file whose packets tell the frames by their times."""
    table, facts = scanned.table, scanned.facts

    all_packets = packets = _packets_by_time(table)
    must_look_at_last = scanned.may_end_in_damage and len(all_packets) > 1
    if must_look_at_last and not last_packet_is_whole(scanned.path, facts.number, table):
        packets = shown_before(scanned.path, all_packets, len(table) - 1)
    notes_on_cut = _notes_on_cut(scanned, len(packets) < len(all_packets))

    decoders_agree = facts.container in _ADDRESSABLE and facts.codec not in _OTHER_DECODERS_DIFFER
    shown_differently = notes_on_cut or table.oriented or table.size_changes
    return FrameIndex(
        pts=table.pts[packets],
        packets=packets,
        key=table.key[packets],
        key_packets=table.key_packets,
        time_base=facts.time_base,
        fps=average_fps(table.pts[packets], facts.time_base, facts.header_fps),
        stream=facts.number,
        addressable=bool(decoders_agree and table.has_closed_groups and not shown_differently),
        counted=counted,
        notes=scanned.notes + notes_on_cut,
    )


def _index_by_decoding(scanned: _Scanned, decoded: DecodedFrames) -> FrameIndex:
    """Return the index of a file whose frames the decoder has told."""
    table, facts = scanned.table, scanned.facts

    last = len(table) - 1
    packets = decoded.packets
    if scanned.may_end_in_damage and decoded.is_corrupt(last):
        packets = shown_before(scanned.path, decoded.packets, last)
    notes_on_cut = _notes_on_cut(scanned, len(packets) < len(decoded.packets))

    pts, time_base = _times_of_decoded(scanned.stream, packets)
    return FrameIndex(
        pts=pts,
        packets=packets,
        key=table.key[packets],
        key_packets=table.key_packets,
        time_base=time_base,
        fps=average_fps(pts, time_base, facts.header_fps),
        stream=facts.number,
        addressable=False,
        counted=True,
        notes=scanned.notes + notes_on_cut + (_reason_for_counting(scanned.stream, packets),),
    )


def _times_of_decoded(stream: ScannedStream, packets: np.ndarray) -> tuple[np.ndarray, Fraction]:
    """Return when the decoded frames are shown, and the unit of these times in seconds.

    They are the times of the frames' packets in rising order, or else even ones by the header's rate.

    Args:
        stream: the stream.
        packets: int64 ``[N]``, the packets of the frames, in the order in which they are shown.
    """
    table, facts = stream.table, stream.facts

    # Times that contradict the order of the frames are those of decoding, which are as far apart as those of showing.
    # In rising order, they are right.
    for stated in (table.pts[packets], table.dts[packets]):
        times = np.sort(stated)
        all_are_stated = times[0] != UNKNOWN
        if all_are_stated and (np.diff(times) > 0).all() and not table.is_spliced:
            return times, facts.time_base

    rate = Fraction(usable_rate(facts.header_fps)).limit_denominator(_LARGEST_DENOMINATOR)
    return np.arange(len(packets)), 1 / rate


def _notes_on_cut(scanned: _Scanned, last_is_left_out: bool) -> tuple[Note, ...]:
    """Return how the file was cut: as its own size says, or its last frame; nothing where it was not."""
    if scanned.missing:
        return (Note("cut", scanned.missing),)
    if last_is_left_out:
        return (Note("cut", "its last frame is damaged and left out"),)
    return ()


def _reason_for_counting(stream: ScannedStream, packets: np.ndarray) -> Note:
    """Return why a file had to be decoded to learn its frames."""
    table, facts = stream.table, stream.facts
    if table.is_spliced:
        return Note("counted", "several recordings, one behind the other: their times run backwards")
    if not table.key[0]:
        before = f"its first {table.first_key} packets come before the first key frame"
        return Note("counted", f"{before} and give no picture")
    if facts.container in _WITHOUT_PTS:
        return Note("counted", f"{facts.container} does not say when its frames are shown")

    stated = table.pts[packets]
    known = stated[stated != UNKNOWN]
    if (np.diff(known) < 0).any():
        return Note("times", "its packets state the times of decoding; the order of its frames is the decoder's")
    return Note("counted", "its packets do not say which frames are shown")
