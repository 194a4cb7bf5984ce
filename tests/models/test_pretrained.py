"""Weights from files and from timm into models: what is taken, what is said, and what is refused."""

import dataclasses
import logging
import shlex
import sys

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from helpers.image_networks import SMALL, small_image_network
from helpers.networks import on_meta, refusal
from video_rs import create_backbone, create_model
from video_rs.builders import build_architecture
from video_rs.config import load_config
from video_rs.models import architecture
from video_rs.models.architecture import TRAINING_ONLY, Architecture
from video_rs.models.weights import load_pretrained, read_weights
from video_rs.models.weights.inflate import inflate_image_weights
from video_rs.models.weights.strict import load_strictly

ADVICE = "; build the model that they were made for"


@pytest.fixture
def checkpoint(tmp_path):
    """Saves a checkpoint with "model" and "ema" of two different classifiers; returns its path and the second one."""
    raw, average = create_model("r3d_rs_tiny", 5), create_model("r3d_rs_tiny", 5)

    def save(change=lambda state: state, **parts):
        path = str(tmp_path / "last.pth")
        torch.save({"model": raw.state_dict(), "ema": change(dict(average.state_dict())), **parts}, path)
        return path

    save.raw, save.average = raw.state_dict(), average.state_dict()
    return save


@pytest.fixture(scope="module")
def image():
    return small_image_network(torch.float32).state_dict()


def agrees(module, state, prefix=""):
    return all(torch.equal(value, state[prefix + name]) for name, value in module.state_dict().items())


# -- Kinds of files


def test_pretrained_takes_the_average_else_the_raw_weights(checkpoint):
    assert agrees(create_model("r3d_rs_tiny", 5, pretrained=checkpoint()), checkpoint.average)
    assert agrees(create_model("r3d_rs_tiny", 5, pretrained=checkpoint(ema=None)), checkpoint.raw)


@pytest.mark.parametrize("features", [("res5",), ("res3", "stem")])
def test_a_backbone_takes_a_classifiers_checkpoint(checkpoint, features):
    backbone = create_backbone("r3d_rs_tiny", features, pretrained=checkpoint())
    assert agrees(backbone, checkpoint.average, "backbone.")


@pytest.mark.parametrize(
    ("kept", "features"), [(("res5", "stem"), ("res5",)), (("res4",), ("res3", "stem"))], ids=["all", "some"]
)
def test_a_backbone_takes_what_a_backbone_saved(tmp_path, kept, features):
    saved = create_backbone("r3d_rs_tiny", kept)
    for prefix in ("", "module."):
        torch.save(wrapped(saved.state_dict(), prefix), tmp_path / "backbone.pth")
        backbone = create_backbone("r3d_rs_tiny", features, pretrained=tmp_path / "backbone.pth")
        assert agrees(backbone, saved.state_dict())


def test_a_classifier_lacks_its_last_layer_in_what_a_backbone_saved(tmp_path):
    path = tmp_path / "backbone.pth"
    torch.save(create_backbone("r3d_rs_tiny").state_dict(), path)
    expected = f"weights in {path} do not fit the model: 2 missing (fc.weight, fc.bias){ADVICE}"
    assert refusal(create_model, "r3d_rs_tiny", 5, pretrained=path) == expected


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".safetensors"])
def test_a_plain_state_dict_is_taken(checkpoint, tmp_path, suffix):
    path = tmp_path / f"weights{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(checkpoint.raw, path)
    assert agrees(create_model("r3d_rs_tiny", 5, pretrained=path), checkpoint.raw)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_image_weights_are_known_by_their_names_and_inflated(image, tmp_path, suffix):
    path = tmp_path / f"resnetrs{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(image, path)
    model = create_model("inflated_rs_50", 1000, pretrained=path, **SMALL)
    expected = inflate_image_weights(image, model)
    assert agrees(model, expected)
    load_pretrained(model, path, "mean")
    assert agrees(model, inflate_image_weights(image, model, "mean"))
    backbone = create_backbone("inflated_rs_50", ("res3",), pretrained=path, **SMALL)
    assert list(dict(backbone.named_children())) == ["stem", "stem_pool", "res2", "res3"]
    assert agrees(backbone, expected, "backbone.")


