"""``video-rs quantize``: files in int8 that answer as the network does, with what they change; and what is refused."""

import json
import shutil

import openvino
import pytest
import torch
import yaml

from video_rs import Predictor
from video_rs.engine.checkpoint import load_checkpoint
from video_rs.inference import precision, quantization
from video_rs.inference.export import formats, load_program
from video_rs.runs.quantize import run_quantize
from video_rs.runtime.errors import CheckFailed, InputError

pytestmark = pytest.mark.usefixtures("blank_charts")


@pytest.fixture(scope="module")
def quantized(trained, tmp_path_factory):
    """Folder with what has been written, and what was returned."""
    folder = tmp_path_factory.mktemp("quantized")
    found = run_quantize(str(trained), str(folder / "small.xml"))
    return folder, found


def test_the_file_answers_nearly_as_the_network_does(quantized, trained, videos):
    folder, _ = quantized
    video = videos.parent / "val/light/0.mp4"
    exact = dict(Predictor.from_checkpoint(trained).predict(video).top)
    found = dict(load_program(folder / "small.xml").predict(video).top)
    assert found == pytest.approx(exact, abs=0.03)
    assert found != pytest.approx(exact, abs=1e-6)


def test_weights_are_in_eight_bits(quantized):
    folder, _ = quantized
    graph = openvino.Core().read_model(folder / "small.xml")
    kinds = [str(node.get_element_type()) for node in graph.get_ops() if node.get_type_name() == "Constant"]
    convolutions = [node for node in graph.get_ops() if node.get_type_name() == "Convolution"]
    assert "<Type: 'int8_t'>" in kinds
    assert kinds.count("<Type: 'int8_t'>") >= len(convolutions) > 10


def test_the_report_has_both_networks_by_the_runs_own_test(quantized, tool, trained, tmp_path):
    folder, found = quantized
    assert json.loads((folder / "small.json").read_text()) == found
    assert set(found) == {"float32", "int8", "against_float32", "calibrated_on"}
    # Of eight training videos four are calibrated on, and four are checked.
    assert (found["calibrated_on"], found["against_float32"]["views"]) == (4, 4)

    tool("test_net", "--checkpoint", trained, "OUTPUT_DIR", tmp_path)
    assert found["float32"]["top1"] == json.loads((tmp_path / "metrics.json").read_text())["top1"]
    assert found["int8"]["top1"] == found["float32"]["top1"]
    assert found["int8"]["cross_entropy"] == pytest.approx(found["float32"]["cross_entropy"], abs=0.05)
    assert found["int8"]["cross_entropy"] != found["float32"]["cross_entropy"]
    for row in (found["float32"], found["int8"]):
        assert set(row) == {"top1", "cross_entropy", "calibration_error", "seconds_per_view"}
        assert 0 <= row["calibration_error"] <= 1


def test_the_command_prints_before_and_after(tool, trained, videos, tmp_path):
    """A list without splits is calibrated on and tested as a whole, which a line says."""
    listed = videos.parent / "unsplit.csv"
    lines = videos.read_text().splitlines()
    listed.write_text("\n".join(line.rsplit(",", 1)[0] for line in lines) + "\n")
    out = tmp_path / "small.xml"
    done = tool("quantize", "--checkpoint", trained, "--list", listed, "--out", out)
    assert done.code == 0, done.err
    told = "12 of 12 tested videos of %s may be calibrated on, too: a list of both kinds needs a column split"
    assert told % listed in done.out
    assert "int8 against float32: the same best class in 100.0% of 6 views (at least 99%), " in done.out
    table = [line.split() for line in done.out.splitlines() if line.startswith(("float32 ", "int8 "))]
    assert [row[0] for row in table[-2:]] == ["float32", "int8"]
    assert "wrote " + str(out) + ", small.bin and small.json" in done.out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small.bin", "small.json", "small.xml"]


def test_int8_that_changes_too_much_is_not_kept(trained, tmp_path, monkeypatch):
    (tmp_path / "small.xml").write_text("what was there")
    monkeypatch.setattr(precision, "MEAN_CHANGE", 0.0)
    with pytest.raises(CheckFailed) as caught:
        run_quantize(str(trained), str(tmp_path / "small.xml"))
    message = str(caught.value)
    assert message.startswith("int8 changes too much: the same best class in 100.0% of 4 views (at least 99%), ")
    assert message.endswith("(at most 0.0); nothing was kept; stay with float32")
    assert [path.name for path in tmp_path.iterdir()] == ["small.xml"]
    assert (tmp_path / "small.xml").read_text() == "what was there"


