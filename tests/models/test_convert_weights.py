"""``tools/convert_weights.py``: exit codes, what it prints and what it writes; a real TensorFlow where there is one."""

import dataclasses
import importlib.util
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from helpers.image_networks import SMALL, small_image_network
from helpers.model_garden import END, checkpoint, in_model, network_shapes, random_variables
from helpers.tools import ROOT
from video_rs import create_model
from video_rs.models import Architecture
from video_rs.models.weights.inflate import inflate_image_weights
from video_rs.models.weights.model_garden import from_model_garden

ARCHITECTURE_FIELDS = [field.name for field in dataclasses.fields(Architecture)]

OVERRIDES = ("depths", "[1, 2, 1, 1]", "width", 0.125)
FIELDS = {"depths": (1, 2, 1, 1), "width": 0.125}


@pytest.fixture(scope="module")
def shapes():
    return network_shapes([(1,), (1, 1), (3,), (3,)])


@pytest.fixture(scope="module")
def variables(shapes):
    return random_variables(shapes)


class Reader:
    """What ``tf.train.load_checkpoint`` returns, over arrays."""

    def __init__(self, keys):
        self.keys = keys

    def get_variable_to_shape_map(self):
        return {key: list(np.shape(value)) for key, value in self.keys.items()}

    def get_tensor(self, key):
        return self.keys[key]


@pytest.fixture
def saved(monkeypatch, tmp_path):
    """``saved(keys)`` -> path of a checkpoint that a stand-in for TensorFlow reads."""

    def save(keys, name="ckpt-1"):
        (tmp_path / f"{name}.index").write_bytes(b"")
        train = SimpleNamespace(load_checkpoint=lambda path: Reader(keys))
        monkeypatch.setitem(sys.modules, "tensorflow", SimpleNamespace(train=train))
        return tmp_path / name

    return save


@pytest.fixture
def convert(tool, tmp_path):
    """``convert(path, ...)`` runs the tool on a Model Garden checkpoint of the small network."""

    def call(path, *arguments, arch="r3d_rs_50", source="model_garden", output=tmp_path / "out.pth"):
        common = ("--source", source, path, "--arch", arch, "--output", output)
        return tool("convert_weights", *common, *(arguments or OVERRIDES))

    return call


def equal(state, expected):
    assert list(state) == list(expected)
    return all(
        torch.equal(value, expected[name]) and value.dtype == expected[name].dtype for name, value in state.items()
    )


# -- What it writes


