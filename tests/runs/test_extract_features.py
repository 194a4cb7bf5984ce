"""``video-rs extract_features``: features worked out here again, in every format, however the work was cut up."""

import csv
import json
import os
import shutil

import numpy as np
import pytest
import torch
from pyarrow import parquet

from helpers.jobs import run_job
from helpers.runs import tiny_run
from video_rs.engine.checkpoint import load_checkpoint
from video_rs.inference import Predictor
from video_rs.inference.features import StageFeatures, features_of_video, features_of_views, read_features
from video_rs.inference.features.shards import Shards
from video_rs.models import Architecture, VideoClassifier
from video_rs.runtime.errors import InputError
from video_rs.video import DecodeError, open_video

NAMES = ("dark/0", "dark/1", "light/0", "light/1")


@pytest.fixture(scope="module")
def maps(trained, videos):
    """(video, stage) -> float64 ``[crops, clips, C]``, from the checkpoint's plain data; the backbone is shared."""
    state = load_checkpoint(trained)
    model = VideoClassifier(Architecture(**state["architecture"]), 2).eval()
    model.load_state_dict(state["ema"])
    found = {}
    for name in NAMES:
        path = f"{videos.parent}/val/{name}.mp4"
        with open_video(path) as reader:
            frames = reader.frames(range(12))
        # 12 frames, clips of 4 with stride 2: starts 0 and 4. 48 pixels shrink to 40: crops of 32 from tops 0, 4, 8.
        small = torch.nn.functional.interpolate(frames.permute(0, 3, 1, 2).double(), size=(40, 40), mode="bilinear")
        small = (small + 2**-12).floor() / 255
        views = [small[start : start + 8 : 2, :, top : top + 32, 4:36] for top in (0, 4, 8) for start in (0, 4)]
        with torch.no_grad():
            stages = model.backbone(torch.stack(views).transpose(1, 2).float())
        for stage, values in stages.items():
            found[path, stage] = values.double().mean((2, 3, 4)).reshape(3, 2, -1).numpy()
    return found


@pytest.fixture
def listed(videos, tmp_path):
    """A list in which the second of five videos is broken and the last one gone."""
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    good = [f"{videos.parent}/val/{name}.mp4" for name in NAMES]
    rows = [(good[2], "light;dark", "a"), ("broken.mp4", "dark", "b"), (good[0], "dark", "c"), (good[3], "", "")]
    lines = [",".join(row) for row in [*rows, ("gone.mp4", "light", "e")]]
    path = tmp_path / "list.csv"
    path.write_text("path,label,id\n" + "\n".join(lines) + "\n")
    return path


def extract(tool, trained, listed, out, *arguments):
    result = tool("extract_features", "--checkpoint", trained, "--list", listed, "--out", out, *arguments)
    assert (result.code, result.err) == (0, "")
    return result.out


# -- What is written


