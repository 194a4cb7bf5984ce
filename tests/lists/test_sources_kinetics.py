"""datasets/kinetics.py: official CSVs against the trees that people have."""

import pytest

from helpers.source_trees import accepted, refused, snapshot, touch, write
from video_rs.lists.label_map import read_label_map
from video_rs.lists.records import VideoRecord, read_records
from video_rs.lists.sources.kinetics import class_names, listed_videos, read_segments
from video_rs.runtime.errors import InputError

HEADER = "label,youtube_id,time_start,time_end,split,is_cc"
A, B, C, D = "--abcDEF_12", "AB_0000_010", "xyzxyzxyz-_", "missing_one"
TRAIN = (HEADER, f"shooting goal (soccer),{A},10,20,train,0", f"abseiling,{B},0,10,train,1")
VAL = (HEADER, f'"massaging person\'s head",{C},125,135,validate,0', f"abseiling,{D},7,17,val,0")


@pytest.fixture
def csvs(tmp_path):
    return write(tmp_path / "train.csv", *TRAIN), write(tmp_path / "validate.csv", *VAL)


def prepare(videos, csvs, out, *more, classes=400):
    return accepted("kinetics", videos, "--classes", classes, "--csv", *csvs, "--out", out, *more)


TREES = {
    "CVDF": (
        f"train/shooting goal (soccer)/{A}_000010_000020.mp4",
        f"train/abseiling/{B}_000000_000010.mp4",
        f"val/massaging person's head/{C}_000125_000135.mp4",
    ),
    "underscores": (f"train/shooting_goal_(soccer)/{A}.mkv", f"train/abseiling/{B}.webm", f"val/massaging_x/{C}.mp4"),
    "replaced": (
        f"train_256/shooting_goal_soccer/{A}_10_20.avi",
        f"train_256/abseiling/{B}_0_10.avi",
        f"val_256/massaging_persons_head/{C}_125_135.mp4",
    ),
    "flat": (f"{A}.mp4", f"{B}.mp4.webm", f"{C}_000125_000135.MP4"),
}


@pytest.mark.parametrize("tree", TREES)
def test_trees(tmp_path, csvs, tree):
    videos = touch(tmp_path / "v", *TREES[tree])
    lines = prepare(videos, csvs, tmp_path / "out")
    names = read_label_map(str(tmp_path / "out" / "labels.txt"))
    assert len(names) == 400
    ids = f"{A}_000010_000020", f"{B}_000000_000010", f"{C}_000125_000135"
    labels = [names.index(x) for x in ("shooting goal (soccer)", "abseiling", "massaging person's head")]
    expected = [
        VideoRecord(f"{videos}/{path}", (label,), None, None, name)
        for path, label, name in zip(TREES[tree], labels, ids, strict=True)
    ]
    source = str(tmp_path / "out" / "kinetics400.csv")
    assert list(read_records(source, split="train", label_names=names, num_classes=400).records) == expected[:2]
    assert list(read_records(source, split="val", label_names=names).records) == expected[2:]
    assert lines[:3] == [
        "train: 2 of 2 listed videos found (100.0 %)",
        "val: 1 of 2 listed videos found (50.0 %)",
        "missing most: abseiling (1 of 2)",
    ]
    assert lines[4] == f"wrote {source}"


def test_list_missing_and_command_literal(tmp_path, csvs):
    videos = touch(tmp_path / "out" / "v", *TREES["CVDF"], "train/abseiling/unknown_one.mp4")
    lines = prepare(videos, csvs, tmp_path / "out", "--missing", tmp_path / "missing.txt")
    out = tmp_path / "out"
    assert (out / "kinetics400.csv").read_text() == (
        "path,label,split,id\n"
        f"v/train/shooting goal (soccer)/{A}_000010_000020.mp4,shooting goal (soccer),train,{A}_000010_000020\n"
        f"v/train/abseiling/{B}_000000_000010.mp4,abseiling,train,{B}_000000_000010\n"
        f"v/val/massaging person's head/{C}_000125_000135.mp4,massaging person's head,val,{C}_000125_000135\n"
    )
    assert (tmp_path / "missing.txt").read_text() == f"{D}_000007_000017\n"
    assert lines[3:] == [
        "found but not listed: 1 file (train/abseiling/unknown_one.mp4)",
        f"wrote {out}/labels.txt",
        f"wrote {out}/kinetics400.csv",
        f"wrote {tmp_path}/missing.txt",
        "train with:",
        f"  video-rs train --cfg kinetics_rs.yaml DATA.TRAIN_LIST {out}/kinetics400.csv "
        f"DATA.VAL_LIST {out}/kinetics400.csv DATA.LABEL_MAP {out}/labels.txt MODEL.NUM_CLASSES 400",
    ]