def test_a_converted_file_is_what_create_model_loads(convert, saved, variables, tmp_path):
    path = saved(checkpoint(variables))
    result = convert(path)
    assert (result.code, result.err) == (0, "")
    assert result.out == (
        f"read {path}: {len(variables)} variables, weights as they are\n"
        f"wrote {tmp_path}/out.pth: r3d_rs_50, 7 classes\n"
    )
    written = torch.load(tmp_path / "out.pth", weights_only=True)
    model = create_model("r3d_rs_50", 7, **FIELDS)
    assert equal(written["model"], from_model_garden(checkpoint(variables), model))
    assert (written["ema"], written["num_classes"]) == (None, 7)
    assert written["architecture"] == vars(model.backbone.architecture)
    assert written["preprocessing"] == {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
    loaded = create_model("r3d_rs_50", 7, pretrained=tmp_path / "out.pth", **FIELDS)
    assert torch.equal(loaded.fc.bias, written["model"]["fc.bias"].float())
    assert [file.name for file in tmp_path.iterdir() if "partial" in file.name] == []


@pytest.mark.parametrize(
    ("name", "arguments", "averaged"),
    [
        ("ckpt-1", (), True),
        ("ckpt-1", ("--average", "yes"), True),
        ("ckpt-1", ("--average", "no"), False),
        # The trainer's ema_checkpoints: the averages are the variables, and the slots hold the raw weights.
        ("average_weights-1", (), False),
        ("average_weights-1", ("--average", "yes"), True),
    ],
)
def test_moving_averages_are_taken_and_named(convert, saved, variables, shapes, tmp_path, name, arguments, averaged):
    averages = random_variables(shapes, seed=1)
    result = convert(saved(in_model(checkpoint(variables, averages)), name), *arguments, *OVERRIDES)
    which = "moving averages of the weights" if averaged else "weights as they are"
    assert f"{len(variables)} variables, {which}\n" in result.out
    written = torch.load(tmp_path / "out.pth", weights_only=True)["model"]
    expected = checkpoint(averages if averaged else variables)
    assert equal(written, from_model_garden(expected, create_model("r3d_rs_50", 7, **FIELDS)))


def test_image_weights_are_inflated(convert, tmp_path):
    image = small_image_network(torch.float32, num_classes=5).state_dict()
    torch.save(image, tmp_path / "image.pth")
    arguments = ("depths", list(SMALL["depths"]))
    result = convert(tmp_path / "image.pth", *arguments, arch="inflated_rs_50", source="timm")
    assert (result.code, result.err) == (0, "")
    assert result.out == (
        f"read {tmp_path}/image.pth: {len(image)} tensors of an image network, inflated in time\n"
        f"wrote {tmp_path}/out.pth: inflated_rs_50, 5 classes\n"
    )
    model = create_model("inflated_rs_50", 5, **SMALL)
    written = torch.load(tmp_path / "out.pth", weights_only=True)
    assert equal(written["model"], inflate_image_weights(image, model))
    assert written["preprocessing"] == {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
    create_model("inflated_rs_50", 5, pretrained=tmp_path / "out.pth", **SMALL)


@pytest.mark.parametrize("style", [str, str.upper, lambda name: f"MODEL.{name.upper()}"], ids=["a", "A", "MODEL.A"])
def test_fields_are_written_as_in_python_or_as_in_a_config(convert, saved, variables, tmp_path, style):
    changes = ("norm_eps", "1e-5", "se_ratio", "0.25", "norm_momentum", "1e-1", "self_gating", "true")
    pairs = [(style(name), value) for name, value in zip(changes[::2], changes[1::2], strict=True)]
    result = convert(saved(checkpoint(variables)), *OVERRIDES, *(text for pair in pairs for text in pair))
    assert (result.code, result.err) == (0, "")
    stored = torch.load(tmp_path / "out.pth", weights_only=True)["architecture"]
    assert (stored["norm_eps"], stored["se_ratio"], stored["norm_momentum"]) == (1e-5, 0.25, 0.1)


def test_image_weights_for_other_channels_are_converted(convert, tmp_path):
    torch.save(small_image_network(torch.float32, num_classes=5).state_dict(), tmp_path / "image.pth")
    arguments = ("depths", list(SMALL["depths"]), "in_channels", 2)
    assert convert(tmp_path / "image.pth", *arguments, arch="inflated_rs_50", source="timm").code == 0
    stored = torch.load(tmp_path / "out.pth", weights_only=True)["model"]
    assert stored["backbone.stem.0.weight"].shape[1] == 2


def test_timms_own_weights_are_converted_by_their_word(hub, tmp_path):
    """In another process: where Hugging Face looks, and whether it may use a network, is settled at its import."""
    environment = {**os.environ, "HF_HOME": str(hub), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "tools/convert_weights.py", "--source", "timm", "timm", "--arch", "inflated_rs_50"]
    command += ["--output", tmp_path / "out.pth"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("read timm's resnetrs50: ")
    assert done.stdout.endswith(f"wrote {tmp_path}/out.pth: inflated_rs_50, 1000 classes\n")
    other = [part.replace("inflated_rs_50", "inflated_rs_101") for part in map(str, command)]
    missing = subprocess.run(other, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=100)
    assert missing.returncode == 2
    assert missing.stderr.startswith("error: timm cannot get the weights of resnetrs101 (")


# -- What it refuses


def test_no_checkpoint_is_refused(convert, tmp_path):
    result = convert(tmp_path / "none-1")
    assert result.code == 2
    assert result.err == (
        f"error: no TensorFlow checkpoint at {tmp_path}/none-1: no file {tmp_path}/none-1.index; "
        "give the path without .index\n"
    )


def test_without_tensorflow_a_checkpoint_is_refused(convert, saved, variables, monkeypatch, tmp_path):
    path = saved(checkpoint(variables))
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    result = convert(path)
    assert result.code == 2
    assert result.err.startswith(
        f"error: reading {path} needs TensorFlow: pip install 'video_rs[tensorflow]' (ModuleNotFoundError: "
    )
    assert result.err.count("\n") == 1
    assert not (tmp_path / "out.pth").exists()


def test_a_checkpoint_that_tensorflow_cannot_read_is_refused(convert, saved, variables, monkeypatch):
    def noisy_failure(path):
        os.write(2, b"a driver is missing\n")
        raise RuntimeError("not an sstable\nat line 1")

    path = saved(checkpoint(variables))
    monkeypatch.setattr(sys.modules["tensorflow"].train, "load_checkpoint", noisy_failure)
    result = convert(path)
    assert result.code == 2
    assert result.err == (
        f"error: {path} is damaged, incomplete or no TensorFlow checkpoint (RuntimeError: not an sstable)\n"
    )


def test_a_checkpoint_of_another_network_is_refused(convert, saved, variables, tmp_path):
    (tmp_path / "out.pth").write_text("kept")
    result = convert(saved(checkpoint(variables)), *OVERRIDES, "se_ratio", 0.2)
    assert result.code == 2
    assert result.err.startswith("error: the checkpoint does not fit the model: 15 of another shape (")
    result = convert(saved(checkpoint(variables)), "--num-classes", 9, *OVERRIDES)
    assert result.err.startswith("error: the checkpoint does not fit the model: 2 of another shape (model/")
    assert (tmp_path / "out.pth").read_text() == "kept"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("width",), "overrides come as KEY VALUE pairs; 'width' has no value"),
        (("se_ration", "0.2"), "unknown architecture override 'se_ration'; did you mean 'se_ratio'?"),
        (("MODEL.SE_RATION", "0.2"), "unknown architecture override 'se_ration'; did you mean 'se_ratio'?"),
        (
            ("name", "x"),
            f"unknown architecture override 'name'; allowed: {', '.join(ARCHITECTURE_FIELDS)}",
        ),
        (("depths", "[1, 2"), "architecture field 'depths' is '[1, 2'; allowed: a list"),
        (("in_channels", "two"), "architecture field 'in_channels' is 'two'; allowed: one value of type int"),
    ],
)
def test_overrides_that_cannot_be_are_refused_before_a_checkpoint_is_read(convert, tmp_path, arguments, message):
    result = convert(tmp_path / "none-1", *arguments)
    assert (result.code, result.err) == (2, f"error: {message}\n")


