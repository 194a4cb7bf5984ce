"""``tools/knn.py``: its answers against a vote in plain loops, and every refusal."""

import json
import math
import os
import shutil

import numpy as np
import pytest
import torch
from iopath.common.file_io import PathHandler
from torch import nn

from helpers import predictions
from helpers.jobs import run_job
from helpers.neighbours import literal_vote
from helpers.runs import tiny_run
from helpers.videos import make_videos
from video_rs.engine.checkpoint import load_checkpoint
from video_rs.models import Architecture, VideoClassifier
from video_rs.runs.run_folder import RunFolder
from video_rs.video import open_video

pytestmark = pytest.mark.usefixtures("blank_charts")

TESTING_KEYS = {"top1", "topk", "k", "videos", "failed", "top1_all", "checkpoint"}
TESTING_KEYS |= {"clips", "crops", "views", "views_per_video"}


@pytest.fixture(scope="module")
def checkpoint(trained):
    return trained / "checkpoints" / "last.pth"


@pytest.fixture(scope="module")
def features(checkpoint, videos):
    """path -> unit vector float64 of the centre view, from the checkpoint's plain data; only the backbone is shared."""
    state = load_checkpoint(checkpoint)
    model = VideoClassifier(Architecture(**state["architecture"]), 2).eval()
    model.load_state_dict(state["ema"])
    found = {}
    for path in sorted(videos.parent.glob("*/*/*.mp4")):
        with open_video(path) as reader:
            frames = reader.frames(range(12))
        small = nn.functional.interpolate(frames.permute(0, 3, 1, 2).double(), size=(40, 40), mode="bilinear")
        # 4 frames with stride 2 span 8 of 12: the centre clip starts at 2; a crop of 32 from 40 starts at 4.
        clip = ((small + 2**-12).floor() / 255)[2:10:2, :, 4:36, 4:36]
        with torch.no_grad():
            pooled = model.backbone(clip.transpose(0, 1)[None].float())["res5"][0].mean((1, 2, 3)).double().numpy()
        found[str(path)] = pooled / math.sqrt(sum(x * x for x in pooled))
    return found


def answers(folder):
    """What a test wrote: metrics, and probabilities by (video, id), None where it failed."""
    rows = predictions.rows(folder)
    return json.loads((folder / "metrics.json").read_text()), rows


def write_list(path, videos, rows, header="path,label,split"):
    """A list elsewhere of files beside ``videos``."""
    lines = (f"{videos.parent}/{row}" for row in rows)
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def test_the_runs_own_lists(tool, trained, checkpoint, videos, features):
    result = tool("knn", "--checkpoint", checkpoint, "--k", 3)
    assert result.code == 0, result.err
    metrics, rows = answers(trained / "knn")
    memory = [(v, int("/light/" in path)) for path, v in features.items() if "/train/" in path]
    assert len(rows) == 4
    for row in rows:
        expected = literal_vote(features[row["video"]], memory, 3, 2)
        assert row["probabilities"] == pytest.approx(expected, abs=1e-4)
        assert row["label"] == ("light" if "/light/" in row["video"] else "dark")
        assert row["top"][0]["label"] == ("dark", "light")[int(np.argmax(expected))]
    assert set(metrics) == {*TESTING_KEYS, "neighbours", "memory", "memory_failed", "list", "memory_list"}
    assert metrics["top1"] == sum(row["top"][0]["label"] == row["label"] for row in rows) / 4
    assert (metrics["videos"], metrics["failed"], metrics["clips"], metrics["crops"]) == (4, 0, 1, 1)
    assert (metrics["neighbours"], metrics["memory"], metrics["memory_failed"]) == (3, 8, 0)
    text = (
        f"top1 {metrics['top1']:.4f}  top2 1.0000  videos 4  (3 nearest of 8 videos of {videos}, one centre view each)"
    )
    assert text in result.out
    report = (trained / "knn" / "report.html").read_text()
    assert f"no classifier: the 3 nearest of 8 videos of {videos} vote, by the cosine similarity s of the" in report
    assert "in the memory too" not in report


