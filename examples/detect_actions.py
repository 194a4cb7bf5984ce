"""Actions in given boxes, AVA style: train an ActionDetector on key frames, then measure and show what it answers.

    python examples/detect_actions.py --list boxes.csv [--steps 200] [--output answers.json]

The list is a CSV with a header. A row is one label of one box at one key frame; several rows of a box are its labels:

    video,frame,x1,y1,x2,y2,label,split
    clips/0001.mp4,25,0.10,0.20,0.45,0.90,walk,train

Videos are relative to the list, boxes are fractions of the frame's width and height (ActionDetector takes pixels of the
clip: answer() makes them), and a column `timestamp` (seconds) may stand for `frame`. `split` is optional: rows of `val`
are measured; without any, the boxes trained on are. A key frame that cannot be read is named and left out. Each clip is
decoded once and kept: 3 * frames * size * size bytes for every key frame.
"""

import argparse
import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, interpolate

from video_rs import create_backbone
from video_rs.models.detection import ActionDetector
from video_rs.models.fast import speed_up
from video_rs.runtime import cli
from video_rs.runtime.atomic import write_json
from video_rs.runtime.errors import InputError
from video_rs.video import DecodeError, open_video

STRIDE = 2  # frames of the video from one frame of a clip to the next
BATCH = 8  # key frames of a step
RATE = 2e-3  # AdamW's highest learning rate

Box = tuple[float, float, float, float]  # x1, y1, x2, y2 in [0, 1]


class KeyFrame(NamedTuple):
    """A moment of a video, as the list names it."""

    video: str
    column: str  # "frame" or "timestamp"
    moment: str
    split: str


class Sample(NamedTuple):
    """A key frame with its clip and its boxes."""

    key: KeyFrame
    clip: Tensor  # uint8 [3, T, S, S]
    boxes: dict[Box, set[str]]  # the labels of each box


def read_list(path: Path) -> dict[KeyFrame, dict[Box, set[str]]]:
    """The labels of every box of every key frame."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot read the list {path}: {getattr(error, 'strerror', None) or error}") from error
    columns = rows[0].keys() if rows else ()
    column = "frame" if "frame" in columns else "timestamp"
    missing = [name for name in ("video", column, "x1", "y1", "x2", "y2", "label") if name not in columns]
    if missing:
        raise InputError(f"{path} has no {missing[0]}; allowed: rows under a header video,frame,x1,y1,x2,y2,label")
    found: dict[KeyFrame, dict[Box, set[str]]] = {}
    for line, row in enumerate(rows, 2):
        split, where = row.get("split") or "train", f"{path}, row {line}"
        if split not in ("train", "val") or not row["label"]:
            raise InputError(f"{where}: split {split!r}, label {row['label']!r}; allowed: train or val, and a name")
        if not is_moment(row[column]):
            raise InputError(f"{where}: {column} {row[column]!r}; allowed: a number, at least 0")
        boxes = found.setdefault(KeyFrame(row["video"], column, row[column], split), {})
        boxes.setdefault(read_box(row, where), set()).add(row["label"])
    return found


def is_moment(text: str) -> bool:
    """Whether a frame's number, or a time in seconds."""
    try:
        return 0 <= float(text) < math.inf
    except (TypeError, ValueError):
        return False


def read_box(row: dict[str, str], where: str) -> Box:
    """A row's box, checked."""
    texts = [row[name] for name in ("x1", "y1", "x2", "y2")]
    try:
        x1, y1, x2, y2 = map(float, texts)
    except (TypeError, ValueError):
        x1 = y1 = x2 = y2 = -1.0
    if not (0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1):
        raise InputError(f"{where}: box {texts}; allowed: fractions, 0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1")
    return x1, y1, x2, y2


