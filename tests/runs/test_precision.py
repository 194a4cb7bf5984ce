"""The precision of a run: tried where it begins, kept where it goes on."""

import shutil

import pytest

from helpers.configs import build
from helpers.jobs import run_job
from helpers.runs import assert_same_weights, tiny_run, weights
from video_rs.config import load_config
from video_rs.engine.checkpoint import load_checkpoint, save_checkpoint
from video_rs.engine.trial import StepSeconds
from video_rs.reports import read_log
from video_rs.runs import find_lr, notes, precision

pytestmark = [pytest.mark.usefixtures("blank_charts"), pytest.mark.xdist_group("processes")]

FASTER = "TRAIN.PRECISION auto takes bfloat16: a step on 4 clips takes 2 s in float32, 1.23 s in bfloat16"
SLOW = (
    "note: this run computes in bfloat16, for which this processor has no instructions: the numbers are right, and "
    "each step takes longer than in float32; "
)


def run_of(videos, output, kind="auto", **changes):
    """A run of two steps."""
    keys = {"TRAIN__PRECISION": kind, "SOLVER__MAX_STEPS": 2, "TRAIN__EVAL_PERIOD": 9, **changes}
    return tiny_run(videos, output, **keys)


def no_trial(*_):
    raise AssertionError("nothing is to be tried")


@pytest.fixture
def capable(monkeypatch):
    """A processor that has instructions for bfloat16."""
    for module in (precision, notes):
        monkeypatch.setattr(module, "has_bfloat16", lambda device: True)


@pytest.fixture
def faster(capable, monkeypatch):
    """A processor that is faster in bfloat16."""
    monkeypatch.setattr(precision, "time_precisions", lambda *_: StepSeconds(2.0, 1.234))


@pytest.fixture
def incapable(monkeypatch):
    """A processor without instructions for bfloat16."""
    for module in (precision, notes):
        monkeypatch.setattr(module, "has_bfloat16", lambda device: False)
    monkeypatch.setattr(precision, "time_precisions", no_trial)


@pytest.mark.usefixtures("faster")
def test_a_run_takes_bfloat16_where_it_is_faster_and_keeps_it(tool, videos, config_file, tmp_path, monkeypatch):
    run, other = tmp_path / "run", tmp_path / "other"
    train = ("train_net", "--cfg", config_file)
    result = tool(*train, *run_of(videos, run))
    assert result.code == 0, result.err
    assert result.out.splitlines().count(FASTER) == 1
    assert tool(*train, *run_of(videos, other, "bfloat16")).code == 0
    assert_same_weights(weights(run), weights(other))
    assert weights(run)["precision"] == "bfloat16"
    assert load_config(run / "config.yaml").TRAIN.PRECISION == "auto"

    monkeypatch.setattr(precision, "time_precisions", no_trial)
    longer = {"SOLVER__MAX_STEPS": 4}
    resume = (*train, "--resume", "--allow-changes")
    assert tool(*resume, *run_of(videos, run, **longer)).code == 0
    assert tool(*resume, *run_of(videos, other, "bfloat16", **longer)).code == 0
    assert weights(run)["step"] == 4
    assert_same_weights(weights(run), weights(other))
    events = [record for record in read_log(run / "log.jsonl") if record["kind"] == "event"]
    assert [(event["event"], event["precision"]) for event in events] == [
        ("started", "bfloat16"),
        ("resumed", "bfloat16"),
    ]


@pytest.mark.usefixtures("capable")
def test_a_trial_of_a_run_leaves_no_trace(tool, videos, config_file, tmp_path):
    """Whichever precision it finds faster."""
    tried, told = tmp_path / "tried", tmp_path / "told"
    keys = {"MODEL__DROPOUT": 0.3, "TRAIN__ACCUMULATION_STEPS": 2}
    result = tool("train_net", "--cfg", config_file, *run_of(videos, tried, **keys))
    assert result.code == 0, result.err
    found = weights(tried)["precision"]
    assert f"TRAIN.PRECISION auto takes {found}: a step on 2 clips takes " in result.out
    assert tool("train_net", "--cfg", config_file, *run_of(videos, told, found, **keys)).code == 0
    assert_same_weights(weights(tried), weights(told))


@pytest.mark.usefixtures("incapable")
def test_a_processor_without_instructions_trains_in_float32_untried(tool, videos, config_file, tmp_path):
    result = tool("train_net", "--cfg", config_file, *run_of(videos, tmp_path / "run"))
    assert result.code == 0, result.err
    assert "PRECISION" not in result.out
    assert weights(tmp_path / "run")["precision"] == "float32"


def test_a_precision_that_is_asked_for_is_not_tried(tool, videos, config_file, tmp_path, capable, monkeypatch):
    monkeypatch.setattr(precision, "time_precisions", no_trial)
    result = tool("train_net", "--cfg", config_file, *run_of(videos, tmp_path / "run", "bfloat16"))
    assert result.code == 0, result.err
    assert "note:" not in result.out


@pytest.mark.usefixtures("faster")
def test_the_rate_is_found_in_the_precision_of_the_run(tool, videos, config_file, tmp_path, monkeypatch):
    found = []
    monkeypatch.setattr(find_lr, "check_convolutions", lambda training: found.append(training.precision))
    monkeypatch.setattr(find_lr, "growing_rates", lambda: [10 ** (number / 4 - 5) for number in range(16)])
    result = tool("find_lr", "--cfg", config_file, *run_of(videos, tmp_path / "run"))
    assert result.code == 0, result.err
    assert result.out.splitlines().count(FASTER) == 1
    assert found == ["bfloat16"]


