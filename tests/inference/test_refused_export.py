"""What export and exported files refuse, in one line, and that nothing half-written is left."""

import copy
import importlib.util
import os

import onnx
import pytest
import torch

from helpers.exports import export
from helpers.networks import refusal
from video_rs import create_model, load_predictor
from video_rs.engine.checkpoint import load_checkpoint
from video_rs.inference.export import formats, load_program
from video_rs.inference.export.description import Description
from video_rs.inference.export.formats import FORMATS
from video_rs.inference.export.graph import TRACED_SHAPE
from video_rs.inference.export.network import read_network
from video_rs.inference.export.parity import OTHER_SIZES, TOLERANCE, Parity, example_clips
from video_rs.inference.export.writing import export_network
from video_rs.models.weights.safetensors_files import read_safetensors, write_safetensors
from video_rs.runtime.errors import CheckFailed


def replace_writer(monkeypatch, change):
    """Let safetensors be written of a network that ``change`` has changed."""
    honest = formats.FORMATS["safetensors"]

    def write(network, path):
        wrong = copy.deepcopy(network)
        change(wrong.model)
        honest.write(wrong, path)

    dishonest = formats.Format(honest.ending, write, honest.read)
    monkeypatch.setitem(formats.FORMATS, "safetensors", dishonest)


def test_other_probabilities_are_refused_and_what_was_there_stays(tool, telling, tmp_path, monkeypatch):
    out = tmp_path / "model.safetensors"
    out.write_bytes(b"from before")

    def change(model):
        with torch.no_grad():
            model.fc.bias[0] += 0.01

    replace_writer(monkeypatch, change)
    result = tool("export", "--checkpoint", telling, "--out", out)
    assert result.code == 1
    heads, *rows = result.out.splitlines()
    assert heads.split("  ")[0] == "clips"
    assert [row.split("  ")[0] for row in rows] == [
        "1 x 3 x 4 x 32 x 32",
        "1 x 3 x 5 x 33 x 47",
        "3 x 3 x 8 x 128 x 81",
        "5 x 3 x 12 x 64 x 160",
    ]
    _, difference, allowed = rows[0].split()[-3:]
    assert result.err == (
        f"error: the file gives other probabilities than the network, by {difference} with clips [1, 3, 4, 32, 32]; "
        f"allowed: {allowed}, 1e-04 of the largest; nothing was kept, take another --format\n"
    )
    assert float(difference) > float(allowed)
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]
    assert out.read_bytes() == b"from before"


def test_a_file_that_does_not_run_is_refused(telling, tmp_path):
    def read(path, device):
        _, description = FORMATS["safetensors"].read(path, device)

        def fail(clips):
            raise RuntimeError("no kernel for this\nat all")

        return fail, description

    kind = formats.Format(".safetensors", FORMATS["safetensors"].write, read)
    with pytest.raises(CheckFailed) as failed:
        export_network(read_network(telling), kind, tmp_path / "a.safetensors", lambda rows: None)
    assert str(failed.value) == (
        "the file does not run with clips [1, 3, 4, 32, 32] (RuntimeError: no kernel for this); take another --format"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("difference", "holds"), [(0.9e-4 * 0.5, True), (1.1e-4 * 0.5, False), (float("nan"), False)])
def test_rounding_is_allowed_and_no_more(difference, holds):
    assert TOLERANCE == 1e-4
    assert Parity((1, 3, 4, 32, 32), difference, 0.5).holds is holds


def test_no_shape_of_the_comparison_is_one_that_a_graph_is_captured_with():
    batch, _, frames, height, width = TRACED_SHAPE
    for sizes in OTHER_SIZES:
        assert all(size != traced for size, traced in zip(sizes[:2], (batch, frames), strict=True))
        assert sizes[2:] != (height, width)
    # Even and odd sizes are padded in two ways.
    assert {size % 2 for _, _, height, width in OTHER_SIZES for size in (height, width)} == {0, 1}


def test_the_clips_of_the_comparison_differ():
    clips = example_clips((2, 3, 6, 40, 33), seed=1)
    assert (clips.dtype, clips.shape) == (torch.uint8, (2, 3, 6, 40, 33))
    assert torch.equal(clips, example_clips((2, 3, 6, 40, 33), seed=1))
    means = clips.float().mean((3, 4))
    assert len(means.flatten().unique()) == means.numel()