@pytest.mark.parametrize("suffix", ["npz", "npy", "parquet"])
@pytest.mark.parametrize("per", ["video", "clip", "view"])
def test_rows_in_the_order_of_the_list_with_a_reason_where_there_is_no_video(
    tool, trained, listed, maps, videos, tmp_path, suffix, per
):
    out = tmp_path / "deep" / f"features.{suffix}"
    said = extract(tool, trained, listed, out, "--per", per, "--stage", "res4", "--shard-videos", 2)
    found = read_features(out)

    expected, ids, errors, places = [], [], [], []
    for name, id_ in (("light/0", "a"), (None, "b"), ("dark/0", "c"), ("light/1", None), (None, "e")):
        path = f"{videos.parent}/val/{name}.mp4"
        ids_of_video = path if id_ is None else id_
        if name is None:
            channels = next(iter(maps.values())).shape[-1]
            values, where = [None], [(-1, -1)]
        elif per == "view":
            values = maps[path, "res4"].reshape(6, -1)
            where = [(clip, crop) for crop in range(3) for clip in range(2)]
        elif per == "clip":
            values, where = maps[path, "res4"].mean(0), [(0, -1), (1, -1)]
        else:
            values, where = [maps[path, "res4"].mean((0, 1))], [(-1, -1)]
        expected += list(values)
        places += where
        ids += [ids_of_video] * len(where)
        errors += [name is None] * len(where)

    rows = found.rows
    assert rows.ids == ids
    assert [bool(error) for error in rows.errors] == errors
    assert list(zip(rows.clips.tolist(), rows.crops.tolist(), strict=True)) == places
    channels = found.features.shape[1]
    for got, wanted in zip(found.features, expected, strict=True):
        if wanted is None:
            assert np.isnan(got).all()
        else:
            np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())
    assert rows.errors[-1] == "no such file"
    assert rows.paths[errors.index(True)] == str(tmp_path / "broken.mp4")
    assert [rows.labels[ids.index(name)] for name in ("a", "b", "c", "e")] == ["light;dark", "dark", "dark", "light"]

    about = json.loads((tmp_path / f"deep/features.{suffix}.json").read_text())
    assert found.about == about
    assert (about["stage"], about["per"], about["videos"], about["failed"]) == ("res4", per, 5, 2)
    assert (about["rows"], about["channels"]) == found.features.shape
    assert f"{len(rows)} rows of {channels} features of 5 videos, 2 failed\nresults: {out}  {out}.json\n" in said
    names = {f"features.{suffix}", f"features.{suffix}.json"} | ({"features.npy.csv"} if suffix == "npy" else set())
    assert {path.name for path in (tmp_path / "deep").iterdir()} == names


def test_the_formats_can_be_read_without_this_project(tool, trained, listed, tmp_path):
    for suffix in ("npz", "npy", "parquet"):
        extract(tool, trained, listed, tmp_path / f"f.{suffix}")
    arrays = np.load(tmp_path / "f.npz")
    assert set(arrays) == {"features", "ids", "paths", "labels", "errors", "clips", "crops"}
    assert arrays["features"].dtype == np.float32
    np.testing.assert_array_equal(arrays["features"], np.load(tmp_path / "f.npy"))

    table = parquet.read_table(tmp_path / "f.parquet").to_pydict()
    assert list(table) == ["id", "video", "label", "clip", "crop", "error", "features"]
    assert [row is None for row in table["features"]] == [False, True, False, False, True]
    np.testing.assert_array_equal(table["features"][0], arrays["features"][0])
    assert table["clip"] == [None] * 5
    assert table["label"][3] is None
    assert table["error"][0] is None

    with open(tmp_path / "f.npy.csv", newline="") as file:
        lines = list(csv.reader(file))
    assert lines[0] == ["id", "video", "label", "clip", "crop", "error"]
    assert lines[1] == ["a", table["video"][0], "light;dark", "", "", ""]
    assert [line[5] for line in lines[1:]] == [error or "" for error in table["error"]]


def test_the_last_layer_over_the_features_is_the_prediction(tool, trained, videos, tmp_path):
    """Features of the run's own list, through the stored weights of the last layer, beside what predicting says."""
    out = tmp_path / "views.npz"
    result = tool("extract_features", "--checkpoint", trained, "--out", out, "--per", "view", "--split", "val")
    assert result.code == 0, result.err
    found, state = read_features(out), load_checkpoint(trained)
    weights = {name: state["ema"][f"fc.{name}"].double() for name in ("weight", "bias")}
    predictor = Predictor.from_checkpoint(trained, "cpu")
    paths = list(dict.fromkeys(found.rows.paths))
    assert paths == [f"{videos.parent}/val/{name}.mp4" for name in NAMES]
    for path in paths:
        mine = [i for i, other in enumerate(found.rows.paths) if other == path]
        logits = torch.from_numpy(found.features[mine]).double() @ weights["weight"].T + weights["bias"]
        assert len(logits) == 6
        np.testing.assert_allclose(logits.softmax(1).mean(0), predictor.predict(path).probabilities, atol=1e-6)
        np.testing.assert_allclose(features_of_video(predictor, path), found.features[mine], atol=1e-5)
    assert set(found.rows.labels) == {"dark", "light"}