@pytest.mark.usefixtures("capable")
def test_pre_training_is_tried_too(tool, videos, config_file, tmp_path):
    output = tmp_path / "run"
    keys = run_of(videos, output, DATA__VAL_LIST="", CONTRAST__PROJECTION_DIM=8, CONTRAST__HIDDEN_DIM=8)
    result = tool("pretrain", "--cfg", config_file, *keys)
    assert result.code == 0, result.err
    found = load_checkpoint(output, needs_classes=False)["precision"]
    assert f"TRAIN.PRECISION auto takes {found}: a step on 4 clips takes " in result.out


@pytest.fixture(scope="module")
def rough(videos, config_file, tmp_path_factory):
    """A run that was begun in bfloat16, by itself, elsewhere."""
    from video_rs.runs.train import run_training

    output = tmp_path_factory.mktemp("rough") / "run"
    with pytest.MonkeyPatch.context() as patches:
        patches.setattr(precision, "has_bfloat16", lambda device: True)
        patches.setattr(precision, "time_precisions", lambda *_: StepSeconds(2.0, 1.0))
        run_training(load_config(config_file, run_of(videos, output)))
    return output


@pytest.fixture
def moved(rough, tmp_path):
    """The same run on this machine."""
    shutil.copytree(rough, tmp_path / "run")
    return tmp_path / "run"


@pytest.mark.usefixtures("incapable")
def test_a_run_in_bfloat16_goes_on_without_instructions_and_says_so(tool, moved, videos, config_file, tmp_path):
    resume = ("train_net", "--cfg", config_file, "--resume", "--allow-changes")
    result = tool(*resume, *run_of(videos, moved, SOLVER__MAX_STEPS=3))
    assert result.code == 0, result.err
    assert f"{SLOW}TRAIN.PRECISION float32 --allow-changes goes on in that" in result.out.splitlines()
    assert weights(moved)["precision"] == "bfloat16"

    result = tool(*resume, *run_of(videos, moved, "float32", SOLVER__MAX_STEPS=4))
    assert result.code == 0, result.err
    assert "no instructions" not in result.out
    assert weights(moved)["precision"] == "float32"

    fresh = tool("train_net", "--cfg", config_file, *run_of(videos, tmp_path / "fresh", "bfloat16"))
    assert f"{SLOW}set TRAIN.PRECISION float32" in fresh.out.splitlines()


def test_a_run_in_float16_does_not_go_on_on_a_cpu(tool, moved, videos, config_file):
    path = moved / "checkpoints/last.pth"
    save_checkpoint(path, {**weights(moved), "precision": "float16"})
    resume = ("train_net", "--cfg", config_file, "--resume", "--allow-changes")
    result = tool(*resume, *run_of(videos, moved, SOLVER__MAX_STEPS=3))
    assert (result.code, result.err.splitlines()[-1]) == (
        2,
        f"error: {moved} was trained in float16 on a GPU, and a CPU has no float16; go on on a GPU, or add "
        "TRAIN.PRECISION float32 --allow-changes",
    )
    assert tool(*resume, *run_of(videos, moved, "float32", SOLVER__MAX_STEPS=3)).code == 0
    assert weights(moved)["precision"] == "float32"


@pytest.mark.usefixtures("faster")
def test_a_checkpoint_of_an_older_version_goes_on_in_float32(tool, moved, videos, config_file):
    older = weights(moved)
    del older["precision"]
    save_checkpoint(moved / "checkpoints/last.pth", older)
    arguments = run_of(videos, moved, SOLVER__MAX_STEPS=3)
    assert tool("train_net", "--cfg", config_file, "--resume", "--allow-changes", *arguments).code == 0
    assert weights(moved)["precision"] == "float32"


RANKS = """
import os
from video_rs.engine.trial import StepSeconds
from video_rs.runs import precision

def seconds(*_):
    assert os.environ["RANK"] == "0"
    return StepSeconds(2.0, 1.234)

precision.has_bfloat16 = lambda device: True
precision.time_precisions = seconds
"""


def test_one_of_many_processes_decides(videos, config_file, tmp_path):
    auto, told = tmp_path / "auto", tmp_path / "told"
    for folder in (auto, told):
        folder.mkdir()
    train = ("train_net", "--cfg", config_file)
    job = run_job(auto, 2, *train, *run_of(videos, auto / "run"), before=RANKS)
    assert job.codes == [0, 0], job.err
    assert job.out.splitlines().count(FASTER.replace("4 clips", "2 clips")) == 1
    job = run_job(told, 2, *train, *run_of(videos, told / "run", "bfloat16"))
    assert job.codes == [0, 0], job.err
    assert_same_weights(weights(auto / "run"), weights(told / "run"))


@pytest.mark.usefixtures("faster")
def test_bfloat16_is_for_processes_that_all_have_instructions(videos, monkeypatch):
    training = build(videos, {})
    for other, expected in ((False, "float32"), (True, "bfloat16")):
        monkeypatch.setattr(precision.distributed, "gather", lambda own, other=other: [own, other])
        precision.choose_precision(training)
        assert training.precision == expected