def test_an_output_that_cannot_be_written_is_refused(convert, saved, variables, tmp_path):
    (tmp_path / "file").write_text("")
    output = tmp_path / "file" / "out.pth"
    result = convert(saved(checkpoint(variables)), output=output)
    line = f"cannot write {output}: File exists; there is none from before; make room there and convert again"
    assert (result.code, result.err) == (2, f"error: {line}\n")


def test_an_output_that_is_a_folder_is_refused_first(convert, tmp_path):
    result = convert(tmp_path / "none-1", output=tmp_path)
    expected = f"error: --output {tmp_path} is a folder; give a file in it, e.g. {tmp_path}/out.pth\n"
    assert (result.code, result.err) == (2, expected)


@pytest.mark.parametrize(("key", "value"), [("padding", "same"), ("norm_eps", "1e-3")])
def test_image_weights_for_a_network_that_computes_something_else_are_refused(convert, tmp_path, key, value):
    torch.save(small_image_network(torch.float32, num_classes=5).state_dict(), tmp_path / "image.pth")
    arguments = ("depths", list(SMALL["depths"]), key, value)
    result = convert(tmp_path / "image.pth", *arguments, arch="inflated_rs_50", source="timm")
    assert result.code == 2
    assert f"image.pth are an image network's and do not fit the model: {key} " in result.err
    assert not (tmp_path / "out.pth").exists()


def test_image_weights_without_classifier_need_a_number_of_classes(convert, tmp_path):
    image = small_image_network(torch.float32, num_classes=0).state_dict()
    torch.save(image, tmp_path / "image.pth")
    result = convert(tmp_path / "image.pth", *OVERRIDES, arch="inflated_rs_50", source="timm")
    assert result.code == 2
    assert result.err == f"error: {tmp_path}/image.pth has no classifier (fc.weight); give --num-classes\n"


# -- A real TensorFlow, in processes of its own: it would bring its threads and its log into this one

SAVE = """
import sys
import numpy as np
import tensorflow as tf

arrays = np.load(sys.argv[1])
objects = {"": tf.Module()}


def child(path):
    if path not in objects:
        objects[path] = tf.Module()
        parent, _, name = path.rpartition("/")
        setattr(child(parent), name, objects[path])
    return objects[path]


for path in arrays:
    parent, _, name = path.rpartition("/")
    setattr(child(parent), name, tf.Variable(arrays[path]))
roots = {name: value for name, value in vars(objects[""]).items() if isinstance(value, tf.Module)}
tf.train.Checkpoint(global_step=tf.Variable(7, dtype=tf.int64), **roots).save(sys.argv[2])
"""


@pytest.mark.skipif(importlib.util.find_spec("tensorflow") is None, reason="TensorFlow is not installed")
@pytest.mark.parametrize("keys_of", [dict, in_model], ids=["backbone/", "model/layer_with_weights-0/"])
def test_a_checkpoint_that_tensorflow_wrote_is_read_to_the_bit(variables, tmp_path, keys_of):
    np.savez(tmp_path / "arrays.npz", **keys_of(variables))
    run = {"capture_output": True, "text": True, "cwd": ROOT}
    subprocess.run([sys.executable, "-c", SAVE, tmp_path / "arrays.npz", tmp_path / "ckpt"], check=True, **run)
    command = [sys.executable, "tools/convert_weights.py", "--source", "model_garden", tmp_path / "ckpt-1"]
    command += ["--arch", "r3d_rs_50", "--output", tmp_path / "out.pth", *map(str, OVERRIDES)]
    result = subprocess.run(command, check=False, **run)
    assert (result.returncode, result.stderr) == (0, "")
    written = torch.load(tmp_path / "out.pth", weights_only=True)["model"]
    expected = from_model_garden({p + END: v for p, v in variables.items()}, create_model("r3d_rs_50", 7, **FIELDS))
    assert equal(written, expected)

    with open(tmp_path / "ckpt-1.index", "r+b") as file:
        file.truncate(100)
    result = subprocess.run(command, check=False, **run)
    assert result.returncode == 2
    assert result.stderr.startswith(f"error: {tmp_path}/ckpt-1 is damaged, incomplete or no TensorFlow checkpoint (")
    assert result.stderr.count("\n") == 1
