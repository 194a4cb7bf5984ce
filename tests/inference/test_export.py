"""Exported networks give the network's numbers, by whatever runs them, and say how they are used."""

import dataclasses
import hashlib
import importlib.metadata
import json
import os
import shutil
import zipfile

import numpy as np
import onnxruntime
import openvino
import pytest
import torch

import video_rs
from helpers.exports import MEAN, ROUNDING, STD, TEMPERATURE, THRESHOLD
from helpers.tools import ROOT
from video_rs import Predictor, create_model
from video_rs.engine.checkpoint import load_checkpoint
from video_rs.inference.conversion import AXES, capture, smallest_sizes
from video_rs.inference.export import load_program
from video_rs.inference.export.description import Description
from video_rs.inference.export.formats import FORMATS
from video_rs.inference.export.network import Program, read_network
from video_rs.inference.teachers import load_teacher
from video_rs.models import Architecture, VideoClassifier
from video_rs.runtime.errors import InputError

GRAPHS = ("onnx", "torch", "openvino")


@pytest.fixture(scope="module")
def oracle(telling):
    """uint8 clips -> probabilities, written out from the checkpoint's plain data, in double precision."""
    state = load_checkpoint(telling)
    model = VideoClassifier(Architecture(**state["architecture"]), 2).eval().double()
    model.load_state_dict(state["ema"])
    mean = torch.tensor(MEAN, dtype=torch.float64).view(3, 1, 1, 1)
    std = torch.tensor(STD, dtype=torch.float64).view(3, 1, 1, 1)

    def probabilities(clips):
        with torch.no_grad():
            return (model((clips.double() / 255 - mean) / std) / TEMPERATURE).softmax(1)

    return probabilities


def run_onnx(path):
    session = onnxruntime.InferenceSession(path)
    return lambda clips: session.run(["probabilities"], {"clips": clips.numpy()})[0]


def run_torch(path):
    program = torch.export.load(path).module()
    return lambda clips: program(clips).numpy()


def run_open_vino(path):
    network = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda clips: network({"clips": clips.numpy()})["probabilities"]


RUN = {"onnx": run_onnx, "torch": run_torch, "openvino": run_open_vino}


@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_gives_the_networks_probabilities_at_any_shape(exported, oracle, name):
    """The file as others run it: uint8 in, probabilities out, without this project's code."""
    run = RUN[name](exported(name))
    for seed, shape in enumerate([(1, 3, 4, 32, 32), (3, 3, 1, 33, 47), (2, 3, 9, 64, 31), (5, 3, 3, 40, 40)]):
        clips = torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
        answer = run(clips)
        assert (answer.dtype, answer.shape) == (np.float32, (shape[0], 2))
        assert np.abs(answer - oracle(clips).numpy()).max() < ROUNDING


@pytest.mark.parametrize("name", [*GRAPHS, "safetensors"])
def test_a_file_answers_as_the_checkpoint_does_for_a_real_video(exported, telling, videos, name):
    paths = sorted(videos.parent.glob("val/*/*.mp4"))
    expected = list(Predictor.from_checkpoint(telling, "cpu").predict_many(paths))
    answers = list(load_program(exported(name), trusted=True).predict_many(paths))
    assert len(answers) == 4
    # The network tells them apart, and is sure of some only.
    assert {answer.unsure for answer in expected} == {True, False}
    for answer, wanted in zip(answers, expected, strict=True):
        torch.testing.assert_close(answer.probabilities, wanted.probabilities, rtol=0, atol=ROUNDING)
        assert [label for label, _ in answer.top] == [label for label, _ in wanted.top]
        assert (answer.video, answer.unsure) == (wanted.video, wanted.unsure)


def test_a_predictor_is_loaded_from_whatever_holds_a_network(exported, telling, videos, tmp_path):
    video = videos.parent / "val/dark/0.mp4"
    expected = Predictor.from_checkpoint(telling, "cpu").predict(video).probabilities
    shutil.copy(exported("safetensors"), tmp_path / "model.safetensors")
    for path in (telling, exported("onnx"), exported("openvino"), exported("safetensors"), tmp_path):
        found = video_rs.load_predictor(path, "cpu").predict(video).probabilities
        torch.testing.assert_close(found, expected, rtol=0, atol=ROUNDING)
    with pytest.raises(InputError, match=r"no checkpoint at .*gone"):
        video_rs.load_predictor(tmp_path / "gone", "cpu")


def test_prediction_with_an_onnx_file_makes_no_network_of_torch(exported, videos, monkeypatch):
    def refuse(*_):
        raise AssertionError("a network of torch")

    monkeypatch.setattr(torch.nn.Module, "__init__", refuse)
    assert load_program(exported("onnx")).predict(videos.parent / "val/dark/0.mp4").top