def read_clip(folder: Path, key: KeyFrame, frames: int, size: int) -> Tensor:
    """The clip around a key frame, uint8 ``[3, frames, size, size]``; the video's end frames stand beyond its ends.

    The whole frame is squeezed to a square, so that no box leaves the clip. DecodeError: there is no such frame.
    """
    with open_video(folder / key.video) as video:
        index = round(float(key.moment) * (video.fps if key.column == "timestamp" else 1))
        if index >= video.num_frames:
            has = f"{video.num_frames} frames at {video.fps:g} per second"
            raise DecodeError(folder / key.video, f"no {key.column} {key.moment}; it has {has}")
        indices = index + STRIDE * (torch.arange(frames) - frames // 2)
        pixels = video.frames(indices.clamp(0, video.num_frames - 1))
    small = interpolate(pixels.permute(0, 3, 1, 2).float(), (size, size), mode="bilinear", antialias=True)
    return small.round().clamp(0, 255).byte().transpose(0, 1)


def read_samples(found: dict[KeyFrame, dict[Box, set[str]]], folder: Path, frames: int, size: int) -> list[Sample]:
    """What can be read, in the list's order; what cannot is named.

    Raises:
        InputError: not one key frame to train on can be read.
    """
    samples, failures = [], []
    for key, boxes in found.items():
        try:
            samples.append(Sample(key, read_clip(folder, key, frames, size), boxes))
        except DecodeError as error:
            failures.append(str(error))
            print(f"left out, {key.column} {key.moment}: {error}", flush=True)
    if all(sample.key.split != "train" for sample in samples):
        raise InputError(f"none of the key frames to train on can be read; first: {failures[0]}")
    return samples


def answer(detector: ActionDetector, samples: Sequence[Sample]) -> Tensor:
    """Logits ``[boxes, labels]`` on the CPU; clips go in as floats in [0, 1], boxes in pixels."""
    clips = torch.stack([sample.clip for sample in samples]).to(detector.fc.weight.device) / 255
    return detector(clips, [torch.tensor(list(sample.boxes)) * clips.shape[-1] for sample in samples]).cpu()


def truth(samples: Sequence[Sample], labels: Sequence[str]) -> Tensor:
    """Float ``[boxes, labels]``: 1 where the box has the label."""
    return torch.tensor([[float(name in own) for name in labels] for s in samples for own in s.boxes.values()])


def train(detector: ActionDetector, samples: Sequence[Sample], labels: Sequence[str], steps: int) -> list[float]:
    """Trains in place with binary cross-entropy; returns the loss of every step."""
    optimizer = torch.optim.AdamW(detector.parameters(), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, steps + 1)
    generator = torch.Generator().manual_seed(0)
    losses, every = [], max(1, steps // 10)
    detector.train()
    for step in range(1, steps + 1):
        batch = [samples[i] for i in torch.randperm(len(samples), generator=generator)[:BATCH]]
        loss = binary_cross_entropy_with_logits(answer(detector, batch), truth(batch, labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        if step % every == 0:
            print(f"step {step:4d}  loss {sum(losses[-every:]) / every:.4f}", flush=True)
    return losses


def average_precision(scores: Tensor, true: Tensor) -> float | None:
    """Mean precision over the ranks of the true boxes (both ``[N]``), best score first; None where none is true."""
    hits = true[scores.argsort(descending=True, stable=True)]
    precision = hits.cumsum(0) / torch.arange(1, len(hits) + 1)
    return float(precision[hits > 0].mean()) if hits.any() else None


def measure(detector: ActionDetector, samples: Sequence[Sample], labels: Sequence[str]) -> dict:
    """Plain data: the average precision of each label, and every box with its labels and their probabilities."""
    detector.eval()
    with torch.no_grad():
        scores = torch.cat([answer(detector, [sample]).sigmoid() for sample in samples])
    true = truth(samples, labels)
    precisions = {name: average_precision(scores[:, i], true[:, i]) for i, name in enumerate(labels)}
    boxes = [{**s.key._asdict(), "box": box, "labels": sorted(own)} for s in samples for box, own in s.boxes.items()]
    for box, row in zip(boxes, scores.tolist(), strict=True):
        box["scores"] = dict(zip(labels, row, strict=True))
    return {"average_precision": precisions, "boxes": boxes}


def show(precisions: dict[str, float | None], boxes: Sequence[dict]) -> None:
    """Prints the average precision of each label and the first five boxes."""
    for name, value in precisions.items():
        count = sum(name in box["labels"] for box in boxes)
        print(f"AP {'none ' if value is None else f'{value:.3f}'}  {name} ({count} of {len(boxes)} boxes)")
    for box in boxes[:5]:
        scores = ", ".join(f"{name} {score:.2f}" for name, score in box["scores"].items())
        place = f"{box['video']} {box['column']} {box['moment']} {list(box['box'])}"
        print(f"{place}: {scores} (is {', '.join(box['labels'])})")


def write(path: Path, result: dict) -> None:
    """Writes JSON; a path that cannot be written is the user's to mend."""
    try:
        write_json(path, result)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error


def main() -> None:
    """Parses the command line, trains, measures, and shows some boxes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", type=Path, required=True, help="a CSV of boxes, as above")
    parser.add_argument("--steps", type=int, default=200, help=f"of {BATCH} key frames each (default: %(default)s)")
    parser.add_argument("--model", default="r3d_rs_tiny", help="one of list_models() (default: %(default)s)")
    parser.add_argument("--frames", type=int, default=8, help=f"of a clip, {STRIDE} apart (default: %(default)s)")
    parser.add_argument("--size", type=int, default=112, help="pixels of a side (default: %(default)s)")
    parser.add_argument("--output", type=Path, help="JSON to write: losses, average precision, answers (default: none)")
    args = parser.parse_args()
    for name in ("steps", "frames", "size"):
        if getattr(args, name) < 1:
            raise InputError(f"--{name} is {getattr(args, name)}; allowed: at least 1")

    found = read_list(args.list)
    if all(key.split != "train" for key in found):
        raise InputError(f"{args.list} has no row of split train; add some")
    labels = sorted({label for boxes in found.values() for own in boxes.values() for label in own})
    torch.manual_seed(0)
    # A batch norm that keeps the last batch's statistics (the published recipe) would need an average of the weights.
    backbone = speed_up(create_backbone(args.model, ("res5",), res5_dilation=2, norm_momentum=0.1))
    detector = ActionDetector(backbone, len(labels)).to("cuda" if torch.cuda.is_available() else "cpu")
    samples = read_samples(found, args.list.parent, args.frames, args.size)
    training = [sample for sample in samples if sample.key.split == "train"]
    measured = [sample for sample in samples if sample.key.split == "val"] or training
    print(f"{len(training)} key frames to train on, {len(measured)} to measure; labels: {', '.join(labels)}")
    losses = train(detector, training, labels, args.steps)
    result = measure(detector, measured, labels)
    show(result["average_precision"], result["boxes"])
    if args.output:
        write(args.output, {"losses": losses, **result})


if __name__ == "__main__":
    cli.run(main)
