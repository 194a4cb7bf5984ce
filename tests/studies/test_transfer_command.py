"""``video-rs transfer_study`` as it is typed: runs of seconds on real files, and every refusal."""

import json
import os

import numpy as np
import pytest
import torch

from helpers import charts, predictions
from helpers.image_networks import small_image_network
from helpers.runs import TINY, tiny_run, weights
from helpers.studies import run_here
from helpers.videos import make_videos
from video_rs.builders import build_architecture, build_lists, build_model
from video_rs.config import load_config
from video_rs.evaluation.linear_probe import fit_linear_probe
from video_rs.inference.features import read_features
from video_rs.runs.extract_features import run_extraction
from video_rs.runs.extraction_place import Extraction
from video_rs.runs.knn import run_knn
from video_rs.runs.train import run_training
from video_rs.runtime.errors import InputError
from video_rs.studies import running
from video_rs.studies.one_run import do_run
from video_rs.studies.probing import Speed
from video_rs.studies.study import load_study
from video_rs.studies.transfer.sources import find_sources
from video_rs.studies.transfer.stored_features import compute_features
from video_rs.studies.transfer.study import TransferRequest, transfer_study

pytestmark = pytest.mark.usefixtures("blank_charts")
KEYS = {**TINY, "SOLVER.MAX_STEPS": "2", "TEST.NUM_ENSEMBLE_VIEWS": "1", "TEST.NUM_SPATIAL_CROPS": "1"}
PAIRS = [word for pair in KEYS.items() for word in pair]


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    """A list of other videos than the source was trained on."""
    return make_videos(tmp_path_factory.mktemp("other"), frames=14)


@pytest.fixture
def here(monkeypatch):
    """Runs are done in this process, one after the other, and no steps are taken before."""
    monkeypatch.setitem(running.ENGINES, "local", run_here)
    monkeypatch.setattr("video_rs.studies.budget.probe", lambda *_: Speed(10.0, 1.0))


@pytest.fixture(scope="module")
def study(trained, target, tmp_path_factory, config_file):
    """A finished study of all protocols with one seed; the vote has random weights, too, which a second call adds."""
    folder = tmp_path_factory.mktemp("transfer") / "study"
    with charts.blank_charts(), pytest.MonkeyPatch.context() as patch:
        patch.setitem(running.ENGINES, "local", run_here)
        patch.setattr("video_rs.studies.budget.probe", lambda *_: Speed(10.0, 1.0))
        for sources, protocols in (([f"plain={trained}"], ()), (["random", f"plain={trained}"], ("knn",))):
            request = TransferRequest(sources, [f"new={target}"], protocols, 1, 3)
            made, _ = transfer_study(folder, load_config(config_file, KEYS), request, 1)
            running.make_and_go_on(made, running.Resources())
    return load_study(folder)


def test_every_run_is_finished_and_leaves_a_test(study):
    assert study.unfinished() == []
    assert len(study.runs) == 6
    for run in study.runs:
        metrics = json.loads((study.run_folder(run) / "test" / "metrics.json").read_text())
        assert metrics["videos"] == 4


def test_the_vote_is_that_of_knn(study, trained, target, tmp_path):
    keys = ["OUTPUT_DIR", str(tmp_path / "knn"), *(word for key in KEYS if "DATA." in key for word in (key, KEYS[key]))]
    expected = run_knn(str(trained), 3, str(target), keys)
    folder = study.run_folder(study.run("plain.new.knn-seed0")) / "test"
    found = json.loads((folder / "metrics.json").read_text())
    assert found["top1"] == expected["top1"]
    assert (found["neighbours"], found["train"], found["train_failed"]) == (3, 8, 0)
    ours = [row["probabilities"] for row in predictions.rows(folder)]
    theirs = [row["probabilities"] for row in predictions.rows(tmp_path / "knn")]
    # The same network on the same view; extraction has other batches.
    assert np.allclose(ours, theirs, atol=1e-4)


