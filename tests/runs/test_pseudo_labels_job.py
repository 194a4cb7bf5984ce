"""Runs on labelled and pseudo-labelled videos: what they leave, that they are the same again, and what they refuse."""

import shutil

import pytest

from helpers.charts import blank_charts
from helpers.few_labels import split_list, write_soft_labels
from helpers.jobs import run_job
from helpers.runs import assert_same_weights, tiny_run, weights
from video_rs.config import load_config
from video_rs.reports import read_log
from video_rs.runs.model_card import data_of
from video_rs.runs.train import run_training

# One after the other: a job of several processes takes the cores of the machine as if it were alone.
pytestmark = pytest.mark.xdist_group("processes")

# Of 4 clips a step 2 are pseudo-labelled, so that two steps are an epoch of the 4 labelled videos.
KEYS = {"AUG__MIXUP_ALPHA": 0.4, "SOLVER__PSEUDO_WEIGHT": 0.5, "DATA__PSEUDO_TEMPERATURE": 2}


@pytest.fixture(scope="module")
def lists(videos, tmp_path_factory):
    return split_list(videos, tmp_path_factory.mktemp("lists"), soft=0.8)


def arguments(lists, output, **changes):
    labelled, pseudo = lists
    return tiny_run(labelled, output, **{"DATA__PSEUDO_LIST": pseudo, **KEYS, **changes})


@pytest.fixture(scope="module")
def run(lists, config_file, tmp_path_factory):
    """The folder of a finished run of 4 steps, with a checkpoint of each."""
    output = tmp_path_factory.mktemp("run") / "run"
    kept = {"TRAIN__CHECKPOINT_STEPS": 1, "TRAIN__KEEP_CHECKPOINTS": 9}
    with blank_charts():
        run_training(load_config(config_file, arguments(lists, output, **kept)))
    return output


def train_log(folder):
    return [record for record in read_log(folder / "log.jsonl") if record["kind"] == "train"]


def test_log_report_and_checkpoint_tell_of_both_kinds(run, lists):
    log = train_log(run)
    assert [record["step"] for record in log] == [1, 2, 3, 4]
    for record in log:
        assert record["pseudo_share"] == 0.5
        assert record["labelled_loss"] > 0
        assert record["pseudo_loss"] > 0
        assert record["top1"] in (0, 0.5, 1)
        assert record["agreement"] in (0, 0.5, 1)
    assert [r["epoch"] for r in read_log(run / "log.jsonl") if r["kind"] == "validation"] == [1.0, 2.0]
    page = (run / "report.html").read_text()
    assert (
        f"2 of the 4 clips of a step are pseudo-labelled (50.0%): 4 videos of {lists[1]}, soft labels at temperature "
        "2, with weight 0.5 in the loss; epochs are those of the others"
    ) in page
    dataset = weights(run)["dataset"]
    assert set(dataset) == {"train", "val", "pseudo"}
    config = load_config(run / "config.yaml")
    assert data_of(config, weights(run))["pseudo-labelled list"] == f"pseudo.csv, fingerprint {dataset['pseudo'][:16]}"


def test_without_mixing_the_loss_is_that_of_its_parts(lists, config_file, tmp_path):
    keys = {"AUG__MIXUP_ALPHA": 0, "SOLVER__MAX_STEPS": 2, "DATA__VAL_LIST": ""}
    with blank_charts():
        run_training(load_config(config_file, arguments(lists, tmp_path / "run", **keys)))
    for record in train_log(tmp_path / "run"):
        expected = (record["labelled_loss"] + 0.5 * record["pseudo_loss"]) / 2
        assert record["loss"] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("step", "workers"), [(1, 0), (3, 2)])
def test_a_resumed_run_is_the_uninterrupted_one(run, lists, config_file, tmp_path, step, workers):
    """From the middle of an epoch, each of which is two steps."""
    folder = tmp_path / "resumed"
    shutil.copytree(run, folder)
    shutil.copy(folder / f"checkpoints/step_{step}.pth", folder / "checkpoints/last.pth")
    changes = {"DATA__NUM_WORKERS": workers, "TRAIN__CHECKPOINT_STEPS": 1, "TRAIN__KEEP_CHECKPOINTS": 9}
    with blank_charts():
        run_training(load_config(config_file, arguments(lists, folder, **changes)), resume=True)
    assert weights(folder)["step"] == 4
    assert_same_weights(weights(folder), weights(run))