def test_a_folder_of_videos_without_classes_is_a_list(tool, trained, videos, tmp_path):
    (tmp_path / "plain").mkdir()
    for name in ("light/1", "dark/0"):
        shutil.copy(videos.parent / "val" / f"{name}.mp4", tmp_path / "plain" / f"{name.replace('/', '_')}.mp4")
    extract(tool, trained, tmp_path / "plain", tmp_path / "f.npz")
    found = read_features(tmp_path / "f.npz")
    names = [f"{tmp_path}/plain/{name}.mp4" for name in ("dark_0", "light_1")]
    assert (found.rows.paths, found.rows.ids, found.rows.labels) == (names, names, ["", ""])
    # A folder of class folders has labels.
    extract(tool, trained, videos.parent / "val", tmp_path / "labelled.npz")
    labelled = read_features(tmp_path / "labelled.npz")
    assert labelled.rows.labels == ["dark", "dark", "light", "light"]
    np.testing.assert_allclose(found.features, labelled.features[[0, 3]], atol=1e-6)


def test_rows_and_views_can_be_chosen(tool, trained, videos, tmp_path):
    out = tmp_path / "f.npy"
    extract(tool, trained, videos, out, "--per", "view", "TEST.NUM_ENSEMBLE_VIEWS", 3, "TEST.NUM_SPATIAL_CROPS", 1)
    assert len(np.load(out)) == 12 * 3
    extract(tool, trained, videos, tmp_path / "train.npy", "--split", "train", "DEVICE", "cpu")
    assert len(np.load(tmp_path / "train.npy")) == 8


# -- Batches


class Video:
    """Views whose features are known: one number each."""

    def __init__(self, *numbers, error=None):
        self.numbers, self.error = numbers, error

    @property
    def num_views(self):
        return len(self.numbers)

    view_size = (8, 8)

    def views(self, batch):
        yield from torch.tensor(self.numbers, dtype=torch.float32)[:, None].split(batch)


def test_batches_hold_views_of_several_videos_and_videos_stay_in_order():
    sizes, read = [], []

    def network(views):
        sizes.append(len(views))
        return 10 * views

    def videos():
        for video in (Video(1, 2, 3), Video(error="x"), Video(4), Video(5, 6, 7, 8, 9), Video(error="y"), Video(10)):
            read.append(video)
            yield video

    found = []
    for video, features in features_of_views(network, videos(), 4):
        found.append((video.numbers, None if features is None else features.flatten().tolist(), len(read)))
    assert sizes == [4, 4, 1, 1]
    assert [row[:2] for row in found] == [
        ((1, 2, 3), [10, 20, 30]),
        ((), None),
        ((4,), [40]),
        ((5, 6, 7, 8, 9), [50, 60, 70, 80, 90]),
        ((), None),
        ((10,), [100]),
    ]
    # A batch is computed as soon as it is full.
    assert [row[2] for row in found] == [3, 3, 3, 4, 6, 6]


def test_features_can_be_trained_on(trained, videos):
    """A linear probe's weights get a gradient through them."""
    features = features_of_video(Predictor.from_checkpoint(trained, "cpu"), f"{videos.parent}/val/dark/0.mp4")
    probe = torch.nn.Linear(features.shape[1], 2)
    probe(features).sum().backward()
    torch.testing.assert_close(probe.weight.grad[0], features.sum(0))


