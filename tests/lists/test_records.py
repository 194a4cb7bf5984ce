"""List files written out literally, and what is read from them; every refusal by its message."""

import gc
import os
import re

import pytest

from video_rs.lists.label_map import read_label_map
from video_rs.lists.records import VideoRecord, read_records
from video_rs.runtime.errors import InputError


@pytest.fixture
def write(tmp_path):
    def write_file(text, name="list.csv", encoding="utf-8"):
        path = tmp_path / name
        path.write_bytes(text.encode(encoding))
        return str(path)

    return write_file


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    return str(root)


def labels(records):
    return [record.labels for record in records.records]


def refusal(source, **kwargs):
    with pytest.raises(InputError) as refused:
        read_records(source, **kwargs)
    message = str(refused.value)
    assert "\n" not in message
    assert ";" in message  # what to do next follows
    return message


def test_csv_literal(write, tmp_path):
    source = write('path,label\nwalk/a b.mp4,walk\n"run, fast.mp4",run\n/data/c.mp4,walk\ns3://b/d.mp4,run\n')
    got = read_records(source)
    assert got.label_names == ("run", "walk")
    assert got.source == source
    assert got.records == (
        VideoRecord(f"{tmp_path}/walk/a b.mp4", (1,), None, None, "walk/a b.mp4"),
        VideoRecord(f"{tmp_path}/run, fast.mp4", (0,), None, None, "run, fast.mp4"),
        VideoRecord("/data/c.mp4", (1,), None, None, "/data/c.mp4"),
        VideoRecord("s3://b/d.mp4", (0,), None, None, "s3://b/d.mp4"),
    )
    assert len(got) == 4


def test_csv_all_columns_in_any_order_with_bom_and_windows_line_ends(write, tmp_path):
    text = (
        "END, id ,note,Label,start,PATH\r\n2.5,first,x,walk,0.5,a.mp4\r\n\r\n,,y,run,1e1,b.mp4\r\n3,,é,run,,c.mp4\r\n"
    )
    got = read_records(write(text, encoding="utf-8-sig"), root="/videos/")
    assert got.records == (
        VideoRecord("/videos/a.mp4", (1,), 0.5, 2.5, "first"),
        VideoRecord("/videos/b.mp4", (0,), 10.0, None, "b.mp4:1e1-end"),
        VideoRecord("/videos/c.mp4", (0,), None, 3.0, "c.mp4:0-3"),
    )


def test_videos_have_the_groups_of_their_rows(write):
    got = read_records(write("path,label,group\na.mp4,0,anna\nb.mp4,0,\n"), root="/videos")
    assert [record.group for record in got.records] == ["anna", ""]


def test_relative_list_and_root_become_absolute(write, tmp_path, monkeypatch):
    write("path,label\na.mp4,0\n")
    monkeypatch.chdir(tmp_path)
    assert read_records("list.csv").records[0].path == f"{os.getcwd()}/a.mp4"
    assert read_records("list.csv", root="videos").records[0].path == f"{os.getcwd()}/videos/a.mp4"
    assert read_records("list.csv", root="s3://bucket/k400/").records[0].path == "s3://bucket/k400/a.mp4"


def test_file_column_stands_in_for_path(write):
    assert read_records(write("file,label\na.mp4,0\n")).records[0].id == "a.mp4"
    assert read_records(write("file,path,label\nx,a.mp4,0\n")).records[0].id == "a.mp4"


SPLITS = "path,label,split\na.mp4,walk,train\nb.mp4,run,val\nc.mp4,run,train\nd.mp4,walk,val\n"


def test_splits_share_the_names_of_the_train_rows(write):
    source = write(SPLITS)
    train, val, both = (read_records(source, split=split) for split in ("train", "val", None))
    assert train.label_names == val.label_names == both.label_names == ("run", "walk")
    assert [record.id for record in train.records] == ["a.mp4", "c.mp4"]
    assert labels(train) == [(1,), (0,)]
    assert labels(val) == [(0,), (1,)]
    assert len(both) == 4


def test_a_list_without_splits_gives_all_rows_for_any_split(write):
    source = write("path,label\na.mp4,walk\nb.mp4,run\n")
    assert read_records(source, split="val") == read_records(source, split="train") == read_records(source)


def test_a_validation_list_takes_the_names_of_its_train_list(write):
    train = read_records(write("path,label\na.mp4,walk\nb.mp4,run\nc.mp4,jump\n", "train.csv"))
    val = read_records(write("path,label\nd.mp4,walk\n", "val.csv"), label_names=train.label_names)
    assert val.label_names == train.label_names == ("jump", "run", "walk")
    assert labels(val) == [(2,)]


