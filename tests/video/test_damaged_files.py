"""Training and checking go on whatever is in the files, and whatever a decoder does with them."""

import json
import os
import subprocess
import sys
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
import torch

from helpers.clips import clip_spec, train_transform
from helpers.damage import WAYS, write_damaged
from helpers.runs import tiny_run
from helpers.tools import ROOT
from helpers.videos import make_videos, moving_square
from video_rs.curation.doctor.check import run_check
from video_rs.curation.doctor.options import CheckOptions
from video_rs.data.dataset import ClipReader, VideoSource
from video_rs.data.loader import ClipLoader, Workers
from video_rs.data.order import ClipOrder, Partition, permutation
from video_rs.lists.records import read_records
from video_rs.video.encoding import write_video

FORMATS = {"a.mp4": "libx264", "b.mkv": "libx264", "c.avi": "mpeg4", "d.webm": "libvpx-vp9", "e.ts": "mpeg2video"}


@pytest.fixture(scope="module")
def damaged(tmp_path_factory):
    """60 files, twelve of each format."""
    folder = tmp_path_factory.mktemp("damaged")
    for seed, (name, codec) in enumerate(FORMATS.items()):
        write_video(folder / name, moving_square(seed, frames=20), fps=25, codec=codec)
    return write_damaged([folder / name for name in FORMATS], folder / "files", 60)


def test_the_same_seed_damages_alike(damaged, tmp_path):
    again = write_damaged([damaged.parent.parent / name for name in FORMATS], tmp_path, 60)
    assert again.read_text() == damaged.read_text()
    names = [line.split(",") for line in damaged.read_text().splitlines()[1:]]
    assert {way for _, way in names} == {way.__name__ for way in WAYS}
    for name, _ in names:
        assert (tmp_path / name).read_bytes() == (damaged.parent / name).read_bytes()


def test_every_damaged_file_is_read_or_named_with_a_reason(damaged):
    records = read_records(damaged).records
    read = ClipReader(clip_spec(8, 2), train_transform(crop_size=16), VideoSource(), 0)
    order = ClipOrder(partial(permutation, seed=0, num_samples=60), 60, 4, 1, Partition(), 0, 15)
    batches = list(ClipLoader(records, read, order, Workers(2, time_limit=10)))
    failures = dict(failure for batch in batches for failure in batch.failures)
    assert sum(batch.size for batch in batches) == 60
    assert sum(len(batch.labels) for batch in batches) + len(failures) == 60
    assert set(failures) <= {record.path for record in records}
    assert all(failures.values())
    assert 10 < len(failures) < 60
    # What one process says of a file, another says too.
    for record in records[::7]:
        [sample] = read(record, 0, 0)
        assert (sample.error is None) == (record.path not in failures) or "frame" in (sample.error or "frame")


def test_the_doctor_finds_what_a_full_decode_finds(damaged, tmp_path):
    found = run_check(CheckOptions((str(damaged),), str(tmp_path), depth="all", processes=2, time_limit=10))
    kinds = Counter(finding.kind for finding in found.quarantined.values())
    assert set(kinds) <= {"truncated", "unreadable", "damaged", "empty", "conflict"}
    data = json.loads((tmp_path / "check.json").read_text())
    assert len(data["files"]) == 60
    assert all(facts["reason"] for facts in data["files"].values() if facts["kind"] != "ok")
    # What is kept can be read to its last frame.
    read = ClipReader(clip_spec(20, 1), train_transform(crop_size=16), VideoSource(), 0)
    for record in read_records(tmp_path / "clean.csv").records:
        [sample] = read(record, 0, 0)
        assert sample.error is None


HANG_AND_CRASH = """
import ctypes, os, signal
import video_rs.video.readers.pyav as pyav
start = pyav.PyAVReader.__init__
def init(self, path, index):
    if path.endswith("train/light/1.mp4"): ctypes.PyDLL(None).pause()
    if path.endswith("train/dark/2.mp4"): os.kill(os.getpid(), signal.SIGSEGV)
    start(self, path, index)
pyav.PyAVReader.__init__ = init
"""


def test_a_hung_and_a_crashed_decoder_are_counted_and_training_goes_on(tmp_path):
    """The hang holds the interpreter's lock, as C code may: no thread of that process could end it."""
    videos = make_videos(tmp_path)
    (tmp_path / "sitecustomize.py").write_text(HANG_AND_CRASH)
    keys = tiny_run(
        videos,
        tmp_path / "run",
        DATA__NUM_WORKERS=2,
        DATA__TIME_LIMIT=3,
        DATA__MAX_FAILED_SHARE=1,
        SOLVER__MAX_EPOCH=2,
    )
    (tmp_path / "empty.yaml").write_text("")
    command = [sys.executable, str(ROOT / "tools" / "train_net.py"), "--cfg", str(tmp_path / "empty.yaml"), *keys]
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    hung = f"cannot read {tmp_path}/train/light/1.mp4: not read within 3 s; its process was stopped"
    crashed = f"cannot read {tmp_path}/train/dark/2.mp4: its reading process died of SIGSEGV"
    lines = done.stdout.splitlines()
    assert lines.count(hung) == lines.count(crashed) == 1
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert sum(line["failed"] for line in log if line["kind"] == "train") == 4  # two videos, twice each
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["failed"] == 0
    assert torch.load(tmp_path / "run" / "checkpoints" / "last.pth", weights_only=True)["step"] == 4
    assert Path(videos).exists()
