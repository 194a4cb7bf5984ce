"""The AVA-style example and a detector, trained on encoded files."""

import csv
import json
import math
import runpy

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from helpers.scenes import KEY, LABELS, SIZE, read, write_scenes
from helpers.tools import ROOT
from video_rs import create_backbone
from video_rs.models.detection import ActionDetector
from video_rs.video.encoding import write_video


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """64 encoded scenes: a list of (path, boxes, targets)."""
    return write_scenes(tmp_path_factory.mktemp("scenes"))


def test_a_detector_learns_what_happens_in_each_box(scenes):
    clips, boxes, targets = read(scenes[:48])
    torch.manual_seed(0)
    detector = ActionDetector(create_backbone("r3d_rs_tiny", ["res5"], res5_dilation=2), len(LABELS), dropout=0.0)
    optimizer = torch.optim.AdamW(detector.parameters(), lr=2e-3)
    losses = []
    for _ in range(80):
        batch = torch.randperm(len(clips))[:8]
        logits = detector(clips[batch], [boxes[i] for i in batch])
        loss = binary_cross_entropy_with_logits(logits, targets[batch].flatten(0, 1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert abs(losses[0] - math.log(2)) < 0.1  # small weights: every answer starts near one half
    assert sum(losses[-10:]) / 10 < 0.1
    # Scenes that it has not seen; each holds two boxes, so that one answer for the whole clip would be wrong.
    clips, boxes, targets = read(scenes[48:])
    with torch.no_grad():
        answers = detector.eval()(clips, boxes) > 0
    assert torch.equal(answers, targets.flatten(0, 1).bool())
    assert any(not torch.equal(one, other) for one, other in targets)


# -- The example


def write_list(path, scenes, val=8):
    """An AVA-style list of some scenes, the last ``val`` of them of split val: four labels, two for each box."""
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["video", "frame", "x1", "y1", "x2", "y2", "label", "split"])
        for i, (video, boxes, targets) in enumerate(scenes):
            for box, (bright, right) in zip(boxes, targets, strict=True):
                for label in ("bright" if bright else "dark", "right" if right else "left"):
                    split = "val" if i >= len(scenes) - val else "train"
                    rows.writerow([video.name, KEY, *(x / SIZE for x in box), label, split])
    return path


@pytest.fixture
def example(tool):
    """``example(*arguments)`` runs ``examples/detect_actions.py`` in this process."""
    return lambda *arguments: tool("../examples/detect_actions", *arguments)


def test_the_example_trains_measures_and_answers(example, scenes, tmp_path):
    path = write_list(scenes[0][0].parent / "boxes.csv", scenes)
    output = tmp_path / "new" / "answers.json"
    result = example("--list", path, "--steps", 100, "--size", 64, "--output", output)
    assert (result.code, result.err) == (0, "")
    lines = result.out.splitlines()
    assert lines[0] == "56 key frames to train on, 8 to measure; labels: bright, dark, left, right"
    answers = json.loads(output.read_text())
    means = [sum(answers["losses"][i : i + 10]) / 10 for i in range(0, 100, 10)]
    assert lines[1:11] == [f"step {10 * i:4d}  loss {mean:.4f}" for i, mean in enumerate(means, 1)]
    assert means[0] > 0.5 > 0.15 > means[-1]
    truth = [
        {"video": video.name, "box": [x / SIZE for x in box], "labels": [("dark", "bright")[b], ("left", "right")[r]]}
        for video, boxes, targets in scenes[-8:]
        for box, (b, r) in zip(boxes, targets, strict=True)
    ]
    assert [{key: box[key] for key in ("video", "box", "labels")} for box in answers["boxes"]] == truth
    for box in answers["boxes"]:
        assert [name for name, score in box["scores"].items() if score > 0.5] == box["labels"]
    assert answers["average_precision"] == dict.fromkeys(("bright", "dark", "left", "right"), 1.0)
    counts = {name: sum(name in box["labels"] for box in truth) for name in answers["average_precision"]}
    assert lines[11:15] == [f"AP 1.000  {name} ({count} of 16 boxes)" for name, count in counts.items()]
    assert len(lines) == 20


def test_the_example_takes_seconds_and_measures_what_it_trained_on(example, scenes, tmp_path):
    """A timestamp column, no split, and a video at another place; the boxes of frame 8 at 8 frames per second."""
    path = write_list(tmp_path / "boxes.csv", scenes[:2])
    rows = [row[:-1] for row in csv.reader(path.open())]
    text = "\n".join(",".join(row) for row in rows).replace(f".mp4,{KEY},", ".mp4,1.0,").replace("frame", "timestamp")
    path.write_text(text.replace("\n", f"\n{scenes[0][0].parent}/"))
    result = example("--list", path, "--steps", 1, "--size", 32, "--frames", 1)
    assert (result.code, result.err) == (0, "")
    lines = result.out.splitlines()
    assert lines[0].startswith("2 key frames to train on, 2 to measure; labels: ")
    assert lines[-4].startswith(f"{scenes[0][0]} timestamp 1.0 [")
    assert len([line for line in lines if "timestamp" in line]) == 4


def test_a_clip_lies_around_its_key_frame(tmp_path):
    """Frame i is grey of value 10 i: the clip's frames are two apart, and the video's ends stand where it has none."""
    example = runpy.run_path(str(ROOT / "examples" / "detect_actions.py"))
    grey = np.broadcast_to(10 * np.arange(1, 17, dtype=np.uint8)[:, None, None, None], (16, 32, 64, 3))
    write_video(tmp_path / "grey.mp4", grey, fps=10)
    for column, moment, expected in (
        ("frame", "8", [4, 6, 8, 10]),
        ("timestamp", "0.8", [4, 6, 8, 10]),
        ("frame", "0", [0, 0, 0, 2]),
        ("frame", "15", [11, 13, 15, 15]),
    ):
        key = example["KeyFrame"]("grey.mp4", column, moment, "train")
        clip = example["read_clip"](tmp_path, key, 4, 24)
        assert (clip.shape, clip.dtype) == ((3, 4, 24, 24), torch.uint8)
        shades = clip.float().mean((0, 2, 3)) / 10 - 1
        assert shades.round().tolist() == expected  # H.264 keeps flat grey within a level or two


@pytest.mark.parametrize(
    ("scores", "true", "expected"),
    [
        ([0.9, 0.8, 0.7, 0.6], [1, 0, 1, 0], (1 + 2 / 3) / 2),
        ([0.1, 0.2, 0.3], [1, 1, 0], (1 / 2 + 2 / 3) / 2),
        ([0.5], [1], 1.0),
        ([0.5, 0.4], [0, 0], None),
    ],
)
def test_average_precision_is_the_mean_precision_at_the_true_boxes(scores, true, expected):
    average_precision = runpy.run_path(str(ROOT / "examples" / "detect_actions.py"))["average_precision"]
    assert average_precision(torch.tensor(scores), torch.tensor(true).float()) == pytest.approx(expected)


COLUMNS = "video,frame,x1,y1,x2,y2,label,split"
HEADER = "{list} has no NAME; allowed: rows under a header video,frame,x1,y1,x2,y2,label"
LABEL = "; allowed: train or val, and a name"
FRACTIONS = "; allowed: fractions, 0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1"
NONE_LEFT = "none of the key frames to train on can be read; first: cannot decode {folder}/"
MOMENT = "; allowed: a number, at least 0"
GOOD = "0.mp4,8,0.1,0.2,0.3,0.4,bright,train"
BAD_LISTS = [
    ("", "", HEADER.replace("NAME", "video")),
    (COLUMNS.replace("y2,", ""), GOOD, HEADER.replace("NAME", "y2")),
    (COLUMNS, "0.mp4,8,10,20,30,40,bright,train", f"{{list}}, row 2: box ['10', '20', '30', '40']{FRACTIONS}"),
    (COLUMNS, GOOD.replace("0.3", "wide"), f"{{list}}, row 2: box ['0.1', '0.2', 'wide', '0.4']{FRACTIONS}"),
    (COLUMNS, GOOD.replace("0.3", "nan"), f"{{list}}, row 2: box ['0.1', '0.2', 'nan', '0.4']{FRACTIONS}"),
    (COLUMNS, f"{GOOD}\n0.mp4,8,0.1", f"{{list}}, row 3: split 'train', label None{LABEL}"),
    (COLUMNS, GOOD.replace("train", "test"), f"{{list}}, row 2: split 'test', label 'bright'{LABEL}"),
    (COLUMNS, GOOD.replace("train", "val"), "{list} has no row of split train; add some"),
    (COLUMNS, GOOD.replace(",8,", ",nan,"), f"{{list}}, row 2: frame 'nan'{MOMENT}"),
    (COLUMNS, GOOD.replace(",8,", ",-1,"), f"{{list}}, row 2: frame '-1'{MOMENT}"),
    (COLUMNS, f"{GOOD}\n{GOOD.replace(',8,', ',,')}", f"{{list}}, row 3: frame ''{MOMENT}"),
    (COLUMNS, GOOD.replace(",8,", ",16,"), f"{NONE_LEFT}0.mp4: no frame 16; it has 16 frames at 8 per second"),
    (COLUMNS, GOOD.replace("0.mp4", "gone.mp4"), f"{NONE_LEFT}gone.mp4: no such file"),
    (COLUMNS, f"{GOOD.replace('train', 'val')}\ngone{GOOD}", f"{NONE_LEFT}gone0.mp4: no such file"),
]


@pytest.mark.parametrize(("header", "rows", "message"), BAD_LISTS, ids=range(len(BAD_LISTS)))
def test_the_example_refuses_a_bad_list_in_one_line(example, scenes, header, rows, message):
    folder = scenes[0][0].parent
    path = folder / "bad.csv"
    path.write_text(f"{header}\n{rows}\n")
    result = example("--list", path, "--steps", 1, "--size", 32)
    assert (result.code, result.err) == (2, f"error: {message.format(list=path, folder=folder)}\n")


def test_the_example_leaves_out_what_cannot_be_read_and_names_it(example, scenes):
    folder = scenes[0][0].parent
    (folder / "text.mp4").write_text("no video")
    path = folder / "some.csv"
    rows = [GOOD, GOOD.replace("0.mp4", "gone.mp4"), GOOD.replace(",8,", ",99,"), GOOD.replace("0.mp4", "text.mp4")]
    path.write_text("\n".join([COLUMNS, *rows, GOOD.replace("0.mp4", "1.mp4").replace("train", "val")]))
    result = example("--list", path, "--steps", 1, "--size", 32)
    assert (result.code, result.err) == (0, "")
    lines = result.out.splitlines()
    assert lines[0] == f"left out, frame 8: cannot decode {folder}/gone.mp4: no such file"
    assert (
        lines[1] == f"left out, frame 99: cannot decode {folder}/0.mp4: no frame 99; it has 16 frames at 8 per second"
    )
    assert lines[2].startswith(f"left out, frame 8: cannot decode {folder}/text.mp4: ")
    assert lines[3] == "1 key frames to train on, 1 to measure; labels: bright"


def test_the_example_shows_its_defaults(example):
    text = " ".join(example("--help").out.split())
    for default in ("--steps STEPS of 8 key frames each (default: 200)", "(default: r3d_rs_tiny)", "(default: 112)"):
        assert default in text
    assert "--frames FRAMES of a clip, 2 apart (default: 8)" in text


def test_the_example_refuses_other_bad_input(example, scenes, tmp_path):
    path = write_list(scenes[0][0].parent / "boxes.csv", scenes[:1], val=0)
    for arguments, message in (
        (("--list", tmp_path / "no.csv"), f"cannot read the list {tmp_path / 'no.csv'}: No such file or directory"),
        (("--list", path, "--steps", 0), "--steps is 0; allowed: at least 1"),
        (("--list", path, "--model", "r3d_rs_tin"), "unknown model 'r3d_rs_tin'; did you mean 'r3d_rs_tiny'?"),
    ):
        result = example(*arguments)
        assert (result.code, result.err, result.out) == (2, f"error: {message}\n", "")
    result = example("--list", path, "--steps", 1, "--size", 32, "--output", tmp_path)
    assert (result.code, result.err) == (2, f"error: cannot write {tmp_path}: Is a directory\n")