# Seven classes that are not the checkpoint's, so mixed that neighbours are often of another class.
OTHER = {
    "train/dark/0.mp4": "run",
    "train/dark/1.mp4": "jump",
    "train/dark/2.mp4": "swim",
    "train/dark/3.mp4": "walk",
    "train/light/0.mp4": "climb",
    "train/light/1.mp4": "dive",
    "train/light/2.mp4": "fall",
    "train/light/3.mp4": "run",
}
ASKED = {"val/dark/0.mp4": "swim", "val/dark/1.mp4": "run", "val/light/0.mp4": "climb", "val/light/1.mp4": "dive"}
NAMES = sorted(set(OTHER.values()))


def other_list(path, videos):
    train = [f"{video},{label},train" for video, label in OTHER.items()]
    return write_list(path, videos, [*train, *(f"{video},{label},val" for video, label in ASKED.items())])


@pytest.mark.parametrize("k", [1, 2, 6])
def test_another_data_set_has_its_own_classes_and_neighbours(tool, checkpoint, videos, features, tmp_path, k):
    listed, out = other_list(tmp_path / "other.csv", videos), tmp_path / "out"
    result = tool("knn", "--checkpoint", checkpoint, "--k", k, "--list", listed, "OUTPUT_DIR", out)
    assert result.code == 0, result.err
    metrics, rows = answers(out)
    memory = [(features[f"{videos.parent}/{video}"], NAMES.index(label)) for video, label in OTHER.items()]
    first = five = 0
    for row, (video, label) in zip(rows, ASKED.items(), strict=True):
        expected = literal_vote(features[f"{videos.parent}/{video}"], memory, k, 7)
        assert (row["video"], row["label"]) == (f"{videos.parent}/{video}", label)
        assert row["probabilities"] == pytest.approx(expected, abs=1e-4)
        first += NAMES[int(np.argmax(expected))] == label
        # A class for which nobody voted is no answer, however few others there are.
        five += expected[NAMES.index(label)] > 0 and sum(p > expected[NAMES.index(label)] for p in expected) < 5
    assert (metrics["top1"], metrics["topk"], metrics["k"]) == (first / 4, five / 4, 5)
    if k == 1:
        assert first == five < 4


def test_the_classes_of_a_label_map_come_in_its_order(tool, checkpoint, videos, tmp_path):
    listed, out = other_list(tmp_path / "other.csv", videos), tmp_path / "out"
    arguments = ("--checkpoint", checkpoint, "--k", 4, "--list", listed, "OUTPUT_DIR", out)
    assert tool("knn", *arguments).code == 0
    _, rows = answers(out)
    (tmp_path / "names.txt").write_text("".join(f"{name}\n" for name in reversed(NAMES)))
    assert tool("knn", *arguments, "DATA.LABEL_MAP", tmp_path / "names.txt").code == 0
    _, mapped = answers(out)
    assert [row["probabilities"][::-1] for row in mapped] == [row["probabilities"] for row in rows]
    assert [row["label"] for row in mapped] == list(ASKED.values())


def test_lists_of_one_relative_name_are_lists_of_two_folders(tool, checkpoint, videos, tmp_path, monkeypatch):
    shutil.copytree(checkpoint.parents[1], tmp_path / "run")
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        other_list(tmp_path / name / "other.csv", videos)
        monkeypatch.chdir(tmp_path / name)
        assert tool("knn", "--checkpoint", tmp_path / "run", "--k", 1, "--list", "other.csv").code == 0
    metrics = [json.loads(path.read_text()) for path in (tmp_path / "run").glob("knn*/**/metrics.json")]
    lists = {str(tmp_path / name / "other.csv") for name in ("here", "there")}
    assert lists <= {one["list"] for one in metrics} == {one["memory_list"] for one in metrics}