def test_nothing_is_drawn_for_weights_that_a_file_replaces(checkpoint):
    path, before = checkpoint(), torch.get_rng_state()
    create_backbone("r3d_rs_tiny", pretrained=path)
    assert torch.equal(torch.get_rng_state(), before)


def wrapped(state, prefix):
    return {prefix + name: value for name, value in state.items()}


PREFIXED = "without {prefix!r} before their names"
UNDER = "from 'state_dict'"


@pytest.mark.parametrize("under", [False, True])
@pytest.mark.parametrize("prefix", ["", "module.", "model."])
def test_the_layouts_of_other_trainers_are_taken_and_said(checkpoint, tmp_path, caplog, prefix, under):
    path, state = tmp_path / "other.pth", wrapped(checkpoint.raw, prefix)
    torch.save({"state_dict": state, "epoch": 3} if under else state, path)
    assert agrees(create_model("r3d_rs_tiny", 5, pretrained=path), checkpoint.raw)
    said = [UNDER] * under + [PREFIXED.format(prefix=prefix)] * bool(prefix)
    assert [r.getMessage() for r in caplog.records] == [f"weights of {path}: taken {', '.join(said)}"] * bool(said)


def test_wrapped_image_weights_and_safetensors_are_taken(image, tmp_path, caplog):
    path = tmp_path / "image.safetensors"
    save_file(wrapped(image, "module."), path)
    model = create_model("inflated_rs_50", 1000, pretrained=path, **SMALL)
    assert agrees(model, inflate_image_weights(image, model))
    assert [r.getMessage() for r in caplog.records] == [f"weights of {path}: taken {PREFIXED.format(prefix='module.')}"]


@pytest.mark.parametrize("prefix", ["module.module.", "net.", "module"])
def test_other_prefixes_are_refused(checkpoint, tmp_path, prefix):
    path = tmp_path / "other.pth"
    torch.save(wrapped(checkpoint.raw, prefix), path)
    message = refusal(create_model, "r3d_rs_tiny", 5, pretrained=path)
    assert message.startswith(f"weights in {path} do not fit the model: ")


def test_a_prefix_of_some_names_only_is_refused(checkpoint, tmp_path):
    path = tmp_path / "other.pth"
    state = wrapped(checkpoint.raw, "module.")
    state["fc.bias"] = state.pop("module.fc.bias")
    torch.save(state, path)
    assert " unknown (module.backbone.stem.0.weight, " in refusal(create_model, "r3d_rs_tiny", 5, pretrained=path)


@pytest.mark.parametrize("make", [create_model, create_backbone])
@pytest.mark.parametrize("pretrained", [True, False, 3])
def test_weights_are_named_by_a_path(make, pretrained):
    assert refusal(make, "r3d_rs_tiny", pretrained=pretrained) == (
        f"pretrained is {pretrained}; allowed: the path of a .pth, .pt or .safetensors file, None, 'timm' or "
        "'torchvision' for image weights, or 'pytorchvideo'"
    )


# -- Other classes


def test_a_classifier_for_other_classes_starts_afresh_and_says_so(checkpoint, caplog):
    path = checkpoint()
    torch.manual_seed(3)
    model = create_model("r3d_rs_tiny", 7, pretrained=path)
    assert [(r.levelno, r.getMessage()) for r in caplog.records] == [
        (
            logging.WARNING,
            f"the classifier (fc) in {path} has 5 classes, the model 7: it starts afresh, all other weights are loaded",
        )
    ]
    assert agrees(model.backbone, checkpoint.average, "backbone.")
    assert model.fc.weight.shape == (7, 128)
    assert 0.049 < model.fc.weight.abs().max() <= 0.05  # uniform, as a new one
    assert not model.fc.bias.any()


