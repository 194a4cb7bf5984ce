"""datasets/ssv2.py: the official JSON files against a tree, and the config that must not mirror."""

import json

import pytest

from helpers.source_trees import accepted, refused, snapshot, touch, write
from video_rs.config import load_config
from video_rs.lists.label_map import read_label_map
from video_rs.lists.records import VideoRecord, read_records

# Numbers as text and in another order than the names', as the official file has them.
LABELS = {
    "Pulling something from left to right": "2",
    "Putting something that can't roll, so it stays": "0",
    "Opening something": "1",
}
TRAIN = [
    {"id": "78687", "label": "opening a box", "template": "Opening [something]", "placeholders": ["a box"]},
    {"id": "5", "label": "…", "template": "Putting [something that can't roll], so it stays"},
    {"id": "9", "template": "Pulling [something] from left to right"},
]
VAL = [{"id": 41, "template": "Pulling [something] from left to right"}]
TEST = [{"id": "77"}, {"id": "78"}]


def write_json(folder, prefix="", **parts):
    folder.mkdir(exist_ok=True)
    for name, value in {"labels": LABELS, "train": TRAIN, "validation": VAL, **parts}.items():
        if value is not None:
            (folder / f"{prefix}{name}.json").write_text(json.dumps(value))
    return folder


def test_tree_and_config(tmp_path):
    labels = write_json(tmp_path / "labels")
    videos, out = touch(tmp_path / "v", "78687.webm", "sub/5.mp4", "41.webm", "1000.webm"), tmp_path / "out"
    lines = accepted("ssv2", videos, "--labels", labels, "--out", out, "--missing", out / "missing.txt")
    assert lines == [
        "train: 2 of 3 listed videos found (66.6 %)",
        "val: 1 of 1 listed videos found (100.0 %)",
        "missing most: Pulling something from left to right (1 of 2)",
        "found but not listed: 1 file (1000.webm)",
        f"wrote {out}/labels.txt",
        f"wrote {out}/ssv2.csv",
        f"wrote {out}/missing.txt",
        f"wrote {out}/ssv2.yaml",
        "note: 3 classes, where Something-Something v2 has 174; are all its lists there?",
        "DATA.RANDOM_FLIP must be false here, as some classes differ in left and right only; the config has it so",
        "train with:",
        f"  video-rs train --cfg {out}/ssv2.yaml",
    ]
    assert (out / "missing.txt").read_text() == "9\n"
    names = read_label_map(str(out / "labels.txt"))
    assert names == tuple(sorted(LABELS, key=LABELS.get))
    assert read_records(str(out / "ssv2.csv"), split="train", label_names=names).records == (
        VideoRecord(f"{videos}/78687.webm", (1,), None, None, "78687"),
        VideoRecord(f"{videos}/sub/5.mp4", (0,), None, None, "5"),
    )
    assert read_records(str(out / "ssv2.csv"), split="val", label_names=names).records == (
        VideoRecord(f"{videos}/41.webm", (2,), None, None, "41"),
    )
    assert "Something-Something v2. Written by video-rs list ssv2." in (out / "ssv2.yaml").read_text()
    config, base = load_config(out / "ssv2.yaml").flat(), load_config("kinetics_rs").flat()
    assert {key: value for key, value in config.items() if value != base[key]} == {
        "OUTPUT_DIR": "runs/ssv2",
        "MODEL.NUM_CLASSES": 3,
        "DATA.TRAIN_LIST": f"{out}/ssv2.csv",
        "DATA.VAL_LIST": f"{out}/ssv2.csv",
        "DATA.LABEL_MAP": f"{out}/labels.txt",
        "DATA.SAMPLING_RATE": 1,
        "DATA.RANDOM_FLIP": False,
    }
    text = (out / "ssv2.yaml").read_text()
    assert 'RANDOM_FLIP must be false: mirrored, "from left to right" shows "from right to left".' in text


def test_test_videos_and_their_answers(tmp_path):
    labels = write_json(tmp_path / "labels", test=TEST)
    videos, source = touch(tmp_path / "v", "5.webm", "77.webm", "78.webm"), str(tmp_path / "out" / "ssv2.csv")
    arguments = videos, "--labels", labels, "--out", tmp_path / "out"
    assert "test: 2 of 2 listed videos found (100.0 %)" in accepted("ssv2", *arguments)
    got = read_records(source, split="test", require_labels=False)
    assert [(record.id, record.labels) for record in got.records] == [("77", ()), ("78", ())]
    write(labels / "test-answers.csv", "77;Opening something", "999;Opening something")
    accepted("ssv2", *arguments)
    got = read_records(source, split="test", require_labels=False, label_names=("Opening something",))
    assert [record.labels for record in got.records] == [(0,), ()]
    write(labels / "test-answers.csv", "77;Opening everything")
    got = refused("ssv2", *arguments)
    assert got.startswith(
        "test-answers.csv, 77: template 'Opening everything' is none of the 3 of labels.json, nearest 'Opening "
    )


def test_names_of_the_first_release_and_running_again(tmp_path):
    labels = write_json(tmp_path / "labels", prefix="something-something-v2-", test=TEST)
    arguments = touch(tmp_path / "v", "5.webm", "77.webm"), "--labels", labels, "--out", tmp_path / "out"
    assert accepted("ssv2", *arguments)[2] == "test: 1 of 2 listed videos found (50.0 %)"
    before = snapshot(tmp_path / "out")
    accepted("ssv2", *arguments)
    assert set(before) == {"ssv2.csv", "labels.txt", "ssv2.yaml"}
    assert snapshot(tmp_path / "out") == before


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (
            {"labels": None},
            "labels.json does not exist; give the folder of the labels, with labels.json, train.json and",
        ),
        ({"labels": []}, "labels.json holds a list, expected a dict; give the folder"),
        ({"labels": {}}, "labels.json: the class numbers are not 0 to"),
        ({"labels": {"a": "0", "b": "2"}}, "labels.json: the class numbers are not 0 to 1, each once; give"),
        ({"validation": None}, "validation.json does not exist; give the folder"),
        ({"train": {}}, "train.json holds a dict, expected a list"),
        (
            {"train": [TRAIN[0], {"id": "6"}]},
            """train.json, entry 2: got {"id": "6"}, expected id and template; give""",
        ),
        ({"test": [7]}, "test.json, entry 1: got 7, expected id; give"),
        (
            {"train": [{"id": "6", "template": "Openning [something]"}]},
            "train.json, entry 1: template 'Openning [something]' is none of the 3 of labels.json, nearest 'Opening "
            "something'; take all files from one release",
        ),
    ],
)
def test_refusals(tmp_path, parts, message):
    labels = write_json(tmp_path / "labels", **parts)
    got = refused("ssv2", touch(tmp_path / "v", "5.webm"), "--labels", labels, "--out", tmp_path / "out")
    assert message in got
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_not_json(tmp_path):
    labels = write_json(tmp_path / "labels")
    path = write(labels / "train.json", "[", "oops")
    got = refused("ssv2", touch(tmp_path / "v", "5.webm"), "--labels", labels)
    assert got == f"{path}, line 2: Expecting value; download it again"


def test_answers_with_an_open_quote(tmp_path):
    labels = write_json(tmp_path / "labels", test=TEST)
    path = write(labels / "test-answers.csv", "77;Opening something", '78;"' + "x" * 200_000)
    got = refused("ssv2", touch(tmp_path / "v", "5.webm"), "--labels", labels)
    assert got == f"{path}, line 2: field larger than field limit (131072); correct the line"
