"""The packet scan that every decoder relies on: which frames a video shows."""

import os
from array import array
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np

from video_rs.video.container import open_container, read_packets, video_streams
from video_rs.video.errors import DecodeError
from video_rs.video.index.container_size import size_in_header
from video_rs.video.index.frame_index import FrameIndex, Note
from video_rs.video.index.full_decode import DecodedFrames, before_packet, decode_all, last_packet_is_whole
from video_rs.video.index.packet_table import (
    UNKNOWN,
    PacketTable,
    average_fps,
    has_idr_picture,
    is_hidden_packet,
    usable_rate,
)
from video_rs.video.index.picture_sizes import PictureSizes
from video_rs.video.index.stream_choice import Film, StreamFacts, choose
from video_rs.video.location import Location
from video_rs.video.orientation import states_orientation

# These containers store no presentation times of their own: the library reckons them from the decoding order, and
# differently after a seek. With B-frames they name the wrong frames.
_WITHOUT_PTS = ("avi", "mpeg", "h264", "hevc", "m4v", "mpegvideo")

# Of a recording in one of these that was cut, nothing says so but its last frame.
_WITHOUT_END = ("mpegts", "flv", "asf", "ogg", "mpeg", "h264", "hevc", "m4v", "mpegvideo")

# Containers in which TorchCodec and decord were measured to return the frames asked for; not so MPEG-TS and MPEG-PS.
_ADDRESSABLE = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "flv", "avi", "gif")

# Codecs of which each FFmpeg brings a decoder of somebody else's: an older dav1d was seen to give frames without a word
# that a newer one refuses as damaged. TorchCodec also counts the streams of animated AVIF otherwise.
_DECODED_ELSEWHERE = ("av1",)


def scan(path: str | os.PathLike) -> FrameIndex:
    """Return which frames the video at ``path`` shows, from its packets; by a full decode where those do not tell.

    Raises:
        DecodeError: no video stream, no frames, a file that cannot be opened, or one (MP4, MOV) that ends before its
            own index says.
    """
    path = os.fspath(path)
    with open_container(path) as container:
        streams = video_streams(container, path)
        _refuse_truncated(path, container.format.name, streams)
        facts = [StreamFacts.of(container, stream) for stream in streams]
        tables = _read_packets(container, streams)
    films = [Film(*pair) for pair in zip(facts, tables, strict=True) if len(pair[1])]
    if not films:
        raise DecodeError(path, "the video stream has no frames")

    film, notes = choose(films)
    cut = _cut_short(path)
    if _packets_tell(film):
        return _index_of_packets(path, film, cut, notes)

    decoded = decode_all(path, film.facts.number, film.table)
    stores_times = film.facts.container not in _WITHOUT_PTS and film.table.tells_frames
    if stores_times and np.array_equal(decoded.packets, _in_order_of_time(film.table)):
        return replace(_index_of_packets(path, film, cut, notes), counted=True)
    return _index_by_decoding(path, film, decoded, cut, notes)


def _packets_tell(film: Film) -> bool:
    """Whether the packets' times are known to tell the frames and their order."""
    table, facts = film.table, film.facts
    if not table.tells_frames:
        return False
    # With B-frames the decoder shows frames in another order than it decodes them. Times that do not are suspect: they
    # may be those of decoding. Where the container stores none, the library has reckoned them.
    reorders = facts.has_b_frames or table.is_reordered
    return not reorders or (table.is_reordered and facts.container not in _WITHOUT_PTS)


def _in_order_of_time(table: PacketTable) -> np.ndarray:
    """Numbers of the packets that are shown, by the times that they state."""
    shown = np.flatnonzero(table.shown)
    return shown[np.argsort(table.pts[shown], kind="stable")]


def _index_of_packets(path: str, film: Film, cut: str, notes: tuple[Note, ...]) -> FrameIndex:
    table, facts = film.table, film.facts
    every = packets = _in_order_of_time(table)
    if _may_end_in_damage(film, cut) and len(every) > 1 and not last_packet_is_whole(path, facts.number, table):
        packets = before_packet(path, every, len(table) - 1)

    notes_on_cut = _notes_on_cut(cut, len(packets) < len(every))
    known_to_agree = facts.container in _ADDRESSABLE and facts.codec not in _DECODED_ELSEWHERE
    told_otherwise = notes_on_cut or table.oriented or table.size_changes
    addressable = bool(known_to_agree and table.has_closed_groups and not told_otherwise)
    notes += notes_on_cut
    return _index(film, packets, table.pts[packets], facts.time_base, addressable=addressable, notes=notes)


def _index_by_decoding(path: str, film: Film, decoded: DecodedFrames, cut: str, notes: tuple[Note, ...]) -> FrameIndex:
    last = len(film.table) - 1
    packets = decoded.packets
    if _may_end_in_damage(film, cut) and decoded.is_corrupt(last):
        packets = before_packet(path, decoded.packets, last)

    notes += _notes_on_cut(cut, len(packets) < len(decoded.packets)) + _notes_on_counting(film, packets)
    pts, time_base = _times(film, packets)
    return _index(film, packets, pts, time_base, addressable=False, counted=True, notes=notes)


def _may_end_in_damage(film: Film, cut: str) -> bool:
    """Whether the file is known to be cut, or is of a kind of which only its last frame can tell."""
    return bool(cut) or film.facts.container in _WITHOUT_END


