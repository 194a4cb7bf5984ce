"""Pre-training runs: without labels, what they leave, that they are the same again, and what starts from them."""

import json
import shutil

import numpy as np
import pytest
import torch

from helpers.charts import blank_charts
from helpers.few_labels import unlabelled_list
from helpers.jobs import run_job
from helpers.runs import assert_same_weights, tiny_run, weights
from video_rs import create_model
from video_rs.config import load_config
from video_rs.data.preprocessing import Preprocessing
from video_rs.models.stored import load_network
from video_rs.reports import read_log
from video_rs.runs.start_weights import load_trained_weights
from video_rs.runs.train import build_run, run_training
from video_rs.video import open_video
from video_rs.video.segments import whole_video

# One after the other: a job of several processes takes the cores of the machine as if it were alone.
pytestmark = pytest.mark.xdist_group("processes")

HEAD = {"CONTRAST__HIDDEN_LAYERS": 2, "CONTRAST__HIDDEN_DIM": 12, "CONTRAST__PROJECTION_DIM": 6}
KEPT = {"TRAIN__CHECKPOINT_STEPS": 1, "TRAIN__KEEP_CHECKPOINTS": 9}
LOGGED = {"contrast_loss", "partner_top1", "positive_similarity", "negative_similarity"}


@pytest.fixture(scope="module")
def unlabelled(videos, tmp_path_factory):
    """The training videos without labels."""
    return unlabelled_list(videos, tmp_path_factory.mktemp("unlabelled"))


def keys_of(unlabelled, videos, output, **changes):
    """A run of 8 steps of two videos; the labelled training videos vote in its validation."""
    keys = {
        **{"DATA__VAL_LIST": videos, "CONTRAST__KNN_LIST": videos, "CONTRAST__KNN_K": 3},
        **{"SOLVER__EMA_DECAY": 0.9, "AUG__BLUR": 0.5, "AUG__GREY": 0.2},
    }
    return tiny_run(unlabelled, output, **{**keys, **HEAD, **KEPT, **changes})


def pretrain(config_file, keys, **options):
    """What ``video-rs pretrain`` does with a config."""
    with blank_charts():
        return run_training(load_config(config_file, [*keys, "CONTRAST.ENABLED", "true"]), **options)


@pytest.fixture(scope="module")
def run(unlabelled, videos, config_file, tmp_path_factory):
    """The folder of a finished run that saw no label, with a checkpoint of each step."""
    output = tmp_path_factory.mktemp("run") / "run"
    pretrain(config_file, keys_of(unlabelled, videos, output))
    return output


def log_of(folder, kind="train"):
    return [record for record in read_log(folder / "log.jsonl") if record["kind"] == kind]


def test_an_epoch_reads_every_video_once(run):
    """Eight videos of two clips, two videos a step, two epochs; validation after each epoch."""
    records = log_of(run)
    assert [record["step"] for record in records] == list(range(1, 9))
    assert records[3]["epoch"] == 1
    assert [record["step"] for record in log_of(run, "validation")] == [4, 8]


def test_the_log_has_what_the_objective_measures(run):
    for record in log_of(run):
        assert set(record) > LOGGED
        assert record["contrast_loss"] == pytest.approx(record["loss"], rel=1e-6)
        assert record["partner_top1"] in (0, 0.25, 0.5, 0.75, 1)
        assert -1 <= record["negative_similarity"] <= 1
        assert "top1" not in record
    for record in log_of(run, "validation"):
        assert (record["videos"], "loss" in record) == (4, False)


