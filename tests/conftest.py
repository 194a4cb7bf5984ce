"""Shared fixtures: small real H.264 files, and a way to call a tool as its user does."""

import runpy
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from video_rs import signals, start
from video_rs.data.encoding import write_video

ROOT = Path(__file__).parents[1]
CLASSES = ("dark", "light")


@dataclass(frozen=True)
class ToolResult:
    """Exit code and what was printed."""

    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def no_interrupts(monkeypatch):
    """Tools that are called in this process leave its Ctrl-C alone."""
    monkeypatch.setattr(start, "take_interrupts", lambda: None)
    monkeypatch.setattr(signals.Interrupts, "take", lambda self: None)


@pytest.fixture
def tool(monkeypatch, capfd):
    """``tool("train_net", *arguments)`` runs ``tools/train_net.py`` in this process."""

    def call(name, *arguments):
        path = ROOT / "tools" / f"{name}.py"
        monkeypatch.setattr(sys, "argv", [str(path), *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as caught:
            runpy.run_path(str(path), run_name="__main__")
        out, err = capfd.readouterr()
        return ToolResult(caught.value.code or 0, out, err)

    return call


def moving_square(seed, frames=12, size=48, light=False):
    """uint8 ``[T, size, size, 3]``: a square that moves over noise; the classes differ in brightness."""
    rng = np.random.default_rng(seed)
    video = rng.integers(*((140, 200) if light else (40, 100)), (frames, size, size, 3), dtype=np.uint8)
    for t in range(frames):
        left = (seed + 2 * t) % (size - 12)
        video[t, 10:22, left : left + 12] = 255
    return video


def make_videos(folder, per_class=4, **shape):
    """Writes ``folder/{train,val}/CLASS/N.mp4`` and ``folder/list.csv``; returns the list's path."""
    lines = ["path,label,split"]
    for split, count in (("train", per_class), ("val", 2)):
        for name in CLASSES:
            for i in range(count):
                path = f"{split}/{name}/{i}.mp4"
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                seed = 100 * (split == "val") + 10 * (name == "light") + i
                write_video(folder / path, moving_square(seed, light=name == "light", **shape), fps=10)
                lines.append(f"{path},{name},{split}")
    (folder / "list.csv").write_text("\n".join(lines) + "\n")
    return folder / "list.csv"


@pytest.fixture(scope="session")
def videos(tmp_path_factory):
    """A list of 8 training and 4 validation clips of two classes, 12 frames of 48 x 48 each."""
    return make_videos(tmp_path_factory.mktemp("videos"))


# A run of seconds: 4 frames of 32 x 32, batches of 4, two epochs.
TINY = {
    "MODEL.ARCH": "r3d_rs_tiny",
    "MODEL.WIDTH": "0.125",
    "DATA.NUM_WORKERS": "0",
    "DATA.NUM_FRAMES": "4",
    "DATA.TRAIN_CROP_SIZE": "32",
    "DATA.TEST_SHORT_SIDE": "40",
    "DATA.TEST_CROP_SIZE": "32",
    "TRAIN.BATCH_SIZE": "4",
    "TRAIN.EVAL_PERIOD": "1",
    "TRAIN.LOG_PERIOD": "1",
    "TEST.NUM_ENSEMBLE_VIEWS": "2",
    "SOLVER.MAX_EPOCH": "2",
    "SOLVER.WARMUP_EPOCHS": "0",
    "SOLVER.BASE_LR": "0.05",
    "DEVICE": "cpu",
}


def tiny_run(list_path, output, **changes):
    """KEY VALUE arguments of a run of seconds; ``changes`` take ``__`` for the dot."""
    keys = {**TINY, "DATA.TRAIN_LIST": list_path, "DATA.VAL_LIST": list_path, "OUTPUT_DIR": output}
    keys.update({key.replace("__", "."): value for key, value in changes.items()})
    return [str(x) for pair in keys.items() for x in pair]


@pytest.fixture(scope="session")
def hub(tmp_path_factory):
    """HF_HOME of somebody who has timm's resnetrs50 (its weights are random ones)."""
    from image_networks import write_hub

    folder = tmp_path_factory.mktemp("hub")
    write_hub(folder)
    yield folder
    shutil.rmtree(folder)  # 143 MB


@pytest.fixture(scope="session")
def config_file(tmp_path_factory):
    """An empty config: the defaults."""
    path = tmp_path_factory.mktemp("config") / "defaults.yaml"
    path.write_text("")
    return path


@pytest.fixture(scope="session")
def trained(videos, config_file, tmp_path_factory):
    """The folder of a finished tiny run."""
    from video_rs.config import load_config
    from video_rs.jobs.training import run_training

    output = tmp_path_factory.mktemp("trained") / "run"
    run_training(load_config(config_file, tiny_run(videos, output)))
    return output
