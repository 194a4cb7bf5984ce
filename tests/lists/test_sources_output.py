"""What sources write: lists, label maps and configs that are read back, and refusals that leave nothing."""

import os
from pathlib import Path

import pytest

from helpers.source_trees import touch
from video_rs.config import load_config
from video_rs.lists.records import read_records
from video_rs.lists.rows import ListRow
from video_rs.lists.sources.matching import ListedVideo
from video_rs.lists.sources.official import OfficialList, write_found
from video_rs.lists.sources.output import save_config, save_label_map, save_list, save_text
from video_rs.runtime.errors import InputError


def test_list_beside_above_and_away_from_its_videos(tmp_path):
    root = touch(tmp_path / "videos", "run/a, b.mp4")
    rows = [ListRow(0, "run/a, b.mp4", "x, y", "train")]
    expected = {"": "videos/run/a, b.mp4", "videos": "run/a, b.mp4", "lists": f"{root}/run/a, b.mp4"}
    for folder, path in expected.items():
        target = tmp_path / folder / "list.csv"
        save_list(target, rows, root)
        assert target.read_text() == f'path,label,split\n"{path}","x, y",train\n'
        (record,) = read_records(str(target)).records
        assert Path(record.path).is_file()


def test_list_has_the_columns_that_are_used(tmp_path):
    rows = [ListRow(0, "a.mp4", "x", "train", id="1"), ListRow(0, "b.mp4", "", "test", "0", "2.5")]
    save_list(tmp_path / "list.csv", rows, str(tmp_path))
    assert (tmp_path / "list.csv").read_text() == (
        "path,label,split,start,end,id\na.mp4,x,train,,,1\nb.mp4,,test,0,2.5,\n"
    )


@pytest.mark.parametrize("name", [" a.mp4", "a:/\N{SNOWMAN}://b.mp4", "a\udce9.mp4"])
def test_list_refuses_paths_that_would_be_read_as_others(tmp_path, name):
    with pytest.raises(InputError, match=r"path '.*mp4': a list file holds UTF-8 text without :// and .*; rename"):
        save_list(tmp_path / "list.csv", [ListRow(0, name, "x", "train")], str(tmp_path))
    assert not (tmp_path / "list.csv").exists()


@pytest.mark.parametrize("name", ["a;b", " a", "a\nb", "", "\udce9"])
def test_label_map_refuses_names_that_a_list_cannot_hold(tmp_path, name):
    with pytest.raises(InputError, match=r"class name '.*': allowed is UTF-8 text .*; rename the class"):
        save_label_map(tmp_path / "labels.txt", ["fine", name])


def test_writing_again_leaves_the_file_alone(tmp_path):
    path = tmp_path / "new" / "a.txt"
    assert save_text(path, "é\n") == f"wrote {path}"
    os.utime(path, ns=(1, 1))
    assert save_text(path, "é\n") == f"unchanged: {path}"
    assert path.stat().st_mtime_ns == 1
    assert save_text(path, "e\n") == f"wrote {path}"
    assert path.read_text() == "e\n"
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot write .*/file/a.txt \(.*\); choose another place"):
        save_text(tmp_path / "file" / "a.txt", "x")


def test_config_is_read_with_its_base(tmp_path):
    (tmp_path / "base.yaml").write_text("RNG_SEED: 7\nOUTPUT_DIR: x\n")
    values = {"OUTPUT_DIR": "runs/é: #1", "DATA": {"RANDOM_FLIP": False}}
    save_config(tmp_path / "c.yaml", "What it is.\n\nMore\n", tmp_path / "base.yaml", values)
    text = (tmp_path / "c.yaml").read_text()
    assert text.startswith(f"# What it is.\n#\n# More\n_BASE_: {tmp_path}/base.yaml\n")
    config = load_config(tmp_path / "c.yaml")
    assert (config.RNG_SEED, config.OUTPUT_DIR, config.DATA.RANDOM_FLIP) == (7, "runs/é: #1", False)


def test_nothing_found_is_refused_and_writes_nothing(tmp_path):
    empty, other = touch(tmp_path / "empty", "a.txt"), touch(tmp_path / "other", "b/z.mp4")
    out = tmp_path / "out" / "list.csv"
    one = OfficialList("x", [ListedVideo("x", "run", "train", ("x",))], ["run"], 1)
    with pytest.raises(InputError, match=r"/empty holds no videos, .*; left out: 1 .* \(.txt 1\); give"):
        write_found(one, empty, out)
    with pytest.raises(
        InputError, match=r"^none of the 1 listed .* 1 files of .*/other \(such as b/z.mp4\); .*x\.mp4;"
    ):
        write_found(one, other, out)
    with pytest.raises(InputError, match="the official lists name no videos; give the complete files"):
        write_found(OfficialList("x", [], ["run"], 1), other, out)
    assert not out.parent.exists()