def test_a_list_without_train_rows_asks_the_runs(tool, checkpoint, videos, tmp_path):
    rows = ["val/light/0.mp4,light", "val/dark/0.mp4,dark"]
    listed, out = write_list(tmp_path / "two.csv", videos, rows, "path,label"), tmp_path / "out"
    result = tool("knn", "--checkpoint", checkpoint, "--k", 3, "--list", listed, "OUTPUT_DIR", out)
    assert result.code == 0, result.err
    metrics, got = answers(out)
    assert f"(3 nearest of 8 videos of {videos}, one centre view each)" in result.out
    assert (metrics["memory"], metrics["videos"]) == (8, 2)
    assert tool("knn", "--checkpoint", checkpoint, "--k", 3, "OUTPUT_DIR", tmp_path / "all").code == 0
    of_all = {row["video"]: row["probabilities"] for row in answers(tmp_path / "all")[1]}
    assert [row["probabilities"] for row in got] == [
        pytest.approx(of_all[f"{videos.parent}/val/{name}/0.mp4"], abs=1e-4) for name in ("light", "dark")
    ]


def test_a_video_does_not_vote_for_itself(tool, checkpoint, videos, features, tmp_path):
    """Two lists of one data set, without a split column; one video is asked by its segments too."""
    known = list(OTHER.items())
    memory = write_list(tmp_path / "m.csv", videos, [f"{v},{label}" for v, label in known], "path,label")
    first = known[0][0]
    rows = [*(f"{video},{label},," for video, label in known[:3]), f"{first},run,0,", f"{first},run,0,1.15"]
    asked, out = write_list(tmp_path / "q.csv", videos, rows, "path,label,start,end"), tmp_path / "out"
    arguments = ("--checkpoint", checkpoint, "--list", asked, "DATA.TRAIN_LIST", memory, "OUTPUT_DIR", out)
    vectors = [(features[f"{videos.parent}/{video}"], NAMES.index(label)) for video, label in known]
    for k in (7, 1):
        result = tool("knn", *arguments, "--k", k)
        assert result.code == 0, result.err
        metrics, got = answers(out)
        for i in range(3):
            expected = literal_vote(vectors[i][0], vectors[:i] + vectors[i + 1 :], k, 7)
            assert got[i]["probabilities"] == pytest.approx(expected, abs=1e-4)
        # A segment from 0 to the end is the whole video.
        assert got[3]["probabilities"] == pytest.approx(got[0]["probabilities"], abs=1e-6)
    # One with an end is another, though here it has the same frames: its video is the nearest.
    assert got[4]["probabilities"][NAMES.index("run")] == 1
    assert got[0]["probabilities"][NAMES.index("run")] == 0
    note = "4 of 5 videos are in the memory too, and do not vote for themselves"
    assert result.out.splitlines().count(note) == 1
    assert note in (out / "report.html").read_text()
    assert metrics["memory"] == 8
    refused = tool("knn", *arguments, "--k", 8)
    assert (refused.code, refused.err) == (
        2,
        f"error: --k is 8, but {memory} has 8 training videos, and a video to test that is among them does not "
        "count; give at most 7, or a longer list\n",
    )


def test_videos_that_cannot_be_read_are_named_on_both_sides(tool, checkpoint, videos, features, tmp_path):
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    train = [f"{video},{label},train" for video, label in OTHER.items()]
    listed = write_list(tmp_path / "list.csv", videos, [*train, "val/dark/0.mp4,swim,val"])
    with listed.open("a") as file:
        file.write("broken.mp4,run,train\ngone.mp4,run,val\n")
    out = tmp_path / "out"
    arguments = ("--checkpoint", checkpoint, "--list", listed, "OUTPUT_DIR", out)
    result = tool("knn", *arguments, "--k", 8)
    assert result.code == 0, result.err
    metrics, rows = answers(out)
    assert (metrics["memory"], metrics["memory_failed"], metrics["videos"], metrics["failed"]) == (9, 1, 2, 1)
    assert metrics["top1_all"] == metrics["top1"] / 2
    assert (rows[1]["probabilities"], rows[1]["error"]) == (None, "no such file")
    memory = [(features[f"{videos.parent}/{video}"], NAMES.index(label)) for video, label in OTHER.items()]
    expected = literal_vote(features[rows[0]["video"]], memory, 8, 7)
    assert rows[0]["probabilities"] == pytest.approx(expected, abs=1e-4)
    reason = next(line for line in result.out.splitlines() if line.startswith("cannot read"))
    assert reason.startswith(f"cannot read {tmp_path}/broken.mp4 of the memory: ")
    assert "1 of 9 videos of the memory could not be read: no votes" in result.out
    assert f"(8 nearest of 8 videos of {listed}, one centre view each)" in result.out
    report = (out / "report.html").read_text()
    assert f"of the memory: {reason.split(': ', 1)[1]}" in report
    assert "1 of 9 videos of the memory could not be read: no votes" in report
    assert "gone.mp4" in report

    refused = tool("knn", *arguments, "--k", 9)
    assert (refused.code, refused.err) == (
        2,
        f"error: --k is 9, but {listed} has 9 training videos (1 of them could not be read); give at most 8, or a "
        "longer list\n",
    )


