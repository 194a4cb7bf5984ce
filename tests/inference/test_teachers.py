"""What teachers are refused for, and how their classes are matched; without the transformers package."""

import json
import sys

import numpy as np
import pytest

from video_rs.inference.pseudo_labels.selection import Balance, select
from video_rs.inference.teachers import hugging_face, load_teacher, match_classes
from video_rs.runtime.errors import InputError


def test_without_transformers_the_extra_is_named(tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "videomae"}))
    monkeypatch.setattr(hugging_face, "missing", lambda packages: list(packages))
    with pytest.raises(InputError) as caught:
        load_teacher(str(tmp_path), "cpu")
    assert str(caught.value) == (
        f"{tmp_path} is a network of transformers, not installed here; pip install 'video_rs[teachers]'"
    )


def test_a_repository_that_cannot_be_had(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(InputError, match=r"needs huggingface_hub: pip install 'video_rs\[teachers\]'"):
        load_teacher("somebody/videomae", "cpu")

    class Hub:
        @staticmethod
        def snapshot_download(name, allow_patterns):
            raise OSError("no network. Really.")

    monkeypatch.setitem(sys.modules, "huggingface_hub", Hub)
    with pytest.raises(InputError, match="no folder or file somebody/videomae, and the hub does not give such a repo"):
        load_teacher("somebody/videomae", "cpu")


def test_classes_in_another_order_are_the_same_classes():
    match = match_classes(("run", "jump", "sit"), ("sit", "run", "jump "), False, "T")
    assert (match.columns, match.unknown, match.others) == ((2, 0, 1), (), ())
    np.testing.assert_array_equal(match.of_student(np.array([1, 2, 3], np.float32)), [3, 1, 2])


def test_the_surest_are_taken_and_rare_classes_repeated():
    labels = np.array([0, 1, 1, 0, 1, 2, -1, 1])
    confidences = np.array([0.9, 0.5, 0.8, 0.2, 0.5, 0.3, 0.99, 0.7])
    assert select(labels, confidences, Balance(0.3)) == [0, 2, 7, 1, 4, 5]
    assert select(labels, confidences, Balance(0.3, most=2)) == [0, 2, 7, 5]
    # Up to the largest class, four videos, but each at most three times.
    assert select(labels, confidences, Balance(0.3, repeats=3)) == [0, 0, 0, 2, 7, 1, 4, 5, 5, 5]
    assert select(labels, confidences, Balance(0.1, most=3, repeats=9)) == [0, 3, 0, 2, 7, 1, 5, 5, 5]
    assert select(labels, confidences, Balance(1.0)) == []
