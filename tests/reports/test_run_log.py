"""The run log: what was written is read back by somebody else's parser and compared."""

import json
import math
import time

import numpy as np
import pytest
import torch

from video_rs.reports import RunLog, curves, read_log
from video_rs.runtime.errors import InputError


def strict(line):
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(line, parse_constant=refuse)


def scalars(folder, tag):
    """(step, value) pairs of a tag as TensorBoard itself reads them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(tag)] if tag in events.Tags()["scalars"] else []


def test_every_line_is_on_disk_at_once_and_strict_json(tmp_path):
    with RunLog(tmp_path / "run") as log:
        log.train(1, 0.5, loss=float("nan"), lr=float("inf"), grad_norm=-math.inf, top1=torch.tensor(0.25), failed=0)
        log.validation(1, 0.5, loss=np.float32(1.5), top1=None)
        log.event("failed_video", "no video stream", video=tmp_path / "ä <b>.mp4", lengths=(1, np.int64(2)))
        log.event("stop", "SIGTERM", step=7)
        lines = [strict(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    times = [line.pop("time") for line in lines]
    assert times == sorted(times)
    assert times[0] > 1.7e9
    infinite = {"loss": "NaN", "lr": "Infinity", "grad_norm": "-Infinity"}
    failure = {"video": str(tmp_path / "ä <b>.mp4"), "lengths": [1, 2]}
    assert lines == [
        {"kind": "train", "step": 1, "epoch": 0.5, **infinite, "top1": 0.25, "failed": 0},
        {"kind": "validation", "step": 1, "epoch": 0.5, "loss": 1.5, "top1": None},
        {"kind": "event", "step": 1, "event": "failed_video", "message": "no video stream", **failure},
        {"kind": "event", "step": 7, "event": "stop", "message": "SIGTERM"},
    ]


def test_read_log_gives_the_floats_back_but_leaves_words_alone(tmp_path):
    with RunLog(tmp_path) as log:
        log.train(3, 1, loss=math.nan, lr=-math.inf, top1=0.1)
        log.event("NaN", "NaN")
    train, event = read_log(tmp_path / "log.jsonl")
    assert math.isnan(train["loss"])
    assert (train["lr"], train["top1"]) == (-math.inf, 0.1)
    assert (event["event"], event["message"]) == ("NaN", "NaN")


def test_resume_drops_the_steps_after_the_checkpoint_everywhere(tmp_path):
    with RunLog(tmp_path) as log:
        for step in (10, 20, 30):
            log.train(step, step / 10, loss=float(step))
            log.validation(step, step / 10, top1=step / 100)
            log.event("note", f"at {step}")
    time.sleep(1.1)  # TensorBoard orders its files by the second of their names, and no real run resumes within one
    with RunLog(tmp_path, resume_step=20) as log:
        log.event("resume", "from step 20")
        log.train(30, 3.0, loss=300.0)
        log.train(40, 4.0, loss=400.0)
    records = read_log(tmp_path / "log.jsonl")
    seen = [(record["kind"], record["step"]) for record in records]
    kept = [(kind, step) for step in (10, 20) for kind in ("train", "validation", "event")]
    assert seen == [*kept, ("event", 20), ("train", 30), ("train", 40)]
    assert curves.series(records, "train", "loss") == ([10, 20, 30, 40], [10.0, 20.0, 300.0, 400.0])
    assert scalars(tmp_path, "train/loss") == [(10, 10.0), (20, 20.0), (30, 300.0), (40, 400.0)]
    assert [step for step, _ in scalars(tmp_path, "validation/top1")] == [10, 20]
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".tmp"] == []


def test_a_new_run_replaces_the_log_of_an_older_one(tmp_path):
    for loss in (1.0, 2.0):
        with RunLog(tmp_path) as log:
            log.train(1, 0.1, loss=loss, epoch_seconds=3)
    assert [record["loss"] for record in read_log(tmp_path / "log.jsonl")] == [2.0]
    assert len(list((tmp_path / "tensorboard").iterdir())) == 1
    assert scalars(tmp_path, "train/loss") == [(1, 2.0)]
    assert scalars(tmp_path, "train/epoch_seconds") == [(1, 3.0)]
    assert scalars(tmp_path, "train/epoch") == [(1, pytest.approx(0.1, rel=1e-6))]  # TensorBoard stores float32


@pytest.mark.parametrize("torn", [b'{"kind": "train", "st', b'{"kind": "event", "message": "\xc3', b"17", b"\0\0\0"])
def test_a_torn_last_line_is_left_out_and_gone_after_resume(tmp_path, torn):
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"kind": "train", "step": 1, "loss": 0.5}\n' + torn)
    assert read_log(path) == [{"kind": "train", "step": 1, "loss": 0.5}]
    with RunLog(tmp_path, resume_step=1) as log:
        log.train(2, 0.2, loss=0.25)
    assert [strict(line)["loss"] for line in path.read_text().splitlines()] == [0.5, 0.25]


def test_a_broken_line_in_the_middle_is_refused_by_number(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"kind": "train"}\n{"kind"\n{"kind": "train"}\n')
    with pytest.raises(InputError, match=r"log\.jsonl: line 2 of 3 is not a JSON object"):
        read_log(path)
    with pytest.raises(InputError, match=r"none\.jsonl: there is no such run log"):
        read_log(tmp_path / "none.jsonl")


def test_reserved_names_are_our_own_mistake(tmp_path):
    with RunLog(tmp_path) as log, pytest.raises(AssertionError, match="reserved"):
        log.train(1, 0.1, time=3.0)