def test_image_weights_for_other_classes_say_so_once(image, tmp_path, caplog):
    path = tmp_path / "resnetrs.pth"
    torch.save(image, path)
    create_model("inflated_rs_50", 7, pretrained=path, **SMALL)
    assert [r.getMessage() for r in caplog.records] == [
        f"the classifier (fc) in {path} has 1000 classes, the model 7: it starts afresh, all other weights are loaded"
    ]


@pytest.mark.parametrize("kind", ["ours", "image"])
def test_a_fresh_classifier_is_not_said_of_weights_that_are_refused(checkpoint, image, tmp_path, caplog, kind):
    state = checkpoint.raw if kind == "ours" else image
    path = tmp_path / "cut.pth"
    torch.save({name: value for name, value in state.items() if "stem.0" not in name and "conv1.0" not in name}, path)
    name, overrides = ("r3d_rs_tiny", {}) if kind == "ours" else ("inflated_rs_50", SMALL)
    assert " do not fit the model: 1 missing (" in refusal(create_model, name, 7, pretrained=path, **overrides)
    assert not caplog.records


# -- The network that a checkpoint says its weights were made for


def described(**overrides):
    """The entry of a checkpoint of ``r3d_rs_tiny`` with some fields changed."""
    return {"architecture": dataclasses.asdict(architecture("r3d_rs_tiny", **overrides))}


# Another value of every field that weights may keep their names and shapes under.
OTHER_VALUES = {
    "stem_temporal_stride": 1,
    "stem_pool_temporal_stride": 2,
    "res2_pool_temporal_stride": 2,
    "temporal_strides": (1, 2, 1, 1),
    "res5_dilation": 2,
    "padding": "symmetric",
    "norm_eps": 1e-3,
    "stochastic_depth": 0.3,
    "stochastic_depth_rule": "block",
    "dropout": 0.3,
    "norm_momentum": 0.3,
    "initialization": "tpu",
}


@pytest.mark.parametrize("field", sorted(OTHER_VALUES))
def test_fields_of_training_alone_do_not_change_what_a_network_computes(field):
    """And all others do: the list of what may differ is neither too long nor too short."""
    torch.manual_seed(0)
    model = create_model("r3d_rs_tiny", 5).eval()
    other = create_model("r3d_rs_tiny", 5, **{field: OTHER_VALUES[field]}).eval()
    other.load_state_dict(model.state_dict())
    clips = torch.rand(2, 3, 8, 48, 48)
    with torch.no_grad():
        assert torch.equal(model(clips), other(clips)) == (field in TRAINING_ONLY)
    assert set(TRAINING_ONLY) < set(OTHER_VALUES)


def test_no_other_field_keeps_the_names_and_shapes():
    """Those that OTHER_VALUES lacks: strict loading sees them by itself."""
    others = {
        "depths": (2, 1, 1, 1), "block": "bottleneck", "width": 0.5, "in_channels": 2, "stem": "plain",
        "stem_temporal_kernel": 3, "stem_pool": "conv", "temporal_kernels": (1, 3, 3, 3), "shortcut": "avgpool",
        "se_ratio": 0.5, "self_gating": True,
    }  # fmt: skip
    assert set(others) | set(OTHER_VALUES) == {field.name for field in dataclasses.fields(Architecture)}
    shapes = {name: value.shape for name, value in on_meta("r3d_rs_tiny").state_dict().items()}
    for field, value in others.items():
        changed = on_meta("r3d_rs_tiny", **{field: value}).state_dict()
        assert {name: value.shape for name, value in changed.items()} != shapes, field


