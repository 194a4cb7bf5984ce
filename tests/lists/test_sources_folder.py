"""datasets/folder.py: own videos become a split that holds, a list, a label map and a config that trains."""

import json
import random
from collections import Counter
from pathlib import Path

import pytest

from helpers.runs import TINY
from helpers.source_trees import accepted, refused, snapshot, touch
from helpers.videos import moving_square
from video_rs.config import load_config
from video_rs.lists.label_map import read_label_map
from video_rs.lists.records import read_records
from video_rs.lists.sources.folder import mirrored_names, read_folder
from video_rs.lists.sources.options import FolderOptions
from video_rs.lists.sources.validation_split import choose_validation
from video_rs.video.encoding import write_video

PAIRS = [f"{label}/{i}.mp4" for label in ("cat", "dog") for i in range(2)]


def read(videos, **options):
    """What :func:`read_folder` gives; the config is not written."""
    return read_folder(FolderOptions(videos, Path(), **options))


def splits(rows):
    return {row.path: row.split for row in rows}


def counts(labels, chosen):
    return Counter(label for label, val in zip(labels, chosen, strict=True) if val)


@pytest.mark.parametrize(
    ("size", "share", "expected"),
    [(1, 0.2, 0), (2, 0.2, 1), (3, 0.2, 1), (7, 0.2, 1), (8, 0.2, 2), (10, 0.2, 2), (10, 0.01, 1), (10, 0.99, 9)],
)
def test_each_class_gives_its_share(size, share, expected):
    labels = ["a"] * size + ["b"] * 10
    chosen = choose_validation(labels, [str(i) for i in range(size + 10)], share, seed=3)
    assert counts(labels, chosen)["a"] == expected


def test_the_split_depends_on_the_seed_and_not_on_the_order():
    labels, groups = ["a"] * 30, [f"v{i}" for i in range(30)]
    chosen = dict(zip(groups, choose_validation(labels, groups, 0.3, 0), strict=True))
    assert chosen == dict(zip(groups[::-1], choose_validation(labels, groups[::-1], 0.3, 0), strict=True))
    assert chosen != dict(zip(groups, choose_validation(labels, groups, 0.3, 1), strict=True))
    more = choose_validation([*labels, "a"], [*groups, "new"], 0.3, 0)
    assert sum(chosen[group] != val for group, val in zip(groups, more, strict=False)) <= 1


def test_groups_hold_together_over_many_random_cases():
    rng = random.Random(0)
    for case in range(200):
        size = rng.randint(4, 40)
        labels = [rng.choice("abc") for _ in range(size)]
        groups = [rng.choice("pqrstuvw") for _ in range(size)]
        chosen = choose_validation(labels, groups, 0.25, seed=case)
        val = {group for group, x in zip(groups, chosen, strict=True) if x}
        assert all(x == (group in val) for group, x in zip(groups, chosen, strict=True))
        got, sizes = counts(labels, chosen), Counter(labels)
        assert all(got[label] < sizes[label] for label in sizes)  # something is left to train on
        for label in sizes:
            # Without validation videos only where each group of the class holds all that is left of some class.
            if got[label] == 0:
                for group in {g for g, x in zip(groups, labels, strict=True) if x == label}:
                    inside = Counter(x for g, x in zip(groups, labels, strict=True) if g == group)
                    assert any(got[x] + n >= sizes[x] for x, n in inside.items())


def test_groups_of_even_size_are_split_as_asked():
    labels, groups = ["a"] * 40 + ["b"] * 40, [f"g{i // 4}" for i in range(80)]
    assert counts(labels, choose_validation(labels, groups, 0.2, seed=0)) == {"a": 8, "b": 8}


def test_a_group_that_brings_nothing_stays_in_train():
    labels, groups = ["a"] * 5, ["two", "two", "pair", "pair", "one"]
    for seed in range(20):  # of five videos one is wanted: a group of two is as far from that as none
        assert choose_validation(labels, groups, 0.2, seed) == [False, False, False, False, True]


def test_a_class_of_two_large_sources_gives_the_smaller():
    labels, groups = ["a"] * 19 + ["b"] * 10, ["big"] * 10 + ["small"] * 9 + [f"b{i}" for i in range(10)]
    chosen = choose_validation(labels, groups, 0.2, seed=0)
    assert [group for group, val in zip(groups, chosen, strict=True) if val and not group.startswith("b")] == [
        "small"
    ] * 9


def test_rows_of_class_folders(tmp_path):
    names = [f"dog/{i}.mp4" for i in range(10)] + [f"big cat/deep/er/{i}.avi" for i in range(5)]
    folder = touch(tmp_path, *names, "loose.mp4", "dog/notes.txt", "empty/readme.md")
    got = read(folder, val_share=0.2, seed=0)
    assert got.names == ["big cat", "dog"]
    assert [row.path for row in got.rows] == sorted(names)
    assert Counter((row.label, row.split) for row in got.rows) == {
        ("dog", "train"): 8,
        ("dog", "val"): 2,
        ("big cat", "train"): 4,
        ("big cat", "val"): 1,
    }
    assert got.notes == [
        "12 videos for train, 3 videos to validate on",
        "left out: 1 video outside class folders",
        "each file counts as a video of its own; if some are cut from one video, give --group-by",
        "left out: 2 files without a video's ending (.md 1, .txt 1)",
        "left out: 1 class folder without a video (empty)",
    ]
    assert splits(got.rows) == splits(read(folder, val_share=0.2, seed=0).rows)
    assert splits(got.rows) != splits(read(folder, val_share=0.2, seed=1).rows)