# -- Stopping, going on, many processes


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("suffix", ["npz", "parquet", "npy"])
def test_a_stopped_extraction_goes_on_and_leaves_the_same_files(tool, trained, listed, tmp_path, monkeypatch, suffix):
    arguments = ("--per", "clip", "--shard-videos", 2)
    extract(tool, trained, listed, tmp_path / "whole" / f"f.{suffix}", *arguments)
    out = tmp_path / "stopped" / f"f.{suffix}"
    write, written = Shards.write, []

    def once(self, number, rows):
        if written:
            raise MemoryError("in the middle")
        written.append(number)
        write(self, number, rows)

    with monkeypatch.context() as patch:
        patch.setattr(Shards, "write", once)
        with pytest.raises(MemoryError):
            extract(tool, trained, listed, out, *arguments)
    assert written == [0]
    left = tmp_path / "stopped" / f"f.{suffix}.parts"
    assert {path.name for path in left.iterdir()} == {"settings.json", "000000.npz"}
    assert not out.exists()

    # What a process that was killed while it wrote leaves behind.
    (left / ".000001.npz.77.tmp").write_bytes(b"half")
    seen = []
    views = StageFeatures.__call__
    monkeypatch.setattr(StageFeatures, "__call__", lambda self, clips: seen.append(len(clips)) or views(self, clips))
    said = extract(tool, trained, listed, out, *arguments)
    assert "going on after 1 of 3 shards\n" in said
    assert sum(seen) == 2 * 6  # the third and the fourth video; the fifth is gone
    assert files(tmp_path / "stopped") == files(tmp_path / "whole")

    again = extract(tool, trained, listed, out, *arguments)
    assert again.startswith(f"{out} is finished; nothing to do\n")
    assert sum(seen) == 2 * 6


def test_one_that_was_stopped_before_its_shards_were_joined(tool, trained, listed, tmp_path, monkeypatch):
    out = tmp_path / "f.npz"
    parts = tmp_path / "f.npz.parts"
    with monkeypatch.context() as patch:
        patch.setattr(Shards, "read", lambda self, number: (_ for _ in ()).throw(MemoryError))
        with pytest.raises(MemoryError):
            extract(tool, trained, listed, out)
    shutil.copytree(parts, tmp_path / "cut.npz.parts")
    shutil.copytree(parts, tmp_path / "other.npz.parts")
    assert "going on after 1 of 1 shard\n" in extract(tool, trained, listed, out)
    assert not parts.exists()

    # A shard that was cut short is done again.
    cut = tmp_path / "cut.npz.parts" / "000000.npz"
    cut.write_bytes(cut.read_bytes()[:-30])
    assert "going on after" not in extract(tool, trained, listed, tmp_path / "cut.npz")
    assert (tmp_path / "cut.npz").read_bytes() == out.read_bytes()

    # One of which a bit has changed is named.
    damaged = tmp_path / "other.npz.parts" / "000000.npz"
    content = bytearray(damaged.read_bytes())
    content[content.index(b"features.npy") + 200] ^= 1
    damaged.write_bytes(content)
    result = tool("extract_features", "--checkpoint", trained, "--list", listed, "--out", tmp_path / "other.npz")
    assert result.code == 2
    assert result.err.startswith(f"error: {tmp_path}/other.npz.parts/000000.npz cannot be read (")
    assert result.err.endswith("); delete it, and start again: the others stay\n")
    assert result.err.count("\n") == 1


@pytest.mark.xdist_group("processes")
def test_two_processes_leave_the_files_of_one(tool, trained, listed, tmp_path):
    arguments = ("--per", "view", "--shard-videos", 1)
    extract(tool, trained, listed, tmp_path / "one.npz", *arguments)
    done = run_job(
        tmp_path, 2, "extract_features", "--checkpoint", trained, "--list", listed, "--out", tmp_path / "two.npz",
        *arguments,
    )  # fmt: skip
    assert done.codes == [0, 0], done.err
    one, two = read_features(tmp_path / "one.npz"), read_features(tmp_path / "two.npz")
    assert one.about == two.about
    # Sums in another order, where this process has more threads.
    np.testing.assert_allclose(two.features, one.features, rtol=0, atol=1e-5)
    assert (one.rows.ids, one.rows.errors) == (two.rows.ids, two.rows.errors)
    np.testing.assert_array_equal(one.rows.clips, two.rows.clips)
    assert done.out.count("results: ") == 1
    assert not (tmp_path / "two.npz.parts").exists()