def test_no_readable_video_on_one_side_is_refused(tool, checkpoint, videos, tmp_path):
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    listed = write_list(tmp_path / "memory.csv", videos, ["val/dark/0.mp4,a,val"])
    with listed.open("a") as file:
        file.write("broken.mp4,a,train\n")
    result = tool("knn", "--checkpoint", checkpoint, "--k", 1, "--list", listed, "OUTPUT_DIR", tmp_path / "out")
    assert result.code == 2
    text = f"error: none of 1 video of the memory could be read; first: {tmp_path}/broken.mp4: "
    assert result.err.startswith(text)
    assert result.err.count("\n") == 1
    assert not (tmp_path / "out" / "metrics.json").exists()

    listed = write_list(tmp_path / "queries.csv", videos, ["train/dark/0.mp4,a,train"])
    with listed.open("a") as file:
        file.write("gone.mp4,a,val\n")
    result = tool("knn", "--checkpoint", checkpoint, "--k", 1, "--list", listed, "OUTPUT_DIR", tmp_path / "out")
    assert (result.code, result.err) == (
        2,
        f"error: none of 1 video could be read; first: {tmp_path}/gone.mp4: no such file\n",
    )
    metrics, _ = answers(tmp_path / "out")
    assert (metrics["failed"], metrics["memory"], metrics["top1"]) == (1, 1, 0)


@pytest.mark.xdist_group("processes")
def test_two_processes_give_the_results_of_one(tool, checkpoint, videos, tmp_path):
    """Three videos to test and nine of the memory, of which one is broken: shares of two sizes."""
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    train = [f"{video},{label},train" for video, label in OTHER.items()]
    listed = write_list(tmp_path / "list.csv", videos, [*train, *(f"{v},{ASKED[v]},val" for v in list(ASKED)[:3])])
    with listed.open("a") as file:
        file.write("broken.mp4,run,train\n")
    arguments = ["--checkpoint", str(checkpoint), "--k", "3", "--list", str(listed), "OUTPUT_DIR"]
    assert tool("knn", *arguments, tmp_path / "one").code == 0
    done = run_job(tmp_path, 2, "knn", *arguments, tmp_path / "two")
    assert done.codes == [0, 0], done.err
    (one, one_rows), (two, two_rows) = answers(tmp_path / "one"), answers(tmp_path / "two")
    assert one == two
    assert (two["memory"], two["memory_failed"], two["videos"]) == (9, 1, 3)
    for ours, theirs in zip(two_rows, one_rows, strict=True):
        assert (ours["video"], ours["label"]) == (theirs["video"], theirs["label"])
        # Products of matrices of other shapes may be rounded otherwise.
        assert ours["probabilities"] == pytest.approx(theirs["probabilities"], abs=1e-5)
    assert done.out.count("cannot read") == 1
    assert done.out.count("top1 ") == 1