def _notes_on_cut(cut: str, left_out: bool) -> tuple[Note, ...]:
    """How the file was cut: by its own size, or by the last frame."""
    detail = cut or ("its last frame is damaged and left out" if left_out else "")
    return (Note("cut", detail),) if detail else ()


def _index(film: Film, packets: np.ndarray, pts: np.ndarray, time_base: Fraction, **rest) -> FrameIndex:
    table, facts = film.table, film.facts
    return FrameIndex(
        pts=pts,
        packets=packets,
        key=table.key[packets],
        entries=table.entries,
        time_base=time_base,
        fps=average_fps(pts, time_base, facts.header_fps),
        stream=facts.number,
        **rest,
    )


def _times(film: Film, packets: np.ndarray) -> tuple[np.ndarray, Fraction]:
    """When decoded frames are shown: the times of their packets in rising order, else evenly by the header's rate.

    A stream whose times contradict the order of its frames states the times of decoding, which are as far apart.
    """
    table, facts = film.table, film.facts
    for stated in (table.pts[packets], table.dts[packets]):
        times = np.sort(stated)
        if times[0] != UNKNOWN and (np.diff(times) > 0).all() and not table.is_spliced:
            return times, facts.time_base
    return np.arange(len(packets)), 1 / Fraction(usable_rate(facts.header_fps)).limit_denominator(1001)


def _notes_on_counting(film: Film, packets: np.ndarray) -> tuple[Note, ...]:
    """Why the file had to be decoded."""
    table, facts = film.table, film.facts
    if table.is_spliced:
        return (Note("counted", "several recordings, one behind the other: their times run backwards"),)
    if not table.key[0]:
        before = f"its first {table.first_key} packets come before the first key frame"
        return (Note("counted", f"{before} and give no picture"),)
    if facts.container in _WITHOUT_PTS:
        return (Note("counted", f"{facts.container} does not say when its frames are shown"),)

    stated = table.pts[packets]
    known = stated[stated != UNKNOWN]
    if (np.diff(known) < 0).any():
        return (Note("times", "its packets state the times of decoding; the order of its frames is the decoder's"),)
    return (Note("counted", "its packets do not say which frames are shown"),)


def _refuse_truncated(path: str, container: str, streams: list) -> None:
    """Raises DecodeError where the index of an MP4 or MOV file goes past the file's end.

    Its frames in front of the cut would read well, and pass half a video off as a whole one.
    """
    if not container.startswith("mov"):
        return
    size = Location.parse(path).bytes()
    missing = total = 0
    for stream in streams:
        total += len(stream.index_entries)
        missing += sum(entry.pos + entry.size > size for entry in stream.index_entries)
    if missing:
        reason = f"truncated: {missing} of {total} frames are behind the end of the file"
        raise DecodeError(path, reason, "truncated")


def _cut_short(path: str) -> str:
    """How a file of a kind that states its own size (AVI, Matroska, WebM) ends before it; "" where it does not."""
    stated, size = size_in_header(path), Location.parse(path).bytes()
    return f"{size} of {stated} bytes are there" if stated is not None and stated > size else ""


def _read_packets(container, streams: list) -> list[PacketTable]:
    """Every packet of these streams, read once. Of a file cut short, packets cut in two at its end do not count."""
    readers = {stream.index: _TableReader(stream.codec_context) for stream in streams}
    try:
        for packet in read_packets(container, streams):
            readers[packet.stream_index].add(packet)
    except av.FFmpegError:
        pass  # the container is damaged from here on
    return [readers[stream.index].table() for stream in streams]


class _TableReader:
    """Packets as they come, in flat arrays: a recording of a day has a million."""

    def __init__(self, context: av.VideoCodecContext):
        codec = context.codec.name
        self._codec, self._corrupt_end, self._oriented = codec, 0, False
        self._sizes = PictureSizes(codec, context.extradata)
        self._numbers = {name: array("q") for name in ("pts", "dts", "position", "size")}
        self._marks = {name: bytearray() for name in ("key", "shown", "clean")}
        self._hides = codec in ("vp8", "vp9")
        self._refreshes = codec == "h264"
        self._add = (*(self._numbers[name].append for name in self._numbers), *(m.append for m in self._marks.values()))

    def add(self, packet: av.Packet) -> None:
        """Take over what is to know of a packet with data in it."""
        add_pts, add_dts, add_position, add_size, add_key, add_shown, add_clean = self._add
        pts, dts, position, key = packet.pts, packet.dts, packet.pos, packet.is_keyframe
        if not self._marks["key"]:
            self._oriented = states_orientation(self._codec, memoryview(packet))

        add_pts(UNKNOWN if pts is None else pts)
        add_dts(UNKNOWN if dts is None else dts)
        add_position(UNKNOWN if position is None or position < 0 else position)
        add_size(packet.size)
        add_key(key)
        if key:
            self._sizes.add(packet)
        hidden = packet.is_discard or (self._hides and is_hidden_packet(self._codec, memoryview(packet)))
        add_shown(not hidden)
        add_clean(not (key and self._refreshes) or has_idr_picture(memoryview(packet)))
        self._corrupt_end = self._corrupt_end + 1 if packet.is_corrupt else 0

    def table(self) -> PacketTable:
        """The packets up to here."""
        count = len(self._marks["key"]) - self._corrupt_end
        numbers = {name: np.frombuffer(values, np.int64)[:count] for name, values in self._numbers.items()}
        marks = {name: np.frombuffer(values, bool)[:count] for name, values in self._marks.items()}
        return PacketTable(**numbers, **marks, oriented=self._oriented, size_changes=self._sizes.change)
