"""tools/train_net.py from image weights and from files: MODEL.PRETRAINED, MODEL.INFLATION and MODEL.FROZEN_STAGES."""

import pytest
import timm
import torch

from helpers.configs import build
from helpers.image_networks import SMALL, image_network, small_image_network
from helpers.jobs import run_job
from helpers.runs import tiny_run
from video_rs import create_model
from video_rs.config import find_config, load_config
from video_rs.engine.checkpoint import load_checkpoint
from video_rs.models.weights.inflate import inflate_image_weights

pytestmark = pytest.mark.usefixtures("blank_charts")

# Nothing moves but the statistics, and they hardly.
STILL = {"SOLVER__BASE_LR": 0, "SOLVER__MAX_STEPS": 1, "SOLVER__EMA_DECAY": 0, "MODEL__NORM_MOMENTUM": 1e-9}

# One step on small clips; the network is the config's own.
SECONDS = {
    "DATA__NUM_WORKERS": 0,
    "DATA__NUM_FRAMES": 4,
    "DATA__TRAIN_CROP_SIZE": 32,
    "DATA__TEST_SHORT_SIDE": 40,
    "DATA__TEST_CROP_SIZE": 32,
    "TRAIN__BATCH_SIZE": 4,
    "SOLVER__MAX_STEPS": 1,
    "SOLVER__WARMUP_EPOCHS": 0,
    "DEVICE": "cpu",
}


def weights(folder):
    return load_checkpoint(folder / "checkpoints" / "last.pth")


@pytest.fixture
def plain(trained, tmp_path):
    """A plain state dict of the tiny run's average, as a file."""
    path = tmp_path / "weights.pth"
    torch.save(weights(trained)["ema"], path)
    return path


@pytest.mark.parametrize("inflation", ["centre", "mean"])
def test_image_weights_of_a_file_are_inflated_as_asked(tool, videos, config_file, tmp_path, inflation):
    image = small_image_network(torch.float32).state_dict()
    torch.save(image, tmp_path / "rs.pth")
    arguments = tiny_run(
        videos,
        tmp_path / "run",
        MODEL__ARCH="inflated_rs_50",
        MODEL__DEPTHS=list(SMALL["depths"]),
        MODEL__WIDTH=1.0,
        MODEL__PRETRAINED=tmp_path / "rs.pth",
        MODEL__INFLATION=inflation,
        DATA__VAL_LIST="",
        **STILL,
    )
    result = tool("train_net", "--cfg", config_file, *arguments)
    assert result.code == 0, result.err
    assert f"starting from the weights of {tmp_path}/rs.pth" in result.out
    state = weights(tmp_path / "run")["model"]
    model = create_model("inflated_rs_50", 2, **SMALL)
    expected = inflate_image_weights(image, model, inflation)
    kernels = [name for name in state if name.startswith("backbone") and name.endswith("weight")]
    assert all(torch.equal(state[name], expected[name]) for name in kernels)
    assert state["fc.weight"].shape == (2, 2048)


def run_image_weights(hub, videos, output, **changes):
    """configs/finetune/image_weights.yaml in another process, whose timm has what is in ``hub`` and no network."""
    keys = {"DATA.TRAIN_LIST": videos, "DATA.VAL_LIST": videos, "OUTPUT_DIR": output}
    keys.update({key.replace("__", "."): value for key, value in {**SECONDS, **changes}.items()})
    arguments = [part for pair in keys.items() for part in pair]
    environment = {"HF_HOME": hub, "HF_HUB_OFFLINE": "1"}
    command = ("train_net", "--cfg", "finetune/image_weights.yaml")
    return run_job(output.parent, 1, *command, *arguments, environment=environment)


def test_the_image_weights_config_trains_from_timms_weights(hub, videos, tmp_path):
    done = run_image_weights(hub, videos, tmp_path / "run", MODEL__FROZEN_STAGES=2)
    assert done.codes == [0], done.err
    assert "starting from the weights of timm\n" in done.out
    said = "in timm's resnetrs50 has 1000 classes, the model 2: it starts afresh, all other weights are loaded"
    assert done.err.count(f"the classifier (fc) {said}") == 1
    image = image_network(50, torch.float32).state_dict()
    state = weights(tmp_path / "run")["model"]
    for name, theirs in (("res2.2.branch.3", "layer1.2.conv2"), ("res2.0.shortcut.1", "layer1.0.downsample.1")):
        assert torch.equal(state[f"backbone.{name}.weight"].squeeze(2), image[f"{theirs}.weight"])
    moved = state["backbone.res3.0.branch.3.weight"].squeeze(2) - image["layer2.0.conv2.weight"]
    assert 0 < moved.abs().max() < 1


