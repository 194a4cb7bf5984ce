"""The right frames where containers state none, or wrong, times; and without reading a file from its start for each."""

from dataclasses import replace

import av
import numpy as np
import pytest

from helpers.clips import clip_spec, eval_transform, train_transform
from helpers.numbered_videos import COUNT, decoded_in_order, numbered, numbers
from video_rs.data.counted_videos import note_counted_videos
from video_rs.data.dataset import ClipReader, VideoSource, ViewReader
from video_rs.data.loader import ClipLoader, Workers
from video_rs.data.order import ClipOrder, Partition
from video_rs.data.preprocessing import Preprocessing
from video_rs.lists.records import VideoRecord
from video_rs.video import DecodeError, open_video
from video_rs.video.container import open_container
from video_rs.video.encoding import write_video
from video_rs.video.file_memory import FileMemory
from video_rs.video.index import numbered_packets, packet_scan, scan_cache
from video_rs.video.index.frame_index import Note
from video_rs.video.index.numbered_packets import NumberedPackets
from video_rs.video.index.packet_scan import scan
from video_rs.video.index.picture_sizes import PictureSizes
from video_rs.video.index.truncation import shown_before
from video_rs.video.location import Stamp
from video_rs.video.probing.cache import ProbeCache, ProbedFile
from video_rs.video.probing.probe import probe

TIMES_OF_DECODING = Note("times", "its packets state the times of decoding; the order of its frames is the decoder's")


def with_times_of_decoding(source, target, delay):
    """The packets in another container, as some programs write them that do not know when frames are shown.

    FFmpeg's ``-fflags +genpts`` says that each is shown one frame (``delay``) after it is decoded, as an encoder does
    that has reordered none.
    """
    with av.open(str(source)) as read, av.open(str(target), "w") as written:
        stream = written.add_stream_from_template(read.streams.video[0])
        packets = [packet for packet in read.demux(video=0) if packet.size]
        ticks = round(1 / 25 / packets[0].time_base)
        for number, packet in enumerate(packets):
            packet.dts = number * ticks
            packet.pts = packet.dts + delay * ticks
            packet.stream = stream
            written.mux(packet)
    return target


LIES = {
    "lie.mkv": ("closed.mkv", 0),
    "lie.mp4": ("mpeg4.avi", 0),
    "lie.mov": ("open.mp4", 0),
    "late.mp4": ("open.mp4", 1),
}


@pytest.fixture(scope="module")
def lies(files, tmp_path_factory):
    folder = tmp_path_factory.mktemp("lies")
    return {name: with_times_of_decoding(files(source), folder / name, delay) for name, (source, delay) in LIES.items()}


@pytest.mark.parametrize("name", LIES)
def test_times_of_decoding_do_not_order_the_frames(lies, decoder, name):
    """B-frames make the decoder show frames in another order than these times do."""
    path = lies[name]
    assert decoded_in_order(path) == list(range(COUNT))  # that is how a player shows them
    if decoder == "decord":
        with pytest.raises(DecodeError, match="decord would not find the right frames in this file; use pyav"):
            open_video(path, decoder)
        return
    with open_video(path, decoder) as reader:
        assert (reader.num_frames, reader.times) == (COUNT, None)
        assert reader.fps == pytest.approx(25, rel=2e-3)
        for index in (1, 14, 98, 99, 13, 0, 50, 49):
            assert numbers(reader.frames([index])) == [index]


@pytest.mark.parametrize("name", LIES)
def test_times_of_decoding_are_noted(lies, name):
    facts, index = probe(str(lies[name]))
    assert index.counted
    assert facts.notes == (TIMES_OF_DECODING,)


SOUGHT = [
    *("transport.ts", "mpeg2.ts", "program.mpg", "raw.h264"),
    *("reordered.avi", "mpeg4.avi", "closed.mkv", "open.mp4"),
]


@pytest.mark.parametrize("name", SOUGHT)
def test_a_frame_costs_its_group_of_pictures(files, name, monkeypatch):
    """No container makes the reader decode from the start of the file for a frame inside it."""
    decoded = []
    decode = NumberedPackets.decode

    def counting(self, packet, **options):
        decoded.append(packet)
        return decode(self, packet, **options)

    with open_video(files(name)) as reader:
        monkeypatch.setattr(NumberedPackets, "decode", counting)
        monkeypatch.setattr(NumberedPackets, "restart", lambda self: pytest.fail("read from the file's start"))
        for index in (90, 3, 77, 50, 26, 60, 12):
            decoded.clear()
            assert numbers(reader.frames([index])) == [index]
            assert len(decoded) <= 2 * 24 + 8  # of an open group the one before it too, and what the decoder holds back