def features_of(checkpoint, listed, split, folder):
    """Features of one centre view by ``video-rs extract_features``."""
    pairs = ["TEST.NUM_ENSEMBLE_VIEWS", "1", "TEST.NUM_SPATIAL_CROPS", "1"]
    asked = Extraction(str(checkpoint), str(folder / f"{split}.npz"), str(listed), split, overrides=tuple(pairs))
    run_extraction(asked)
    return read_features(folder / f"{split}.npz").features


def test_the_linear_classifier_is_fitted_to_the_features_of_the_training_videos(study, trained, target, tmp_path):
    train, val = (features_of(trained, target, split, tmp_path) for split in ("train", "val"))
    labels = np.repeat([0, 1], 4)
    probe = fit_linear_probe(train, labels, [str(number) for number in range(8)])
    folder = study.run_folder(study.run("plain.new.linear_features-seed0")) / "test"
    rows = predictions.rows(folder)
    assert np.allclose([row["probabilities"] for row in rows], probe.probabilities(val, 2), atol=1e-3)
    metrics = json.loads((folder / "metrics.json").read_text())
    assert (metrics["C"], metrics["folds"], metrics["right_in_folds"]) == (probe.c, probe.folds, probe.right[probe.c])
    assert "logistic regression on standardised features, C " in (folder / "report.html").read_text()


@pytest.mark.parametrize(
    ("protocol", "kept"), [("finetune", ()), ("last_stages", ("stem", "res2", "res3")), ("linear", ("",))]
)
def test_what_is_frozen_stays_as_the_source_has_it(study, trained, protocol, kept):
    before = weights(trained)["ema"]
    after = weights(study.run_folder(study.run(f"plain.new.{protocol}-seed0")))["model"]
    same = {name for name, value in before.items() if torch.equal(value, after[name])}
    backbone = {name for name in before if name.startswith("backbone.")}
    frozen = {name for name in backbone if name.startswith(tuple(f"backbone.{part}" for part in kept))}
    assert frozen <= same
    if protocol != "linear":
        assert not {name for name in backbone - frozen if name.endswith("running_mean")} & same
    assert "fc.weight" not in same


def test_features_are_computed_once_for_both_protocols(study):
    names = sorted(path.name for path in (study.folder / "features").iterdir())
    assert names == ["plain.new-seed0", "random.new-seed0"]


def test_features_that_are_there_are_not_computed_again(study, monkeypatch):
    def refuse(*_):
        raise AssertionError("computed again")

    run = study.run("plain.new.knn-seed0")
    before = predictions.rows(study.run_folder(run) / "test")
    (study.run_folder(run) / "done.json").unlink()
    monkeypatch.setattr("video_rs.studies.transfer.stored_features.extract_shards", refuse)
    do_run(study, run.name)
    assert predictions.rows(study.run_folder(run) / "test") == before


def test_fresh_weights_are_those_of_the_seed(study, target, tmp_path):
    """Their features are those of the network of seed 0, which another seed has been given as a file."""
    run = study.run("random.new.knn-seed0")
    config = study.config(run)
    model = build_model(config, build_architecture(config), 2, torch.device("cpu"))
    torch.save(model.state_dict(), tmp_path / "fresh.pth")
    other = study.config(run, MODEL__PRETRAINED=str(tmp_path / "fresh.pth"), RNG_SEED=7)
    train, _ = compute_features(other, build_lists(other), tmp_path / "features")
    stored = np.load(study.folder / "features" / "random.new-seed0" / "train" / "000000.npz")
    assert np.array_equal(train.rows.features, stored["features"])
    plain = np.load(study.folder / "features" / "plain.new-seed0" / "train" / "000000.npz")
    assert not np.allclose(stored["features"], plain["features"], atol=1e-2)