def test_integer_labels_are_class_ids(write):
    source = write("path,label\na.mp4,3\nb.mp4,0\n")
    assert labels(read_records(source)) == [(3,), (0,)]
    assert read_records(source).label_names == ("0", "1", "2", "3")
    assert read_records(source, num_classes=5).label_names == ("0", "1", "2", "3", "4")
    named = read_records(source, label_names=["a", "b", "c", "d"])
    assert labels(named) == [(3,), (0,)]
    assert named.label_names == ("a", "b", "c", "d")


def test_integer_labels_can_be_names(write):
    source = write("path,label\na.mp4,3\nb.mp4,0\n")
    assert labels(read_records(source, label_names=("0", "3"))) == [(1,), (0,)]
    # names that are their own number say nothing: the list stays a list of ids
    assert labels(read_records(source, label_names=("run", "walk", "2", "3"))) == [(3,), (0,)]


def test_digits_beside_names_need_a_label_map(write):
    source = write("path,label\na.mp4,7\nb.mp4,walk\n")
    assert labels(read_records(source, label_names=("walk", "7"))) == [(1,), (0,)]
    assert f"{source}, line 3: label 'walk' is not an integer, but others are (such as 7)" in refusal(source)


def test_several_labels(write):
    source = write("path,label\na.mp4,walk;run\nb.mp4,run; walk ;run\nc.mp4,walk\n")
    assert labels(read_records(source)) == [(1, 0), (0, 1), (1,)]
    assert labels(read_records(write("a.mp4 0;2\nb.mp4 1\n", "l.txt"))) == [(0, 2), (1,)]


@pytest.mark.parametrize(
    ("line", "path", "label"),
    [
        ("a.mp4 3", "a.mp4", 3),
        ("my clips/a b 7.mp4 3", "my clips/a b 7.mp4", 3),
        ("a.mp4,3", "a.mp4", 3),
        ("a, b.mp4, 3", "a, b.mp4", 3),
        ('"a, b.mp4",3', "a, b.mp4", 3),
        ("my video.mp4\t3  ", "my video.mp4", 3),
        ("x\u2028y.mp4 3", "x\u2028y.mp4", 3),  # not a line end
    ],
)
def test_path_label_lines(write, line, path, label):
    for end in ("\n", "\r\n", ""):
        (record,) = read_records(write(f"{line}{end}", "l.txt"), root="/v").records
        assert record == VideoRecord(f"/v/{path}", (label,), None, None, path)


def test_path_label_lines_keep_order_and_skip_blank_lines(write):
    got = read_records(write("\nb.mp4 1\n\n  \na.mp4 0\n", "l.txt"))
    assert [(record.id, record.labels) for record in got.records] == [("b.mp4", (1,)), ("a.mp4", (0,))]


def test_lines_of_frame_folders_may_count_the_frames(write, tmp_path):
    touch(tmp_path / "frames", "a/img_00001.jpg", "d 5/img_00001.jpg", "d/img_00001.jpg")
    rows = ["frames/a 120 3", "frames/b c 7 64 0;2", "frames/none 8 1"]

    def read(*lines):
        records = read_records(write("\n".join(lines), "l.txt")).records
        return [(record.id, record.labels) for record in records]

    assert read(*rows) == [("frames/a", (3,)), ("frames/b c 7", (0, 2)), ("frames/none", (1,))]
    # Not where a path of the list has no count, or where the first one is there with its number.
    assert read(*rows, "clip 2.mp4 4")[0] == ("frames/a 120", (3,))
    assert read("frames/d 5 1", "frames/d 6 2") == [("frames/d 5", (1,)), ("frames/d 6", (2,))]
    # The first one may be missing: an incomplete data set is a usual one.
    assert read("frames/gone 9 0", *rows)[:2] == [("frames/gone", (0,)), ("frames/a", (3,))]


def test_class_folders(tmp_path):
    names = "run/b.MP4", "run/a.avi", "walk/c.webm", "walk/.hidden.mp4", "walk/notes.txt", ".git/x.mp4", "top.mp4"
    source = touch(tmp_path / "data", *names, "empty/readme.md")
    got = read_records(source, split="val")  # no splits: all rows
    assert got.label_names == ("run", "walk")
    assert [(record.path, record.labels, record.id) for record in got.records] == [
        (f"{source}/run/a.avi", (0,), "run/a.avi"),
        (f"{source}/run/b.MP4", (0,), "run/b.MP4"),
        (f"{source}/walk/c.webm", (1,), "walk/c.webm"),
    ]