@pytest.mark.parametrize("pattern", ["^(.*)_", "^tape[0-9]+", r"(?:^)(tape\d+)_\d"])
def test_clips_of_one_video_stay_together_whatever_their_class(tmp_path, pattern):
    names = [f"{'cat' if k % 2 else 'dog'}/tape{v}_{k}.mp4" for v in range(10) for k in range(4)]
    got = read(touch(tmp_path, *names), val_share=0.2, seed=0, group_by=pattern)
    split_of = {}
    for row in got.rows:
        split_of.setdefault(row.path.split("/")[1].split("_")[0], set()).add(row.split)
    assert all(len(found) == 1 for found in split_of.values())
    assert Counter(row.split for row in got.rows) == {"train": 32, "val": 8}
    assert not any("--group-by" in note for note in got.notes)


def test_groups_by_subfolder(tmp_path):
    names = [f"{label}/{video}/{i}.mp4" for label in ("cat", "dog") for video in "abcde" for i in range(3)]
    got = read(touch(tmp_path, *names), val_share=0.2, seed=0, group_by="^(.*)/")
    val = {row.path.split("/")[1] for row in got.rows if row.split == "val"}
    assert len(val) == 1  # the same source in both classes
    assert sum(row.split == "val" for row in got.rows) == 6


def test_a_given_split_is_kept(tmp_path):
    names = "train/cat/1.mp4", "train/dog/a/2.mp4", "val/cat/3.mp4", "test/dog/4.mp4"
    got = read(touch(tmp_path, *names, "train/5.mp4", "extra/dog/6.mp4"), val_share=0.2, seed=0)
    assert [(row.path, row.label, row.split) for row in got.rows] == [
        ("test/dog/4.mp4", "dog", "test"),
        ("train/cat/1.mp4", "cat", "train"),
        ("train/dog/a/2.mp4", "dog", "train"),
        ("val/cat/3.mp4", "cat", "val"),
    ]
    assert got.notes == [
        "2 videos for train, 1 video to validate on, 1 video for test",
        "note: no val videos of dog",
        "left out: 2 videos outside class folders",
        "the split is that of the folders train and val",
    ]


def test_a_given_split_may_have_any_usual_name(tmp_path):
    names = "Training/cat/1.mp4", "Training/dog/2.mp4", "validation/cat/3.mp4", "valid/dog/4.mp4"
    got = read(touch(tmp_path, *names), val_share=0.2, seed=0)
    assert [(row.label, row.split) for row in got.rows] == [
        ("cat", "train"), ("dog", "train"), ("dog", "val"), ("cat", "val"),
    ]  # fmt: skip


def test_classes_may_be_called_like_splits(tmp_path):
    got = read(touch(tmp_path, *(f"{x}/{i}.mp4" for x in ("train", "test") for i in range(2))), val_share=0.2, seed=0)
    assert got.names == ["test", "train"]


def test_a_class_of_one_video_is_named(tmp_path):
    got = read(touch(tmp_path, *PAIRS, "emu/1.mp4"), val_share=0.5, seed=0)
    assert splits(got.rows)["emu/1.mp4"] == "train"
    assert "note: no val videos of emu" in got.notes


def test_words_of_direction():
    names = ["turn_left", "RightHook", "clockwise", "cleft", "upright", "copyright note", "move LEFT"]
    assert mirrored_names(names) == ["turn_left", "RightHook", "clockwise", "move LEFT"]
    more = ["leftwards", "swipe-rightwards", "turn CCW", "rotate_cw", "cwm"]
    assert mirrored_names(more) == more[:-1]


def test_list_label_map_config_and_command(tmp_path):
    videos, out = touch(tmp_path / "my videos", *PAIRS), tmp_path / "my out"
    lines = accepted("folder", videos, "--out", out)
    assert lines == [
        "2 classes",
        "2 videos for train, 2 videos to validate on",
        "each file counts as a video of its own; if some are cut from one video, give --group-by",
        f"wrote {out}/labels.txt",
        f"wrote {out}/list.csv",
        f"wrote {out}/config.yaml",
        "train with:",
        f"  video-rs train --cfg '{out}/config.yaml'",
    ]
    names = read_label_map(str(out / "labels.txt"))
    assert names == ("cat", "dog")
    records = {
        record.path: (split, record.labels)
        for split in ("train", "val")
        for record in read_records(str(out / "list.csv"), split=split, label_names=names).records
    }
    found = splits(read(videos, val_share=0.2, seed=0).rows)
    assert records == {f"{videos}/{path}": (split, (int(path[0] == "d"),)) for path, split in found.items()}
    comment = "Written by video-rs list folder; what is\n# not here comes from _BASE_.\n"
    assert comment in (out / "config.yaml").read_text()
    config, base = load_config(out / "config.yaml").flat(), load_config("small_scratch").flat()
    assert {key: value for key, value in config.items() if value != base[key]} == {
        "OUTPUT_DIR": "runs/my out",
        "DATA.TRAIN_LIST": f"{out}/list.csv",
        "DATA.VAL_LIST": f"{out}/list.csv",
        "DATA.LABEL_MAP": f"{out}/labels.txt",
    }


