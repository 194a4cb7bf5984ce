"""Videos that are no plain files: parts of shards, folders of frames, URLs."""

import sys
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image

from helpers.clips import clip_spec, train_transform
from helpers.videos import moving_square
from video_rs.data.dataset import ClipReader, VideoSource
from video_rs.lists.records import VideoRecord, read_records
from video_rs.runtime.errors import InputError
from video_rs.runtime.workers import in_workers
from video_rs.video import DecodeError, open_video
from video_rs.video.fetching import local_copy, register_handlers
from video_rs.video.probing.cache import Stamp
from video_rs.video.probing.probe import probe


def part(folder, name):
    with tarfile.open(folder / "shard.tar") as shard:
        member = shard.getmember(f"{name}.mp4")
    return f"{folder}/shard.tar#{member.offset_data}+{member.size}"


@pytest.mark.parametrize("name", ["a", "b"])
@pytest.mark.parametrize("decoder", ["pyav", "torchcodec"])
def test_a_video_in_a_shard_is_the_video(folder, name, decoder):
    if decoder == "torchcodec":
        pytest.importorskip("torchcodec")
    with open_video(part(folder, name), decoder) as inside, open_video(folder / f"{name}.mp4") as outside:
        assert inside.num_frames == outside.num_frames == 14
        assert inside.fps == outside.fps
        assert torch.equal(inside.frames([13, 0, 7]), outside.frames([13, 0, 7]))


def test_probing_a_part_sees_the_part(folder):
    inside, index = probe(part(folder, "b"), "all")
    outside, _ = probe(str(folder / "b.mp4"), "all")
    assert inside == outside
    assert len(index.pts) == 14
    assert inside.fingerprint != probe(part(folder, "a"))[0].fingerprint
    assert Stamp.of_file(part(folder, "a")) == Stamp.of_file(str(folder / "shard.tar"))


def test_a_list_may_name_parts(folder):
    (folder / "list.csv").write_text(f"path,label\n{part(folder, 'a').removeprefix(f'{folder}/')},x\n")
    [record] = read_records(folder / "list.csv").records
    assert record.path == part(folder, "a")


@pytest.mark.parametrize(
    ("path", "kind", "reason"),
    [
        ("gone.tar#5+5", "missing", "no such file"),
        ("shard.tar#0+0", "empty", "empty file"),
        ("shard.tar#1000+99999999", "truncated", "truncated: {folder}/shard.tar ends before the video does"),
        ("shard.tar#512+1000", "unreadable", "invalid data found when processing input"),
    ],
)
def test_a_part_that_is_not_there_is_refused(folder, path, kind, reason):
    with pytest.raises(DecodeError) as caught:
        open_video(folder / path)
    assert (caught.value.kind, caught.value.reason) == (kind, reason.format(folder=folder))


def test_decord_does_not_read_inside_archives(folder):
    pytest.importorskip("decord")
    with pytest.raises(DecodeError, match=r"decord cannot read inside an archive; use pyav$"):
        open_video(part(folder, "a"), "decord")


def test_a_file_may_be_called_like_a_part(folder, tmp_path):
    (tmp_path / "odd#1+2.mp4").write_bytes((folder / "a.mp4").read_bytes())
    with open_video(tmp_path / "odd#1+2.mp4") as video:
        assert video.num_frames == 14


@pytest.fixture
def pictures(tmp_path):
    """A folder of 12 frames, whose names sort otherwise than their numbers."""
    frames = moving_square(3, frames=12)
    folder = tmp_path / "train" / "wave" / "clip"
    folder.mkdir(parents=True)
    for i, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / f"img_{i + 1}.png")
    (folder / ".img_99.png").write_text("hidden")
    (folder / "notes.txt").write_text("no frame")
    return folder, frames


@pytest.mark.parametrize("decoder", ["auto", "pyav", "decord", "torchcodec"])
def test_a_folder_of_frames_is_a_video(pictures, decoder):
    if decoder != "auto":
        pytest.importorskip({"pyav": "av"}.get(decoder, decoder))
    folder, frames = pictures
    with open_video(folder, decoder) as video:
        assert (video.num_frames, video.fps, video.height, video.width) == (12, 30.0, 48, 48)
        assert np.array_equal(video.frames([11, 0, 1, 11]).numpy(), frames[[11, 0, 1, 11]])
        assert video.frames([]).shape == (0, 48, 48, 3)
        with pytest.raises(ValueError, match="frame index 12 is out of range"):
            video.frames([12])


def test_class_folders_of_frame_folders_are_a_data_set(pictures, tmp_path):
    records = read_records(tmp_path, split="train")
    assert [r.path for r in records.records] == [str(pictures[0])]
    assert records.label_names == ("wave",)
    source, clip = VideoSource(), clip_spec(4, 2)
    [sample] = ClipReader(clip, train_transform(crop_size=16), source, 0)(records.records[0], 0, 0)
    assert sample.clip.shape == (3, 4, 16, 16)


def test_grey_and_jpeg_frames_come_as_rgb(tmp_path):
    Image.fromarray(np.full((20, 30), 77, np.uint8)).save(tmp_path / "0001.png")
    Image.fromarray(np.full((20, 30, 3), 77, np.uint8)).save(tmp_path / "0002.JPG", quality=95)
    with open_video(tmp_path) as video:
        assert video.frames([0, 1]).unique().tolist() == [77]


