"""Several lists as one data set: which split each is, and how their classes are called."""

import pytest

from helpers.tables import table
from video_rs.curation.doctor.data_set import read_data_set, split_in_name
from video_rs.lists.records import read_records


def test_the_names_of_lists_tell_their_splits(in_this_process, tool, videos, tmp_path):
    """One video in both of them is a leak, and what is left can be trained on."""
    source = videos.parent / "train" / "dark"
    for name, numbers in (("kinetics_Training-1", (0, 1)), ("kinetics_validate_val", (1, 2)), ("more-train", (3,))):
        (tmp_path / f"{name}.csv").write_text("path,label\n" + "".join(f"{source}/{i}.mp4,dark\n" for i in numbers))
    lists = [tmp_path / f"{name}.csv" for name in ("kinetics_validate_val", "kinetics_Training-1", "more-train")]
    told = tool("check_dataset", *lists, "--out", tmp_path / "out", "--processes", 1, "--min-frames", 1)
    assert told.code == 1
    assert [(r["path"], r["split"], r["reason"]) for r in table(tmp_path / "out" / "quarantine.csv")] == [
        (f"{source}/1.mp4", "train", f"as {source}/1.mp4 in val")
    ]
    kept = tmp_path / "out" / "clean.csv"
    assert [len(read_records(kept, split=split)) for split in ("train", "val")] == [2, 2]


@pytest.mark.parametrize("name", ["kinetics", "train_val", "trainings"])
def test_a_name_that_tells_no_split_is_refused(tool, videos, tmp_path, name):
    other = tmp_path / f"{name}.csv"
    other.write_text("path,label\na.mp4,dark\n")
    told = tool("check_dataset", videos, other, "--out", tmp_path / "out")
    assert told.code == 2
    assert told.err == (
        f"error: list {other} has rows without a split, and its name does not tell one; give it a split column, or a "
        "name with one of the words train, val and test, such as videos_train.csv\n"
    )
    assert read_data_set([str(other)], "", "").rows[0].split == ""  # a list alone needs none


def test_train_rows_name_the_classes_in_any_order_of_lists(tmp_path):
    """So the verdict is the same, and the rows are in the order given."""
    (tmp_path / "test.txt").write_text("c.mp4\n")
    (tmp_path / "val.csv").write_text("path,label\nb.mp4,dog\nb.mp4,cow\n")
    (tmp_path / "train.csv").write_text("path,label\na.mp4,dog\na.mp4,cat\n")
    (tmp_path / "train2.csv").write_text("path,label\na.mp4,ant\n")
    lists = [str(tmp_path / name) for name in ("test.txt", "val.csv", "train.csv", "train2.csv")]
    for given in (lists, lists[::-1]):
        data_set = read_data_set(given, "", "")
        assert data_set.names == ("ant", "cat", "dog")
        assert list(dict.fromkeys(row.split for row in data_set.rows)) == list(
            dict.fromkeys(split_in_name(source) for source in given)
        )
        told = {(row.split, data_set.label_of(row, ";"), bool(row.fault)) for row in data_set.rows}
        assert told == {
            ("test", "", False),
            ("val", "dog", False),
            ("val", "cow", True),
            ("train", "dog", False),
            ("train", "cat", False),
            ("train", "ant", False),
        }
    assert read_data_set(lists[:2], "", "").names == ("cow", "dog")  # no train rows at all
    assert read_data_set(lists[:1], "", "").names == ()


def test_class_ids_are_named_by_their_digits(tmp_path):
    (tmp_path / "val.txt").write_text("b.mp4 12\n")
    (tmp_path / "train.txt").write_text("a.mp4 11\na.mp4 2\n")
    data_set = read_data_set([str(tmp_path / "val.txt"), str(tmp_path / "train.txt")], "", "")
    assert data_set.names == tuple(map(str, range(12)))
    assert [(row.record.labels, bool(row.fault)) for row in data_set.rows] == [
        ((), True),
        ((11,), False),
        ((2,), False),
    ]