def test_running_again_writes_nothing_until_a_video_comes(tmp_path, csvs):
    videos, out = touch(tmp_path / "v", *TREES["flat"][:2]), tmp_path / "out"
    prepare(videos, csvs, out, "--missing", out / "missing.txt")
    before = snapshot(out)
    lines = prepare(videos, csvs, out, "--missing", out / "missing.txt")
    assert snapshot(out) == before
    assert set(before) == {"kinetics400.csv", "labels.txt", "missing.txt"}
    assert f"unchanged: {out}/kinetics400.csv" in lines
    touch(tmp_path / "v", TREES["flat"][2])
    prepare(videos, csvs, out, "--missing", out / "missing.txt")
    after = snapshot(out)
    assert {name for name in before if after[name] != before[name]} == {"kinetics400.csv", "missing.txt"}


def test_untrimmed_videos_keep_their_segments(tmp_path):
    rows = f"abseiling,{A},1,2,train,0", f"abseiling,{A},0,1,train,0", f"abseiling,{B},3,4,train,0"
    csv = write(tmp_path / "train.csv", HEADER, *rows)
    videos = touch(tmp_path / "v", f"{A}.mp4", f"{B}_000003_000004.mp4")
    prepare(videos, [csv], tmp_path / "out", "--untrimmed")
    got = read_records(str(tmp_path / "out" / "kinetics400.csv"), split="train")
    assert [(r.path, r.start, r.end, r.id) for r in got.records] == [
        (f"{videos}/{A}.mp4", 1.0, 2.0, f"{A}_000001_000002"),
        (f"{videos}/{A}.mp4", 0.0, 1.0, f"{A}_000000_000001"),
        (f"{videos}/{B}_000003_000004.mp4", None, None, f"{B}_000003_000004"),
    ]
    lines = prepare(videos, [csv], tmp_path / "trimmed")  # taken as cut, the file is one of the two, but which?
    assert lines[0] == "train: 1 of 3 listed videos found (33.3 %)"
    assert "left out: 2 listed videos whose only file is another one's too" in lines


def test_the_400_names_are_those_of_published_checkpoints():
    names = class_names([], 400)
    assert len(set(names)) == 400
    assert names == sorted(names)
    assert (names[0], names[-1]) == ("abseiling", "zumba")
    assert "passing American football (not in game)" in names


def test_600_and_700_names_come_from_the_train_rows(tmp_path):
    rows = "zumba,a,0,10,train", "Yoga,b,0,10,train", "passing American football,c,0,10,train"
    csv = write(tmp_path / "t.csv", HEADER[:-6], *rows, "passing american football,d,1.0,11.0,test")
    segments = read_segments([csv])
    names = class_names(segments, 600)
    assert names == ["Yoga", "passing American football", "zumba"]
    listed = listed_videos(segments, names, 600, untrimmed=False)
    assert (listed[3].label, listed[3].split) == ("passing American football", "test")
    assert listed[3].stems == ("d_000001_000011", "d_1_11", "d")
    lines = prepare(touch(tmp_path / "v", "a.mp4"), [csv], tmp_path / "out", classes=700)
    assert (tmp_path / "out" / "labels.txt").read_text() == "Yoga\npassing American football\nzumba\n"
    assert "note: 3 classes, where Kinetics-700 has 700; are all its lists there?" in lines
    assert lines[-1].endswith("MODEL.NUM_CLASSES 3")


