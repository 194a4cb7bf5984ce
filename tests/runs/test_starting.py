"""What a run says and does of the weights that it starts from: whose classes, and what they were trained with."""

import pytest
import timm
import torch

from helpers.image_networks import SMALL, small_image_network
from helpers.runs import tiny_run
from helpers.video_networks import NARROW, NARROW_STEM, video_network
from video_rs import create_model
from video_rs.engine.checkpoint import load_checkpoint
from video_rs.engine.schedule import Schedule
from video_rs.models.architecture import DEPTHS
from video_rs.models.weights.inflate import image_preprocessing
from video_rs.models.weights.strict import classifier_by_name
from video_rs.models.zoo import architecture
from video_rs.runs.resuming import jump_of_rate
from video_rs.runs.start_weights import trained_with

pytestmark = pytest.mark.usefixtures("blank_charts")

# Nothing moves but the statistics, and they hardly.
STILL = {"SOLVER__BASE_LR": 0, "SOLVER__MAX_STEPS": 1, "SOLVER__EMA_DECAY": 0, "MODEL__NORM_MOMENTUM": 1e-9}
STARTS = ["--finetune", "MODEL.PRETRAINED"]


def started(option, source):
    return f"fine-tuning from {source}" if option == "--finetune" else f"starting from the weights of {source}"


def train(tool, config_file, option, source, listed, output, **changes):
    """Runs a step from ``source``; returns what is printed of the start, and the checkpoint."""
    arguments = tiny_run(listed, output, **{**STILL, "DATA__VAL_LIST": "", **changes})
    result = tool("train_net", "--cfg", config_file, option, source, *arguments)
    assert (result.code, result.err) == (0, "")
    said = [line for line in result.out.splitlines() if str(source) in line or "weights were trained" in line]
    return said, load_checkpoint(output / "checkpoints" / "last.pth")


@pytest.fixture
def source(trained):
    return trained / "checkpoints" / "last.pth"


def relabelled(videos, folder, **names):
    """The list with other class names."""
    text = videos.read_text().replace("\ntrain", f"\n{videos.parent}/train").replace("\nval", f"\n{videos.parent}/val")
    for before, after in names.items():
        text = text.replace(f",{before},", f",{after},")
    (folder / "list.csv").write_text(text)
    return folder / "list.csv"


# Whose classes


@pytest.mark.parametrize("option", STARTS)
def test_the_same_classes_are_taken_as_they_are(tool, source, videos, config_file, tmp_path, option):
    said, state = train(tool, config_file, option, source, videos, tmp_path / "run")
    assert said == [started(option, source)]
    assert torch.equal(state["model"]["fc.weight"], load_checkpoint(source)["ema"]["fc.weight"])


@pytest.mark.parametrize("option", STARTS)
def test_another_order_of_the_classes_is_put_right(tool, source, videos, config_file, tmp_path, option):
    (tmp_path / "names.txt").write_text("light\ndark\n")
    said, state = train(
        tool, config_file, option, source, videos, tmp_path / "run", DATA__LABEL_MAP=tmp_path / "names.txt"
    )
    assert said == [
        f"{started(option, source)}; the classes stand in another order there: the classifier is taken over by their "
        "names"
    ]
    before = load_checkpoint(source)["ema"]
    for name in ("fc.weight", "fc.bias"):
        assert torch.equal(state["model"][name], before[name].flip(0))


@pytest.mark.parametrize("option", STARTS)
def test_classes_that_both_have_are_taken_over(tool, source, videos, config_file, tmp_path, option):
    listed = relabelled(videos, tmp_path, dark="zebra")
    said, state = train(tool, config_file, option, source, listed, tmp_path / "run")
    assert said == [
        f"{started(option, source)}; other classes: 1 of 2 classes are taken over by their names, and start afresh: "
        "'zebra'"
    ]
    before, after = load_checkpoint(source)["ema"], state["model"]
    assert state["label_names"] == ["light", "zebra"]
    assert torch.equal(after["fc.weight"][0], before["fc.weight"][1])
    assert not torch.isclose(after["fc.weight"][1], before["fc.weight"]).all(1).any()


@pytest.mark.parametrize("option", STARTS)
def test_classes_of_other_names_start_afresh(tool, source, videos, config_file, tmp_path, option):
    listed = relabelled(videos, tmp_path, dark="zebra", light="ant")
    said, state = train(tool, config_file, option, source, listed, tmp_path / "run")
    assert said == [f"{started(option, source)}; other classes, so the classifier starts afresh"]
    before, after = load_checkpoint(source)["ema"]["fc.weight"], state["model"]["fc.weight"]
    assert not any(torch.equal(new, old) for new in after for old in before)