def test_the_checkpoint_says_what_it_is(run, trained):
    state = torch.load(run / "checkpoints/last.pth", weights_only=True)
    assert state["projection"] == {"hidden_layers": 2, "hidden_dim": 12, "projection_dim": 6}
    assert (state["num_classes"], state["label_names"]) == (0, [])
    assert "ENABLED: true" in state["config"]
    supervised = torch.load(trained / "checkpoints/last.pth", weights_only=True)
    assert "projection" not in supervised

    # The backbone's weights have the names that they have in a classifier.
    names = {name for name in state["ema"] if not name.startswith("projection.")}
    assert names == {name for name in supervised["ema"] if not name.startswith("fc.")}
    heads = {name: list(value.shape) for name, value in state["model"].items() if name.startswith("projection.")}
    features = supervised["model"]["fc.weight"].shape[1]
    assert heads["projection.0.linear.weight"] == [12, features]
    assert heads["projection.1.linear.weight"] == [12, 12]
    assert heads["projection.1.norm.running_var"] == [12]
    assert heads["projection.2.weight"] == [6, 12]


def test_validation_is_k_nn_of_the_backbone(run, tool):
    """The last metrics are those of the command knn, which reads the checkpoint's averaged weights."""
    metrics = json.loads((run / "metrics.json").read_text())
    assert (metrics["neighbours"], metrics["memory"], metrics["videos"]) == (3, 8, 4)
    assert (run / "checkpoints/best.pth").is_file()
    assert (run / "predictions.parquet").is_file()

    with blank_charts():
        result = tool("knn", "--checkpoint", run, "--k", 3)
    assert result.code == 0, result.err
    other = json.loads((run / "knn/metrics.json").read_text())
    assert {key: metrics[key] for key in ("top1", "topk", "failed")} == {
        key: other[key] for key in ("top1", "topk", "failed")
    }
    best = max(record["top1"] for record in log_of(run, "validation"))
    assert torch.load(run / "checkpoints/last.pth", weights_only=True)["best"] == best


def test_k_nn_asks_for_labelled_videos_where_the_run_had_none(run, unlabelled, videos, tool, tmp_path):
    result = tool("knn", "--checkpoint", run, "--k", 3, "CONTRAST.KNN_LIST", "")
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert result.err.endswith(
        f"{unlabelled}: no column 'label' in the header (path); add one (the run was trained without labels; name "
        "labelled videos that vote: DATA.TRAIN_LIST LIST)\n"
    )
    with blank_charts():
        keys = ("CONTRAST.KNN_LIST", "", "DATA.TRAIN_LIST", videos, "OUTPUT_DIR", tmp_path / "knn")
        result = tool("knn", "--checkpoint", run, "--k", 3, *keys)
    assert result.code == 0, result.err
    assert json.loads((tmp_path / "knn/metrics.json").read_text())["memory"] == 8


def test_the_report_tells_what_was_compared(run, videos):
    assert (
        "pre-training without labels: two clips of each video, each compared with the 3 others of 2 videos at "
        f"temperature 0.1; in validation, the 3 nearest of 8 labelled videos of {videos} vote"
    ) in (run / "report.html").read_text()


@pytest.mark.parametrize(("step", "workers"), [(1, 0), (6, 2)])
def test_a_resumed_run_is_the_uninterrupted_one(run, unlabelled, videos, config_file, tmp_path, step, workers):
    folder = tmp_path / "resumed"
    shutil.copytree(run, folder)
    shutil.copy(folder / f"checkpoints/step_{step}.pth", folder / "checkpoints/last.pth")
    pretrain(config_file, keys_of(unlabelled, videos, folder, DATA__NUM_WORKERS=workers), resume=True)
    resumed, whole = (torch.load(each / "checkpoints/last.pth", weights_only=True) for each in (folder, run))
    assert resumed["step"] == 8
    assert_same_weights(resumed, whole)
    assert resumed["metrics"]["top1"] == whole["metrics"]["top1"]