def test_class_folders_with_splits(tmp_path):
    names = "train/walk/a.mp4", "train/run/b.mp4", "val/walk/c.mp4", "test/run/d.mp4", "extra/jump/e.mp4"
    source = touch(tmp_path, *names)
    val = read_records(source, split="val")
    assert [(record.id, record.labels) for record in val.records] == [("val/walk/c.mp4", (1,))]
    assert val.label_names == ("run", "walk")
    assert [record.id for record in read_records(source).records] == [
        "train/run/b.mp4",
        "train/walk/a.mp4",
        "val/walk/c.mp4",
        "test/run/d.mp4",
    ]


def test_splits_are_known_by_their_usual_names(write):
    source = write(
        "path,label,split\na,0,Train\nb,0,training\nc,0,validation\nd,0,VALID\ne,0,Testing\nf,0,val2\ng,0,validate\n"
    )
    splits = {split: [r.id for r in read_records(source, split=split).records] for split in ("train", "val", "test")}
    assert splits == {"train": ["a", "b"], "val": ["c", "d", "g"], "test": ["e"]}


def test_a_class_may_be_called_train_and_have_folders(tmp_path):
    source = touch(tmp_path, "train/tape 1/a.mp4", "train/b.mp4", "bus/c.mp4", "cat/d.mp4")
    got = read_records(source, split="train")
    assert [(r.id, got.label_names[r.labels[0]]) for r in got.records] == [
        ("bus/c.mp4", "bus"),
        ("cat/d.mp4", "cat"),
        ("train/b.mp4", "train"),
        ("train/tape 1/a.mp4", "train"),
    ]


@pytest.mark.parametrize(
    ("files", "train", "names"),
    [
        (["train/walk/a.mp4", "train/run/b.mp4", "test/walk/c.mp4", "demo/x.mp4"], 2, ("run", "walk")),
        (["train/walk/a.mp4", "train/run/b.mp4", "validation/walk/c.mp4"], 2, ("run", "walk")),
        (["Train/walk/a.mp4", "Train/run/b.mp4", "Val/walk/c.mp4"], 2, ("run", "walk")),
        (["training/walk/a.mp4", "train/run/b.mp4", "val/walk/c.mp4"], 2, ("run", "walk")),
        (["train/clips/a.mp4", "bus/c.mp4"], 2, ("bus", "train")),
        (["training/walk/a.mp4", "training/run/b.mp4"], 2, ("run", "walk")),
    ],
)
def test_split_folders_are_known_by_their_usual_names_and_class_folders(tmp_path, files, train, names):
    got = read_records(touch(tmp_path, *files), split="train")
    assert (len(got.records), got.label_names) == (train, names)


def test_a_folder_that_may_be_a_split_or_a_class_is_refused(tmp_path):
    source = touch(tmp_path, "train/walk/a.mp4", "train/run/b.mp4", "unused/walk/c.mp4")
    assert refusal(source) == (
        f"{source}: train with the folders run, walk may be a split or a class, for unused with videos lies beside it; "
        "move unused away, or call the class train otherwise"
    )


def test_a_folder_may_hold_the_train_split_alone(tmp_path):
    source = touch(tmp_path, "train/cat/a.mp4", "train/bus/b.mp4")
    assert read_records(source, split="train").label_names == ("bus", "cat")


def test_a_class_may_be_called_train(tmp_path):
    source = touch(tmp_path, "train/a.mp4", "bus/b.mp4")
    assert read_records(source, split="train").label_names == ("bus", "train")


def test_without_labels(write):
    bare = read_records(write("file\na.mp4\nb c.mp4\n"), require_labels=False)
    lines = read_records(write("a.mp4\nb c.mp4\n", "l.txt"), require_labels=False)
    assert [record.id for record in bare.records] == [record.id for record in lines.records] == ["a.mp4", "b c.mp4"]
    assert labels(bare) == labels(lines) == [(), ()]
    assert bare.label_names == ()
    some = read_records(write("path,label\na.mp4,\nb.mp4,walk\n"), require_labels=False)
    assert labels(some) == [(), (0,)]