@pytest.mark.parametrize("make", [create_model, create_backbone])
@pytest.mark.parametrize("field", sorted(OTHER_VALUES))
def test_a_checkpoint_of_another_network_is_refused_by_its_fields(checkpoint, make, field):
    args = (5,) if make is create_model else ()
    path = checkpoint(**described(**{field: OTHER_VALUES[field]}))
    if field in TRAINING_ONLY:
        assert agrees(make("r3d_rs_tiny", *args, pretrained=path), checkpoint.average, "backbone." * (not args))
        return
    there, here = OTHER_VALUES[field], getattr(architecture("r3d_rs_tiny"), field)
    typed = "'[1, 2, 1, 1]'" if field == "temporal_strides" else there
    expected = (
        f"weights in {path} were made for another network: {field} {there!r} there, {here!r} here; "
        f"set {field}={there!r} (in a config: MODEL.{field.upper()} {typed}), or make the model that they were made for"
    )
    assert refusal(make, "r3d_rs_tiny", *args, pretrained=path) == expected
    made = make("r3d_rs_tiny", *args, pretrained=path, **{field: there})
    assert agrees(made, checkpoint.average, "backbone." * (not args))


def test_the_advice_for_another_network_can_be_followed_to_the_letter(checkpoint):
    path = checkpoint(**described(norm_eps=1e-3, temporal_strides=(1, 2, 1, 1), padding="symmetric"))
    message = refusal(create_model, "r3d_rs_tiny", 5, pretrained=path)
    keys = shlex.split(message.split("(in a config: ")[1].split("), or ")[0])
    found = build_architecture(load_config("", ["MODEL.ARCH", "r3d_rs_tiny", *keys]))
    made = create_model("r3d_rs_tiny", 5, pretrained=path, **dataclasses.asdict(found))
    assert agrees(made, checkpoint.average)


def test_a_trained_res5_may_be_dilated_on_purpose_but_not_undone_by_forgetting(checkpoint):
    backbone = create_backbone("r3d_rs_tiny", ("res5",), pretrained=checkpoint(**described()), res5_dilation=2)
    assert backbone.output_shape()["res5"].spatial_stride == 16
    path = checkpoint(**described(res5_dilation=2))
    assert "; set res5_dilation=2 (" in refusal(create_backbone, "r3d_rs_tiny", ("res5",), pretrained=path)


def test_a_network_that_cannot_take_the_file_at_all_is_told_which_one_can(checkpoint):
    path = checkpoint(**described())
    message = refusal(create_model, "r3d_rs_tiny", 5, pretrained=path, in_channels=2, width=0.5)
    assert message == (
        f"weights in {path} were made for another network: width 0.25 there, 0.5 here; in_channels 3 there, 2 here; "
        "set width=0.25, in_channels=3 (in a config: MODEL.WIDTH 0.25), or make the model that they were made for"
    )
    message = refusal(create_model, "r3d_rs_tiny", 5, pretrained=path, in_channels=2)
    assert message.endswith(" 2 here; set in_channels=3, or make the model that they were made for")


@pytest.mark.parametrize("entry", ["resnet50", None, {}, {"name": "resnet50"}, ["depths"]])
def test_what_another_project_calls_an_architecture_is_let_be(checkpoint, entry):
    model = create_model("r3d_rs_tiny", 5, pretrained=checkpoint(architecture=entry))
    assert agrees(model, checkpoint.average)


@pytest.mark.parametrize(("field", "value"), [("attention", True), ("padding", "mirrored")])
def test_a_network_of_a_later_version_is_refused(checkpoint, field, value):
    entry = described()["architecture"]
    path = checkpoint(architecture={**entry, field: value})
    message = refusal(create_model, "r3d_rs_tiny", 5, pretrained=path)
    assert message.startswith(f"{path} describes a network that this version does not know (")
    assert repr(field) in message
    assert message.endswith("); take the version of video_rs that wrote it")
    older = checkpoint(architecture={name: value for name, value in entry.items() if name != "res5_dilation"})
    assert agrees(create_model("r3d_rs_tiny", 5, pretrained=older), checkpoint.average)