def test_network_and_numbers_are_kept_together_or_not_at_all(tool, trained, tmp_path):
    (tmp_path / "small.xml").write_text("what was there")
    (tmp_path / "small.json").mkdir()
    done = tool("quantize", "--checkpoint", trained, "--out", tmp_path / "small.xml")
    assert done.code == 2
    assert done.err == f"error: cannot write {tmp_path / 'small.json'}: a folder of that name is there; rename it\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small.json", "small.xml"]
    assert (tmp_path / "small.xml").read_text() == "what was there"


def test_lists_of_their_own_are_told_apart(tool, trained, videos, tmp_path):
    """Training and validation rows in two files without a column split; then one of the latter stands twice."""
    header, *lines = videos.read_text().splitlines()
    for name, split in (("train", ",train"), ("val", ",val")):
        rows = [line.removesuffix(split) for line in lines if line.endswith(split)]
        (videos.parent / f"own_{name}.csv").write_text("\n".join([header.removesuffix(",split"), *rows]) + "\n")
    val = videos.parent / "own_val.csv"
    config = {"TRAIN_LIST": videos.parent / "own_train.csv", "VAL_LIST": val}
    own = with_lists(trained, tmp_path / "own", config)
    done = tool("quantize", "--checkpoint", own, "--out", tmp_path / "small.xml")
    assert done.code == 0, done.err
    assert "calibrated on, too" not in done.out
    assert "McNemar" in done.out

    val.write_text(val.read_text() + val.read_text().splitlines()[-1] + "\n")
    done = tool("quantize", "--checkpoint", own, "--out", tmp_path / "again.xml")
    assert done.code == 0, done.err
    assert f"note: rows of {val} stand twice, so that the two are not compared video by video" in done.out
    assert (tmp_path / "again.json").exists()


def with_lists(trained, folder, lists):
    """Return the run's checkpoint as one that was trained from other lists."""
    state = load_checkpoint(trained / "checkpoints" / "last.pth")
    config = yaml.safe_load(state["config"])
    config["DATA"] |= {key: str(path) for key, path in lists.items()}
    (folder / "checkpoints").mkdir(parents=True)
    torch.save({**state, "config": yaml.safe_dump(config)}, folder / "checkpoints" / "last.pth")
    return folder


# -- Refusals


def refused(tool, *arguments):
    done = tool("quantize", *arguments)
    assert done.code == 2
    (line,) = done.err.splitlines()
    return line


def test_without_its_extra_nothing_is_read(monkeypatch, tmp_path):
    """The extra that is named brings OpenVINO, too, which is not there either."""
    for room in (quantization, formats):
        monkeypatch.setattr(room, "missing", list)
    with pytest.raises(InputError) as caught:
        run_quantize("runs/none", str(tmp_path / "small.xml"))
    assert str(caught.value) == (
        "precision 'int8' needs nncf, which is not installed; pip install 'video_rs[quantize]', or take another "
        "precision"
    )


def test_another_kind_of_file_is_refused(tool, trained, tmp_path):
    line = refused(tool, "--checkpoint", trained, "--out", tmp_path / "small.onnx")
    assert "small.onnx" in line
    assert ".xml" in line


def test_a_list_without_training_rows_is_refused(tool, trained, videos, tmp_path):
    listed = videos.parent / "validation.csv"
    lines = videos.read_text().splitlines()
    listed.write_text("\n".join([lines[0], *(line for line in lines if line.endswith(",val"))]) + "\n")
    line = refused(tool, "--checkpoint", trained, "--list", listed, "--out", tmp_path / "small.xml")
    assert "validation.csv" in line
    assert "train" in line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("split", "why"),
    [
        (
            "train",
            "list.csv has no readable video to calibrate on; allowed: readable videos of at least two groups; give "
            "another --calibration",
        ),
        (
            "val",
            "none of 4 videos to test of {folder}/list.csv can be read; nothing was kept; correct the list, or give "
            "another --list",
        ),
    ],
)
def test_broken_videos_are_refused(tool, trained, videos, tmp_path, split, why):
    folder = tmp_path / "videos"
    shutil.copytree(videos.parent, folder)
    for path in folder.glob(f"{split}/*/*.mp4"):
        path.write_bytes(b"none")
    line = refused(tool, "--checkpoint", trained, "--list", folder / "list.csv", "--out", tmp_path / "small.xml")
    assert line.endswith(why.format(folder=folder))
    assert [path.name for path in tmp_path.iterdir()] == ["videos"]