def test_two_processes_train_as_one(lists, config_file, tmp_path):
    """Without mixing, which each process draws for its own clips."""
    keys = {"AUG__MIXUP_ALPHA": 0, "SOLVER__MAX_STEPS": 3, "DATA__VAL_LIST": "", "SOLVER__BASE_LR": 0.001}
    done = run_job(tmp_path, 2, "train_net", "--cfg", config_file, *arguments(lists, tmp_path / "two", **keys))
    assert done.codes == [0, 0], done.err
    # One process that accumulates over two halves of each batch: batch norm sees the same clips together.
    with blank_charts():
        halves = arguments(lists, tmp_path / "alone", TRAIN__ACCUMULATION_STEPS=2, **keys)
        run_training(load_config(config_file, halves))
    two, alone = train_log(tmp_path / "two"), train_log(tmp_path / "alone")
    for key in ("loss", "labelled_loss", "pseudo_loss", "grad_norm"):
        # Sums in another order, which batch norm over two clips makes larger: float32 rounding.
        assert [r[key] for r in two] == pytest.approx([r[key] for r in alone], rel=1e-4)
    for key in ("pseudo_share", "top1", "agreement"):
        assert [r[key] for r in two] == [r[key] for r in alone]


@pytest.fixture
def resumed(run, lists, tool, config_file, tmp_path):
    """Calls --resume on the finished run with other lists or keys, and returns what was said."""

    def call(lists=lists, **changes):
        keys = {"TRAIN__CHECKPOINT_STEPS": 1, "TRAIN__KEEP_CHECKPOINTS": 9, **changes}
        result = tool("train_net", "--cfg", config_file, "--resume", *arguments(lists, run, **keys))
        assert (result.code, result.err.count("\n")) == (2, 1)
        return result.err

    return call


def test_other_pseudo_labels_are_refused_on_resume(resumed, run, lists, videos, tmp_path):
    restore = "; restore it, or add --allow-changes to go on regardless"
    other = split_list(videos, tmp_path, soft=0.7)
    # The folder of the lists has changed, and what the soft labels say.
    found = resumed((lists[0], other[1]))
    assert f"DATA.PSEUDO_LIST: '{lists[1]}' -> '{other[1]}'; the pseudo list)" in found
    assert restore in found
    for path in tmp_path.glob("pseudo.*"):
        path.unlink()
    assert "the pseudo list" in resumed((lists[0], split_list(videos, tmp_path)[1]))
    assert "SOLVER.PSEUDO_WEIGHT: 0.5 -> 1.0)" in resumed(SOLVER__PSEUDO_WEIGHT=1)
    found = resumed(DATA__PSEUDO_SHARE=0.25, DATA__PSEUDO_TEMPERATURE=1)
    assert "DATA.PSEUDO_SHARE: 0.5 -> 0.25; DATA.PSEUDO_TEMPERATURE: 2.0 -> 1.0)" in found
    assert "DATA.PSEUDO_LIST: " in resumed((lists[0], ""))


@pytest.mark.parametrize("command", ["train_net", "find_lr"])
def test_pseudo_labelled_files_that_are_elsewhere_are_refused_at_once(tool, lists, config_file, tmp_path, command):
    (tmp_path / "pseudo.csv").write_text("path,label\na.mp4,dark\nb.mp4,light\n")
    result = tool(command, "--cfg", config_file, *arguments((lists[0], tmp_path / "pseudo.csv"), tmp_path / "run"))
    assert (result.code, result.err) == (
        2,
        f"error: {tmp_path}/pseudo.csv: none of 2 files looked at is there, such as {tmp_path}/a.mp4; give the folder "
        "that relative paths start from as DATA.ROOT, or correct the list\n",
    )