# -- Refusals


def test_classes_are_counted_before_weights_are_drawn():
    before = torch.get_rng_state()
    refusal(create_model, "r3d_rs_tiny", 0)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("field", ["padding", "norm_eps"])
@pytest.mark.parametrize("make", [create_model, create_backbone])
def test_image_weights_are_refused_by_a_network_that_computes_something_else(image, tmp_path, make, field):
    path = tmp_path / "rs.pth"
    torch.save(image, path)
    args = (1000,) if make is create_model else ()
    other = {"padding": "same", "norm_eps": 1e-3}[field]
    message = refusal(make, "inflated_rs_50", *args, pretrained=path, **SMALL, **{field: other})
    assert message.startswith(f"weights in {path} are an image network's and do not fit the model: {field} ")


def without(name):
    return lambda state: {key: value for key, value in state.items() if key != name}


@pytest.mark.parametrize("make", [create_model, create_backbone])
def test_weights_that_are_no_numbers_are_refused(checkpoint, make):
    name = "backbone.stem.1.bias"
    path = checkpoint(lambda s: {**s, name: s[name].index_fill(0, torch.tensor([2]), torch.nan)})
    args = (5,) if make is create_model else ()
    assert refusal(make, "r3d_rs_tiny", *args, pretrained=path) == (
        f"weights in {path} are no finite numbers (first: {name}): the training diverged; take an earlier "
        "checkpoint, or train anew with a lower SOLVER.BASE_LR"
    )


def test_weights_of_half_precision_are_numbers_though_their_sum_is_none():
    module = nn.Linear(1000, 2).half()
    weights = {"weight": torch.full((2, 1000), 1000.0).half(), "bias": torch.zeros(2).half()}
    assert torch.isinf(weights["weight"].sum())
    load_strictly(module, weights, "a file")
    assert torch.equal(module.weight, weights["weight"])


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (without("backbone.res3.0.branch.0.weight"), "1 missing (backbone.res3.0.branch.0.weight)"),
        (lambda s: {**s, "head.weight": torch.ones(2)}, "1 unknown (head.weight)"),
        (
            lambda s: {**s, "backbone.stem.0.weight": torch.ones(8, 3, 1, 3, 3)},
            "1 of another shape (backbone.stem.0.weight: [8, 3, 1, 3, 3] there, [8, 3, 5, 3, 3] here)",
        ),
        (
            lambda s: {"backbone.stem.1.weight": torch.ones(9), **{f"x{i}": torch.ones(1) for i in range(5)}},
            "MISSING missing (backbone.stem.0.weight, backbone.stem.1.bias, backbone.stem.1.running_mean, "
            "backbone.stem.1.running_var and REST more); 5 unknown (x0, x1, x2, x3 and 1 more); "
            "1 of another shape (backbone.stem.1.weight: [9] there, [8] here)",
        ),
    ],
    ids=["missing", "unknown", "shape", "all three"],
)
@pytest.mark.parametrize("make", [create_model, create_backbone])
def test_weights_that_do_not_fit_are_refused_with_both_sides(checkpoint, make, change, problem):
    path = checkpoint(change)
    args = (5,) if make is create_model else ()
    count = len(make("r3d_rs_tiny", *args).state_dict())
    problem = problem.replace("MISSING", str(count - 1)).replace("REST", str(count - 5))
    expected = f"weights in {path} do not fit the model: {problem}{ADVICE}"
    assert refusal(make, "r3d_rs_tiny", *args, pretrained=path) == expected


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (without("fc.bias"), "1 missing (fc.bias); 1 of another shape (fc.weight: [5, 128] there, [7, 128] here)"),
        (
            lambda s: {**s, "fc.bias": torch.ones(7)},
            "1 of another shape (fc.weight: [5, 128] there, [7, 128] here)",
        ),
        (
            lambda s: {**s, "fc.weight": torch.ones(5, 9)},
            "2 of another shape (fc.weight: [5, 9] there, [7, 128] here, fc.bias: [5] there, [7] here)",
        ),
    ],
    ids=["half", "inconsistent", "features"],
)
def test_only_a_whole_classifier_of_other_classes_is_excepted(checkpoint, caplog, change, problem):
    path = checkpoint(change)
    expected = f"weights in {path} do not fit the model: {problem}{ADVICE}"
    assert refusal(create_model, "r3d_rs_tiny", 7, pretrained=path) == expected
    assert not caplog.records


