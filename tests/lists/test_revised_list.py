"""A list that is corrected: the new file, the broken videos, and going on later."""

import pytest

from video_rs.lists.records import read_records
from video_rs.lists.revised_list import Decision, RevisedList
from video_rs.runtime.errors import InputError

NAMES = ("jump", "run", "sit")
LIST = """path,label,split,start,end,group
a.mp4,jump,train,,,one
b.mp4,run,train,0,2,one
b.mp4,sit,val,2,4,two
c.mp4,run,val,,,
"""


@pytest.fixture
def old(tmp_path):
    path = tmp_path / "data" / "list.csv"
    path.parent.mkdir()
    path.write_text(LIST)
    return path


def opened(old, new, names=NAMES, root=""):
    return RevisedList.open(str(old), root, new, names)


def test_the_new_list_beside_the_old_one_differs_in_what_was_decided_only(old):
    new = old.with_name("new.csv")
    revised = opened(old, new)
    revised.decide([0], Decision(labels=(1,)))
    revised.decide([2], Decision(labels=(2,)))
    revised.decide([3], Decision(is_broken=True))
    assert new.read_text() == (
        "path,label,split,start,end,group,review\n"
        "a.mp4,run,train,,,one,was jump\n"
        "b.mp4,run,train,0,2,one,\n"
        "b.mp4,sit,val,2,4,two,right\n"
    )
    assert old.with_name("new_broken.csv").read_text() == (
        "path,label,split,start,end,group,review\nc.mp4,run,val,,,,broken\n"
    )
    assert old.read_text() == LIST


def test_elsewhere_its_paths_lead_to_the_same_files(old, tmp_path):
    new = tmp_path / "elsewhere" / "new.csv"
    opened(old, new).write()
    before = read_records(str(old), label_names=NAMES)
    after = read_records(str(new), label_names=NAMES)
    # With the same ids, too.
    assert after.records == before.records
    assert not new.with_name("new_broken.csv").exists()


def test_relative_paths_start_from_the_root(tmp_path):
    (tmp_path / "list.csv").write_text("path,label\na.mp4,run\n")
    revised = opened(tmp_path / "list.csv", tmp_path / "new.csv", root=str(tmp_path / "videos"))
    revised.write()
    assert (tmp_path / "new.csv").read_text() == f"path,label,id,review\n{tmp_path}/videos/a.mp4,run,a.mp4,\n"


def test_a_second_review_goes_on_also_with_rows_that_came_later(old):
    new = old.with_name("new.csv")
    first = opened(old, new)
    first.decide([0], Decision(labels=(1,)))
    first.decide([1], Decision(is_broken=True))
    first.decide([2], Decision(labels=(2,)))

    old.write_text(LIST + "d.mp4,sit,val,,,\n")
    second = opened(old, new)
    assert second.decisions == first.decisions
    second.decide([0], None)
    second.decide([1], None)
    assert second.decisions == {2: Decision(labels=(2,))}
    assert "a.mp4,jump,train,,,one,\nb.mp4,run,train,0,2,one,\n" in new.read_text()
    assert new.read_text().endswith("d.mp4,sit,val,,,,\n")
    # No video is broken any more.
    assert old.with_name("new_broken.csv").read_text() == "path,label,split,start,end,group,review\n"
    assert opened(old, new).decisions == second.decisions


def test_numbers_stay_numbers_and_several_labels_are_joined(tmp_path):
    (tmp_path / "list.csv").write_text("path,label\na.mp4,0\nb.mp4,2;1\nc.mp4,\n")
    revised = opened(tmp_path / "list.csv", tmp_path / "new.csv")
    assert [revised.ids_of(row) for row in revised.rows] == [(0,), (2, 1), ()]
    revised.decide([0], Decision(labels=(2, 0)))
    revised.decide([1], Decision(labels=(1, 2)))
    revised.decide([2], Decision(labels=(1,)))
    assert (tmp_path / "new.csv").read_text() == (
        "path,label,review\na.mp4,2;0,was 0\nb.mp4,2;1,right\nc.mp4,1,was without label\n"
    )


def test_names_that_look_like_numbers_stay_names(tmp_path):
    (tmp_path / "list.csv").write_text("path,label\na.mp4,20\n")
    revised = opened(tmp_path / "list.csv", tmp_path / "new.csv", names=("10", "20"))
    revised.decide([0], Decision(labels=(0,)))
    assert "a.mp4,10,was 20\n" in (tmp_path / "new.csv").read_text()


def test_a_list_without_labels_gets_names(tmp_path):
    (tmp_path / "list.csv").write_text("path\na.mp4\n")
    revised = opened(tmp_path / "list.csv", tmp_path / "new.csv")
    revised.decide([0], Decision(labels=(1,)))
    assert (tmp_path / "new.csv").read_text() == "path,label,review\na.mp4,run,was without label\n"


def test_a_label_of_no_known_class_is_shown_as_none(tmp_path):
    (tmp_path / "list.csv").write_text("path,label\na.mp4,fly\n")
    revised = opened(tmp_path / "list.csv", tmp_path / "new.csv")
    assert revised.ids_of(revised.rows[0]) == ()
    assert revised.rows_of(revised.records) == [[0]]


@pytest.mark.parametrize("name", ["list.csv", "."])
def test_the_old_list_is_never_replaced(old, name):
    with pytest.raises(InputError, match=r"is the old list or a folder, which stays; give another file$"):
        opened(old, old.parent / name)


def test_neither_is_a_link_to_it(old):
    (old.parent / "link.csv").symlink_to(old)
    with pytest.raises(InputError, match="is the old list or a folder"):
        opened(old, old.with_name("link.csv"))


@pytest.mark.parametrize("content", ["path,label\na.mp4,run\n", "", "my diary\n"])
def test_neither_is_a_file_that_no_review_has_written(old, content):
    (old.parent / "mine.csv").write_text(content)
    with pytest.raises(InputError, match=r"mine\.csv is there already, and no review has written it; give another"):
        opened(old, old.with_name("mine.csv"))
    assert (old.parent / "mine.csv").read_text() == content


def test_what_cannot_be_written_is_not_decided(old, tmp_path):
    (tmp_path / "file").write_text("")
    revised = opened(old, tmp_path / "file" / "new.csv")
    with pytest.raises(OSError, match="file"):
        revised.decide([0], Decision(is_broken=True))
    assert revised.decisions == {}