def test_what_is_there_of_another_extraction_is_kept_unless_told(tool, trained, listed, tmp_path):
    out = tmp_path / "f.npz"
    arguments = ("--checkpoint", trained, "--list", listed, "--out", out)
    extract(tool, trained, listed, out)
    before = out.read_bytes()
    for changed, names in (
        (("--stage", "res3"), "stage"),
        (("--per", "clip", "--shard-videos", 7), "per, shard_videos"),
        (("TEST.NUM_SPATIAL_CROPS", 1), "preprocessing"),
        (("TEST.BATCH_SIZE", 3, "DATA.DECODER", "pyav"), "batch_size, decoder"),
    ):
        result = tool("extract_features", *arguments, *changed)
        assert (result.code, result.err) == (
            2,
            f"error: {out} is there, of another extraction (other: {names}); give another --out, or add --overwrite to "
            "replace it\n",
        )
        assert out.read_bytes() == before
    extract(tool, trained, listed, out, "--stage", "res3", "--overwrite")
    assert read_features(out).about["stage"] == "res3"

    (tmp_path / "g.npz.parts").mkdir()
    (tmp_path / "g.npz.parts/settings.json").write_text('{"stage": "stem"}')
    result = tool("extract_features", *arguments[:-1], tmp_path / "g.npz")
    assert result.code == 2
    assert result.err.startswith(f"error: {tmp_path}/g.npz.parts holds a part of another extraction (other: format, ")

    (tmp_path / "mine.npz").write_bytes(b"mine")
    result = tool("extract_features", *arguments[:-1], tmp_path / "mine.npz")
    assert (result.code, result.err) == (
        2,
        f"error: {tmp_path}/mine.npz is there already; give another --out, or add --overwrite to replace it\n",
    )
    assert (tmp_path / "mine.npz").read_bytes() == b"mine"


def test_a_changed_list_is_another_extraction_and_a_moved_one_is_not(tool, trained, listed, tmp_path):
    out = tmp_path / "f.npy"
    extract(tool, trained, listed, out)
    (tmp_path / "moved.csv").write_text(listed.read_text())
    assert "is finished" in extract(tool, trained, tmp_path / "moved.csv", out)
    shutil.copytree(trained, tmp_path / "run")
    assert "is finished" in extract(tool, tmp_path / "run", listed, out)
    lines = listed.read_text().splitlines()
    listed.write_text("\n".join([lines[0], *reversed(lines[1:])]) + "\n")
    result = tool("extract_features", "--checkpoint", trained, "--list", listed, "--out", out)
    assert f"error: {out} is there, of another extraction (other: rows_sha256, files_sha256)" in result.err


def test_other_files_under_the_same_ids_are_another_extraction(tool, trained, videos, tmp_path):
    path, out = tmp_path / "list.csv", tmp_path / "f.npy"
    path.write_text(f"path,label,id\n{videos.parent}/val/dark/0.mp4,dark,one\n")
    extract(tool, trained, path, out)
    path.write_text(f"path,label,id\n{videos.parent}/val/dark/1.mp4,dark,one\n")
    result = tool("extract_features", "--checkpoint", trained, "--list", path, "--out", out)
    assert (result.code, result.err) == (
        2,
        f"error: {out} is there, of another extraction (other: files_sha256); give another --out, or add --overwrite "
        "to replace it\n",
    )
    # The same file in another place is the same one.
    shutil.copy(videos.parent / "val/dark/0.mp4", tmp_path / "0.mp4")
    path.write_text("path,label,id\n0.mp4,dark,one\n")
    assert "is finished" in extract(tool, trained, path, out)


# -- Refusals


