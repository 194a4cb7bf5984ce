"""What a transfer study finds out of a source's training: where it started, who taught it, and what nobody knows."""

import pytest
import torch

from helpers.runs import TINY, tiny_run, weights
from helpers.videos import make_videos
from video_rs.config import config_from_text, load_config
from video_rs.models.weights.files import read_file
from video_rs.runs.train import run_training
from video_rs.runtime.errors import InputError
from video_rs.runtime.file_hash import file_hash
from video_rs.studies.transfer.sources import Source
from video_rs.studies.transfer.targets import find_targets
from video_rs.studies.transfer.trained_on import TrainingVideos

UNKNOWN = "nobody has looked whether a target's validation videos were among it"


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """A list of other videos than ``trained`` has seen."""
    return make_videos(tmp_path_factory.mktemp("other"), frames=14)


@pytest.fixture
def checkpoint(trained, other, tmp_path):
    """``checkpoint(name, keys, **content)``: a checkpoint that says it was trained on other videos."""

    def write(name, keys=None, **content):
        saved = weights(trained)
        config = config_from_text(saved["config"], {"DATA.TRAIN_LIST": str(other), **(keys or {})})
        saved = {**saved, "config": config.dump(), **content}
        path = tmp_path / f"{name}.pth"
        torch.save({key: value for key, value in saved.items() if value is not None}, path)
        return path

    return write


def videos_of(path):
    return TrainingVideos(Source("x", (str(path),), (read_file(path).about,)))


def test_what_a_run_was_fine_tuned_from_counts_too(trained, videos, other, tmp_path, config_file):
    """A run on other videos that --finetune started from a run on these; going on with it, that is still known."""
    child = tmp_path / "child"
    first = load_config(config_file, tiny_run(other, child, SOLVER__MAX_STEPS=1))
    run_training(first, finetune=str(trained))
    started = weights(child)["started_from"]
    parent = trained / "checkpoints" / "last.pth"
    assert started == {"source": str(parent), "sha256": file_hash(parent)}

    longer = load_config(config_file, tiny_run(other, child, SOLVER__MAX_STEPS=2))
    run_training(longer, resume=True, allow_changes=True)
    assert weights(child)["step"] == 2
    assert weights(child)["started_from"] == started

    found = videos_of(child / "checkpoints" / "last.pth")
    assert found.doubts == []
    # The parent's training videos are what this target tests on.
    rows = [f"{videos.parent}/train/{name}/0.mp4,{name},val" for name in ("dark", "light")]
    rows += [f"{other.parent}/train/{name}/0.mp4,{name},train" for name in ("dark", "light")]
    leaked = tmp_path / "leaked.csv"
    leaked.write_text("\n".join(["path,label,split", *rows]) + "\n")
    [target] = find_targets([str(leaked)], load_config("", TINY))
    with pytest.raises(InputError, match=rf"^--source x has been trained on --target leaked: {videos} shares 2 videos"):
        found.require_apart_from(target)


def test_a_run_that_started_from_fresh_weights_says_so(trained):
    assert weights(trained)["started_from"] == {}
    assert videos_of(trained / "checkpoints" / "last.pth").doubts == []


def test_a_checkpoint_of_before_goes_on_and_claims_nothing(trained, videos, tmp_path, config_file):
    """It does not say what it started from, and neither does what goes on from it."""
    run = tmp_path / "run"
    run_training(load_config(config_file, tiny_run(videos, run, SOLVER__MAX_STEPS=1)))
    path = run / "checkpoints" / "last.pth"
    saved = weights(run)
    del saved["started_from"]
    torch.save(saved, path)
    longer = load_config(config_file, tiny_run(videos, run, SOLVER__MAX_STEPS=2))
    run_training(longer, resume=True, allow_changes=True)
    assert weights(run)["step"] == 2
    assert "started_from" not in weights(run)
    assert videos_of(path).doubts == [
        f"{path} does not say what it started from, as it is of an older version: {UNKNOWN}"
    ]


def test_older_checkpoints_that_name_their_start_in_the_config_are_looked_through(checkpoint, trained, videos):
    path = checkpoint("old", {"MODEL.PRETRAINED": str(trained)}, started_from=None)
    found = videos_of(path)
    assert (list(map(str, found.lists))[1:], found.doubts) == ([str(videos)], [])


def test_an_ancestor_that_is_gone_or_another_file_now_is_said(checkpoint, trained):
    gone = checkpoint("gone", started_from={"source": "/gone/first.pth", "sha256": "12"})
    assert videos_of(gone).doubts == [f"/gone/first.pth, which {gone} started from, is not there any more: {UNKNOWN}"]

    parent = trained / "checkpoints" / "last.pth"
    changed = checkpoint("changed", started_from={"source": str(parent), "sha256": "12"})
    found = videos_of(changed)
    assert found.doubts == [f"{parent} is not the file any more that {changed} started from: {UNKNOWN}"]
    assert len(found.lists) == 2


@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_image_weights_of_a_library_have_seen_no_videos(checkpoint, library):
    assert videos_of(checkpoint("a", started_from={"source": library, "sha256": ""})).doubts == []


def test_video_weights_of_a_library_have_seen_videos_that_nobody_knows(checkpoint):
    path = checkpoint("a", started_from={"source": "pytorchvideo", "sha256": ""})
    assert videos_of(path).doubts == [f"pytorchvideo does not say what it was trained on: {UNKNOWN}"]


def test_teachers_are_looked_through_as_far_as_they_are_files(checkpoint, trained, videos, tmp_path):
    taught = checkpoint("taught", {"DISTILL.TEACHER": str(trained)})
    assert str(videos) in videos_of(taught).lists

    of_hub = checkpoint("of_hub", {"DISTILL.TEACHER": "owner/name"})
    assert videos_of(of_hub).doubts == [
        f"owner/name, which {of_hub} learned from, is a repository of the Hugging Face hub: {UNKNOWN}"
    ]
    exported = tmp_path / "teacher.onnx"
    exported.write_bytes(b"no checkpoint")
    of_file = checkpoint("of_file", {"DISTILL.TEACHER": str(exported)})
    [doubt] = videos_of(of_file).doubts
    assert doubt.startswith(f"{exported}, which {of_file} learned from, cannot be looked through (")
    assert doubt.endswith(f": {UNKNOWN}")

    parent = trained / "checkpoints" / "last.pth"
    replaced = checkpoint("replaced", {"DISTILL.TEACHER": str(trained)}, teacher={"sha256": "12"})
    assert f"{parent} is not the file any more that {replaced} learned from: {UNKNOWN}" in videos_of(replaced).doubts


def test_pseudo_labelled_videos_count_and_who_labelled_them_is_not_known(checkpoint, other, videos):
    student = checkpoint("student", {"DATA.PSEUDO_LIST": str(videos)})
    found = videos_of(student)
    assert set(found.lists) == {str(other), str(videos)}
    assert found.doubts == [
        f"{videos}, which {student} was trained on, does not say which network gave its labels, nor what that was "
        f"trained on: {UNKNOWN}"
    ]


def test_an_ancestor_is_looked_through_once(checkpoint, trained):
    """Start and teacher are one file."""
    parent = trained / "checkpoints" / "last.pth"
    started = {"source": str(parent), "sha256": file_hash(parent)}
    found = videos_of(checkpoint("a", {"DISTILL.TEACHER": str(trained)}, started_from=started))
    assert (len(found.lists), found.doubts) == (2, [])