def test_a_spelling_comes_once_among_the_names(tmp_path):
    rows = "b (c),1,0,10,train", "B c,2,0,10,train", "a,3,0,10,train"
    assert class_names(read_segments([write(tmp_path / "t.csv", HEADER[:-6], *rows)]), 600) == ["B c", "a"]


def test_a_test_csv_without_labels(tmp_path):
    csvs = (
        write(tmp_path / "train.csv", HEADER, f"yoga,{A},0,10,train,0"),
        write(tmp_path / "test.csv", "youtube_id,time_start,time_end,split", f"{B},0,10,test"),
    )
    prepare(touch(tmp_path / "v", f"{A}.mp4", f"{B}.mp4"), csvs, tmp_path / "out")
    source = str(tmp_path / "out" / "kinetics400.csv")
    (record,) = read_records(source, split="test", require_labels=False).records
    assert (record.id, record.labels) == (f"{B}_000000_000010", ())
    assert len(read_records(source, split="train")) == 1


def test_rows_given_twice_count_once(tmp_path, csvs):
    lines = prepare(touch(tmp_path / "v", *TREES["flat"]), (csvs[0], csvs[0]), tmp_path / "out")
    assert lines[0] == "train: 2 of 2 listed videos found (100.0 %)"


ROW = "yoga,a,0,10,train"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            ("label,youtube_id,time_start,split",),
            "no column 'time_end' in the header (label,youtube_id,time_start,split)",
        ),
        ((), "no column 'youtube_id' in the header (); give an official CSV"),
        ((HEADER, ROW, "yoga,a,ten,20,train"), "line 3: time_start 'ten', expected seconds from 0; correct it"),
        ((HEADER, "yoga,a,-1,20,train"), "line 2: time_start '-1', expected seconds from 0"),
        ((HEADER, "yoga,a,0,,train"), "line 2: time_end '', expected seconds from 0"),
        ((HEADER, "yoga,a,10,10,train"), "line 2: time_end 10 is not after time_start 10; correct the line"),
        (
            (HEADER, "yoga,a,0,10,dev"),
            "line 2: split 'dev', allowed: train, training, val, valid, validate, validation, test, testing; correct",
        ),
        ((HEADER, "yoga,a,0"), "line 2: split '', allowed"),
        ((HEADER, "yoga,,0,10,train"), "line 2: no youtube_id; fill it in or remove the line"),
        (('"' + "x" * 200_000,), "train.csv, line 1: field larger than field limit (131072); correct the line"),
        ((HEADER, "x" * 200_000 + ",a,0,10,train"), "line 2: field larger than field limit"),
        (
            (HEADER, ROW, "acting in play,a,0,10,train"),
            "line 3: label 'acting in play' is none of the 400 classes of Kinetics-400, nearest ",
        ),
    ],
)
def test_refusals(tmp_path, lines, message):
    csv = write(tmp_path / "train.csv", *lines)
    got = refused("kinetics", touch(tmp_path / "v", "a.mp4"), "--classes", 400, "--csv", csv, "--out", tmp_path / "o")
    assert message in got
    assert csv in got
    assert not (tmp_path / "o").exists()


def test_more_refusals(tmp_path, csvs):
    videos = touch(tmp_path / "v", *TREES["flat"])
    got = refused("kinetics", videos, "--classes", 600, "--csv", csvs[1])
    assert got == "the classes of Kinetics-600 are named by its train rows; give the train CSV too"
    got = refused("kinetics", tmp_path / "none", "--classes", 400, "--csv", *csvs)
    assert got == f"{tmp_path}/none is not a folder; give the folder that holds the videos"
    got = refused("kinetics", videos, "--classes", 400, "--csv", "/no.csv")
    assert got.startswith("Kinetics CSV /no.csv does not exist; give an official CSV (label,youtube_id")


def test_training_on_an_official_csv_names_the_script(csvs):
    with pytest.raises(InputError, match=r"is an official Kinetics CSV .*: video-rs list kinetics VIDEOS --classes"):
        read_records(csvs[0])