def test_labelled_rows_of_the_training_list_vote_where_no_other_list_is_named(videos, config_file, tool, tmp_path):
    """A list of which half has labels."""
    head, *rows = videos.read_text().splitlines()
    rows = [f"{videos.parent}/{row}" for row in rows]
    trained = [row for row in rows if row.endswith(",train")]
    lines = [row if number % 2 else row.split(",")[0] + ",,train" for number, row in enumerate(trained)]
    mixed = tmp_path / "mixed.csv"
    mixed.write_text("\n".join([head, *lines, *(row for row in rows if row.endswith(",val")), ""]))

    keys = keys_of(mixed, mixed, tmp_path / "run", CONTRAST__KNN_LIST="", SOLVER__MAX_STEPS=1)
    with blank_charts():
        result = tool("pretrain", "--cfg", config_file, *keys)
    assert result.code == 0, result.err
    assert f"in validation, the 3 nearest of 4 labelled videos of {mixed} vote\n" in result.out
    assert "projection to 6 numbers; 8 training videos, 4 for validation; 1 step of 4 clips" in result.out
    assert "  (3 nearest of 4 labelled videos)\n" in result.out
    assert "note:" not in result.out


def test_without_any_label_the_loss_is_all_that_is_measured(unlabelled, videos, config_file, tool, tmp_path):
    keys = keys_of(unlabelled, videos, tmp_path / "run", CONTRAST__KNN_LIST="", SOLVER__MAX_STEPS=1)
    with blank_charts():
        result = tool("pretrain", "--cfg", config_file, *keys)
    assert result.code == 0, result.err
    assert (
        f"note: {unlabelled} has no labels, and no CONTRAST.KNN_LIST is named: there is no validation on {videos}, and "
        "the loss is all that is measured\n"
    ) in result.out
    assert "others of 2 videos at temperature 0.1; no validation\n" in result.out
    assert not (tmp_path / "run/metrics.json").exists()


def test_a_broken_video_is_counted_twice_and_its_pair_left_out(unlabelled, videos, config_file, tmp_path):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    rows = unlabelled.read_text() + f"{broken}\n"
    list_path = tmp_path / "list.csv"
    list_path.write_text(rows)
    keys = keys_of(
        list_path, videos, tmp_path / "run", DATA__MAX_FAILED_SHARE=1, TRAIN__BATCH_SIZE=18, DATA__VAL_LIST=""
    )
    pretrain(config_file, keys)
    records = log_of(tmp_path / "run")
    assert [record["failed"] for record in records] == [2, 2]
    assert all(record["loss"] > 0 for record in records)


def test_precise_statistics_are_computed_for_the_head_too(unlabelled, videos, config_file, tool, tmp_path):
    averages = []
    for batches in (0, 2):
        folder = tmp_path / str(batches)
        changes = {"BN__NUM_BATCHES_PRECISE": batches, "SOLVER__MAX_STEPS": 2}
        with blank_charts():
            result = tool("pretrain", "--cfg", config_file, *keys_of(unlabelled, videos, folder, **changes))
        assert result.code == 0, result.err
        averages.append(torch.load(folder / "checkpoints/last.pth", weights_only=True)["ema"])
    assert "batch-norm statistics of step 2 over 8 clips (BN.NUM_BATCHES_PRECISE)\n" in result.out
    plain, precise = averages
    for name, value in plain.items():
        is_statistics = name.endswith(("running_mean", "running_var"))
        assert torch.equal(value, precise[name]) is not is_statistics, name


def start_of(videos, config_file, tmp_path, finetune="", **changes):
    """The training of a supervised run before its first step, with the weights that it starts from."""
    keys = tiny_run(videos, tmp_path / "tuned", **changes)
    training = build_run(load_config(config_file, keys), torch.device("cpu"))
    assert load_trained_weights(training, str(finetune)).started_from["source"]
    return training


