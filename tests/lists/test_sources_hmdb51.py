"""datasets/hmdb51.py: the official split files against a tree."""

import pytest

from helpers.source_trees import accepted, refused, snapshot, touch, write
from video_rs.lists.records import VideoRecord, read_records
from video_rs.lists.sources.hmdb51 import read_lists

HAIR = "April_09_brush_hair_u_nm_np1_ba_goo_0.avi 1 ", "#20_Rhythm! of_brush_goo_1.avi 2 ", "unused_brush_0.avi 0 "
WAVE = "a_wave_f_cm_np1_fr_med_0.avi 2 ", "b_wave.avi 1 "
FILES = (
    "brush_hair/April_09_brush_hair_u_nm_np1_ba_goo_0.avi",
    "brush_hair/#20_Rhythm_ of_brush_goo_1.mp4",  # a character that some systems do not allow was replaced
    "brush_hair/unused_brush_0.avi",
    "wave/a_wave_f_cm_np1_fr_med_0.avi",
)


@pytest.fixture
def lists(tmp_path):
    write(tmp_path / "lists" / "brush_hair_test_split2.txt", *HAIR)
    write(tmp_path / "lists" / "wave_test_split2.txt", *WAVE)
    write(tmp_path / "lists" / "wave_test_split1.txt", "other.avi 1")
    return tmp_path / "lists"


def test_tree(tmp_path, lists):
    videos, out = touch(tmp_path / "hmdb51_org", *FILES, "wave/new.avi"), tmp_path / "out"
    missing = tmp_path / "missing.txt"
    lines = accepted("hmdb51", videos, "--lists", lists, "--split", 2, "--out", out, "--missing", missing)
    assert lines == [
        "train: 1 of 2 listed videos found (50.0 %)",
        "val: 2 of 2 listed videos found (100.0 %)",
        "missing most: wave (1 of 2)",
        "not used by this split: 1 listed videos",
        "found but not listed: 1 file (wave/new.avi)",
        f"wrote {out}/labels.txt",
        f"wrote {out}/hmdb51_split2.csv",
        f"wrote {missing}",
        "note: 2 classes, where HMDB51 has 51; are all its lists there?",
        "train with:",
        f"  video-rs train --cfg finetune/image_weights.yaml DATA.TRAIN_LIST {out}/hmdb51_split2.csv "
        f"DATA.VAL_LIST {out}/hmdb51_split2.csv DATA.LABEL_MAP {out}/labels.txt",
    ]
    assert missing.read_text() == "wave/b_wave\n"
    assert (out / "labels.txt").read_text() == "brush_hair\nwave\n"
    names = ("brush_hair", "wave")
    source = str(out / "hmdb51_split2.csv")
    assert read_records(source, split="train", label_names=names).records == (
        VideoRecord(f"{videos}/{FILES[0]}", (0,), None, None, "brush_hair/April_09_brush_hair_u_nm_np1_ba_goo_0"),
    )
    assert read_records(source, split="val", label_names=names).records == (
        VideoRecord(f"{videos}/{FILES[1]}", (0,), None, None, "brush_hair/#20_Rhythm! of_brush_goo_1"),
        VideoRecord(f"{videos}/{FILES[3]}", (1,), None, None, "wave/a_wave_f_cm_np1_fr_med_0"),
    )


def test_running_again_writes_nothing(tmp_path, lists):
    arguments = touch(tmp_path / "v", *FILES), "--lists", lists, "--split", 2, "--out", tmp_path / "out"
    accepted("hmdb51", *arguments)
    before = snapshot(tmp_path / "out")
    accepted("hmdb51", *arguments)
    assert set(before) == {"hmdb51_split2.csv", "labels.txt"}
    assert snapshot(tmp_path / "out") == before


@pytest.mark.parametrize("line", ["a.avi 3", "a.avi", "1"])
def test_bad_lines(tmp_path, line):
    path = write(tmp_path / "wave_test_split1.txt", "b.avi 1", "", line)
    got = refused("hmdb51", touch(tmp_path / "v", "b.avi"), "--lists", tmp_path, "--out", tmp_path / "out")
    assert got == (
        f"{path}, line 3: got '{line}', expected 'NAME.avi CODE' with the code 1 (train), 2 (test) or 0 (not used); "
        "correct the line"
    )


@pytest.mark.parametrize("folder", ["none", "v"])
def test_no_lists(tmp_path, folder):
    videos = touch(tmp_path / "v", "b.avi")
    got = refused("hmdb51", videos, "--lists", tmp_path / folder, "--split", 3)
    assert got == (
        f"{tmp_path / folder} has no files *_test_split3.txt; give the folder testTrainMulti_7030_splits, with files "
        "like brush_hair_test_split1.txt"
    )


def test_a_list_with_the_line_ends_of_old_macs(tmp_path):
    """U+2028 ends no line."""
    path = tmp_path / "wave_test_split1.txt"
    path.write_bytes("a\u2028b.avi 1\rc.avi 2\r".encode())
    videos, _ = read_lists(str(tmp_path), 1)
    assert [(video.id, video.split) for video in videos] == [("wave/a\u2028b", "train"), ("wave/c", "val")]