def test_a_video_that_cannot_be_read_is_no_row_of_training_and_a_failure_of_the_test(target, tmp_path, config_file):
    """Of each part a video is broken; both protocols say how many."""
    rows = [
        f"{target.parent}/train/{name}/{number}.mp4,{name},train" for name in ("dark", "light") for number in "0123"
    ]
    rows += [f"{target.parent}/val/{name}/0.mp4,{name},val" for name in ("dark", "light")]
    for split in ("train", "val"):
        (tmp_path / f"{split}.mp4").write_bytes(b"no video")
        rows.append(f"{tmp_path}/{split}.mp4,dark,{split}")
    listed = write(tmp_path / "list.csv", rows)
    request = TransferRequest(["random"], [str(listed)], ("linear_features", "knn"), 1, 8)
    made, _ = transfer_study(tmp_path / "study", load_config(config_file, KEYS), request, 1)
    for run in made.runs:
        do_run(made, run.name)
        metrics = json.loads((made.run_folder(run) / "test" / "metrics.json").read_text())
        assert (metrics["train"], metrics["train_failed"], metrics["videos"], metrics["failed"]) == (9, 1, 3, 1)
        page = (made.run_folder(run) / "test" / "report.html").read_text()
        assert "of the training videos: " in page


def test_training_videos_none_of_which_can_be_read_are_refused(target, tmp_path, config_file):
    rows = [f"{target.parent}/val/{name}/0.mp4,{name},val" for name in ("dark", "light")]
    for name in ("dark", "light"):
        (tmp_path / f"{name}.mp4").write_bytes(b"no video")
        rows.append(f"{tmp_path}/{name}.mp4,{name},train")
    listed = write(tmp_path / "list.csv", rows)
    request = TransferRequest(["random"], [str(listed)], ("knn",), 1, 1)
    made, _ = transfer_study(tmp_path / "study", load_config(config_file, KEYS), request, 1)
    said = f"none of 2 training videos of {listed} could be read; first: {tmp_path}/dark.mp4: "
    with pytest.raises(InputError, match=f"^{said}"):
        do_run(made, made.runs[0].name)


def test_the_command_makes_a_study_and_goes_on_with_it(tool, trained, target, tmp_path, here):
    out = tmp_path / "study"
    start = ["transfer_study", "--source", "random", f"plain={trained}", "--target", f"new={target}", "--cfg"]
    start += ["small_scratch.yaml", "--protocols", "knn", "--out", out]
    # The architecture of the source, which is not that of the configuration.
    stem = ["MODEL.STEM_TEMPORAL_STRIDE", "1", "MODEL.TEMPORAL_STRIDES", "[1, 2, 1, 1]"]
    refused = tool(*start, "--k", 3, *PAIRS, *stem)
    assert refused.code == 2
    assert refused.err.startswith(
        f"error: --source plain: weights in {trained}/checkpoints/last.pth were made for another network: "
    )
    config = weights(trained)["architecture"]
    own = ["MODEL.STEM_TEMPORAL_STRIDE", config["stem_temporal_stride"], "MODEL.TEMPORAL_STRIDES"]
    own += [str(list(config["temporal_strides"]))]
    done = tool(*start, "--k", 3, "--seeds", 2, "--threads", 1, *PAIRS, *own)
    assert done.code == 0, done.err
    assert done.out.count("\ndone: ") == 3
    assert done.out.endswith(f"report: {out}/report.html\n")
    assert "how long they take is known when one of them is done" in done.out
    again = tool(*start, "--k", 3, "--seeds", 2, *PAIRS, *own)
    assert again.out.startswith(f"study {out}: all its 3 runs are done\n")


def write(path, rows, header="path,label,split"):
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


@pytest.fixture
def ask(tool, trained, target, tmp_path, config_file):
    """``ask(**changes)``: what the command is refused for, with other options, and ``keys`` over the configuration."""

    def refused(keys=None, **changes):
        options = {
            "source": ["random", f"plain={trained}"],
            "target": [f"new={target}"],
            "protocols": ["knn"],
            "cfg": [config_file],
            "k": [3],
            "out": [tmp_path / "study"],
            **changes,
        }
        words = []
        for name, values in options.items():
            words += [f"--{name}", *values]
        result = tool("transfer_study", *words, *PAIRS, *(word for pair in (keys or {}).items() for word in pair))
        assert result.code == 2, result.out
        assert result.err.count("\n") == 1
        assert not (tmp_path / "study").exists()
        return result.err.removeprefix("error: ").rstrip("\n")

    return refused