@pytest.mark.parametrize(
    ("k", "arguments", "message"),
    [
        (0, (), "--k is 0; allowed: a whole number, at least 1, such as 20"),
        (9, (), "--k is 9, but {list} has 8 training videos; give at most 8, or a longer list"),
        (
            1,
            ("MODEL.ARCH", "r3d_50"),
            "MODEL.ARCH is fixed by the checkpoint {checkpoint}; leave it out, or train anew",
        ),
        (
            1,
            ("TEST.NUM_SPATIAL_CROPS", 3),
            "TEST.NUM_SPATIAL_CROPS has no effect on knn, which takes one centre view of each video; leave it out",
        ),
        (
            1,
            ("TEST.NUM_ENSEMBLE_VIEWS", 4),
            "TEST.NUM_ENSEMBLE_VIEWS has no effect on knn, which takes one centre view of each video; leave it out",
        ),
        (
            1,
            ("DATA.TRAIN_LIST", ""),
            "DATA.TRAIN_LIST is empty, and knn takes neighbours from it; set it, or give a --list with train rows",
        ),
        (
            1,
            ("DATA.ROOT", "/no-folder"),
            "{list}: none of 8 files looked at is there, such as /no-folder/train/dark/0.mp4; give the folder that "
            "relative paths start from as DATA.ROOT, or correct the list",
        ),
        (1, ("DATA.VAL_LIST", ""), "the run had no DATA.VAL_LIST; name the videos to test on with --list"),
    ],
)
def test_bad_input_is_refused_in_one_line(tool, trained, checkpoint, videos, k, arguments, message):
    before = sorted(path.name for path in (trained / "knn").glob("*"))
    result = tool("knn", "--checkpoint", checkpoint, "--k", k, *arguments)
    assert result.code == 2
    assert result.err == f"error: {message.format(list=videos, checkpoint=checkpoint)}\n"
    assert sorted(path.name for path in (trained / "knn").glob("*")) == before


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            ["train/dark/0.mp4,a,train"],
            "{list} has no rows of the split 'val', only of 'train'; correct its split column",
        ),
        (
            ["train/dark/0.mp4,a;b,train", "val/dark/0.mp4,a,val"],
            "{list}: {root}/train/dark/0.mp4 has 2 labels; give it one, or test with the classifier",
        ),
        (
            ["train/dark/0.mp4,a,train", "train/light/0.mp4,b,train", "val/light/0.mp4,b;a,val"],
            "{list}: {root}/val/light/0.mp4 has 2 labels; give it one, or test with the classifier",
        ),
        (
            ["train/dark/0.mp4,a,train", "val/dark/0.mp4,b,val"],
            "{list}, line 3: label 'b', expected one of the 1 known names; correct it, or add it",
        ),
        (
            ["val/dark/0.mp4,a,val"],
            "{list}, line 2: label 'a', expected one of the 2 known names",
        ),
    ],
)
def test_a_list_that_does_not_fit_is_refused(tool, checkpoint, videos, tmp_path, rows, message):
    listed = write_list(tmp_path / "list.csv", videos, rows)
    result = tool("knn", "--checkpoint", checkpoint, "--k", 1, "--list", listed)
    assert result.code == 2
    assert result.err.startswith(f"error: {message.format(list=listed, root=videos.parent)}")
    assert result.err.count("\n") == 1


def test_the_only_training_video_has_no_neighbours(tool, checkpoint, videos, tmp_path):
    listed = write_list(tmp_path / "list.csv", videos, ["val/dark/0.mp4,a,train", "val/dark/0.mp4,a,val"])
    result = tool("knn", "--checkpoint", checkpoint, "--k", 1, "--list", listed)
    assert (result.code, result.err) == (
        2,
        f"error: --k is 1, but {listed} has 1 training video, and a video to test that is among them does not "
        "count; give a longer list\n",
    )


def test_what_is_no_number_is_refused(tool, checkpoint):
    result = tool("knn", "--checkpoint", checkpoint, "--k", "many")
    assert result.code == 2
    assert "argument --k: invalid int value: 'many'" in result.err


