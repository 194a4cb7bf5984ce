"""Files that are whole at any moment."""

import errno
import json
import os

import pytest

from video_rs.runtime.atomic import JsonArray, write_json
from video_rs.runtime.unfinished import remove_unfinished_files, temporary_folder, unfinished

VALUES = [{"video": "ü.mp4", "top": [1, {"a": []}]}, {"video": "b\nc", "top": []}, [], "x"]


def test_an_array_is_whole_after_every_value_and_reads_as_written_at_once(tmp_path):
    path, whole = tmp_path / "deep" / "out.json", tmp_path / "whole.json"
    with JsonArray(path) as array:
        for count in range(len(VALUES) + 1):
            write_json(whole, VALUES[:count])
            assert path.read_bytes() == whole.read_bytes()
            if count < len(VALUES):
                array.append(VALUES[count])


def test_what_was_there_is_replaced(tmp_path):
    path = tmp_path / "out.json"
    path.write_text("[1, 2, 3, 4, 5]")
    JsonArray(path).close()
    assert path.read_text() == "[]\n"


def test_names_that_are_no_utf_8_are_read_back(tmp_path):
    with JsonArray(tmp_path / "out.json") as array:
        array.append("caf\udce9.mp4")
    assert json.loads((tmp_path / "out.json").read_text()) == ["caf\udce9.mp4"]


@pytest.mark.parametrize("before", [0, 1, 2])
def test_a_full_disk_leaves_the_values_before(tmp_path, monkeypatch, before):
    path, write = tmp_path / "out.json", os.write
    array = JsonArray(path)
    for value in VALUES[:before]:
        array.append(value)
    kept = path.read_bytes()
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[: max(4, len(data) // 2)]))
    with pytest.raises(OSError, match="No space") as caught:
        array.append("long" * 1000)
    assert caught.value.errno == errno.ENOSPC
    assert path.read_bytes() == kept
    monkeypatch.undo()
    array.append("after")
    assert json.loads(path.read_text()) == [*VALUES[:before], "after"]


def test_a_folder_of_files_that_are_not_whole_goes_at_the_end_of_a_process(tmp_path):
    folder = tmp_path / "folder"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "half").write_text("half")
    with unfinished(folder):
        remove_unfinished_files()
    assert list(tmp_path.iterdir()) == []


def test_a_temporary_folder_goes_with_its_context_and_at_the_end_of_a_process(tmp_path):
    with temporary_folder("of_", tmp_path) as folder:
        assert folder.parent == tmp_path
        assert folder.name.startswith("of_")
        (folder / "file").write_text("for a time")
    assert list(tmp_path.iterdir()) == []

    with temporary_folder("of_", tmp_path) as folder:
        (folder / "file").write_text("for a time")
        remove_unfinished_files()
        assert list(tmp_path.iterdir()) == []
