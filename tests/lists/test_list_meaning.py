"""Lists as people and their tools write them: what the labels, columns and paths are taken for, and what is said."""

import os
import re
import unicodedata
from pathlib import Path
from types import SimpleNamespace

import pytest

from helpers.tools import ROOT
from video_rs.curation.doctor.data_set import read_data_set
from video_rs.lists.class_notes import alike_names_notes, empty_classes_note
from video_rs.lists.columns import NAMES
from video_rs.lists.label_map import read_label_map
from video_rs.lists.records import read_records
from video_rs.lists.sources.folder import read_folder
from video_rs.lists.sources.options import FolderOptions
from video_rs.lists.sources.video_index import VideoIndex
from video_rs.runs.notes import DOUBTS_ON_CLASSES, alike_names
from video_rs.runtime.errors import InputError

COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))


@pytest.fixture
def write(tmp_path):
    def write_file(text, name="list.csv"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write_file


def labels(found):
    return [record.labels for record in found.records]


def refusal(source, **kwargs):
    with pytest.raises(InputError) as refused:
        read_records(source, **kwargs)
    return str(refused.value)


# Labels


def test_class_ids_may_be_written_as_floats(write):
    source = write("path,label\na,0.0\nb,1.0\nc,10.\nd,1;2.0\n")
    found = read_records(source)
    assert labels(found) == [(0,), (1,), (10,), (1, 2)]
    assert found.label_names == tuple(map(str, range(11)))


def test_numbers_that_are_no_ids_are_not_mixed_with_ids(write):
    assert "line 3: label '2.5' is not an integer, but others are (such as 1.0)" in refusal(
        write("path,label\na,1.0\nb,2.5\n")
    )
    assert read_records(write("path,label\na,0.5\nb,2.5\n")).label_names == ("0.5", "2.5")


@pytest.mark.parametrize("name", ["1.0", "nan", "None"])
def test_what_a_label_map_names_is_a_label(write, name):
    found = read_records(write(f"path,label\na,{name}\nb,other\n"), label_names=("other", name))
    assert labels(found) == [(1,), (0,)]


def test_floats_find_the_names_of_a_label_map_of_numbers(write):
    assert labels(read_records(write("path,label\na,1.0\nb,10.0\n"), label_names=("1", "2", "10"))) == [(0,), (2,)]


@pytest.mark.parametrize("word", ["nan", "NaN", "None", "<NA>", ""])
def test_missing_labels_are_no_classes(write, word):
    source = write(f"path,label\na,walk\nb,{word}\nc,run\n")
    found = read_records(source, require_labels=False)
    assert (found.label_names, labels(found)) == (("run", "walk"), [(1,), (), (0,)])
    told = refusal(source)
    if word:
        assert told == (
            f"{source}, line 3: label {word!r} stands for a missing one; fill it in, remove the row, or name the class "
            "in a label map"
        )
    else:
        assert told == (f"{source}, line 3: label '', expected a label, or several with ; between them; fill it in")


def test_a_missing_label_among_several_is_refused(write):
    source = write("path,label\na,walk;nan\n")
    with pytest.raises(InputError, match=r"line 2: label 'walk;nan', expected a label, or several with ; between"):
        read_records(source, require_labels=False)


def test_none_in_small_letters_and_folders_of_any_name_are_classes(write, tmp_path):
    assert read_records(write("path,label\na,none\nb,null\n")).label_names == ("none", "null")
    for name in ("None", "nan", "walk"):
        (tmp_path / "videos" / name).mkdir(parents=True)
        (tmp_path / "videos" / name / "a.mp4").touch()
    assert read_records(str(tmp_path / "videos")).label_names == ("None", "nan", "walk")


def test_one_name_in_two_unicode_forms_is_one_class(write):
    found = read_records(write(f"path,label\na,{COMPOSED}\nb,{DECOMPOSED} \nc,tea\n"))
    assert (found.label_names, labels(found)) == ((COMPOSED, "tea"), [(0,), (0,), (1,)])


@pytest.mark.parametrize("name", [COMPOSED, DECOMPOSED, f"{DECOMPOSED} "])
def test_known_names_are_found_in_either_form(write, name):
    source = write(f"path,label\na,{COMPOSED}\nb,{DECOMPOSED}\n")
    assert labels(read_records(source, label_names=("tea", name))) == [(1,), (1,)]


def test_class_folders_in_two_forms_are_one_class(tmp_path):
    for name in (COMPOSED, DECOMPOSED, "tea", "tea "):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.mp4").touch()
    found = read_records(str(tmp_path))
    assert found.label_names == (COMPOSED, "tea")
    assert sorted(labels(found)) == [(0,), (0,), (1,), (1,)]
    assert all(os.path.exists(record.path) for record in found.records)


def test_a_label_map_has_one_line_for_a_name(write):
    source = write(f"{COMPOSED}\ntea\n{DECOMPOSED}\n", "map.txt")
    with pytest.raises(InputError) as refused:
        read_label_map(source)
    assert str(refused.value) == f"{source}, line 3: {COMPOSED!r} stands on line 1 too; remove one"
    assert read_label_map(write(f"{DECOMPOSED} \ntea\n", "map.txt")) == (COMPOSED, "tea")


def test_known_names_that_are_one_are_refused(write):
    source = write("path,label\na,tea\n")
    assert refusal(source, label_names=(COMPOSED, "tea", DECOMPOSED)) == (
        f"{source}: the class names 0 and 2 are both {COMPOSED!r}, in two Unicode forms or with a blank at the end; "
        "make them one"
    )


# Class ids


def test_a_mistyped_id_is_refused(write):
    source = write("a.mp4 0\nb.mp4 1\nc.mp4 1000\nd.mp4 1000\n", "list.txt")
    told = (
        f"{source}, line 3: class id 1000 makes 1001 classes, of which the rows name 3 (0, 1, 1000); correct it, or if "
        "it is meant give MODEL.NUM_CLASSES or a label map with a line for each class"
    )
    assert refusal(source) == told
    with pytest.raises(InputError) as refused:
        read_data_set([source], "", "")
    assert str(refused.value) == told
    assert len(read_records(source, num_classes=1001).label_names) == 1001


@pytest.mark.parametrize(("highest", "refused"), [(19, False), (20, True)])
def test_ten_times_as_many_classes_as_rows_name_are_let_pass(write, highest, refused):
    source = write(f"a.mp4 0\nb.mp4 {highest}\nc.mp4 0\n", "list.txt")
    if refused:
        assert "makes 21 classes, of which the rows name 2 (0, 20)" in refusal(source)
    else:
        assert len(read_records(source).label_names) == 20


def test_a_refusal_names_some_of_many_ids(write):
    rows = "".join(f"{i}.mp4 {i}\n" for i in (*range(7), 700))
    assert "of which the rows name 8 (0, 1, 2, 3, …, 700); correct it" in refusal(write(rows, "list.txt"))


@pytest.mark.parametrize(
    ("present", "count", "told"),
    [
        ({0, 1, 2}, 3, ""),
        (set(), 3, ""),
        (
            {1, 2, 3},
            4,
            "class 0 has no training videos; do your labels start at 1? Then number them from 0 without gaps, or give "
            "a label map (DATA.LABEL_MAP) with the lines 1, 2, 3",
        ),
        (
            {1, 2, 10},
            11,
            "8 of 11 classes have no training videos: 0, 3, 4, 5, 6, and 3 more; if these numbers are no class ids "
            "from 0 on, number them from 0 without gaps, or give a label map (DATA.LABEL_MAP) with the lines 1, 2, 10",
        ),
        (
            {0, 1, 2, 3, 4, 5, 7},
            8,
            "class 6 has no training videos; if these numbers are no class ids from 0 on, number them from 0 without "
            "gaps, or give a label map (DATA.LABEL_MAP) with the lines 0, 1, 2, 3, 4, and 2 more",
        ),
    ],
)
def test_class_ids_without_videos(present, count, told):
    assert empty_classes_note(present, list(map(str, range(count))), "training videos") == told


def test_a_class_called_none_takes_no_typing_mistakes(write, tmp_path):
    (tmp_path / "names.txt").write_text("None\nwave\n")
    names = read_label_map(tmp_path / "names.txt")
    with pytest.raises(InputError, match=r"label 'wafe', expected one of the 2 known names, nearest 'wave'"):
        read_records(write("path,label\na.mp4,wafe\n"), label_names=names)
    assert read_records(write("path,label\na.mp4,None\n"), label_names=names).records[0].labels == (0,)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_label_map_with_the_line_ends_of_any_system(tmp_path, end):
    """U+2028 ends no line."""
    (tmp_path / "names.txt").write_bytes(f"walk{end}run\u2028fast{end}".encode())
    assert read_label_map(tmp_path / "names.txt") == ("walk", "run\u2028fast")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_with_the_line_ends_of_any_system(tmp_path, end):
    (tmp_path / "list.txt").write_bytes(f"a.mp4 1{end}b.mp4 0{end}".encode())
    found = read_records(tmp_path / "list.txt")
    assert [(os.path.basename(record.path), record.labels) for record in found.records] == [
        ("a.mp4", (1,)),
        ("b.mp4", (0,)),
    ]


def test_a_list_with_the_line_ends_of_old_macs(tmp_path):
    (tmp_path / "list.csv").write_bytes(b"path,label\ra.mp4,walk\rb.mp4,run\r")
    found = read_records(tmp_path / "list.csv")
    assert [(os.path.basename(record.path), record.labels) for record in found.records] == [
        ("a.mp4", (1,)),
        ("b.mp4", (0,)),
    ]


@pytest.mark.parametrize("before", ["", "\n , \n"])
def test_a_header_with_an_open_quote_is_refused(write, before):
    source = write(before + 'path,"label\n' + "a.mp4,walk\n" * 20_000)
    line = 1 + before.count("\n")
    assert refusal(source) == f"{source}, line {line}: field larger than field limit (131072); correct the line"


def test_the_order_of_lists_does_not_say_what_a_label_is(write, tmp_path):
    (tmp_path / "train" / "nan").mkdir(parents=True)
    (tmp_path / "train" / "nan" / "a.mp4").touch()
    folder, other = str(tmp_path / "train"), write("path,label,split\nb.mp4,walk,train\nc.mp4,None,train\n")
    for lists in ([folder, other], [other, folder]):
        found = read_data_set(lists, "", "")
        assert found.names == ("nan", "walk")
        assert sorted(found.label_of(row, ";") for row in found.rows) == ["", "nan", "walk"]


def test_names_without_videos():
    assert empty_classes_note({0, 2}, ("run", "jump", "walk"), "rows") == (
        "class 'jump' has no rows; add some, or remove this class from the label map or the rows that name it"
    )
    assert empty_classes_note({1}, ("run", "jump", "walk"), "rows") == (
        "2 of 3 classes have no rows: 'run', 'walk'; add some, or remove these classes from the label map or the rows "
        "that name them"
    )


def test_names_that_look_alike():
    assert alike_names_notes(["walk", "run", "Walk ", "walk\u200b", "ran"]) == [
        "class names look alike: 'walk', 'Walk ', 'walk\\u200b'"
    ]
    assert alike_names_notes(["\U0001f642", "\U0001f643", "+", "-", "run"]) == []


def test_class_folders_of_numbers_are_ids_and_by_a_label_map_names(tmp_path):
    for name in ("1", "2", "10"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.mp4").touch()
    assert read_records(str(tmp_path)).label_names == tuple(map(str, range(11)))
    named = read_records(str(tmp_path), label_names=("1", "2", "10"))
    assert {record.id: record.labels for record in named.records} == {
        "1/a.mp4": (0,),
        "2/a.mp4": (1,),
        "10/a.mp4": (2,),
    }


def test_the_order_in_which_numbers_are_taken_is_said(write):
    source = write("a.mp4 0\nb.mp4 1\n", "list.txt")
    names = ("run", "walk")
    assert read_records(source, label_names=names).notes == (
        f"{source}: its labels are numbers, taken in the order of the class names: 0 run, 1 walk",
    )
    many = [f"class {letter}" for letter in "abcdefgh"]
    assert (
        read_records(source, label_names=many)
        .notes[0]
        .endswith(": 0 class a, 1 class b, 2 class c, 3 class d, 4 class e, …, 7 class h")
    )
    assert read_records(source, label_names=("0", "1")).notes == ()
    assert read_records(write("path,label\na,run\n"), label_names=names).notes == ()


# Columns


@pytest.mark.parametrize(
    ("header", "taken"),
    [
        ("video_name,tag", "video_name as path, tag as label"),
        ("file_name,label", "file_name as path"),
        ("video,class", "video as path, class as label"),
        ("filepath,label", "filepath as path"),
        ("File Name,Class Name", "file_name as path, class_name as label"),
        ("filename,category", "filename as path, category as label"),
    ],
)
def test_usual_columns_are_taken(write, header, taken):
    source = write(f"{header}\na.mp4,walk\nb.mp4,run\n")
    found = read_records(source)
    assert [(record.id, record.labels) for record in found.records] == [("a.mp4", (1,)), ("b.mp4", (0,))]
    assert found.notes == (f"{source}: columns taken: {taken}",)


@pytest.mark.parametrize(
    ("columns", "taken"),
    [
        ("time_start,time_end", "time_start as start, time_end as end"),
        ("start_time,end_time", "start_time as start, end_time as end"),
        ("start,end_sec", "end_sec as end"),
    ],
)
def test_usual_columns_of_segments_are_taken(write, columns, taken):
    source = write(f"path,label,{columns}\na.mp4,walk,1,2.5\nb.mp4,run,,\n")
    found = read_records(source)
    assert [(record.start, record.end) for record in found.records] == [(1.0, 2.5), (None, None)]
    assert found.notes == (f"{source}: columns taken: {taken}",)


def test_a_subset_is_a_split(write):
    source = write("video,label,subset\na,x,training\nb,x,validation\n")
    assert [record.id for record in read_records(source, split="val").records] == ["b"]


def test_our_own_columns_go_before_others_and_say_nothing(write):
    found = read_records(write("path,label,split,start,end,id,note\na,x,train,,,1,y\n"))
    assert found.notes == ()
    source = write("start_time,start,video,path,label,class\n7,1,b,a,x,y\n")
    found = read_records(source)
    assert (found.records[0].start, found.records[0].id, found.label_names) == (1.0, "a:1-end", ("x",))
    assert found.notes == (
        f"{source}: not taken: start_time; what is read is start",
        f"{source}: not taken: video; the videos are those of the column path",
    )


@pytest.mark.parametrize("columns", ["start_frame,end_frame", "t-start,t-end", "begin,stop", "onset,offset"])
def test_columns_that_look_like_a_segment_are_noted(write, columns):
    source = write(f"path,label,{columns}\na.mp4,walk,1,2\n")
    found = read_records(source)
    assert (found.records[0].start, found.records[0].end) == (None, None)
    assert found.notes == (
        f"{source}: not taken: {columns.replace('-', '_').replace(',', ', ')}; the whole videos are read; for segments "
        "name them start and end, in seconds",
    )


def test_columns_that_look_like_a_path_are_noted(write):
    source = write("path,label,mask_path,file_size,video_id,url\na.mp4,walk,m,3,7,u\n")
    assert read_records(source).notes == (
        f"{source}: not taken: mask_path, url; the videos are those of the column path",
    )


def test_a_time_of_day_is_no_second(write):
    source = write("path,label,start_time\na.mp4,walk,00:01:02\n")
    assert refusal(source) == (
        f"{source}, line 2: start '00:01:02', expected seconds from 0; correct it, or rename the column if it is no "
        "segment"
    )


def test_columns_of_one_name_are_refused(write):
    assert "the header has the column 'file_name' twice" in refusal(write("file name,label,file_name\na,x,b\n"))


def test_a_list_of_lines_is_no_csv(write):
    assert [record.id for record in read_records(write("video,3\nfile,0\n", "list.txt")).records] == ["video", "file"]


# Paths


def test_backslashes_are_read_as_slashes(write, tmp_path):
    source = write("path,label\nwalk\\a.mp4,walk\nrun\\deep\\b.mp4,run\nc.mp4,run\n")
    found = read_records(source)
    assert [record.path for record in found.records] == [
        f"{tmp_path}/walk/a.mp4",
        f"{tmp_path}/run/deep/b.mp4",
        f"{tmp_path}/c.mp4",
    ]
    assert found.notes == (f"{source}: 2 paths have backslashes, which are read as /, such as walk\\a.mp4",)


def test_a_name_with_a_backslash_stays(write, tmp_path):
    (tmp_path / "a\\b.mp4").touch()
    found = read_records(write("path,label\na\\b.mp4,walk\n"))
    assert (found.records[0].path, found.notes) == (f"{tmp_path}/a\\b.mp4", ())


@pytest.mark.parametrize("path", ["C:\\videos\\a.mp4", "\\\\server\\videos\\a.mp4"])
def test_a_path_of_a_windows_machine_is_named_as_one(write, path):
    source = write(f"path,label\n{path},walk\n")
    assert refusal(source) == (
        f"{source}, line 2: path {path} is one of a Windows machine; write paths relative to the folder of the videos, "
        "and give that folder as the root (DATA.ROOT, --root)"
    )


def test_backslashes_do_not_lead_out_of_the_root(write):
    assert "leaves its root" in refusal(write("path,label\n..\\a.mp4,walk\n"))


@pytest.mark.parametrize(("listed", "stored"), [(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED)])
def test_files_are_found_in_the_form_that_the_disk_has(write, tmp_path, listed, stored):
    (tmp_path / stored).mkdir()
    (tmp_path / stored / f"{stored} 1.mp4").touch()
    (tmp_path / f"{stored}.tar").touch()
    rows = (f"{listed}/{listed} 1.mp4", f"{listed}.tar#0+9", f"{listed}/none.mp4", f"{tmp_path}/{listed}.tar")
    found = read_records(write("path,label\n" + "".join(f"{row},x\n" for row in rows)))
    assert [record.path for record in found.records] == [
        f"{tmp_path}/{stored}/{stored} 1.mp4",
        f"{tmp_path}/{stored}.tar#0+9",
        f"{tmp_path}/{stored}/none.mp4",
        f"{tmp_path}/{stored}.tar",
    ]
    assert [record.id for record in found.records] == list(rows)


def test_a_file_that_is_there_as_listed_is_taken(write, tmp_path):
    for name in (COMPOSED, DECOMPOSED):
        (tmp_path / f"{name}.mp4").touch()
    found = read_records(write(f"path,label\n{COMPOSED}.mp4,x\n{DECOMPOSED}.mp4,x\n"))
    assert [record.path for record in found.records] == [f"{tmp_path}/{name}.mp4" for name in (COMPOSED, DECOMPOSED)]


def test_lists_and_roots_are_found_in_the_other_form_too(tmp_path):
    folder = tmp_path / DECOMPOSED
    folder.mkdir()
    (folder / "list.csv").write_text("path,label\na.mp4,x\n")
    (folder / "names.txt").write_text("x\n")
    other = f"{tmp_path}/{COMPOSED}"
    assert read_records(f"{other}/list.csv").records[0].path == f"{folder}/a.mp4"
    assert read_records(f"{folder}/list.csv", root=other).records[0].path == f"{folder}/a.mp4"
    assert read_label_map(f"{other}/names.txt") == ("x",)


def test_blanks_at_the_ends_of_a_path_are_a_names_own_only_where_a_file_has_them(write, tmp_path):
    for name in ("a.mp4", "b.mp4 "):
        (tmp_path / name).touch()
    found = read_records(write("path,label\na.mp4 ,x\nb.mp4 ,x\nc.mp4 ,x\n"))
    assert [record.path for record in found.records] == [f"{tmp_path}/{name}" for name in ("a.mp4", "b.mp4 ", "c.mp4")]


def test_the_doctor_reads_several_lists_with_the_notes_of_each(write, tmp_path):
    lists = [write(f"video,label\n{name}.mp4,x\n", f"{name}.csv") for name in ("train", "val")]
    data_set = read_data_set(lists, "", "")
    assert [row.split for row in data_set.rows] == ["train", "val"]
    assert data_set.names == ("x",)
    assert list(data_set.notes) == [f"{source}: columns taken: video as path" for source in lists]


def test_the_readme_names_the_columns():
    text = (ROOT / "datasets" / "README.md").read_text(encoding="utf-8")
    table = dict(re.findall(r"^\| `(\w+)` \| `([\w ]+)` \|$", text, re.MULTILINE))
    assert {meaning: others.split() for meaning, others in table.items()} == {
        meaning: [name for name in names if name != meaning] for meaning, names in NAMES.items() if len(names) > 1
    }


# Folders that scripts of datasets/ read


def test_folders_of_one_name_in_two_spellings_make_one_class(tmp_path):
    for name in (COMPOSED, DECOMPOSED, "tea", "tea "):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{len(name)}.mp4").touch()
    found = read_folder(FolderOptions(str(tmp_path), Path(), val_share=0.5))
    assert found.names == [COMPOSED, "tea"]
    assert sorted(row.label for row in found.rows) == [COMPOSED, COMPOSED, "tea", "tea"]
    assert all((tmp_path / row.path).is_file() for row in found.rows)


def test_official_names_find_files_in_the_other_form():
    index = VideoIndex([f"{DECOMPOSED}/v_{DECOMPOSED}_g01.avi"])
    assert index.named(f"v_{COMPOSED}_g01") == index.named_alike(f"V {COMPOSED} g01") == index.paths


def test_a_run_points_out_names_that_look_alike():
    lists = SimpleNamespace(train=SimpleNamespace(label_names=("run", "walk", "Walk")))
    beginning = SimpleNamespace(training=SimpleNamespace(lists=lists))
    assert alike_names(beginning) == "class names look alike: 'walk', 'Walk'"
    assert alike_names in DOUBTS_ON_CLASSES