@pytest.mark.parametrize(
    ("sources", "said"),
    [
        (
            ["runs/recipe"],
            "--source runs/recipe: give NAME=CKPT, such as recipe=runs/recipe, or one of random, image and image=FILE",
        ),
        (
            ["recipe="],
            "--source recipe=: give NAME=CKPT, such as recipe=runs/recipe, or one of random, image and image=FILE",
        ),
        (["random", "random"], "--source random is given twice; give each source another name"),
        (["a={0}", "a={0}"], "--source a is given twice; give each source another name"),
        (
            ["a.b={0}"],
            "--source a.b={0} has the name 'a.b'; allowed are letters of a to z, digits, '-' and '_'",
        ),
        (
            ["random={0}"],
            "--source random={0}: random stands for fresh weights; give the checkpoint another name",
        ),
        (
            ["a=gone.pth"],
            "--source a: no weights at gone.pth; give a .pth, .pyth, .pt or .safetensors file, or 'timm', "
            "'torchvision' or 'pytorchvideo'",
        ),
        (
            ["a={0},{0}"],
            "--source a has 2 checkpoints and --seeds is 1; give one checkpoint, or one for each seed",
        ),
        (
            ["image={0}"],
            "--source image={0} holds no image weights; give the file of an image network, or another NAME",
        ),
        (
            ["image=pytorchvideo"],
            "--source image=pytorchvideo holds no image weights; give the file of an image network, or another NAME",
        ),
    ],
)
def test_sources_that_mean_nothing_are_refused(ask, trained, sources, said):
    texts = [text.format(trained) for text in sources]
    assert ask(source=texts) == said.format(trained)


def test_a_source_is_read_once_and_what_is_not_plain_about_it_said_once(trained, tmp_path, config_file, caplog):
    path = tmp_path / "wrapped.pth"
    torch.save({"state_dict": weights(trained)["ema"]}, path)
    [source] = find_sources([f"a={path}"], load_config(config_file, KEYS), 1)
    assert source.weights == (str(path),)
    assert [record.getMessage() for record in caplog.records].count(f"weights of {path}: taken from 'state_dict'") == 1


def test_image_weights_alone_that_cannot_be_had_are_refused(ask):
    said = ask(source=["image"])
    assert said.startswith("nothing can be measured: --source image: timm has no image network like this one: ")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"protocols": ["knm"]},
            "--protocols knm: allowed are finetune, last_stages, linear, linear_features, knn; did you mean knn?",
        ),
        ({"seeds": [0]}, "--seeds 0: give 1 or more"),
        ({"k": [0]}, "--k is 0; allowed: a whole number, at least 1, such as 20"),
        ({"k": [9]}, "--k is 9, but {0} has 8 training videos; give at most 8, or a longer list"),
        (
            {"keys": {"MODEL.PRETRAINED": "x.pth"}},
            "MODEL.PRETRAINED is set for each run by the study; give --source, --target and --protocols, and leave it "
            "away",
        ),
        (
            {"keys": {"RNG_SEED": 3}},
            "RNG_SEED is set for each run by the study; give --out and --seeds, and leave it away",
        ),
        (
            {"keys": {"CONTRAST.ENABLED": "true"}},
            "CONTRAST.ENABLED is true, and the runs of a study are trained on labels; give a --cfg that train takes, "
            "and pre-trained networks as --source of transfer_study",
        ),
        ({"target": ["{0}", "list={0}"]}, "--target {0} and {0} would both be called list; give NAME=LIST"),
        (
            {"target": ["a b={0}"]},
            "--target a b={0} has the name 'a b'; allowed are letters of a to z, digits, '-' and '_'",
        ),
    ],
)
def test_numbers_protocols_and_names_that_cannot_be_are_refused(ask, target, changes, said):
    if "target" in changes:
        changes = {**changes, "target": [text.format(target) for text in changes["target"]]}
    found = ask(**changes)
    assert found == said.format(target)


def test_targets_without_labels_or_validation_rows_are_refused(ask, target, tmp_path):
    folder = target.parent
    train = [f"{folder}/train/{name}/0.mp4,{name}" for name in ("dark", "light")]
    lists = tmp_path / "lists"
    lists.mkdir()
    whole = write(lists / "whole.csv", train, "path,label")
    only_train = write(lists / "train.csv", [f"{row},train" for row in train])
    unlabelled = write(lists / "unlabelled.csv", [f"{folder}/val/dark/0.mp4,,val", *(f"{row},train" for row in train)])

    def said(path):
        return ask(target=[path])

    assert said(whole) == (
        f"--target {whole} has no validation rows, as it has no column split; add one that says train or val of "
        "each row"
    )
    assert said(only_train).startswith(f"{only_train} has no rows of the split 'val', only of 'train'; ")
    assert "label" in said(unlabelled)
    assert str(unlabelled) in said(unlabelled)


