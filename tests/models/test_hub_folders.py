"""``save_pretrained`` and ``from_pretrained``: a folder offline, a repository of the hub from its cache."""

import json
import subprocess
import sys

import huggingface_hub
import pytest
import torch
from safetensors.torch import save_file

from helpers.networks import refusal
from video_rs import create_model
from video_rs.models import VideoClassifier
from video_rs.models.weights import safetensors_files


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return create_model("r3d_rs_tiny", 5, width=0.125, temporal_kernels=(3, (3,), 1, 3))


@pytest.fixture
def folder(model, tmp_path):
    model.save_pretrained(tmp_path / "deep" / "mine")
    return tmp_path / "deep" / "mine"


def assert_same_network(loaded, model):
    assert loaded.backbone.architecture == model.backbone.architecture
    assert list(loaded.state_dict()) == list(model.state_dict())
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in loaded.state_dict().items())


def test_a_folder_gives_the_network_back(model, folder):
    loaded = VideoClassifier.from_pretrained(folder)
    assert_same_network(loaded, model)
    assert not loaded.training
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    clips = torch.rand(1, 3, 4, 32, 32)
    assert torch.equal(loaded(clips), model.eval()(clips))


def test_a_file_gives_the_network_back_too(model, folder):
    assert_same_network(VideoClassifier.from_pretrained(folder / "model.safetensors"), model)


def test_a_folder_says_what_it_is_in_json(model, tmp_path):
    model.save_pretrained(tmp_path, {"label_names": '["a", "ä"]'})
    said = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    assert list(said) == ["architecture", "label_names", "num_classes"]
    assert (said["num_classes"], said["label_names"]) == (5, ["a", "ä"])
    assert said["architecture"]["temporal_kernels"] == [3, [3], 1, 3]


def test_create_model_takes_the_file(model, folder):
    loaded = create_model("r3d_rs_tiny", 5, folder / "model.safetensors", width=0.125, temporal_kernels=(3, (3,), 1, 3))
    assert_same_network(loaded, model)


def test_a_network_in_another_layout_is_written_as_any_other(model, tmp_path):
    model.to(memory_format=torch.channels_last_3d).save_pretrained(tmp_path)
    assert_same_network(VideoClassifier.from_pretrained(tmp_path), model)


def test_a_repository_is_read_from_the_hubs_cache_without_a_network(model, folder, tmp_path):
    """As the hub's own library leaves it there; in a process of its own, as it reads its settings once."""
    commit = 40 * "0"
    repository = tmp_path / "hub" / "models--somebody--mine"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    (repository / "snapshots").mkdir()
    folder.rename(repository / "snapshots" / commit)
    code = (
        "from video_rs.models import VideoClassifier\n"
        "print(float(VideoClassifier.from_pretrained('somebody/mine').fc.weight.detach().double().sum()))\n"
        "VideoClassifier.from_pretrained('somebody/other')"
    )
    environment = {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "PATH": "", "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert float(done.stdout) == float(model.fc.weight.detach().double().sum())
    refused = done.stderr.splitlines()[-1].removeprefix("video_rs.runtime.errors.InputError: ")
    assert refused.startswith(
        "no folder or file somebody/other, and the hub does not give model.safetensors of such a repository "
    )
    assert refused.endswith("; give a folder, or OWNER/NAME")


def test_what_is_asked_of_the_hub(model, folder, monkeypatch):
    asked = []

    def download(*names, **options):
        asked.append((names, options))
        return str(folder / "model.safetensors")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    assert_same_network(VideoClassifier.from_pretrained("somebody/mine", "v2", "cache", "secret"), model)
    assert asked == [
        (("somebody/mine", "model.safetensors"), {"revision": "v2", "cache_dir": "cache", "token": "secret"})
    ]


# -- Refusals


@pytest.mark.parametrize("name", ["nothing", "runs/a/b", "/nowhere/mine", "./mine"])
def test_what_can_be_no_repository_is_not_looked_for_on_the_hub(name):
    expected = f"no folder or file {name}; give one, or a repository of the hub, OWNER/NAME"
    assert refusal(VideoClassifier.from_pretrained, name) == expected


def test_a_folder_without_weights_is_refused(tmp_path):
    assert refusal(VideoClassifier.from_pretrained, tmp_path) == (
        f"folder {tmp_path} has no model.safetensors in it; write one with save_pretrained"
    )


def test_weights_of_another_project_are_refused(model, tmp_path):
    save_file(model.fc.state_dict(), tmp_path / "model.safetensors", {"architecture": "resnet"})
    assert refusal(VideoClassifier.from_pretrained, tmp_path) == (
        f"{tmp_path}/model.safetensors does not say which network its weights are for; allowed: what save_pretrained "
        "or video-rs export has written; or name the network: create_model(NAME, pretrained=FILE)"
    )


def test_weights_that_do_not_fit_are_refused(model, folder):
    state, texts = safetensors_files.read_safetensors(folder / "model.safetensors")
    safetensors_files.write_safetensors(folder / "model.safetensors", state, {**texts, "num_classes": "4"})
    assert refusal(VideoClassifier.from_pretrained, folder) == (
        f"weights in {folder}/model.safetensors do not fit the model: 2 of another shape (fc.bias: [5] there, "
        "[4] here, fc.weight: [5, 64] there, [4, 64] here); build the model that they were made for"
    )


def test_the_hubs_library_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert refusal(VideoClassifier.from_pretrained, "somebody/mine") == (
        "no folder or file somebody/mine; a repository of the hub needs huggingface_hub: pip install 'video_rs[hub]'"
    )


def test_safetensors_is_named_where_it_is_missing(model, folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    message = f"{folder}/model.safetensors needs safetensors: pip install 'video_rs[hub]', or give a .pth file"
    assert refusal(VideoClassifier.from_pretrained, folder) == message
    assert refusal(model.save_pretrained, folder) == message
