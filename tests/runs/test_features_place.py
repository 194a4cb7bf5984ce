"""Where an extraction of features writes: what is in the way, what is damaged, and what has been mended since."""

import os
import shutil

import numpy as np
import pytest

from video_rs.inference.features import read_features
from video_rs.inference.features.shards import Shards


@pytest.fixture
def folder(videos, tmp_path):
    shutil.copytree(videos.parent / "val", tmp_path / "val")
    return tmp_path / "val"


@pytest.fixture
def extract(tool, trained, folder, tmp_path):
    """``extract(name, *arguments)`` writes features of ``folder``."""

    def call(name, *arguments):
        out = ("--list", folder, "--out", tmp_path / name)
        return tool("extract_features", "--checkpoint", trained, *out, "--shard-videos", 2, *arguments)

    return call


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("f.npz", "f.npz/x", "f.npz is a folder, and in the way; give another --out"),
        ("f.npz", "f.npz.parts", "f.npz.parts is no folder, and in the way; give another --out"),
        ("f.npy", "f.npy.csv", "f.npy.csv is there already; give another --out, or add --overwrite to replace it"),
        ("f.npz", "f.npz.json", "f.npz.json is there already; give another --out, or add --overwrite to replace it"),
    ],
)
def test_what_is_in_the_way_stays(extract, tmp_path, name, make, message):
    path = tmp_path / make
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine")
    result = extract(name)
    assert (result.code, result.err) == (2, f"error: {tmp_path}/{message}\n")
    assert path.read_text() == "mine"


def test_shards_of_which_nothing_says_what_they_are_stay(extract, tmp_path):
    (tmp_path / "f.npz.parts").mkdir()
    (tmp_path / "f.npz.parts/000000.npz").write_bytes(b"features of something")
    (tmp_path / "f.npz.parts/settings.json").write_text("{")
    assert extract("f.npz").err == (
        f"error: nothing says what the files in {tmp_path}/f.npz.parts are of; give another --out, or add --overwrite "
        "to replace them\n"
    )
    assert extract("f.npz", "--overwrite").code == 0


def test_a_finished_file_that_was_cut_is_not_finished(extract, tmp_path):
    assert extract("f.npz").code == 0
    whole = (tmp_path / "f.npz").read_bytes()
    (tmp_path / "f.npz").write_bytes(whole[:100])
    assert extract("f.npz").err == (
        f"error: {tmp_path}/f.npz is damaged: 100 bytes, and {len(whole)} when it was finished; take it from a copy, "
        "or add --overwrite to make it again\n"
    )
    assert extract("f.npz", "--overwrite").code == 0
    assert (tmp_path / "f.npz").read_bytes() == whole


def test_a_video_that_was_mended_is_read_again(extract, folder, videos, tmp_path, monkeypatch):
    """The first shard has a video that is mended before the extraction goes on, the second one that stays broken."""
    for name in ("dark/0.mp4", "light/0.mp4"):
        (folder / name).write_bytes(b"")
    with monkeypatch.context() as patch:
        patch.setattr("video_rs.runs.extract_features._join", lambda *all: (_ for _ in ()).throw(MemoryError))
        with pytest.raises(MemoryError):
            extract("f.npz")
    shards = Shards(tmp_path / "f.npz.parts", 4, 2)
    old = shards.read(1)

    shutil.copy2(videos.parent / "val/dark/0.mp4", folder / "dark/0.mp4")
    # A copy that keeps its time is older than the shard, but has come later.
    assert (folder / "dark/0.mp4").stat().st_mtime < os.stat(tmp_path / "f.npz.parts/000000.npz").st_mtime
    result = extract("f.npz")
    assert result.code == 0, result.err
    assert "going on after 1 of 2 shards\n" in result.out
    found = read_features(tmp_path / "f.npz")
    assert found.rows.errors == ["", "", "empty file", ""]
    np.testing.assert_array_equal(found.features[2:], old.features)
    assert np.isfinite(found.features[0]).all()