def test_label_map(write):
    assert read_label_map(write("walk\nrun fast \r\njump", "map.txt", "utf-8-sig")) == ("walk", "run fast", "jump")
    assert read_label_map(write("walk\nrun\n\n \r\n\n", "map.txt")) == ("walk", "run")  # blank lines end it


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("walk\n\nrun\n", "map.txt, line 2: empty"),
        ("walk\nrun\nwalk\n", "map.txt, line 3: 'walk' stands on line 1 too"),
        ("", "is empty; write one class name a line"),
    ],
)
def test_label_map_refusals(write, text, message):
    with pytest.raises(InputError, match=re.escape(message)):
        read_label_map(write(text, "map.txt"))


def test_missing_label_map():
    with pytest.raises(InputError, match=r"label map /no/map\.txt does not exist; give a text file"):
        read_label_map("/no/map.txt")


@pytest.mark.parametrize(
    ("text", "kwargs", "message"),
    [
        ("", {}, "is empty; give a CSV with the columns path,label"),
        (" \n\n", {}, "is empty"),
        ("path,label\n", {}, "has a header but no rows"),
        (SPLITS, {"split": "test"}, "has no rows of the split 'test', only of 'train', 'val'"),
        ("path,label,split\na.mp4,0,\nb.mp4,0,val\n", {"split": "train"}, "split 'train', only of '', 'val'"),
        ("path,label\na.mp4,0\nb, c.mp4,0\n", {}, "line 3: 3 columns, but the header has 2 (path,label); put quotes"),
        ("path,label\na.mp4\n", {}, "line 2: 1 column, but the header has 2 (path,label); fill in"),
        ('path,label\n"a\nb.mp4",0,0\n', {}, "line 3: 3 columns"),
        ("path,name\na.mp4,0\n", {}, "no column 'label' in the header (path,name); add one"),
        ("path,label,Path\na,0,b\n", {}, "the header has the column 'path' twice"),
        ("label,youtube_id,time_start,time_end,split\n", {}, "is an official Kinetics CSV (label,youtube_id"),
        ("path,label\na.mp4,0\n,0\n", {}, "line 3: the path is empty"),
        ("path,label\na.mp4,0\nb.mp4,\n", {}, "line 3: label '', expected a label"),
        ("path,label\na.mp4,x;;y\n", {}, "line 2: label 'x;;y', expected a label, or several with ; between them"),
        ("path,label\na.mp4,wlak\n", {"label_names": ("run", "walk")}, "line 2: label 'wlak', expected one of the 2 "),
        ("path,label\na.mp4,wlak\n", {"label_names": ("run", "walk")}, "nearest 'walk'; correct it"),
        ("path,label\na.mp4,0\nb.mp4,7\n", {"num_classes": 7}, "line 3: label '7', expected a class id from 0 to 6"),
        (
            "path,label\na.mp4,swim\n",  # like neither
            {"label_names": ("run", "hop")},
            "expected one of the 2 known names; correct it",
        ),
        ("path,label\na.mp4,2\n", {"label_names": ("run", "walk")}, "label '2', expected a class id from 0 to 1"),
        ("path,label\na.mp4,-1\nb.mp4,0\n", {}, "line 2: label '-1', expected a class id from 0"),
        ("path,label\na.mp4,-1\n", {}, "line 2: label '-1', expected a class id from 0"),
        ("path,label\na.mp4,99999999999\n", {}, "line 2: class id 99999999999 makes 100000000000 classes, of which"),
        ("path,label\na.mp4,x\nb.mp4,y\n", {"num_classes": 1}, "2 class names for 1 class"),
        ("path,label,split\na,x,train\nb,y,val\n", {"split": "val"}, "line 3: label 'y', expected one of the 1 known"),
        ("path,label\n../a.mp4,0\n", {}, "line 2: path '../a.mp4' leaves its root"),
        ("path,label\na/../../b.mp4,0\n", {"root": "/v"}, "path 'a/../../b.mp4' leaves its root /v"),
        ("path,label,start,end\na.mp4,0,2,2\n", {}, "line 2: end 2 is not after start 2"),
        ("path,label,start,end\na.mp4,0,5,2\n", {}, "line 2: end 2 is not after start 5"),
        ("path,label,end\na.mp4,0,0\n", {}, "end 0 is not after start 0"),
        ("path,label,start\na.mp4,0,soon\n", {}, "line 2: start 'soon', expected seconds"),
        ("path,label,start\na.mp4,0,-1\n", {}, "start '-1', expected seconds"),
        ("path,label,end\na.mp4,0,inf\n", {}, "end 'inf', expected seconds"),
        ("a.mp4 0\nb.mp4 walk\n", {}, "line 2: got 'b.mp4 walk', expected a path and integer labels"),
        ("a.mp4 0\n\nb.mp4\n", {}, "line 3: got 'b.mp4', expected"),
        ("a.mp4 " + "x" * 500, {}, "xxx…'"),
    ],
)
def test_refusals(write, text, kwargs, message):
    source = write(text)
    got = refusal(source, **kwargs)
    assert message in got
    assert source in got
    assert len(got) < 500