def test_without_a_network_timms_other_weights_are_refused(hub, videos, tmp_path):
    done = run_image_weights(hub, videos, tmp_path / "run", MODEL__ARCH="inflated_rs_101")
    assert done.codes == [2]
    last = done.err.splitlines()[-1]
    assert last.startswith("error: timm cannot get the weights of resnetrs101 (LocalEntryNotFoundError: ")
    assert not (tmp_path / "run").exists()


def test_the_config_is_found_by_its_name_under_its_folder():
    assert find_config("finetune/image_weights") == find_config("finetune/image_weights.yaml")
    config = load_config("finetune/image_weights")
    assert (config.MODEL.PRETRAINED, config.MODEL.ARCH) == ("timm", "inflated_rs_50")
    # timm's numbers for resnetrs50, which its weights were trained with.
    assert tuple(config.DATA.MEAN) == timm.get_pretrained_cfg("resnetrs50").mean
    assert tuple(config.DATA.STD) == timm.get_pretrained_cfg("resnetrs50").std


def frozen(name):
    return name.startswith(("backbone.stem.", "backbone.res2."))


@pytest.mark.parametrize("processes", [1, 2])
def test_frozen_stages_stay_to_the_bit_and_the_rest_learns(plain, videos, config_file, tmp_path, processes):
    arguments = tiny_run(videos, tmp_path / "run", MODEL__PRETRAINED=plain, MODEL__FROZEN_STAGES=2)
    done = run_job(tmp_path, processes, "train_net", "--cfg", config_file, *arguments)
    assert done.codes == [0] * processes, done.err
    source, state = torch.load(plain), weights(tmp_path / "run")["model"]
    stayed = {name for name, value in state.items() if torch.equal(value, source[name])}
    assert stayed == {name for name in state if frozen(name)}


def test_a_resumed_run_goes_on_from_its_own_weights(tool, plain, videos, config_file, tmp_path):
    run = tmp_path / "run"
    keys = {"MODEL__PRETRAINED": plain, "MODEL__FROZEN_STAGES": 2, "SOLVER__MOMENTUM": 0.9}
    first = tool("train_net", "--cfg", config_file, *tiny_run(videos, run, SOLVER__MAX_STEPS=2, **keys))
    assert "starting from the weights" in first.out
    source = torch.load(plain)
    plain.unlink()
    longer = tiny_run(videos, run, SOLVER__MAX_STEPS=3, **keys)
    resumed = tool("train_net", "--cfg", config_file, "--resume", "--allow-changes", *longer)
    assert resumed.code == 0, resumed.err
    assert "starting from the weights" not in resumed.out
    state = weights(run)
    assert state["step"] == 3
    assert all(torch.equal(value, source[name]) for name, value in state["model"].items() if frozen(name))
    assert len(state["optimizer"]["state"]) == sum(not frozen(n) for n in _parameters(state["model"]))

    thawed = tiny_run(videos, run, SOLVER__MAX_STEPS=4, **{**keys, "MODEL__FROZEN_STAGES": 1})
    refused = tool("train_net", "--cfg", config_file, "--resume", "--allow-changes", *thawed)
    assert (refused.code, refused.err) == (
        2,
        f"error: {run}/checkpoints/last.pth holds the optimizer's state for MODEL.FROZEN_STAGES 2, not 1; "
        "keep that, or start a new run with --finetune\n",
    )


def _parameters(state):
    return [name for name in state if "running" not in name and "tracked" not in name]


def test_a_linear_probe_trains_the_last_layer_alone(tool, trained, videos, config_file, tmp_path):
    arguments = tiny_run(videos, tmp_path / "run", MODEL__FROZEN_STAGES=5)
    start = trained / "checkpoints/last.pth"
    assert tool("train_net", "--cfg", config_file, "--finetune", start, *arguments).code == 0
    source, state = weights(trained)["ema"], weights(tmp_path / "run")
    assert {name for name in source if not torch.equal(source[name], state["model"][name])} == {"fc.weight", "fc.bias"}
    assert len(state["optimizer"]["state"]) == 2
    # The average starts there too: what never changes is the same in it, to the bit.
    assert {name for name in source if not torch.equal(source[name], state["ema"][name])} == {"fc.weight", "fc.bias"}