def test_plain_weights_say_nothing_of_their_classes(tool, source, videos, config_file, tmp_path):
    torch.save(load_checkpoint(source)["ema"], tmp_path / "plain.pth")
    path = tmp_path / "plain.pth"
    said, state = train(tool, config_file, "MODEL.PRETRAINED", path, videos, tmp_path / "run")
    assert said == [
        f"starting from the weights of {path}; its classes have no names, so the classifier is taken as it is"
    ]
    assert torch.equal(state["model"]["fc.weight"], load_checkpoint(source)["ema"]["fc.weight"])


def test_numbers_are_no_names_and_forms_of_unicode_no_other_ones():
    model = create_model("r3d_rs_tiny", 2, width=0.125)
    state = {name: value + 1 for name, value in model.state_dict().items()}
    kept, words = classifier_by_name(state, model, ["0", "1", "2"], ["0", "1"])
    assert words == "other classes, so the classifier starts afresh"
    assert torch.equal(kept["fc.weight"], model.state_dict()["fc.weight"])
    # Equal lists of numbers are the same classes as far as anybody can tell.
    assert classifier_by_name(state, model, ["0", "1"], ["0", "1"])[1] == ""
    same, words = classifier_by_name(state, model, ["cafe\u0301", "tea "], ["caf\u00e9", "tea"])
    assert words == ""
    assert torch.equal(same["fc.weight"], state["fc.weight"])


# What the weights were trained with


@pytest.mark.parametrize("option", STARTS)
def test_another_preprocessing_is_said(tool, source, videos, config_file, tmp_path, option):
    changes = {"DATA__MEAN": [0.5, 0.5, 0.5], "DATA__STD": [0.5, 0.5, 0.25], "DATA__SAMPLING_RATE": 1}
    changes |= {"DATA__NUM_FRAMES": 3, "DATA__TRAIN_CROP_SIZE": 36}
    said, _ = train(tool, config_file, option, source, videos, tmp_path / "run", **changes)
    assert said == [
        started(option, source),
        "note: these weights were trained with DATA.MEAN 0 0 0, here 0.5 0.5 0.5; DATA.STD 1 1 1, here 0.5 0.5 0.25; "
        "DATA.NUM_FRAMES 4, here 3; DATA.SAMPLING_RATE 2, here 1; DATA.TRAIN_CROP_SIZE 32, here 36; so that pixels had "
        "values from 0 to 1, here from -2 to 2; set the same unless the difference is meant",
    ]


def test_what_image_weights_were_trained_with_is_said(tool, videos, config_file, tmp_path):
    torch.save(small_image_network(torch.float32).state_dict(), tmp_path / "rs.pth")
    image = {"MODEL__ARCH": "inflated_rs_50", "MODEL__DEPTHS": list(SMALL["depths"]), "MODEL__WIDTH": 1.0}
    arguments = tiny_run(videos, tmp_path / "run", **STILL, **image, DATA__VAL_LIST="")
    result = tool("train_net", "--cfg", config_file, "MODEL.PRETRAINED", tmp_path / "rs.pth", *arguments)
    assert result.code == 0, result.err
    assert (
        "note: these weights were trained with DATA.MEAN 0.485 0.456 0.406, here 0 0 0; DATA.STD 0.229 0.224 0.225, "
        "here 1 1 1; so that pixels had values from -2.12 to 2.64, here from 0 to 1; set the same unless the "
        "difference is meant\n"
    ) in result.out