def test_default_place_and_mirrored_classes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    touch(tmp_path / "mine", *(f"turn {side}/{i}.mp4" for side in ("left", "right") for i in range(2)))
    lines = accepted("folder", "mine/")
    assert "note: clips are not mirrored, because of the class turn left" in lines
    assert lines[-1] == "  video-rs train --cfg data/mine/config.yaml"
    config = load_config("data/mine/config.yaml")
    assert (config.DATA.RANDOM_FLIP, config.OUTPUT_DIR) == (False, "runs/mine")


def test_running_again_writes_nothing_and_a_new_video_changes_the_list_only(tmp_path):
    videos, out = touch(tmp_path / "v", *PAIRS), tmp_path / "out"
    accepted("folder", videos, "--out", out)
    before = snapshot(out)
    accepted("folder", videos, "--out", out)
    assert snapshot(out) == before
    assert set(before) == {"list.csv", "labels.txt", "config.yaml"}
    touch(tmp_path / "v", "cat/9.mp4")
    accepted("folder", videos, "--out", out)
    after = snapshot(out)
    assert {name for name in before if after[name] != before[name]} == {"list.csv"}


def test_numbers_as_class_names(tmp_path):
    videos = touch(tmp_path / "v", *(f"{x}/{i}.mp4" for x in (2, 7, 10) for i in range(2)))
    accepted("folder", videos, "--out", tmp_path / "out")
    names = read_label_map(str(tmp_path / "out" / "labels.txt"))
    assert names == ("2", "7", "10")
    got = read_records(str(tmp_path / "out" / "list.csv"), split="train", label_names=names)
    assert [(record.path.split("/")[-2], record.labels) for record in got.records] == [
        ("10", (2,)),
        ("2", (0,)),
        ("7", (1,)),
    ]


@pytest.mark.parametrize(
    ("names", "more", "message"),
    [
        (PAIRS, ("--val-share", 1), "--val-share is 1; allowed: above 0 and below 1, e.g. 0.2"),
        (PAIRS, ("--val-share", 0), "--val-share is 0; allowed"),
        (["a.mp4"], (), "v has no videos in class folders; sort the videos into two or more, CLASS/video.mp4"),
        (["cat/1.mp4"], (), "v has one class folder with videos (cat); sort the videos into two or more"),
        (
            ["cat/1.mp4", "dog/1.mp4"],
            (),
            "no class has videos of two sources, so none is left to validate on (2 videos of",
        ),
        (PAIRS, ("--group-by", "mp4"), "(4 videos of 1 sources); add videos, or correct --group-by"),
        (PAIRS, ("--group-by", "("), "--group-by '(' is no regular expression (missing )"),
        (PAIRS, ("--group-by", "^(0)"), "--group-by '^(0)' is not found in 2 of 4 names, such as '1.mp4'; make it fit"),
        (
            ["train/a/1.mp4", "train/b/1.mp4"],
            (),
            "v holds train only; have class folders in both train and val, or move",
        ),
        (["a;b/1.mp4", "a;b/2.mp4", "c/1.mp4"], (), "class name 'a;b': allowed is UTF-8 text without ;"),
    ],
)
def test_refusals(tmp_path, names, more, message):
    assert message in refused("folder", touch(tmp_path / "v", *names), "--out", tmp_path / "out", *more)
    assert not (tmp_path / "out").exists()


def test_one_command_and_the_config_trains(tmp_path, tool):
    for label in ("dark", "light"):
        for i in range(4):
            path = tmp_path / "v" / label / f"{i}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_video(path, moving_square(i, light=label == "light"), fps=10)
    accepted("folder", tmp_path / "v", "--out", tmp_path / "out", "--val-share", 0.25)
    tiny = [x for pair in TINY.items() for x in pair]
    run = tmp_path / "run"
    result = tool(
        "train_net", "--cfg", tmp_path / "out" / "config.yaml", *tiny, "SOLVER.MAX_STEPS", 2, "OUTPUT_DIR", run
    )
    assert result.code == 0, result.err
    metrics = json.loads((run / "metrics.json").read_text())
    assert (metrics["videos"], metrics["failed"], metrics["k"]) == (2, 0, 2)
    assert (
        tool("predict", "--checkpoint", run / "checkpoints" / "last.pth", tmp_path / "v" / "dark" / "0.mp4").code == 0
    )
