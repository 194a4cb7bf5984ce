"""Facts of real files, and the cache that keeps them with their frame index."""

import contextlib
import os
import pickle
import sqlite3
from fractions import Fraction

import av
import numpy as np
import pytest
import torch

from helpers.clips import clip_spec, eval_transform, train_transform
from helpers.videos import moving_square
from video_rs.data import dataset
from video_rs.data.dataset import ClipReader, VideoSource, ViewReader
from video_rs.data.preprocessing import Preprocessing
from video_rs.lists.records import VideoRecord
from video_rs.runtime.errors import InputError
from video_rs.video import open_video
from video_rs.video.encoding import write_video
from video_rs.video.errors import DecodeError
from video_rs.video.index import scan_cache
from video_rs.video.index.frame_index import FrameIndex, Note
from video_rs.video.index.packet_scan import scan
from video_rs.video.index.packet_table import UNKNOWN
from video_rs.video.location import Stamp
from video_rs.video.probing import stills as stills_module
from video_rs.video.probing.cache import ProbeCache, ProbedFile, cached_index, stills_with_cache
from video_rs.video.probing.probe import Probe, probe
from video_rs.video.probing.stills import stills


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """30 frames of 48 x 64 at 10 per second, a key frame every 12."""
    path = tmp_path_factory.mktemp("probed") / "video.mp4"
    frames = np.pad(moving_square(0, frames=30), ((0, 0), (0, 0), (0, 16), (0, 0)))
    write_video(path, frames, fps=10, options={"sc_threshold": "0"})
    return str(path)