def test_what_public_video_weights_were_trained_with_is_said(tool, videos, config_file, tmp_path):
    network = video_network("i3d_r50", 400, NARROW_STEM, dtype=torch.float32)
    torch.save({"model_state": network.state_dict()}, tmp_path / "i3d.pyth")
    video = {"MODEL__ARCH": "i3d_r50", "MODEL__DEPTHS": [3, 4, 6, 3], "MODEL__WIDTH": NARROW["width"]}
    video |= {"MODEL__TEMPORAL_KERNELS": [3, [3, 1, 3, 1], [3, 1, 3, 1, 3, 1], [1, 3, 1]]}
    path = tmp_path / "i3d.pyth"
    said, state = train(tool, config_file, "MODEL.PRETRAINED", path, videos, tmp_path / "run", **video)
    assert said == [
        f"starting from the weights of {path}; other classes, so the classifier starts afresh",
        "note: these weights were trained with DATA.MEAN 0.45 0.45 0.45, here 0 0 0; DATA.STD 0.225 0.225 0.225, here "
        "1 1 1; DATA.NUM_FRAMES 8, here 4; DATA.SAMPLING_RATE 8, here 2; DATA.TRAIN_CROP_SIZE 224, here 32; so that "
        "pixels had values from -2 to 2.44, here from 0 to 1; set the same unless the difference is meant",
    ]
    stem = state["model"]["backbone.stem.0.weight"]
    assert torch.equal(stem.contiguous(), network.blocks[0].conv.weight)


@pytest.mark.parametrize("depth", [50, 101, 152, 200, 270, 350, 420])
def test_image_weights_were_trained_with_what_timm_says(depth):
    theirs = timm.get_pretrained_cfg(f"resnetrs{depth}")
    ours = image_preprocessing(architecture("inflated_rs_50", depths=DEPTHS[depth]))
    assert ours == {"mean": theirs.mean, "std": theirs.std, "crop_size": theirs.input_size[1]}


def test_converted_weights_and_runs_of_another_version_say_what_they_know():
    converted = {"preprocessing": {"mean": (0.0, 0.5, 0.5), "std": (1.0, 1.0, 1.0)}}
    known = {"DATA.MEAN": [0.0, 0.5, 0.5], "DATA.STD": [1.0, 1.0, 1.0]}
    assert trained_with(converted) == known
    nested = {**converted["preprocessing"], "clip": {"num_frames": 8, "sampling_rate": 4, "short_video": "wrap"}}
    assert trained_with({"config": "NO_SUCH_KEY: 3\n", "preprocessing": nested}) == {
        **known,
        "DATA.NUM_FRAMES": 8,
        "DATA.SAMPLING_RATE": 4,
    }
    assert trained_with({}) == {}


# A rate that jumps


def schedule(**changes):
    return Schedule(**{"base_lr": 0.2, "total_steps": 4, **changes})


def stopped(step, *groups):
    return {
        "step": step,
        "optimizer": {"param_groups": [dict(zip(("lr", "lr_scale"), g, strict=False)) for g in groups]},
    }


def test_a_rate_that_goes_on_is_no_jump():
    # Half a cosine from 0.2 over 4 steps: 0.2, 0.1707, 0.1, 0.0293.
    assert jump_of_rate(stopped(2, (0.170711,)), schedule()) == ""
    assert jump_of_rate(stopped(2, (0.170711 / 4, 0.25), (0.170711, 1.0)), schedule()) == ""
    assert jump_of_rate(stopped(2, (0.0, 0.0), (0.170711, 1.0)), schedule()) == ""
    assert jump_of_rate(stopped(0, (0.0,)), schedule()) == ""
    # The first step of a warm-up has the rate 0.
    assert jump_of_rate(stopped(1, (0.0,)), schedule(warmup_steps=2)) == ""


@pytest.mark.parametrize(
    ("changes", "coming"), [({"base_lr": 0.4}, "0.2"), ({"total_steps": 8}, "0.171"), ({"warmup_steps": 3}, "0.0195")]
)
def test_a_rate_that_jumps_is_said(changes, coming):
    assert jump_of_rate(stopped(2, (0.170711,)), schedule(**changes)) == (
        f"the learning rate jumps: it was 0.171 at step 2, and goes on with {coming}; its schedule follows the "
        "number of steps and SOLVER's keys"
    )


def test_a_resumed_run_says_that_its_rate_jumps(tool, videos, config_file, tmp_path):
    run = tmp_path / "run"
    keys = {"DATA__VAL_LIST": ""}
    assert tool("train_net", "--cfg", config_file, *tiny_run(videos, run, SOLVER__MAX_STEPS=2, **keys)).code == 0
    resume = ("train_net", "--cfg", config_file, "--resume", "--allow-changes")
    result = tool(*resume, *tiny_run(videos, run, SOLVER__MAX_STEPS=3, **keys))
    # Of two steps the last has half the rate of 0.05, of three the last a quarter.
    assert (
        "note: the learning rate jumps: it was 0.025 at step 2, and goes on with 0.0125; its schedule follows the "
        "number of steps and SOLVER's keys\n"
    ) in result.out