NO_WEIGHTS = (
    "no weights in {path}; allowed: a state dict, plain or under 'state_dict' or 'model_state', or a dict of "
    "state dicts 'model' and 'ema'"
)
NO_FILE = (
    "no weights at {path}; give a .pth, .pyth, .pt or .safetensors file, or 'timm', 'torchvision' or 'pytorchvideo'"
)
DAMAGED = "{path} is damaged, cut short or no checkpoint at all ("


class RunsCode:
    def __reduce__(self):
        return print, ("the file's code has run",)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", DAMAGED + "EOFError)"),
        (b"PK\x03\x04 cut", DAMAGED + "RuntimeError: PytorchStreamReader failed reading zip archive"),
        (
            {"model": RunsCode()},
            "{path} is refused: it holds more than tensors and plain data, and reading it could run its code",
        ),
        ([1], NO_WEIGHTS),
        ({}, NO_WEIGHTS),
        ({"model": 3}, NO_WEIGHTS),
        ({"state_dict": {}}, NO_WEIGHTS),
        ({"state_dict": 3}, NO_WEIGHTS),
        ({"state_dict": {"a": 3}}, NO_WEIGHTS),
        ({"ema": {"a": 3}}, NO_WEIGHTS),
        ({"a": torch.ones(1), "b": 3}, NO_WEIGHTS),
        ({1: torch.ones(1)}, NO_WEIGHTS),
        (
            None,
            NO_FILE,
        ),
    ],
    ids=[
        "empty",
        "cut",
        "code",
        "list",
        "nothing",
        "number",
        "no state",
        "state number",
        "state numbers",
        "numbers",
        "mixed",
        "no names",
        "no file",
    ],
)
def test_files_that_hold_no_weights_are_refused(tmp_path, capsys, content, reason):
    path = tmp_path / "other.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    message = refusal(create_model, "r3d_rs_tiny", 2, pretrained=str(path))
    expected = reason.format(path=path)
    assert message == expected or (reason.startswith(DAMAGED) and message.startswith(expected))
    assert "has run" not in capsys.readouterr().out


def test_a_folder_holds_no_weights(tmp_path):
    assert refusal(read_weights, tmp_path) == (
        f"folder {tmp_path} holds no checkpoint (checkpoints/last.pth); train first, or give a .pth file"
    )


def test_a_damaged_safetensors_file_is_refused(tmp_path):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"no header")
    message = refusal(read_weights, path)
    assert message.startswith(f"{path} is damaged, cut short or no safetensors file (SafetensorError: ")


def test_without_safetensors_its_files_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "weights.safetensors"
    save_file({"x": torch.ones(1)}, path)
    monkeypatch.setitem(sys.modules, "safetensors", None)  # what Python does for a package that is not there
    expected = f"{path} needs safetensors: pip install 'video_rs[hub]', or give a .pth file"
    assert refusal(read_weights, path) == expected


# -- What is built


def test_a_model_of_another_depth_is_refused(image, tmp_path):
    torch.save(image, tmp_path / "rs.pth")
    message = refusal(create_model, "inflated_rs_50", 1000, pretrained=tmp_path / "rs.pth", depths=(1, 1, 1, 1))
    assert message.startswith(f"weights in {tmp_path}/rs.pth do not fit the model: 22 unknown (layer2.1.conv1.weight, ")