def test_class_folders_may_have_folders_in_them_and_frames(tmp_path):
    source = touch(
        tmp_path, "b c/1.mp4", "b/tape/2.mp4", "b/3.mp4", "a/4/1.jpg", "a/4/2.jpg", "a/5/1.png", "0.mp4", "test/6.mp4"
    )
    got = read_records(source)
    assert got.label_names == ("a", "b", "b c", "test")
    assert [record.id for record in got.records] == ["a/4", "a/5", "b/3.mp4", "b/tape/2.mp4", "b c/1.mp4", "test/6.mp4"]


def test_unreadable_class_folders_are_refused(tmp_path, monkeypatch):
    source = touch(tmp_path, "a/1.mp4", "b/2.mp4")
    scan = os.scandir

    def denied(path):
        if str(path).endswith("b/"):
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", denied)
    assert refusal(source) == f"cannot read {source}/b/ (Permission denied); make it readable or move it away"


def test_unreadable_sources(write, tmp_path):
    missing = refusal("/no/such/list.csv")
    assert missing.startswith(
        "list /no/such/list.csv does not exist; give a CSV with the columns path,label or a folder"
    )
    assert "is not UTF-8 (byte 11); save it as UTF-8" in refusal(write("path,label\né.mp4,0\n", encoding="latin-1"))
    assert "has no videos in class folders" in refusal(touch(tmp_path / "none", "run/a.txt"))
    long = refusal(write("path,label\n" + "x" * 200_000 + ",0\n"))
    assert "line 2: field larger than field limit" in long


def test_dots_inside_the_root_are_allowed(write):
    got = read_records(write("path,label\na/../b.mp4,0\n..c/d..mp4,0\n./e.mp4,0\n"), root="/v")
    assert [os.path.normpath(record.path) for record in got.records] == ["/v/b.mp4", "/v/..c/d..mp4", "/v/e.mp4"]


def test_the_garbage_collector_is_left_as_it_was(write):
    source = write("path,label\na.mp4,0\n")
    read_records(source)
    assert gc.isenabled()
    refusal(write("", "empty.csv"))
    assert gc.isenabled()
    gc.disable()
    try:
        read_records(source)
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_many_rows_keep_their_order(write):
    text = "path,label,split\n" + "".join(
        f"c{i % 7}/v{i}.mp4,c{i % 7},{'val' if i % 5 else 'train'}\n" for i in range(20_000)
    )
    got = read_records(write(text), split="val")
    expected = [i for i in range(20_000) if i % 5]
    assert [record.id for record in got.records] == [f"c{i % 7}/v{i}.mp4" for i in expected]
    assert labels(got) == [(i % 7,) for i in expected]


@pytest.mark.parametrize("line", ["name,class", "path;label", "path\tlabel", "video class"])
@pytest.mark.parametrize("require_labels", [True, False])
def test_a_header_of_other_columns_is_no_video(write, line, require_labels):
    source = write(f"{line}\na.mp4,walk\n")
    with pytest.raises(InputError) as caught:
        read_records(source, require_labels=require_labels)
    assert str(caught.value) == (
        f"{source}: the header {line!r} has no column 'path'; name the columns path,label and, if there are, "
        "split,start,end,id,group, with commas between them"
    )


def test_rows_of_a_csv_without_its_header_are_no_paths(write):
    source = write("a.mp4,walk\nb.mp4,run\n")
    with pytest.raises(InputError) as caught:
        read_records(source, require_labels=False)
    assert str(caught.value) == (
        f"{source}, line 1: got 'a.mp4,walk', which looks like a path and a label; give the list a header with the "
        "columns path,label"
    )


@pytest.mark.parametrize("split", ["val", None])
def test_a_split_column_in_which_nothing_is_filled_in_splits_nothing(tmp_path, split):
    (tmp_path / "list.csv").write_text("path,label,split\na.mp4,x,\nb.mp4,y, \n")
    records = read_records(tmp_path / "list.csv", split=split)
    assert (len(records), records.has_splits, records.label_names) == (2, False, ("x", "y"))