def test_another_grouping_of_the_optimizer_is_refused(tool, videos, config_file, tmp_path):
    run = tmp_path / "run"
    keys = {"SOLVER__LAYER_DECAY": 0.5, "SOLVER__MAX_STEPS": 2}
    assert tool("train_net", "--cfg", config_file, *tiny_run(videos, run, **keys)).code == 0
    resume = ("train_net", "--cfg", config_file, "--resume", "--allow-changes")
    longer = {**keys, "SOLVER__MAX_STEPS": 3}
    refused = tool(*resume, *tiny_run(videos, run, **{**longer, "SOLVER__LAYER_DECAY": 1}))
    assert (refused.code, refused.err) == (
        2,
        f"error: {run}/checkpoints/last.pth holds the optimizer's state for SOLVER.LAYER_DECAY 0.5, which has other "
        "groups than 1; keep that, or start a new run with --finetune\n",
    )
    assert tool(*resume, *tiny_run(videos, run, **{**longer, "SOLVER__LAYER_DECAY": 0})).code == 0


@pytest.mark.parametrize("frozen", [0, 1])
def test_the_stem_of_a_run_learns_least(tool, videos, config_file, tmp_path, frozen):
    """A first step of AdamW moves each weight by its rate, whatever its gradient."""
    keys = {"SOLVER__LAYER_DECAY": 0.5, "SOLVER__OPTIMIZING_METHOD": "adamw", "SOLVER__WEIGHT_DECAY": 0}
    keys |= {"SOLVER__BASE_LR": 0.01, "MODEL__FROZEN_STAGES": frozen, "SOLVER__MAX_STEPS": 1}
    assert tool("train_net", "--cfg", config_file, *tiny_run(videos, tmp_path / "run", **keys)).code == 0
    start = _start(videos)
    state = weights(tmp_path / "run")["model"]
    moved = {name: (state[name] - start[name]).abs().max().item() for name in _parameters(start)}
    for part, rate in (("fc", 0.01), ("res5", 0.005), ("res2", 0.01 / 16), ("stem", 0 if frozen else 0.01 / 32)):
        largest = max(value for name, value in moved.items() if name.removeprefix("backbone.").startswith(part))
        assert largest == pytest.approx(rate, rel=2e-2)  # Adam's epsilon, and rounding of weights near 1


def _start(videos):
    """The weights that a run of the seed starts with."""
    return build(videos, {"MODEL.WIDTH": "0.125"}).step.model.state_dict()


def test_two_places_to_start_from_are_refused(tool, trained, plain, videos, config_file, tmp_path):
    source = trained / "checkpoints" / "last.pth"
    both = tiny_run(videos, tmp_path / "run", MODEL__PRETRAINED=plain)
    result = tool("train_net", "--cfg", config_file, "--finetune", source, *both)
    assert (result.code, result.err) == (
        2,
        f"error: --finetune {source} and MODEL.PRETRAINED {plain} both say where to start; "
        "leave out --finetune, or add MODEL.PRETRAINED ''\n",
    )
    none = tiny_run(videos, tmp_path / "run", MODEL__PRETRAINED="", SOLVER__MAX_STEPS=1)
    assert tool("train_net", "--cfg", config_file, "--finetune", source, *none).code == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"MODEL__PRETRAINED": "no.pth"}, "no weights at no.pth; give a .pth, .pyth, .pt or .safetensors file,"),
        ({"MODEL__PRETRAINED": "timm"}, "timm has no image network like this one: depths (1, 1, 1, 1) (timm: those of"),
        ({"MODEL__INFLATION": "center"}, "MODEL.INFLATION is 'center' (override); allowed: 'centre', 'mean'"),
        ({"MODEL__FROZEN_STAGES": 6}, "MODEL.FROZEN_STAGES is 6 (override); allowed: 0 to 5"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(tool, videos, config_file, tmp_path, changes, message):
    result = tool("train_net", "--cfg", config_file, *tiny_run(videos, tmp_path / "run", **changes))
    assert result.code == 2
    assert result.err.startswith(f"error: {message}")
    assert result.err.count("\n") == 1
    assert not (tmp_path / "run").exists()