def test_exit_code_2_where_no_video_could_be_read(tool, trained, tmp_path):
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    (tmp_path / "list.csv").write_text("path\nbroken.mp4\n")
    out = tmp_path / "f.parquet"
    result = tool("extract_features", "--checkpoint", trained, "--list", tmp_path / "list.csv", "--out", out)
    assert (result.code, result.err) == (2, f"error: none of 1 video could be read; {out} says why of each\n")
    found = read_features(out)
    assert np.isnan(found.features).all()
    assert found.rows.errors[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--out", "f.txt"), "--out is f.txt; allowed: a file whose name ends with .npz, .npy, .parquet"),
        (("--shard-videos", 0), "--shard-videos is 0; allowed: a whole number, at least 1, such as 64"),
        (
            ("MODEL.ARCH", "r3d_50"),
            "MODEL.ARCH is fixed by the checkpoint {run}/checkpoints/last.pth; leave it out, or",
        ),
        (("DATA.LABEL_MAP", "x.txt"), "DATA.LABEL_MAP is fixed by the checkpoint {run}/checkpoints/last.pth; leave it"),
        (("--list", "no.csv"), "list no.csv does not exist"),
        (("DATA.VAL_LIST", ""), "the run had no DATA.VAL_LIST; name the videos with --list"),
        (
            ("--list", "{out}/plain.csv", "--split", "val"),
            "{out}/plain.csv has no splits, and so no rows of the split 'val'",
        ),
        (
            ("--list", "{out}/plain.csv"),
            "{out}/plain.csv: none of 1 file looked at is there, such as {out}/gone.mp4; give",
        ),
        (("--out", "{out}/plain.csv/f.npz"), "cannot write to --out {out}/plain.csv: File exists; set another --out"),
    ],
)
def test_bad_input_is_refused_in_one_line(tool, trained, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plain.csv").write_text("path\ngone.mp4\n")
    arguments = [str(argument).format(out=tmp_path) for argument in arguments]
    if "--out" not in arguments:
        arguments += ["--out", "f.npz"]
    result = tool("extract_features", "--checkpoint", trained, *arguments)
    assert result.code == 2
    assert result.err.startswith(f"error: {message.format(out=tmp_path, run=trained)}")
    assert result.err.count("\n") == 1
    assert os.listdir(tmp_path) == ["plain.csv"]


def test_choices_of_the_command(tool, trained):
    for option, value in (("--stage", "res6"), ("--per", "frame"), ("--split", "dev")):
        result = tool("extract_features", "--checkpoint", trained, "--out", "f.npz", option, value)
        assert result.code == 2
        assert f"argument {option}: invalid choice: '{value}'" in result.err


def test_a_file_of_something_else_is_no_file_of_features(trained, tmp_path):
    with pytest.raises(InputError, match=r"gone.npz; make it with video-rs extract_features$"):
        read_features(tmp_path / "gone.npz")
    with pytest.raises(
        InputError, match=r"x.csv is no file of features; allowed: names that end with .npz, .npy, .parq"
    ):
        read_features(tmp_path / "x.csv")
    np.savez(tmp_path / "other.npz", other=np.zeros(1))
    np.save(tmp_path / "bare.npy", np.zeros(1))
    (tmp_path / "text.parquet").write_text("text")
    for name in ("other.npz", "bare.npy", "text.parquet"):
        with pytest.raises(
            InputError, match=rf"{name} holds no features \(.*\); make it with video-rs extract_features$"
        ):
            read_features(tmp_path / name)

    predictor = Predictor.from_checkpoint(trained, "cpu")
    with pytest.raises(DecodeError, match=r"cannot decode .*gone.mp4: no such file"):
        features_of_video(predictor, str(tmp_path / "gone.mp4"))
    exported = Predictor(lambda clips: clips, predictor.preprocessing, predictor.answers)
    with pytest.raises(InputError, match=r"^an exported model gives no features of its stages; take its checkpoint$"):
        features_of_video(exported, "x.mp4")


def test_the_root_of_the_run_goes_with_its_own_list(tool, videos, config_file, tmp_path):
    moved = tmp_path / "elsewhere.csv"
    moved.write_text(videos.read_text())
    keys = {"DATA__ROOT": videos.parent, "SOLVER__MAX_STEPS": 1}
    assert tool("train_net", "--cfg", config_file, *tiny_run(moved, tmp_path / "run", **keys)).code == 0
    own = tool("extract_features", "--checkpoint", tmp_path / "run", "--out", tmp_path / "a.npy")
    assert own.code == 0, own.err
    extract(tool, tmp_path / "run", moved, tmp_path / "b.npy", "DATA.ROOT", videos.parent)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), np.load(tmp_path / "b.npy"))
    assert len(np.load(tmp_path / "a.npy")) == 12