def test_a_source_that_has_seen_validation_videos_is_refused(ask, videos, target, tmp_path):
    """Its own training videos, some of which another list tests on."""
    rows = [f"{videos.parent}/train/{name}/0.mp4,{name},val" for name in ("dark", "light")]
    rows += [
        f"{target.parent}/train/{name}/{number}.mp4,{name},train" for name in ("dark", "light") for number in "012"
    ]
    leaked = write(tmp_path / "leaked.csv", rows)
    found = ask(target=[leaked])
    assert found == (
        f"--source plain has been trained on --target leaked: {videos} shares 2 videos with the validation rows of "
        f"{leaked}, such as {videos.parent}/train/dark/0.mp4; remove their rows: what a run has trained on says "
        "nothing about new videos"
    )


def test_what_a_source_started_from_counts_too(ask, trained, videos, target, tmp_path, config_file):
    """A run on other videos that started from the weights of a run on these."""
    child = tmp_path / "child"
    keys = tiny_run(target, child, MODEL__PRETRAINED=trained, SOLVER__MAX_STEPS=1)
    run_training(load_config(config_file, keys))
    rows = [f"{videos.parent}/train/{name}/0.mp4,{name},val" for name in ("dark", "light")]
    rows += [
        f"{target.parent}/train/{name}/{number}.mp4,{name},train" for name in ("dark", "light") for number in "012"
    ]
    leaked = write(tmp_path / "leaked.csv", rows)
    found = ask(source=[f"child={child}"], target=[leaked])
    assert found.startswith(f"--source child has been trained on --target leaked: {videos} shares 2 videos ")


def test_what_nobody_knows_of_a_source_is_said(tool, trained, target, tmp_path, config_file, here):
    """Weights without a word on their training; and a run whose list is gone."""
    bare = tmp_path / "bare.pth"
    torch.save(weights(trained)["ema"], bare)
    lost = tmp_path / "lost.pth"
    content = weights(trained)
    old = str(content["config"])
    content["config"] = "\n".join(
        "  TRAIN_LIST: /gone/list.csv" if line.startswith("  TRAIN_LIST") else line for line in old.splitlines()
    )
    torch.save(content, lost)
    done = tool(
        *("transfer_study", "--source", f"bare={bare}", f"lost={lost}", "--target", f"new={target}", "--cfg"),
        *(config_file, "--protocols", "knn", "--k", 3, "--out", tmp_path / "study", *PAIRS),
    )
    assert done.code == 0, done.err
    assert (
        f"{bare} does not say what it was trained on: nobody has looked whether a target's validation videos"
        in done.out
    )
    assert "what --source lost was trained on cannot be read any more (list /gone/list.csv does not exist" in done.out


def test_image_weights_of_a_file_are_inflated(tool, target, tmp_path, config_file, here):
    state = small_image_network(torch.float32).state_dict()
    path = tmp_path / "image.pth"
    torch.save(state, path)
    keys = {**KEYS, "MODEL.ARCH": "inflated_rs_50", "MODEL.DEPTHS": "[1, 2, 1, 1]"}
    del keys["MODEL.WIDTH"]
    pairs = [word for pair in keys.items() for word in pair]
    done = tool(
        *("transfer_study", "--source", f"image={path}", "--target", f"new={target}", "--cfg", config_file),
        *("--protocols", "knn", "--k", 3, "--out", tmp_path / "study", *pairs),
    )
    assert done.code == 0, done.err
    made = load_study(tmp_path / "study")
    assert made.settings["not_measured"] == {}
    assert made.runs[0].keys["MODEL.PRETRAINED"] == str(path)
    assert os.path.exists(tmp_path / "study" / "features" / "image.new-seed0" / "val" / "000000.npz")