def test_the_command_gives_the_same_answers_with_either(tool, exported, telling, videos, tmp_path):
    video = videos.parent / "val/light/1.mp4"
    answers = []
    for option, path in (("--checkpoint", telling), ("--model", exported("onnx"))):
        result = tool("predict", option, path, video, "--json", tmp_path / "answers.json")
        assert result.code == 0, result.err
        answers.append(json.loads((tmp_path / "answers.json").read_text())[0])
    of_checkpoint, of_file = answers
    scores = [[best.pop("score") for best in answer["top"]] for answer in answers]
    assert of_checkpoint == of_file
    assert scores[0] == pytest.approx(scores[1], abs=ROUNDING)


def test_a_timeline_is_the_same_with_either(tool, exported, telling, videos, tmp_path):
    segments = []
    for option, path in (("--checkpoint", telling), ("--model", exported("onnx"))):
        out = tmp_path / option.strip("-")
        result = tool("timeline", option, path, videos.parent / "val/light/0.mp4", "--out", out, "--on", 0.3)
        assert result.code == 0, result.err
        segments.append(json.loads((out / "timeline.json").read_text())["segments"])
    assert segments[0]
    scores = [[segment.pop("score") for segment in of_one] for of_one in segments]
    assert segments[0] == segments[1]
    assert scores[0] == pytest.approx(scores[1], abs=ROUNDING)


# -- What a file says of itself


@pytest.fixture(scope="module")
def said(telling):
    """What each file says of itself, from the checkpoint's plain data."""
    state = load_checkpoint(telling)
    plain = json.loads(json.dumps({name: state[name] for name in ("architecture", "preprocessing")}))
    return {
        "format": "video_rs/1",
        "input": {
            "name": "clips",
            "dtype": "uint8",
            "layout": "[batch, channel, frame, height, width]",
            "channels": "RGB",
            "range": [0, 255],
        },
        "output": {"name": "probabilities", "dtype": "float32", "layout": "[batch, class]"},
        "label_names": ["dark", "light"],
        "multi_label": False,
        "num_classes": 2,
        "temperature": TEMPERATURE,
        "threshold": THRESHOLD,
        "stopping": None,
        **plain,
        "checkpoint": {"sha256": hashlib.sha256(telling.read_bytes()).hexdigest(), "step": state["step"]},
    }


def texts_of_onnx(path):
    return onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map


def texts_of_torch(path):
    with zipfile.ZipFile(path) as file:
        return json.loads(file.read("model/extra/video_rs.json"))


def texts_of_open_vino(path):
    info = openvino.Core().read_model(path).get_rt_info(["video_rs"]).value
    return {name: str(value) for name, value in info.items()}


def texts_of_safetensors(path):
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        return json.loads(file.read(length))["__metadata__"]