def test_the_root_of_the_run_goes_with_its_own_lists(tool, videos, config_file, tmp_path):
    run, root = tmp_path / "run", videos.parent
    moved = tmp_path / "elsewhere.csv"
    moved.write_text(videos.read_text())
    keys = {"DATA__ROOT": root, "SOLVER__MAX_STEPS": 1}
    assert tool("train_net", "--cfg", config_file, *tiny_run(moved, run, **keys)).code == 0
    arguments = ("--checkpoint", run / "checkpoints" / "last.pth", "--k", 2)
    own = tool("knn", *arguments)
    assert own.code == 0, own.err
    beside = tmp_path / "other" / "list.csv"
    beside.parent.mkdir()
    beside.write_text("path,label,split\na.mp4,x,train\nb.mp4,y,train\nc.mp4,x,val\n")
    for name, source in (("a", "train/dark/0"), ("b", "train/light/0"), ("c", "val/dark/0")):
        (beside.parent / f"{name}.mp4").symlink_to(root / f"{source}.mp4")
    assert tool("knn", *arguments, "--list", beside).code == 0
    metrics, [row] = answers(run / "knn" / "other_list")
    assert (metrics["memory"], metrics["failed"], row["video"]) == (2, 0, str(beside.parent / "c.mp4"))
    assert tool("knn", *arguments, "--list", moved, "DATA.ROOT", root).code == 0
    metrics, rows = answers(run / "knn")
    assert (metrics["memory"], metrics["memory_failed"], metrics["failed"], len(rows)) == (8, 0, 0, 4)


class Cellar(PathHandler):
    """``cellar://name`` is a file in the folder that the environment names."""

    def _get_supported_prefixes(self):
        return ["cellar://"]

    def _get_local_path(self, path, **_):
        return os.path.join(os.environ["CELLAR"], path.removeprefix("cellar://"))


def test_lists_may_be_behind_a_handler(tool, checkpoint, videos, tmp_path, monkeypatch):
    monkeypatch.setenv("CELLAR", str(tmp_path))
    other_list(tmp_path / "other.csv", videos)
    keys = ("DATA.PATH_HANDLERS", f"{__name__}:Cellar,", "OUTPUT_DIR", tmp_path / "out")
    result = tool("knn", "--checkpoint", checkpoint, "--k", 2, "--list", "cellar://other.csv", *keys)
    assert result.code == 0, result.err
    metrics, _ = answers(tmp_path / "out")
    assert (metrics["memory"], metrics["videos"], metrics["failed"]) == (8, 4, 0)


def test_the_results_are_of_the_run_and_go_with_it(tool, config_file, tmp_path):
    run = tmp_path / "run"
    videos = make_videos(tmp_path, per_class=2)
    assert tool("train_net", "--cfg", config_file, *tiny_run(videos, run, SOLVER__MAX_STEPS=1)).code == 0
    assert tool("knn", "--checkpoint", run / "checkpoints" / "last.pth", "--k", 1).code == 0
    assert {path.name for path in (run / "knn").iterdir()} == {"metrics.json", "predictions.parquet", "report.html"}
    RunFolder(run).clear()
    assert list(run.iterdir()) == []


def test_a_list_of_other_classes_without_train_rows_says_whose_they_are(tool, trained, checkpoint, videos, tmp_path):
    listed = tmp_path / "list.csv"
    listed.write_text(f"path,label\n{videos.parent}/val/dark/0.mp4,punch\n")
    result = tool("knn", "--checkpoint", checkpoint, "--k", 1, "--list", listed)
    assert result.code == 2
    assert result.err.startswith(f"error: {listed}, line 2: label 'punch', expected one of the 2 known names")
    assert result.err.endswith(f"({listed} has no train rows, so that neighbours and classes are those of {videos})\n")


def test_results_name_their_lists(tool, checkpoint, videos, tmp_path):
    result = tool("knn", "--checkpoint", checkpoint, "--k", 1, "OUTPUT_DIR", tmp_path / "out")
    assert result.code == 0
    metrics, _ = answers(tmp_path / "out")
    assert metrics["list"] == metrics["memory_list"] == str(videos)