def test_a_run_starts_from_its_backbone(run, videos, config_file, tmp_path, capfd):
    """By --finetune and by MODEL.PRETRAINED; the classifier is the fresh one of the run's seed."""
    average = torch.load(run / "checkpoints/last.pth", weights_only=True)["ema"]
    fresh = build_run(load_config(config_file, tiny_run(videos, tmp_path / "fresh")), torch.device("cpu"))
    capfd.readouterr()
    last = run / "checkpoints/last.pth"
    for options, line in (
        ({"finetune": run}, f"fine-tuning from {run}"),
        ({"MODEL__PRETRAINED": last}, f"starting from the weights of {last}"),
    ):
        state = start_of(videos, config_file, tmp_path, **options).step.model.state_dict()
        assert f"{line}; a pre-training run has no classifier, so that starts afresh\n" in capfd.readouterr().out
        for name, value in state.items():
            expected = fresh.step.model.state_dict() if name.startswith("fc.") else average
            assert torch.equal(value, expected[name]), name


def test_a_fine_tuned_run_is_a_run_as_any_other(run, videos, config_file, tool, tmp_path):
    keys = tiny_run(videos, tmp_path / "tuned", SOLVER__MAX_STEPS=1)
    with blank_charts():
        assert tool("train_net", "--cfg", config_file, "--finetune", run, *keys).code == 0
        assert tool("test_net", "--checkpoint", tmp_path / "tuned").code == 0
    assert weights(tmp_path / "tuned")["label_names"] == ["dark", "light"]


def test_create_model_takes_its_backbone(run):
    state = torch.load(run / "checkpoints/last.pth", weights_only=True)
    model = create_model("r3d_rs_tiny", 3, pretrained=run / "checkpoints/last.pth", width=0.125)
    assert model.fc.weight.shape[0] == 3
    for name, value in model.backbone.state_dict().items():
        assert torch.equal(value, state["ema"][f"backbone.{name}"])


def test_features_are_those_of_its_backbone(run, videos, tool, tmp_path):
    """Those of the centre view of a video, against its frames put into the network by hand."""
    out = tmp_path / "features.npy"
    views = ("TEST.NUM_ENSEMBLE_VIEWS", 1, "TEST.NUM_SPATIAL_CROPS", 1)
    result = tool("extract_features", "--checkpoint", run, "--list", videos, "--split", "val", "--out", out, *views)
    assert result.code == 0, result.err
    features = np.load(out)

    state = torch.load(run / "checkpoints/last.pth", weights_only=True)
    model = load_network(state, torch.device("cpu"))
    preprocessing = Preprocessing.from_dict(state["preprocessing"]).single_view()
    rows = [row for row in videos.read_text().splitlines() if row.endswith(",val")]
    assert features.shape == (len(rows), model.num_features)
    for row, expected in zip(rows, features, strict=True):
        with open_video(str(videos.parent / row.split(",")[0])) as reader:
            (frames,) = preprocessing.clip.uniform(whole_video(reader.num_frames, reader.fps), 1)
            (clip,) = preprocessing.transform(reader.frames(frames))
        with torch.no_grad():
            pooled = model.backbone(preprocessing.prepare(clip[None], torch.device("cpu")))["res5"].mean((2, 3, 4))
        # Sums in another order.
        np.testing.assert_allclose(expected, pooled[0].numpy(), rtol=1e-4, atol=1e-6)


REFUSED = (
    ("test_net", ("--checkpoint", "RUN")),
    ("predict", ("--checkpoint", "RUN", "VIDEO")),
    ("export", ("--checkpoint", "RUN", "--out", "OUT")),
    ("calibrate", ("--checkpoint", "RUN")),
    ("look", ("--checkpoint", "RUN", "VIDEO", "--out", "OUT")),
)


@pytest.mark.parametrize(("command", "arguments"), REFUSED, ids=[command for command, _ in REFUSED])
def test_what_needs_a_classifier_refuses_it(run, videos, tool, tmp_path, command, arguments):
    video = next(videos.parent.rglob("*.mp4"))
    places = {"RUN": run, "VIDEO": video, "OUT": tmp_path / "out.safetensors"}
    result = tool(command, *(places.get(argument, argument) for argument in arguments))
    path = run / "checkpoints/last.pth"
    assert (result.code, result.err.count("\n")) == (2, 1), result.err
    assert (
        f"{path} is of a pre-training run, which has no classifier; fine-tune it: video-rs train --cfg CFG --finetune "
        f"{path}, or test its features: video-rs knn --checkpoint {path}\n"
    ) in result.err