def test_folders_that_are_no_video_are_refused(pictures, tmp_path):
    folder, _ = pictures
    with pytest.raises(DecodeError) as caught:
        open_video(tmp_path)
    assert caught.value.kind == "empty"
    assert caught.value.reason == "a folder without frames (.jpg, .jpeg, .png, .webp)"
    Image.fromarray(np.zeros((9, 7, 3), np.uint8)).save(folder / "img_5.png")
    (folder / "img_6.png").write_bytes(b"no picture")
    with open_video(folder) as video:
        with pytest.raises(DecodeError) as size:
            video.frames([3, 4])
        assert (size.value.kind, size.value.reason) == ("damaged", "frame img_5.png is 9x7, not 48x48 as the first")
        with pytest.raises(DecodeError, match=r"frame img_6.png: "):
            video.frames([5])


def test_a_folder_is_probed_like_a_file(pictures):
    facts, index = probe(str(pictures[0]), "all")
    assert (facts.kind, facts.frames, facts.fps, facts.height, facts.codec) == ("ok", 12, 30.0, 48, "images")
    assert index is None
    (pictures[0] / "img_7.png").write_bytes(b"")
    assert probe(str(pictures[0]), "all")[0].kind == "damaged"


def test_lists_and_videos_may_be_urls(folder, server):
    (folder / "web.csv").write_text("path,label\na.mp4,x\ngone.mp4,y\n")
    records = read_records(f"{server}/web.csv").records
    assert [r.path for r in records] == [f"{server}/a.mp4", f"{server}/gone.mp4"]
    with open_video(records[0].path) as far, open_video(folder / "a.mp4") as near:
        assert torch.equal(far.frames([0, 13]), near.frames([0, 13]))
    with pytest.raises(DecodeError, match=r"cannot be fetched: HTTP Error 404: File not found$") as caught:
        open_video(records[1].path)
    assert caught.value.kind == "missing"


def test_a_shard_behind_a_url_is_fetched_once(folder, server, monkeypatch):
    """Also where a list names its parts."""
    from video_rs.video import fetching

    fetched, fetch = [], fetching.local_copy
    monkeypatch.setattr(fetching, "local_copy", lambda url: fetched.append(url) or fetch(url))
    names = [part(folder, name).removeprefix(f"{folder}/") for name in "ab"]
    (folder / "parts.csv").write_text("path,label\n" + "".join(f"{name},x\n" for name in names))
    for name, record in zip("ab", read_records(f"{server}/parts.csv").records, strict=True):
        with open_video(record.path) as far, open_video(folder / f"{name}.mp4") as near:
            assert torch.equal(far.frames([0, 13]), near.frames([0, 13]))
    assert fetched == [f"{server}/shard.tar"] * 2
    with pytest.raises(DecodeError, match=r"cannot be fetched: HTTP Error 404: File not found$") as caught:
        open_video(f"{server}/gone.tar#5+5")
    assert caught.value.kind == "missing"
    with pytest.raises(DecodeError, match=r"ends before the video does$"):
        open_video(f"{server}/shard.tar#1000+99999999")


def test_a_handler_of_ones_own_works_in_worker_processes(folder, monkeypatch):
    monkeypatch.setenv("ATTIC", str(folder))
    record = VideoRecord("attic://a.mp4", (0,), None, None, "a")
    read = ClipReader(
        clip_spec(4, 2), train_transform(crop_size=16), VideoSource(path_handlers=("helpers.attic:Attic",)), 0
    )
    [[far]] = in_workers(read, [(record, 0, 0)], processes=1, time_limit=30, ahead=1)
    [near] = read(VideoRecord(str(folder / "a.mp4"), (0,), None, None, "a"), 0, 0)
    assert far.error is None
    assert torch.equal(far.clip, near.clip)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("nowhere:Handler", "'nowhere:Handler' cannot be made (No module named 'nowhere'); write module:Class, "),
        ("os:Nothing", "'os:Nothing' cannot be made (module 'os' has no attribute 'Nothing'); write module:Class, "),
        ("builtins:dict", "'builtins:dict' is no iopath PathHandler; derive it from that class"),
    ],
)
def test_a_handler_that_is_none_is_refused(name, reason):
    with pytest.raises(InputError) as caught:
        register_handlers([name])
    assert str(caught.value).startswith(f"path handler {reason}")


def test_an_unknown_protocol_names_the_option_and_the_key():
    with pytest.raises(DecodeError) as caught:
        open_video("nothing://a.mp4")
    assert caught.value.reason == "no handler knows nothing://; name one (--path-handlers, DATA.PATH_HANDLERS)"
    assert "nowhere" not in sys.modules


def test_file_urls(folder):
    assert local_copy(f"file://{folder}/a%20b.mp4") == f"{folder}/a b.mp4"
    with open_video(f"file://{folder}/a.mp4") as reader:
        assert reader.num_frames == 14


def test_a_list_in_a_file_url_has_paths_not_urls(folder):
    (folder / "a#1 50%25.mp4").write_bytes((folder / "a.mp4").read_bytes())
    (folder / "odd.csv").write_text("path,label\na#1 50%25.mp4,x\n")
    [record] = read_records(f"file://{folder}/odd.csv").records
    assert record.path == f"{folder}/a#1 50%25.mp4"
    assert read_records(f"{folder}/odd.csv", root=f"file://{folder}").records[0].path == record.path