def test_unreadable_pseudo_labelled_videos_are_named_with_the_doctor_of_their_list(tool, lists, config_file, tmp_path):
    rows = []
    for name in ("dark", "light"):
        (tmp_path / f"{name}.mp4").write_bytes(b"no video")
        rows.append(f"{name}.mp4,{name}")
    pseudo = tmp_path / "pseudo.csv"
    pseudo.write_text("\n".join(["path,label", *rows, ""]))
    with blank_charts():
        result = tool("train_net", "--cfg", config_file, *arguments((lists[0], pseudo), tmp_path / "run"))
    assert result.code == 2
    assert f"cannot read {tmp_path}/dark.mp4: " in result.out
    labelled = f"'video-rs check_dataset {lists[0]} --out check' lists the others in check/clean.csv"
    further = (
        f"'video-rs check_dataset {pseudo} --out check_pseudo' those of DATA.PSEUDO_LIST in check_pseudo/clean.csv"
    )
    assert f"{labelled}, for DATA.TRAIN_LIST and DATA.VAL_LIST, {further}, or allow more" in result.err


def test_refusals_of_soft_labels_are_one_line(tool, lists, config_file, tmp_path):
    shutil.copy(lists[1], tmp_path / "pseudo.csv")
    rows = lists[1].read_text().splitlines()[1:]
    paths = [row.split(",")[0] for row in rows]
    file = write_soft_labels(tmp_path / "pseudo.parquet", paths, [[0.5, 0.5]] * 4, ["dark", "bright"])
    result = tool("train_net", "--cfg", config_file, *arguments((lists[0], tmp_path / "pseudo.csv"), tmp_path / "run"))
    assert (result.code, result.err) == (
        2,
        f"error: {file} has soft labels of 2 classes for the 2 of this run: not of 'light', but of 'bright', no class "
        "here; take the same classes, or give their names as DATA.LABEL_MAP\n",
    )
    assert not (tmp_path / "run").exists()


def test_what_is_doubtful_about_a_pseudo_labelled_list_is_pointed_out(tool, lists, videos, config_file, tmp_path):
    rows = [f"{videos.parent}/train/dark/{i}.mp4,dark" for i in (0, 1, 2)]
    pseudo = tmp_path / "pseudo.csv"
    pseudo.write_text("\n".join(["path,label", *rows, ""]))
    keys = {"SOLVER__MAX_STEPS": 1, "TRAIN__EVAL_PERIOD": 9}
    with blank_charts():
        result = tool("train_net", "--cfg", config_file, *arguments((lists[0], pseudo), tmp_path / "run", **keys))
    assert result.code == 0, result.err
    assert (
        f"2 of the 4 clips of a step are pseudo-labelled (50.0%): 3 videos of {pseudo}, hard labels, with weight 0.5 "
        "in the loss; epochs are those of the others\n"
    ) in result.out
    assert [line for line in result.out.splitlines() if line.startswith("note:")] == [
        "note: 2 of 3 pseudo-labelled videos have labels of their own in DATA.TRAIN_LIST, and are trained on with "
        "both; leave them out of DATA.PSEUDO_LIST unless that is meant",
        "note: 1 of 2 classes have no pseudo-labelled videos: 'light'; they come up in DATA.TRAIN_LIST alone",
        f"note: DATA.PSEUDO_TEMPERATURE 2 does nothing: no Parquet file with soft labels lies beside {pseudo}",
    ]


def test_keys_about_a_list_that_there_is_not(lists, config_file, tool, tmp_path):
    keys = {"SOLVER__MAX_STEPS": 1, "TRAIN__EVAL_PERIOD": 9, "DATA__PSEUDO_SHARE": 0.25, "DATA__PSEUDO_LIST": ""}
    with blank_charts():
        result = tool("train_net", "--cfg", config_file, *arguments(lists, tmp_path / "run", **keys))
    assert result.code == 0, result.err
    assert (
        "note: DATA.PSEUDO_SHARE, DATA.PSEUDO_TEMPERATURE, SOLVER.PSEUDO_WEIGHT: nothing comes of it without "
        "DATA.PSEUDO_LIST\n"
    ) in result.out