def refusal(tool, config_file, command, keys, *options):
    result = tool(command, "--cfg", config_file, *options, *keys)
    assert (result.code, result.err.count("\n")) == (2, 1), result.err
    return result.err


# Key, what it is set to, why that does not fit, what it is to be set to.
UNFIT = (
    ("DISTILL.TEACHER", "t.pth", "it learns no teacher's answers", "''"),
    ("DATA.PSEUDO_LIST", "p.csv", "it looks at no label; list these videos in DATA.TRAIN_LIST, too", "''"),
    (
        *("DATA.MULTI_LABEL", "true"),
        "it looks at no label, and in its validation neighbours vote for one class",
        "false",
    ),
    ("DATA.CLASS_BALANCE", "0.5", "it looks at no label", "0"),
    ("SOLVER.CLASS_WEIGHTS", "1", "it looks at no label", "0"),
    ("DATA.CLIPS_PER_VIDEO", "4", "it takes two clips of each video by itself", "1"),
    ("DATA.CLIP_SAMPLER", "pytorchvideo", "it draws how many frames two clips are apart", "frames"),
    ("MODEL.PRETRAINED", "timm", "it starts from fresh weights", "''"),
    ("TRAIN.AUTO_BATCH", "true", "fewer clips at a time are compared with each other: another task", "false"),
)


@pytest.mark.parametrize(("key", "value", "why", "allowed"), UNFIT, ids=[row[0] for row in UNFIT])
def test_keys_that_do_not_go_with_it(unlabelled, videos, config_file, tool, tmp_path, key, value, why, allowed):
    keys = [*keys_of(unlabelled, videos, tmp_path / "run"), key, value]
    message = f"{key} {value} does not go with pre-training: {why}; set {key} {allowed}\n"
    assert message in refusal(tool, config_file, "pretrain", keys)
    assert not (tmp_path / "run").exists()


APART = "of two clips at a time, and pre-training tells the clips of several videos apart; take at least"
MIXED = "mixing clips does not go with pre-training: a mixed clip is of two videos; set AUG.MIXUP_ALPHA 0 and"
OTHERS = (
    ({"AUG__MIXUP_ALPHA": 0.2}, f"{MIXED} AUG.CUTMIX_ALPHA 0"),
    ({"AUG__CUTMIX_ALPHA": 1}, f"{MIXED} AUG.CUTMIX_ALPHA 0"),
    ({"TRAIN__BATCH_SIZE": 2}, f"TRAIN.BATCH_SIZE 2 in 1 accumulation step is 1 video {APART} 4\n"),
    (
        {"TRAIN__BATCH_SIZE": 8, "TRAIN__ACCUMULATION_STEPS": 4},
        f"TRAIN.BATCH_SIZE 8 in 4 accumulation steps is 1 video {APART} 16\n",
    ),
    (
        {"TRAIN__BATCH_SIZE": 5},
        "TRAIN.BATCH_SIZE 5 does not divide into 1 process x 1 accumulation step x 2 clips of a video; take a multiple",
    ),
    (
        {"CONTRAST__KNN_K": 9},
        "CONTRAST.KNN_K is 9, but VIDEOS has 8 labelled videos to vote in validation; set at most 8, or name another "
        "list as CONTRAST.KNN_LIST",
    ),
    ({"DATA__TRAIN_LIST": ""}, "DATA.TRAIN_LIST is empty; give a CSV"),
)