# -- What the command refuses


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--out", "model.tflite"],
            "--out model.tflite has the ending of no format; allowed: .onnx, .pt2, .safetensors, .xml",
        ),
        (
            ["--format", "torch", "--out", "model.pth"],
            "--out model.pth: files of --format torch end in .pt2; give model.pt2",
        ),
        (["--out", "."], "--out . is a folder; give a file in it, e.g. model.onnx"),
    ],
)
def test_a_path_that_does_not_fit_is_refused(tool, telling, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    result = tool("export", "--checkpoint", telling, *arguments)
    assert (result.code, result.out, result.err) == (2, "", f"error: {message}\n")


def test_a_place_that_cannot_be_written_to_is_refused(telling, tmp_path):
    (tmp_path / "file").touch()
    out = tmp_path / "file" / "model.safetensors"
    message = refusal(export_network, read_network(telling), FORMATS["safetensors"], out, lambda rows: None)
    assert message == f"cannot write {out}: File exists; give another --out"


@pytest.mark.parametrize(
    ("name", "packages", "extra"),
    [
        ("onnx", "onnx, onnxscript, onnxruntime", "export"),
        ("safetensors", "safetensors", "hub"),
        ("openvino", "openvino", "accelerate"),
    ],
)
def test_a_missing_package_is_named_before_any_work(tool, telling, tmp_path, monkeypatch, name, packages, extra):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda package: None if package in packages else find_spec(package)
    )
    out = tmp_path / f"model{FORMATS[name].ending}"
    result = tool("export", "--checkpoint", telling, "--format", name, "--out", out)
    assert (result.code, result.err) == (
        2,
        f"error: writing {out} needs {packages}, not installed here; pip install 'video_rs[{extra}]'\n",
    )


def test_clips_too_small_for_a_graph_are_refused(telling, tmp_path):
    network = read_network(telling)

    def read(path, device):
        scorer, description = FORMATS["safetensors"].read(path, device)
        return scorer, Description(**{**vars(description), "smallest": {"batch": 1, "frames": 5, "height": 17}})

    kind = formats.Format(".safetensors", FORMATS["safetensors"].write, read)
    message = refusal(export_network, network, kind, tmp_path / "a.safetensors", lambda rows: None)
    assert message == (
        "the network is used with clips of frames 4, and its graph takes 5 or more: a pool as wide as its stride needs "
        "them; take --format safetensors"
    )
    assert list(tmp_path.iterdir()) == []


# -- What prediction refuses


def test_a_file_that_is_not_there_is_refused(tool, tmp_path):
    result = tool("predict", "--model", tmp_path / "model.onnx", "video.mp4")
    assert result.code == 2
    assert refusal(load_program, tmp_path / "model.onnx") == (
        f"no model at {tmp_path}/model.onnx; make one with video-rs export --checkpoint CKPT --out "
        f"{tmp_path}/model.onnx"
    )
    assert refusal(load_program, tmp_path) == (
        f"no model at {tmp_path}/model.safetensors; make one with video-rs export --checkpoint CKPT --out "
        f"{tmp_path}/model.safetensors"
    )


def test_a_file_of_another_kind_is_refused(telling):
    assert refusal(load_program, telling) == (
        f"{telling} is no exported network by its ending; allowed: .onnx, .pt2, .safetensors, .xml; a "
        "checkpoint goes with --checkpoint"
    )


def test_one_of_open_vinos_two_files_is_refused(tmp_path):
    (tmp_path / "model.xml").write_text("<net/>")
    assert refusal(load_program, tmp_path / "model.xml") == (
        f"{tmp_path}/model.xml has its weights in {tmp_path}/model.bin, which is not there; copy both files"
    )


def test_a_file_that_could_run_code_is_refused_unless_trusted(tool, tmp_path, videos):
    (tmp_path / "model.pt2").write_bytes(b"whatever")
    result = tool("predict", "--model", tmp_path / "model.pt2", videos.parent / "val/dark/0.mp4")
    assert (result.code, result.err) == (
        2,
        f"error: {tmp_path}/model.pt2 could run code as it is read; take a .onnx or .safetensors file, or for one of "
        "your own load_program(path, trusted=True) in Python (pseudo_label: --trusted)\n",
    )


@pytest.mark.parametrize(
    ("ending", "kind"),
    [(".onnx", ".onnx"), (".xml", ".xml"), (".pt2", ".pt2"), (".safetensors", "safetensors")],
)
def test_a_damaged_file_is_refused(tmp_path, ending, kind):
    path = tmp_path / f"model{ending}"
    path.write_bytes(b"no model at all")
    path.with_suffix(".bin").write_bytes(b"")
    message = refusal(load_program, path, trusted=True)
    assert message.startswith(f"{path} is damaged, cut short or no {kind} file (")


