"""Features of a transfer study that lie there already: they are taken where they are the right ones, or made anew."""

import shutil

import numpy as np
import pytest
import torch

from helpers.runs import TINY, weights
from helpers.videos import make_videos
from video_rs.builders import build_lists
from video_rs.config import load_config
from video_rs.runs import extract_features
from video_rs.studies.transfer import stored_features
from video_rs.studies.transfer.stored_features import compute_features


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    """A list of other videos than the network was trained on."""
    return make_videos(tmp_path_factory.mktemp("other"), per_class=2, frames=14)


@pytest.fixture
def listed(target, tmp_path):
    """A list that a test may change, with whole paths."""
    header, *rows = target.read_text().splitlines()
    path = tmp_path / "list.csv"
    path.write_text("\n".join([header, *(f"{target.parent}/{row}" for row in rows)]) + "\n")
    return path


@pytest.fixture
def checkpoint(trained, tmp_path):
    """A checkpoint that a test may replace."""
    path = tmp_path / "network.pth"
    shutil.copy(trained / "checkpoints" / "last.pth", path)
    return path


@pytest.fixture
def compute(listed, checkpoint, tmp_path, monkeypatch):
    """``compute(folder, **keys)``: features of training and validation videos, and of how many videos they are made."""
    made = []

    def count(work):
        before = {number for number in range(len(work.shards)) if work.shards.has(number)}
        extract_features.extract_shards(work)
        for number in set(range(len(work.shards))) - before:
            made.append(len(work.shards.videos_of(number)))

    monkeypatch.setattr(stored_features, "extract_shards", count)

    def features(folder="kept", **keys):
        made.clear()
        lists = {"DATA.TRAIN_LIST": str(listed), "DATA.VAL_LIST": str(listed), "MODEL.PRETRAINED": str(checkpoint)}
        values = {**TINY, **lists, **{key.replace("__", "."): value for key, value in keys.items()}}
        config = load_config("", values)
        train, val = compute_features(config, build_lists(config), tmp_path / folder)
        return np.concatenate([train.rows.features, val.rows.features]), sum(made)

    return features


def replace(checkpoint, trained):
    """Write other weights of the same network to a path."""
    saved = weights(trained)
    saved["ema"] = {name: 1.5 * value if value.dim() == 5 else value for name, value in saved["ema"].items()}
    torch.save(saved, checkpoint)


def test_features_of_the_same_weights_and_lists_are_computed_once(compute, listed, tmp_path):
    first, made = compute()
    assert made == 8
    again, made = compute()
    assert made == 0
    assert np.array_equal(first, again)
    # Where the list lies, and with how many seeds a checkpoint is tried, changes nothing.
    moved = tmp_path / "moved.csv"
    shutil.copy(listed, moved)
    assert compute(DATA__TRAIN_LIST=str(moved), DATA__VAL_LIST=str(moved), RNG_SEED=3)[1] == 0


def test_a_replaced_checkpoint_has_other_features(compute, checkpoint, trained, capsys):
    before, _ = compute()
    replace(checkpoint, trained)
    capsys.readouterr()
    now, made = compute()
    assert made == 8
    assert "/kept/train were made with another checkpoint_sha256, and are computed again\n" in capsys.readouterr().out
    assert not np.allclose(before, now, atol=1e-2)
    assert np.array_equal(now, compute("fresh")[0])


def test_fresh_weights_of_another_seed_have_other_features(compute):
    assert compute(MODEL__PRETRAINED="")[1] == 8
    assert compute(MODEL__PRETRAINED="")[1] == 0
    assert compute(MODEL__PRETRAINED="", RNG_SEED=1)[1] == 8
    # The same seed makes another network of another architecture.
    assert compute(MODEL__PRETRAINED="", RNG_SEED=1, MODEL__STEM="plain")[1] == 8


def test_rows_in_another_order_have_their_own_features(compute, listed):
    compute()
    header, *rows = listed.read_text().splitlines()
    train, val = rows[:4], rows[4:]
    listed.write_text("\n".join([header, *train[::-1], *val]) + "\n")
    now, made = compute()
    # The validation rows are where they were.
    assert made == 4
    assert np.array_equal(now, compute("fresh")[0])


def test_another_view_has_other_features(compute):
    before, _ = compute()
    now, made = compute(DATA__TEST_SHORT_SIDE="36")
    assert made == 8
    assert not np.array_equal(before, now)


def test_features_of_which_nothing_says_what_they_are_of_are_computed_again(compute, tmp_path, capsys):
    before, _ = compute()
    for part in ("train", "val"):
        (tmp_path / "kept" / part / "settings.json").unlink()
    capsys.readouterr()
    now, made = compute()
    assert made == 8
    assert np.array_equal(before, now)


def test_a_shard_that_was_cut_short_is_computed_again(compute, tmp_path):
    before, _ = compute()
    shard = tmp_path / "kept" / "train" / "000000.npz"
    shard.write_bytes(shard.read_bytes()[:300])
    now, made = compute()
    assert made == 4
    assert np.array_equal(before, now)
