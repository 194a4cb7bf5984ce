"""datasets/ucf101.py: the official lists against a tree."""

import pytest

from helpers.source_trees import accepted, refused, snapshot, touch, write
from video_rs.lists.label_map import read_label_map
from video_rs.lists.records import VideoRecord, read_records
from video_rs.lists.sources.ucf101 import read_classes

CLASSES = "1 ApplyEyeMakeup", "2 HandstandPushups"
TRAIN = "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi 1", "HandstandPushups/v_HandStandPushups_g08_c01.avi 2"
TEST = "ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi", "HandstandPushups/v_HandStandPushups_g01_c02.avi"
FILES = (
    "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi",
    "HandstandPushups/v_HandstandPushups_g08_c01.avi",  # capitals as in some copies
    "ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi",
)


@pytest.fixture
def lists(tmp_path):
    return write_lists(tmp_path / "lists")


def write_lists(folder, classes=CLASSES, train=TRAIN, test=TEST, split=1):
    write(folder / "classInd.txt", *classes, "")
    write(folder / f"trainlist0{split}.txt", *train)
    write(folder / f"testlist0{split}.txt", *test)
    return folder


def test_tree(tmp_path, lists):
    videos, out = touch(tmp_path / "UCF-101", *FILES, "HandstandPushups/v_x.avi"), tmp_path / "out"
    lines = accepted("ucf101", videos, "--lists", lists, "--out", out, "--missing", out / "missing.txt")
    assert lines == [
        "train: 2 of 2 listed videos found (100.0 %)",
        "val: 1 of 2 listed videos found (50.0 %)",
        "missing most: HandstandPushups (1 of 2)",
        "found but not listed: 1 file (HandstandPushups/v_x.avi)",
        f"wrote {out}/labels.txt",
        f"wrote {out}/ucf101_split1.csv",
        f"wrote {out}/missing.txt",
        "note: 2 classes, where UCF101 has 101; are all its lists there?",
        "train with:",
        f"  video-rs train --cfg finetune/image_weights.yaml DATA.TRAIN_LIST {out}/ucf101_split1.csv "
        f"DATA.VAL_LIST {out}/ucf101_split1.csv DATA.LABEL_MAP {out}/labels.txt",
    ]
    assert (out / "missing.txt").read_text() == "v_HandStandPushups_g01_c02\n"
    names = read_label_map(str(out / "labels.txt"))
    assert names == ("ApplyEyeMakeup", "HandstandPushups")
    source = str(out / "ucf101_split1.csv")
    assert read_records(source, split="train", label_names=names).records == (
        VideoRecord(f"{videos}/{FILES[0]}", (0,), None, None, "v_ApplyEyeMakeup_g08_c01"),
        VideoRecord(f"{videos}/{FILES[1]}", (1,), None, None, "v_HandStandPushups_g08_c01"),
    )
    assert read_records(source, split="val", label_names=names).records == (
        VideoRecord(f"{videos}/{FILES[2]}", (0,), None, None, "v_ApplyEyeMakeup_g01_c01"),
    )


def test_flat_converted_tree_and_another_split(tmp_path):
    lists = write_lists(tmp_path / "lists", split=3)
    files = [f"{name.split('/')[1]}.mp4" for name in (*FILES, TEST[1])]
    out = tmp_path / "out"
    lines = accepted("ucf101", touch(tmp_path / "v", *files), "--lists", lists, "--split", 3, "--out", out)
    assert lines[:2] == [f"{split}: 2 of 2 listed videos found (100.0 %)" for split in ("train", "val")]
    assert len(read_records(str(out / "ucf101_split3.csv"))) == 4


def test_running_again_writes_nothing(tmp_path, lists):
    arguments = touch(tmp_path / "v", *FILES), "--lists", lists, "--out", tmp_path / "out"
    accepted("ucf101", *arguments)
    before = snapshot(tmp_path / "out")
    accepted("ucf101", *arguments)
    assert set(before) == {"ucf101_split1.csv", "labels.txt"}
    assert snapshot(tmp_path / "out") == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": ("1 A", "3 B")}, "classInd.txt, line 2: got '3 B', expected '2 NAME'; correct the line"),
        ({"classes": ("1",)}, "classInd.txt, line 1: got '1', expected '1 NAME'"),
        ({"classes": ()}, "classInd.txt is empty; give the folder ucfTrainTestlist"),
        ({"train": (TRAIN[0], "Swing/v.avi 1")}, "trainlist01.txt, line 2: got 'Swing/v.avi 1', expected CLASS/VIDEO"),
        ({"test": ("v.avi",)}, "testlist01.txt, line 1: got 'v.avi', expected CLASS/VIDEO with a class of classInd"),
        (
            {"train": ("ApplyEyeMakeup/v.avi 2",)},
            "trainlist01.txt, line 1: class number '2', but classInd.txt has 1 for ApplyEyeMakeup; take all lists from",
        ),
        ({"split": 2}, "trainlist01.txt does not exist; give the folder ucfTrainTestlist, with classInd.txt"),
    ],
)
def test_refusals(tmp_path, changes, message):
    lists = write_lists(tmp_path / "lists", **changes)
    videos = touch(tmp_path / "v", *FILES)
    assert message in refused("ucf101", videos, "--lists", lists, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_classes_with_the_line_ends_of_old_macs(tmp_path):
    """U+2028 ends no line."""
    (tmp_path / "classInd.txt").write_bytes("1 Apply\u2028Eye\r2 Bowling\r".encode())
    assert read_classes(str(tmp_path)) == ["Apply\u2028Eye", "Bowling"]