def test_half_an_onnx_file_is_refused(exported, tmp_path):
    whole = exported("onnx").read_bytes()
    (tmp_path / "half.onnx").write_bytes(whole[: len(whole) // 2])
    assert refusal(load_program, tmp_path / "half.onnx").startswith(
        f"{tmp_path}/half.onnx is damaged, cut short or no .onnx file ("
    )


def test_another_devices_than_the_cpu_are_refused(exported):
    path = exported("onnx")
    assert refusal(load_program, path, device="cuda") == (
        f"{path} runs on the CPU, not on cuda; take --device cpu, or a .safetensors file"
    )


def test_a_missing_runtime_is_named(exported, monkeypatch):
    path = exported("onnx")
    monkeypatch.setattr(importlib.util, "find_spec", lambda package: None)
    assert refusal(load_program, path) == (
        f"reading {path} needs onnxruntime, not installed here; pip install 'video_rs[onnxruntime]'"
    )


def test_another_projects_file_is_refused(exported, tmp_path):
    model = onnx.load(exported("onnx"))
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "foreign.onnx")
    assert refusal(load_program, tmp_path / "foreign.onnx") == (
        f"{tmp_path}/foreign.onnx says nothing of classes and preprocessing; allowed: a file that video-rs export has "
        "written"
    )


def test_weights_without_classes_are_refused(tmp_path):
    create_model("r3d_rs_tiny", 2, width=0.125).save_pretrained(tmp_path, {"format": '"pt"'})
    assert refusal(load_program, tmp_path) == (
        f"{tmp_path}/model.safetensors says nothing of classes and preprocessing; allowed: a file that video-rs export "
        "has written"
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": '"video_rs/2"'}, " has format 'video_rs/2'; this version reads 'video_rs/1'; export it anew"),
        ({"label_names": "[1"}, "cannot be read (JSONDecodeError("),
        ({"temperature": '"warm"'}, "cannot be read (TypeError("),
        ({"temperature": "-1.0"}, "cannot be read (ValueError('temperature is -1.0')"),
        ({"threshold": '"high"'}, "cannot be read (TypeError("),
        ({"label_names": '"ab"'}, "cannot be read (ValueError(\"label_names is 'ab'\")"),
        ({"label_names": "[]"}, "cannot be read (ValueError('label_names is []')"),
        ({"preprocessing": '{"clip": 1}'}, "cannot be read (TypeError("),
        ({"architecture": '{"depths": [1, 1, 1, 1], "later": 1}'}, "describes a network that this version does not "),
        ({"label_names": '["dark"]'}, "do not fit the model: "),
    ],
)
def test_a_file_that_says_something_else_of_itself_is_refused(exported, tmp_path, changes, message):
    state, texts = read_safetensors(exported("safetensors"))
    write_safetensors(tmp_path / "other.safetensors", state, {**texts, **changes})
    assert message in refusal(load_program, tmp_path / "other.safetensors")


def test_the_average_of_the_weights_is_exported(telling, tmp_path):
    average = load_checkpoint(telling)["ema"]
    written, _ = read_safetensors(export(telling, "safetensors", tmp_path))
    assert all(torch.equal(value, average[name]) for name, value in written.items())


def test_a_program_that_is_not_what_it_says_is_refused(exported, tmp_path):
    model = onnx.load(exported("onnx"))
    for entry in model.metadata_props:
        if entry.key == "label_names":
            entry.value = '["a", "b", "c"]'
    path = tmp_path / "other.onnx"
    onnx.save(model, path)
    assert refusal(load_program, path) == (
        f"{path} takes [('tensor(uint8)', 5)] and gives [('tensor(float)', [2])], and says that it takes uint8 clips "
        "and gives float32 probabilities of 3 classes; export it anew"
    )


def test_an_onnx_file_of_another_version_is_refused(exported, tmp_path, capfd):
    model = onnx.load(exported("onnx"))
    model.opset_import[0].version = 99
    onnx.save(model, tmp_path / "later.onnx")
    assert refusal(load_program, tmp_path / "later.onnx") == (
        f"{tmp_path}/later.onnx is of another version of ONNX than the installed onnxruntime reads; update "
        "onnxruntime, or export the checkpoint anew"
    )
    # A runtime that warns on stderr makes two lines of one.
    model.opset_import[0].version = 1
    onnx.save(model, tmp_path / "early.onnx")
    assert refusal(load_program, tmp_path / "early.onnx").endswith("; copy it again, or export it anew")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("name", ["runs/gone", "./gone", "a/b/c", "gone"])
def test_a_path_that_is_not_there_is_not_asked_of_the_hub(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    monkeypatch.setattr("video_rs.inference.export.loading.download", None)
    assert refusal(load_program, name).startswith(f"no model at {os.path.normpath(name)}; allowed: a file that ends")
    assert refusal(load_predictor, name).startswith(f"no checkpoint at {os.path.normpath(name)}; train first")


def test_a_folder_in_the_place_of_a_file_is_refused(telling, tmp_path):
    (tmp_path / "other.json").mkdir()

    def write(network, path):
        FORMATS["safetensors"].write(network, path)
        path.with_name("other.json").write_text("beside")

    kind = formats.Format(".safetensors", write, FORMATS["safetensors"].read)
    assert refusal(export_network, read_network(telling), kind, tmp_path / "a.safetensors", lambda rows: None) == (
        f"cannot write {tmp_path}/other.json: a folder of that name is there; rename it"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["other.json"]


@pytest.mark.parametrize("text", ['{"model_type": "bert"}', "{", "[1]"])
def test_another_models_folder_for_the_hub_is_refused(tool, telling, tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    (tmp_path / "model.safetensors").write_bytes(b"another model")
    result = tool("export", "--checkpoint", telling, "--format", "hub", "--out", tmp_path)
    assert (result.code, result.out) == (2, "")
    assert result.err == (
        f"error: --out {tmp_path} has a config.json of something else, which would be replaced; take another folder\n"
    )
    assert (tmp_path / "model.safetensors").read_bytes() == b"another model"