def test_a_transport_stream_that_starts_inside_a_group(files, tmp_path):
    data = files("transport.ts").read_bytes()
    packets = len(data) // 188
    path = tmp_path / "inside.ts"
    path.write_bytes(data[packets // 10 * 188 :])
    shown = decoded_in_order(path)
    assert 60 < len(shown) < COUNT
    with open_video(path) as reader:
        assert reader.counted
        assert numbers(reader.frames(range(reader.num_frames))) == shown
        for index in (len(shown) - 1, 0, 30):
            assert numbers(reader.frames([index])) == [shown[index]]
    [note] = scan(path).notes
    assert note.kind == "counted"
    assert note.detail.endswith("packets come before the first key frame and give no picture")


def test_two_recordings_in_one_transport_stream(files, tmp_path):
    data = files("transport.ts").read_bytes()
    path = tmp_path / "joined.ts"
    path.write_bytes(data + data)
    shown = decoded_in_order(path)
    assert len(shown) == 2 * COUNT
    with open_video(path) as reader:
        assert (reader.num_frames, reader.fps, reader.times) == (2 * COUNT, 25, None)
        for index in (150, 3, 199, 99, 100, 101, 60):
            assert numbers(reader.frames([index])) == [shown[index]]
    assert scan(path).notes == (Note("counted", "several recordings, one behind the other: their times run backwards"),)


@pytest.mark.parametrize(("ending", "codec"), [("ts", "libx264"), ("wmv", "wmv2")])
def test_a_damaged_last_frame_of_a_recording_that_was_cut_is_left_out(tmp_path, ending, codec):
    """Only its last frame says that such a file was cut: noise fills several of its packets with one picture."""
    noise = np.random.default_rng(0).integers(0, 256, (12, 64, 64, 3)).astype(np.uint8)
    whole = tmp_path / f"whole.{ending}"
    write_video(whole, noise, fps=25, codec=codec, keyframe_interval=4, options={"bf": "0"})
    data = whole.read_bytes()
    path = tmp_path / f"cut.{ending}"
    path.write_bytes(data[: len(data) // 188 * 7 // 10 * 188])
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    assert [frame.is_corrupt for frame in frames] == [False] * (len(frames) - 1) + [True]

    facts, _ = probe(str(path), "all")
    assert (facts.kind, facts.frames) == ("ok", len(frames) - 1)
    assert facts.notes == (Note("cut", "its last frame is damaged and left out"),)
    assert scan(whole).notes == ()
    with open_video(path) as reader:
        expected = frames[-2].to_ndarray(format="rgb24")
        assert np.array_equal(reader.frames([reader.num_frames - 1])[0].numpy(), expected)


def test_a_change_of_size_is_scaled_to_the_first_one_and_noted(tmp_path, decoder):
    """VP8 names its size in each key frame: two recordings in one WebM, as a call whose quality falls writes them."""
    sizes = {"large": (96, 224), "small": (48, 112)}
    path = tmp_path / "both.webm"
    with av.open(str(path), "w") as container:
        target = None
        for part, (name, (height, width)) in enumerate(sizes.items()):
            write_video(tmp_path / f"{name}.webm", numbered(10, height, width), fps=25, codec="libvpx")
            with av.open(str(tmp_path / f"{name}.webm")) as read:
                target = target or container.add_stream_from_template(read.streams.video[0])
                for packet in read.demux(video=0):
                    if packet.size:
                        packet.stream = target
                        packet.pts = packet.dts = packet.pts + part * 400
                        container.mux(packet)

    assert probe(str(path))[0].notes == (Note("size_change", "224x96 at first, then 112x48"),)
    if decoder == "decord":
        with pytest.raises(DecodeError, match="decord would not find the right frames in this file; use pyav"):
            open_video(path, decoder)
        return
    with open_video(path, decoder) as reader:
        assert (reader.num_frames, reader.height, reader.width) == (20, 96, 224)
        assert numbers(reader.frames(range(20))) == [*range(10), *range(10)]
        assert numbers(reader.frames([15, 3])) == [5, 3]


def test_a_recording_of_which_nothing_is_whole_is_damaged():
    assert shown_before("a.ts", np.array([0, 2, 1, 3]), 3).tolist() == [0, 2, 1]
    assert shown_before("a.ts", np.array([0, 2, 3, 1]), 3).tolist() == [0, 2]  # what is shown behind it goes too
    assert shown_before("a.ts", np.array([0, 2, 1]), 3).tolist() == [0, 2, 1]
    with pytest.raises(DecodeError, match=r"a\.ts: no frame can be decoded without damage") as caught:
        shown_before("a.ts", np.array([0]), 0)
    assert caught.value.kind == "damaged"


def film(container, codec, height, width, count, rate=25, **options):
    """A video stream of ``count`` frames, all of one grey level that is its number of frames."""
    stream = container.add_stream(codec, rate=rate, options=options)
    stream.height, stream.width = height, width
    stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    return [(stream, np.full((height, width, 3), count, np.uint8))] * count


def two_films(path, first, second):
    with av.open(str(path), "w") as container:
        made = [film(container, *part) for part in (first, second)]
        for frames in made:
            for stream, picture in frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
            container.mux(frames[0][0].encode(None))
    return path


@pytest.mark.parametrize(
    ("first", "second", "note"),
    [
        # Moving before large: a photograph beside a film.
        (
            ("mjpeg", 96, 128, 1),
            ("libx264", 48, 64, 50),
            "stream 1 (50 frames of 64x48) is read; beside it: stream 0 (1 frame of 128x96)",
        ),
        # Large before long: the preview of an action camera.
        (
            ("libx264", 48, 64, 60),
            ("libx264", 96, 128, 50),
            "stream 1 (50 frames of 128x96) is read; beside it: stream 0 (60 frames of 64x48)",
        ),
        # Long, then first.
        (
            ("libx264", 48, 64, 40),
            ("libx264", 48, 64, 50),
            "stream 1 (50 frames of 64x48) is read; beside it: stream 0 (40 frames of 64x48)",
        ),
        (
            ("libx264", 48, 64, 50),
            ("libx264", 48, 64, 50),
            "stream 0 (50 frames of 64x48) is read; beside it: stream 1 (50 frames of 64x48)",
        ),
    ],
    ids=["moving", "larger", "longer", "first"],
)
def test_of_two_films_the_moving_larger_longer_one_is_read(tmp_path, decoder, first, second, note):
    path = two_films(tmp_path / "two.mp4", first, second)
    assert probe(str(path))[0].notes == (Note("streams", note),)
    read = second if note.startswith("stream 1") else first
    if decoder == "decord" and note.startswith("stream 1 (50 frames of 64x48) is read; beside it: stream 0 (40"):
        with pytest.raises(DecodeError, match="use pyav"):  # it reads the stream that FFmpeg calls the best
            open_video(path, decoder)
        return
    with open_video(path, decoder) as reader:
        assert (reader.height, reader.width, reader.num_frames) == (read[1], read[2], 50)
        assert (reader.frames([49]).float() - 50).abs().mean() < 2


def test_metadata_that_is_no_utf_8_is_nobodys_business(tmp_path, decoder):
    path = tmp_path / "latin1.avi"
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "a film of cafes"
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width = 48, 112
        for picture in numbered(10):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode(None))
    path.write_bytes(path.read_bytes().replace(b"cafes", "cafés"[:4].encode("latin-1") + b"\xd3"))
    with open_video(path, decoder) as reader:
        assert numbers(reader.frames(range(10))) == list(range(10))
    assert probe(str(path), "all")[0].kind == "ok"


class WithEmptyPackets:
    """A container that gives an empty packet before each of its own, as Theora's do for pictures that stay."""

    def __init__(self, path):
        self.inner = open_container(path)

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.inner.close()

    def demux(self, streams):
        for packet in self.inner.demux(streams):
            yield av.Packet()
            yield packet


def test_empty_packets_are_no_frames(files, monkeypatch):
    """Theora's decoder refuses them, and ffmpeg shows nothing for them."""
    for module in (packet_scan, numbered_packets):
        monkeypatch.setattr(module, "open_container", WithEmptyPackets)
    with open_video(files("closed.mkv")) as reader:
        assert numbers(reader.frames(range(COUNT))) == list(range(COUNT))
        assert numbers(reader.frames([77, 3])) == [77, 3]


class WithAStrangePacket(WithEmptyPackets):
    """A container in which PyAV meets a packet of a stream that it does not know, as in some damaged FLV files."""

    def demux(self, streams):
        for packet in self.inner.demux(streams):
            if packet.size and packet.pts > 60 * 40:  # milliseconds
                raise IndexError("list index out of range")
            yield packet


def test_a_packet_of_no_stream_is_damage_like_any_other(files, monkeypatch):
    path = files("closed.mkv")
    index = scan(path)
    for module in (packet_scan, numbered_packets):
        monkeypatch.setattr(module, "open_container", WithAStrangePacket)
    assert 50 < len(scan(path).pts) < 61  # what is before it
    with open_video(path, index=index) as reader:
        assert numbers(reader.frames([40])) == [40]
        with pytest.raises(DecodeError, match="frame 99 of 100: a packet belongs to no stream"):
            reader.frames([99])


def test_a_file_is_scanned_once(files, tmp_path, monkeypatch):
    path = str(tmp_path / "counted.avi")
    data = files("reordered.avi").read_bytes()
    (tmp_path / "counted.avi").write_bytes(data)
    scans = []
    monkeypatch.setattr(scan_cache, "scan", lambda path: scans.append(path) or scan(path))
    for _ in range(3):
        with open_video(path) as reader:
            assert numbers(reader.frames([40])) == [40]
    assert scans == [path]

    (tmp_path / "counted.avi").write_bytes(data + b"\0")  # another file: counted again
    with open_video(path) as reader:
        assert reader.num_frames == COUNT
    assert scans == [path] * 2


def test_indexes_are_forgotten_where_they_are_too_many(files, monkeypatch):
    scans = []
    monkeypatch.setattr(scan_cache, "scan", lambda path: scans.append(path) or scan(path))
    two_of_them = 2 * scan_cache._size_of(scan(files("closed.mp4")))
    monkeypatch.setattr(scan_cache, "_kept", FileMemory(two_of_them, scan_cache._size_of))
    paths = [str(files(name)) for name in ("closed.mp4", "closed.mkv", "closed.flv")]
    for path in (*paths, paths[2], paths[1], paths[0]):
        scan_cache.cached_scan(path)
    assert scans == [*paths, paths[0]]


def test_a_run_is_told_once_that_videos_are_counted(files, tmp_path, capsys):
    records = [VideoRecord(str(files(name)), (0,), None, None, name) for name in ("closed.mp4", "reordered.avi")]
    counted = str(files("reordered.avi"))
    read = ClipReader(clip_spec(4, 2), train_transform(crop_size=16), VideoSource(), 0)
    loader = ClipLoader(records, read, ClipOrder(lambda epoch: [0, 1], 2, 2, 1, Partition(), 0, 3), Workers())
    assert [batch.counted_videos for batch in note_counted_videos(loader)] == [[counted]] * 3
    assert capsys.readouterr().out == (
        f"note: {counted} does not say which frames it shows and was decoded once to count them, as each worker does "
        "with videos of its kind; video-rs check_dataset LIST counts them once for all (set DATA.CACHE to its "
        "probes.sqlite), and files of video-rs prepare_videos need no counting\n"
    )

    cache = str(tmp_path / "probes.sqlite")
    with ProbeCache(cache) as probed:
        probed.store([ProbedFile(counted, Stamp.of_file(counted), *probe(counted))])
    known = ViewReader(Preprocessing(clip_spec(4, 2), 1, eval_transform(16, 16, 1), (0,) * 3, (1,) * 3), VideoSource())
    assert known(records[1], 0).counted_videos == [counted]
    from_cache = replace(known, source=VideoSource(cache=cache))
    assert from_cache(records[1], 0).counted_videos == []
    list(note_counted_videos([from_cache(records[1], 0)]))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("codec", ["libvpx", "libvpx-vp9", "mpeg2video", "libx264", "libx265"])
def test_key_packets_tell_a_change_of_size(tmp_path, codec):
    """Packets of two encoders, the first one's header; the same size twice is no change."""
    for second, changes in ((96, False), (64, True)):
        sizes, name = None, ""
        for number, height in enumerate((96, second)):
            path = tmp_path / f"{codec}_{height}_{number}.mkv"
            write_video(path, numbered(30, height, 224), fps=25, codec=codec, keyframe_interval=10)
            with av.open(str(path)) as container:
                context = container.streams.video[0].codec_context
                name = context.codec.name
                sizes = sizes or PictureSizes(name, context.extradata)
                for packet in container.demux(video=0):
                    if not packet.size or not packet.is_keyframe:
                        continue
                    if name in ("h264", "hevc"):
                        packet = with_parameters(packet, context.extradata)
                    sizes.add(packet)
            assert not sizes.change or number == 1
        assert sizes.change is changes, name


def with_parameters(packet: av.Packet, header: bytes) -> av.Packet:
    """The packet behind the sequence parameters of an MP4 header (avcC, hvcC), as concatenated files have it."""
    kind = header.find(b"\x67") if header[5] & 0xE0 == 0xE0 and header[4] == 0xFF else header.find(b"\x42\x01")
    size = int.from_bytes(header[kind - 2 : kind], "big")
    made = av.Packet(size.to_bytes(4, "big") + header[kind : kind + size] + bytes(packet))
    made.is_keyframe = True
    return made


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
def test_an_avi_whose_size_was_never_filled_in_is_not_called_cut(files, tmp_path, size):
    data = files("plain.avi").read_bytes()
    path = tmp_path / "unfinished.avi"
    path.write_bytes(data[:4] + size.to_bytes(4, "little") + data[8:])
    index = scan(path)
    assert (len(index.pts), index.notes) == (COUNT, ())