@pytest.mark.parametrize(("changes", "message"), OTHERS)
def test_refusals_are_one_line_and_leave_no_run(unlabelled, videos, config_file, tool, tmp_path, changes, message):
    keys = keys_of(unlabelled, videos, tmp_path / "run", **changes)
    assert message.replace("VIDEOS", str(videos)) in refusal(tool, config_file, "pretrain", keys)
    assert not (tmp_path / "run").exists()


def test_validation_videos_are_not_trained_on_and_have_no_vote(unlabelled, videos, config_file, tool, tmp_path):
    """By themselves, and in the list of those that vote."""
    head, *rows = videos.read_text().splitlines()
    held_out = next(row for row in rows if row.endswith(",val")).split(",")[0]
    leaky = tmp_path / "leaky.csv"
    leaky.write_text(unlabelled.read_text() + f"{videos.parent}/{held_out}\n")
    message = (
        f"shares 1 video with the validation rows of {videos}, such as {videos.parent}/{held_out}; remove their rows"
    )
    assert f"{leaky} {message}" in refusal(tool, config_file, "pretrain", keys_of(leaky, videos, tmp_path / "run"))

    voting = tmp_path / "voting.csv"
    voting.write_text(
        "\n".join([head, *(f"{videos.parent}/{row.removesuffix(',val')}" for row in rows), ""]).replace(
            ",val", ",train"
        )
    )
    keys = keys_of(unlabelled, videos, tmp_path / "run", CONTRAST__KNN_LIST=voting)
    voting.write_text(
        "path,label\n" + "\n".join(f"{videos.parent}/{','.join(row.split(',')[:2])}" for row in rows) + "\n"
    )
    error = refusal(tool, config_file, "pretrain", keys)
    assert f"{voting} shares 4 videos with the validation rows of {videos}" in error


def test_videos_of_several_labels_have_no_vote(unlabelled, videos, config_file, tool, tmp_path):
    several = tmp_path / "several.csv"
    first, second, *_ = unlabelled.read_text().splitlines()[1:]
    several.write_text(f"path,label\n{first},dark\n{second},dark;light\n")
    keys = keys_of(unlabelled, videos, tmp_path / "run", CONTRAST__KNN_LIST=several, CONTRAST__KNN_K=2)
    error = refusal(tool, config_file, "pretrain", keys)
    assert f"{several}: {second} has 2 labels; give it one, or name another list as CONTRAST.KNN_LIST" in error


def test_the_commands_for_labels_and_without_do_not_take_each_others_runs(
    run, trained, unlabelled, videos, config_file, tool, tmp_path
):
    result = tool("train_net", "--cfg", run, "--resume")
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert (
        f"CONTRAST.ENABLED is true, as --cfg {run} or a key after it says: video-rs pretrain trains such a run; to "
        "train from "
        "what it has learned, give a config of your own and --finetune RUN\n"
    ) in result.err

    folder = tmp_path / "supervised"
    shutil.copytree(trained, folder)
    keys = tiny_run(videos, folder, SOLVER__MAX_STEPS=9)
    error = refusal(tool, config_file, "pretrain", [*keys, "CONTRAST.KNN_K", "3"], "--resume")
    assert "CONTRAST.ENABLED: False -> True" in error
    keys += ["CONTRAST.KNN_K", "3"]
    error = refusal(tool, config_file, "pretrain", keys, "--resume", "--allow-changes")
    assert (
        "holds another model (a classifier -> a projection head of 3 hidden layers of 2048 and 128 numbers a clip; "
        "2 classes -> 0); start a new run in another OUTPUT_DIR"
    ) in error