def uneven(path, times, sample_aspect=None):
    """Frames at the given times in tenths of a second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"bf": "0"})
        stream.width = stream.height = 48
        stream.pix_fmt = "yuv420p"
        if sample_aspect:
            stream.codec_context.sample_aspect_ratio = sample_aspect
        for time, picture in zip(times, moving_square(1, frames=len(times)), strict=True):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return str(path)


@pytest.mark.parametrize("depth", ["ends", "all"])
def test_facts_of_a_sound_file(video, depth):
    facts, index = probe(video, depth)
    assert facts == Probe(
        kind="ok",
        reason="",
        depth=depth,
        fingerprint=facts.fingerprint,
        frames=30,
        fps=10.0,
        height=48,
        width=64,
        codec="h264",
        container="mov,mp4,m4a,3gp,3g2,mj2",
        pixel_format="yuv420p",
        header_frames=30,
        quarter_turns=0,
        mirrored=False,
        other_angle=0.0,
        interlaced=False,
        hdr="",
        sample_aspect=1.0,
        variable_rate=False,
        key_interval=12,
        notes=(),
    )
    assert np.flatnonzero(index.key).tolist() == [0, 12, 24]


def test_variable_rate_and_pixel_aspect(tmp_path):
    even, _ = probe(uneven(tmp_path / "even.mp4", range(8)))
    facts, _ = probe(uneven(tmp_path / "uneven.mp4", [0, 1, 2, 6, 7, 8, 12, 13], Fraction(4, 3)))
    assert (even.variable_rate, even.sample_aspect) == (False, 1.0)
    assert (facts.variable_rate, facts.sample_aspect) == (True, pytest.approx(4 / 3))
    assert facts.fps == pytest.approx(7 / 1.3)


def test_what_is_wrong_has_a_kind(video, tmp_path):
    def kind(data, depth="ends"):
        path = tmp_path / "broken.mp4"
        path.write_bytes(data)
        facts, index = probe(str(path), depth)
        assert index is None
        return facts.kind, facts.reason

    with open(video, "rb") as file:
        whole = file.read()
    packets = scan(video)
    assert probe(str(tmp_path / "gone.mp4"))[0] == Probe("missing", "no such file")
    assert kind(b"") == ("empty", "empty file")
    assert kind(b"no video" * 20) == ("unreadable", "invalid data found when processing input")
    with av.open(video) as container:
        entry = container.streams.video[0].index_entries[15]
        at, end = entry.pos, entry.pos + entry.size  # now: an entry points into the open container
    # The index of this file stands at its end: without it, nothing opens.
    assert kind(whole[:at])[0] == "unreadable"
    # A frame in the middle is lost: only a full decode sees it.
    lost = whole[: at + 4] + bytes(end - at - 4) + whole[end:]
    (tmp_path / "lost.mp4").write_bytes(lost)
    assert probe(str(tmp_path / "lost.mp4"), "ends")[0].kind == "ok"
    found, reason = kind(lost, "all")
    assert found == "damaged"
    assert reason.startswith("frame ")
    assert reason.split(" of 30")[0].removeprefix("frame ") in {"12", "13", "14", "15", "16", "17"}
    assert len(packets.pts) == 30


def test_a_truncated_file_keeps_its_kind_over_a_pickle(tmp_path, video):
    with (
        av.open(video) as container,
        av.open(str(tmp_path / "fast.mp4"), "w", options={"movflags": "faststart"}) as out,
    ):
        source = container.streams.video[0]
        target = out.add_stream_from_template(source)
        for packet in container.demux(source):
            if packet.size:
                packet.stream = target
                out.mux(packet)
    data = (tmp_path / "fast.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) - 2000])
    facts, _ = probe(str(tmp_path / "cut.mp4"))
    assert facts.kind == "truncated"
    with pytest.raises(DecodeError) as caught:
        open_video(tmp_path / "cut.mp4")
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.kind, again.reason, again.path) == ("truncated", facts.reason, str(tmp_path / "cut.mp4"))


def test_equal_content_has_an_equal_fingerprint(video, tmp_path):
    with open(video, "rb") as file:
        whole = file.read()
    (tmp_path / "copy.mp4").write_bytes(whole)
    (tmp_path / "other.mp4").write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    prints = [probe(str(path))[0].fingerprint for path in (video, tmp_path / "copy.mp4", tmp_path / "other.mp4")]
    assert prints[0] == prints[1] != prints[2]


def test_stills_are_the_first_middle_and_last_frame(video, tmp_path):
    with open_video(video) as reader:
        assert np.array_equal(stills(video)[0], reader.frames([0, 15, 29]).numpy())
    assert stills(str(tmp_path / "gone.mp4"))[0].shape == (0, 1, 1, 3)


def stored(path, video, depth="ends"):
    facts, index = probe(video, depth)
    with ProbeCache(path) as cache:
        cache.store([ProbedFile(video, Stamp.of_file(video), facts, index)])
    return facts, index


def assert_same_index(one, other):
    for name in ("pts", "packets", "key", "key_packets"):
        ours, theirs = getattr(one, name), getattr(other, name)
        assert np.array_equal(ours, theirs), name
        assert ours.dtype == theirs.dtype, name
    for name in ("time_base", "fps", "stream", "addressable", "counted", "notes"):
        assert getattr(one, name) == getattr(other, name)


def test_what_is_stored_is_found_until_the_file_changes(video, tmp_path):
    path = tmp_path / "probes.sqlite"
    facts, index = stored(path, video)
    with ProbeCache(path, read_only=True) as cache:
        row = cache.find(video, Stamp.of_file(video))
        assert row.probe == facts
        assert_same_index(row.index, index)
        assert_same_index(cache.index(video), index)
        size, changed = Stamp.of_file(video)
        assert cache.find(video, Stamp(size + 1, changed)) is None
        assert cache.find(video, Stamp(size, changed + 1)) is None
        assert cache.find("/elsewhere.mp4", Stamp(size, changed)) is None
        assert cache.index(str(tmp_path / "gone.mp4")) is None
    assert_same_index(cached_index(str(path), video), index)
    assert cached_index("", video) is None


def test_a_later_probe_replaces_an_earlier_one(video, tmp_path):
    stored(tmp_path / "probes.sqlite", video)
    facts, _ = stored(tmp_path / "probes.sqlite", video, "all")
    with ProbeCache(tmp_path / "probes.sqlite") as cache:
        assert cache.find(video, Stamp.of_file(video)).probe == facts


def test_an_index_of_uneven_times_and_negative_start_comes_back(tmp_path):
    pts = np.array([-(2**40), -3, 0, 7, 2**50], np.int64)
    index = FrameIndex(
        pts=pts,
        packets=np.array([0, 3, 1, 2, 7]),
        key=np.array([1, 0, 0, 1, 0], bool),
        key_packets=np.array([[0, -(2**40), UNKNOWN, UNKNOWN, 99, UNKNOWN, 0, 1], [2, 7, 5, 2**40, 1, 8, 2**30, 4]]),
        time_base=Fraction(1001, 30000),
        fps=29.97,
        stream=3,
        addressable=False,
        counted=True,
        notes=(Note("cut", "9 of 12 bytes are there"),),
    )
    with ProbeCache(tmp_path / "probes.sqlite") as cache:
        cache.store(
            [ProbedFile("/a.mp4", Stamp(1, 2), Probe(), index), ProbedFile("/b.mp4", Stamp(1, 2), Probe("empty"), None)]
        )
        assert_same_index(cache.find("/a.mp4", Stamp(1, 2)).index, index)
        assert cache.find("/b.mp4", Stamp(1, 2)).index is None


@pytest.mark.parametrize("decoder", ["auto", "torchcodec"])
def test_a_known_file_is_read_without_a_scan_and_gives_the_same_pixels(video, tmp_path, monkeypatch, decoder):
    if decoder == "torchcodec":
        pytest.importorskip("torchcodec")
    path = str(tmp_path / "probes.sqlite")
    stored(path, video)
    record = VideoRecord(video, (1,), None, None, "id")
    preprocessing = Preprocessing(clip_spec(4, 3), 2, eval_transform(16, 16, 1), (0,) * 3, (1,) * 3)
    transform = train_transform(crop_size=16)
    [clip] = ClipReader(clip_spec(4, 3), transform, VideoSource(decoder), 0)(record, 0, 0)
    views = ViewReader(preprocessing, VideoSource(decoder))(record, 0)
    monkeypatch.setattr(scan_cache, "scan", lambda _: pytest.fail("its index is known"))
    [known] = ClipReader(clip_spec(4, 3), transform, VideoSource(decoder, path), 0)(record, 0, 0)
    assert torch.equal(known.clip, clip.clip)
    assert torch.equal(ViewReader(preprocessing, VideoSource(decoder, path))(record, 0).frames, views.frames)
    assert dataset.cached_index is cached_index


def test_a_file_name_that_is_no_text_is_kept_like_any_other(video, tmp_path):
    name = os.path.join(os.fsencode(tmp_path), b"caf\xe9.mp4")
    with open(video, "rb") as source, open(name, "wb") as target:
        target.write(source.read())
    path = os.fsdecode(name)
    facts, index = probe(path, "ends")
    with ProbeCache(tmp_path / "probes.sqlite") as cache:
        cache.store([ProbedFile(path, Stamp.of_file(path), facts, index)])
        assert cache.find(path, Stamp.of_file(path)).probe == facts
        assert len(cache.index(path).pts) == 30


def test_what_sqlite_refuses_is_one_line(video, tmp_path):
    path = tmp_path / "probes.sqlite"
    facts, index = probe(video, "ends")
    row = ProbedFile(video, Stamp.of_file(video), facts, index)
    with ProbeCache(path) as cache:
        cache.store([row])
    size = path.stat().st_size
    with open(path, "r+b") as file:
        file.seek(size // 2)
        file.write(b"x" * (size - size // 2))
    with pytest.raises(InputError, match=rf"^cannot use the probe cache {path}: database disk image is malformed; "):
        cached_index(str(path), video)


def test_a_cache_that_may_not_be_written_is_read(video, tmp_path):
    """What is stored goes nowhere, and the cache says that."""
    path = tmp_path / "probes.sqlite"
    facts, index = probe(video, "ends")
    row = ProbedFile(video, Stamp.of_file(video), facts, index)
    with ProbeCache(path) as cache:
        cache.store([row])
        assert cache.is_kept
    before = path.read_bytes()
    with ProbeCache(path, read_only=True) as cache:
        cache.store([row._replace(path="/other.mp4")])
        assert not cache.is_kept
        cache.store([row._replace(path="/other.mp4")])
        assert cache.find(video, Stamp.of_file(video)).probe == facts
        assert cache.index(video).fps == index.fps
    assert path.read_bytes() == before


def test_stills_of_many_segments_open_the_file_once_and_scan_nothing(video, tmp_path, monkeypatch):
    path = tmp_path / "probes.sqlite"
    facts, index = probe(video, "ends")
    with ProbeCache(path) as cache:
        cache.store([ProbedFile(video, Stamp.of_file(video), facts, index)])
    with open_video(video) as reader:
        wanted = [reader.frames(numbers).numpy() for numbers in ([0, 15, 29], [10, 15, 19], [29], [0, 15, 29])]
    opened = []
    monkeypatch.setattr(stills_module, "open_video", lambda *a, **k: opened.append(k["index"]) or open_video(*a, **k))
    monkeypatch.setattr(scan_cache, "scan", lambda _: pytest.fail("its index is known"))
    fps = index.fps
    segments = [(None, None), (10 / fps, 20 / fps), (29 / fps, None), (100.0, 200.0)]
    shown = stills_with_cache(video, segments, str(path))
    assert len(opened) == 1
    assert all(np.array_equal(got, expected) for got, expected in zip(shown, wanted, strict=True))


def test_a_file_that_is_no_cache_is_refused(tmp_path):
    (tmp_path / "text").write_text("not a database, but long enough to be taken for one" * 100)
    with pytest.raises(InputError) as caught:
        ProbeCache(tmp_path / "text")
    assert str(caught.value) == (
        f"cannot open the probe cache {tmp_path}/text: file is not a database; remove it or name another with --cache"
    )


def test_a_cache_of_another_version_is_refused(tmp_path):
    path = tmp_path / "old?.sqlite"  # a name with a meaning in a URI
    ProbeCache(path).close()
    assert os.listdir(tmp_path) == ["old?.sqlite"]
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 9")
    for read_only in (False, True):
        with pytest.raises(InputError) as caught:
            ProbeCache(path, read_only)
        assert str(caught.value) == (
            f"{path} is no probe cache of this version (format 9, not 3); remove it and probe anew"
        )


def test_another_database_is_left_alone(tmp_path):
    path = tmp_path / "users.sqlite"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE users (name TEXT)")
    database.close()
    before = path.read_bytes()
    for read_only in (False, True):
        with pytest.raises(InputError) as caught:
            ProbeCache(path, read_only)
        assert str(caught.value) == (
            f"{path} is another program's database, which is left as it is; name another file with --cache"
        )
    assert path.read_bytes() == before


def test_a_new_cache_has_its_table_and_its_version_at_once(tmp_path, monkeypatch):
    """Another process may look in between, or this one be killed there."""
    path = tmp_path / "probes.sqlite"
    seen = []

    class Watched(sqlite3.Connection):
        def execute(self, *statement):
            result = super().execute(*statement)
            with contextlib.closing(connect(path)) as other:
                version = other.execute("PRAGMA user_version").fetchone()[0]
                seen.append((version, other.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] > 0))
            return result

    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: connect(*a, **k, factory=Watched))
    ProbeCache(path).close()
    assert set(seen) == {(0, False), (3, True)}