TEXTS = {
    "onnx": texts_of_onnx,
    "torch": texts_of_torch,
    "openvino": texts_of_open_vino,
    "safetensors": texts_of_safetensors,
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_file_says_what_is_needed_to_use_it(exported, said, name):
    texts = TEXTS[name](exported(name))
    content = {key: json.loads(text) for key, text in texts.items()}
    versions = content.pop("versions")
    assert (versions["video_rs"], versions["torch"]) == (video_rs.__version__, importlib.metadata.version("torch"))
    assert content.pop("smallest_sizes") == (
        {} if name == "safetensors" else {"batch": 1, "frames": 1, "height": 1, "width": 1}
    )
    assert content == said


def test_the_file_beside_an_onnx_file_repeats_what_it_says(exported):
    path = exported("onnx")
    content = {key: json.loads(text) for key, text in texts_of_onnx(path).items()}
    assert json.loads(path.with_name("model.onnx.json").read_text()) == content


def test_an_onnx_file_names_its_axes(exported):
    session = onnxruntime.InferenceSession(exported("onnx"))
    (clips,) = session.get_inputs()
    (probabilities,) = session.get_outputs()
    assert (clips.name, clips.type) == ("clips", "tensor(uint8)")
    assert clips.shape == ["batch", 3, "frames", "height", "width"]
    assert (probabilities.name, probabilities.shape) == ("probabilities", ["batch", 2])


@pytest.mark.parametrize("name", ["onnx", "torch", "safetensors", "openvino"])
def test_a_file_tells_nothing_of_this_machine_and_others_may_read_it(exported, name):
    path = exported(name)
    contents = [path.read_bytes()]
    if name == "torch":
        with zipfile.ZipFile(path) as file:
            contents = [file.read(part) for part in file.namelist()]
    for folder in (ROOT, torch.__path__[0], path.parent):
        assert not [content for content in contents if str(folder).encode() in content]
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask()


def umask():
    now = os.umask(0)
    os.umask(now)
    return now


def test_open_vinos_weights_are_not_rounded(exported, telling):
    """Half precision would take half of the room."""
    weights = sum(value.numel() for name, value in load_checkpoint(telling)["ema"].items() if "norm" not in name)
    assert exported("openvino").with_suffix(".bin").stat().st_size > 3.9 * weights


def test_several_labels_a_video_are_judged_each_by_itself(telling, videos, tmp_path):
    state = load_checkpoint(telling)
    state["multi_label"] = True
    torch.save(state, tmp_path / "several.pth")
    network = read_network(tmp_path / "several.pth")
    clips = torch.randint(256, (2, 3, 4, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits = network.model(network.description.preprocessing.prepare(clips, "cpu"))
        torch.testing.assert_close(network.program(clips), (logits / TEMPERATURE).sigmoid())
    FORMATS["safetensors"].write(network, tmp_path / "several.safetensors")
    predictor = load_program(tmp_path / "several.safetensors")
    assert predictor.answers.multi_label
    wanted = Predictor.from_checkpoint(tmp_path / "several.pth", "cpu").predict(videos.parent / "val/dark/0.mp4")
    assert predictor.predict(videos.parent / "val/dark/0.mp4").top == wanted.top


# -- Weights alone


def test_create_model_takes_a_safetensors_file_and_knows_its_network(exported, telling):
    state = load_checkpoint(telling)
    model = create_model("r3d_rs_tiny", 2, pretrained=exported("safetensors"), width=0.125)
    assert list(model.state_dict()) == list(state["ema"])
    assert all(torch.equal(value, state["ema"][name]) for name, value in model.state_dict().items())
    with pytest.raises(ValueError, match="were made for another network: padding 'same' there, 'symmetric' here; set "):
        create_model("r3d_rs_tiny", 2, pretrained=exported("safetensors"), width=0.125, padding="symmetric")


# -- Sizes

STRIDED = {"width": 0.125, "temporal_strides": (1, 2, 2, 1), "shortcut": "avgpool"}


@pytest.mark.parametrize(
    ("name", "fields", "smallest"),
    [
        ("inflated_rs_50", {"width": 0.125, "depths": (1, 1, 1, 1)}, (1, 17, 17)),
        ("r3d_rs_tiny", {**STRIDED, "res5_dilation": 2}, (5, 9, 9)),
    ],
)
def test_a_graph_knows_the_smallest_clips_that_it_takes(telling, name, fields, smallest):
    """Pools as wide as their stride need a whole window: half of the stride up to them, and one more."""
    description = read_network(telling).description
    torch.manual_seed(0)
    program = Program(create_model(name, 2, **fields), description).eval()
    graph = capture(program, torch.zeros(2, 3, 16, 64, 96, dtype=torch.uint8), open_axes=tuple(AXES))
    assert tuple(smallest_sizes(graph).values()) == (1, *smallest)

    frames, height, width = smallest
    for shape in ((1, 3, frames, height + 32, width), (2, 3, frames + 2, height, width + 40)):
        clips = torch.randint(256, shape, dtype=torch.uint8)
        with torch.no_grad():
            torch.testing.assert_close(graph.module()(clips), program(clips))


def test_a_description_is_read_back_from_its_texts(telling):
    description = read_network(telling).description
    odd = dataclasses.replace(description, label_names=('say "äh"', "a;b\nc<&>"))
    assert Description.from_texts(odd.to_texts(), "x") == odd


@pytest.mark.parametrize("name", FORMATS)
def test_an_exported_network_is_a_teacher(name, exported, telling, oracle):
    path = exported(name)
    teacher = load_teacher(str(path), "cpu", trusted=name == "torch")
    state = load_checkpoint(telling)
    assert teacher.label_names == tuple(state["label_names"])
    assert teacher.multi_label is False
    assert teacher.preprocessing.to_dict() == state["preprocessing"]

    draw = torch.Generator().manual_seed(0)
    clips = torch.randint(256, (2, *teacher.view.shape), dtype=torch.uint8, generator=draw)
    with torch.no_grad():
        answers = teacher.ordered(tuple(reversed(teacher.label_names)))(clips)
    torch.testing.assert_close(answers.double(), oracle(clips).flip(1), atol=ROUNDING, rtol=0)
    # Those of inference mode could not be a part of a student's loss.
    assert not answers.is_inference()