def test_another_head_or_another_memory_is_no_continuation(run, unlabelled, videos, config_file, tool, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    keys = keys_of(unlabelled, videos, folder, CONTRAST__PROJECTION_DIM=7, SOLVER__MAX_STEPS=9)
    error = refusal(tool, config_file, "pretrain", keys, "--resume", "--allow-changes")
    assert (
        "holds another model (a projection head of 2 hidden layers of 12 and 6 numbers a clip -> a projection head of "
        "2 hidden layers of 12 and 7 numbers a clip)"
    ) in error

    fewer = tmp_path / "fewer.csv"
    lines = videos.read_text().splitlines()
    fewer.write_text(
        "\n".join([lines[0], *(f"{videos.parent}/{line}" for line in lines[1:] if "dark_0" not in line), ""])
    )
    error = refusal(
        tool, config_file, "pretrain", keys_of(unlabelled, videos, folder, CONTRAST__KNN_LIST=fewer), "--resume"
    )
    assert f"CONTRAST.KNN_LIST: '{videos}' -> '{fewer}'; the memory list" in error


def test_accumulation_says_what_it_compares(unlabelled, videos, config_file, tool, tmp_path):
    changes = {"TRAIN__BATCH_SIZE": 8, "TRAIN__ACCUMULATION_STEPS": 2, "SOLVER__MAX_STEPS": 1, "DATA__VAL_LIST": ""}
    with blank_charts():
        result = tool("pretrain", "--cfg", config_file, *keys_of(unlabelled, videos, tmp_path / "run", **changes))
    assert result.code == 0, result.err
    assert "each compared with the 3 others of 2 videos at temperature 0.1; no validation\n" in result.out
    assert (
        "note: TRAIN.ACCUMULATION_STEPS 2: clips are compared within each micro-batch of 4, over all processes, not "
        "within the batch of 8; more processes do that\n"
    ) in result.out


def test_two_processes_train_as_one(unlabelled, videos, config_file, tmp_path):
    """Synchronized batch norm, so that all clips are normalised together."""
    changes = {
        # Small steps: large ones make more of float32 rounding, which differs from processor to processor.
        **{"SOLVER__MAX_STEPS": 3, "SOLVER__BASE_LR": 0.0001, "TRAIN__BATCH_SIZE": 8, "DATA__TRAIN_CROP_SIZE": 64},
        "TRAIN__SYNC_BATCH_NORM": "true",
    }
    two = keys_of(unlabelled, videos, tmp_path / "two", **changes)
    done = run_job(tmp_path, 2, "pretrain", "--cfg", config_file, *two)
    assert done.codes == [0, 0], done.err
    assert "each compared with the 7 others of 4 videos" in done.out
    pretrain(config_file, keys_of(unlabelled, videos, tmp_path / "alone", **changes))
    ours, alone = log_of(tmp_path / "two"), log_of(tmp_path / "alone")
    for key in ("loss", "grad_norm", "positive_similarity"):
        # Sums in another order: float32 rounding.
        assert [r[key] for r in ours] == pytest.approx([r[key] for r in alone], rel=1e-3)
    found = [json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("two", "alone")]
    assert found[0]["top1"] == found[1]["top1"]


def test_statistics_of_each_process_are_pointed_out(unlabelled, videos, config_file, tmp_path):
    keys = keys_of(unlabelled, videos, tmp_path / "run", SOLVER__MAX_STEPS=1, DATA__VAL_LIST="")
    done = run_job(tmp_path, 2, "pretrain", "--cfg", config_file, *keys)
    assert done.codes == [0, 0], done.err
    assert (
        "note: batch norm takes the statistics of each process's clips, by which partners can be told from clips of "
        "other processes; set TRAIN.SYNC_BATCH_NORM true\n"
    ) in done.out


def test_a_rate_is_found_without_labels_too(unlabelled, videos, config_file, tool, tmp_path, monkeypatch):
    monkeypatch.setattr("video_rs.runs.find_lr.growing_rates", lambda: [1e-4, 1e-3, 1e-2])
    keys = keys_of(unlabelled, videos, tmp_path / "rates", CONTRAST__ENABLED="true")
    result = tool("find_lr", "--cfg", config_file, *keys)
    assert result.code == 0, result.err
    assert len(json.loads((tmp_path / "rates/lr_finder.json").read_text())["losses"]) == 3
