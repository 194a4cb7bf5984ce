"""Shared fixtures: small real H.264 files, and a way to call a tool as its user does."""

import runpy
import shutil
import signal
import sys

import pytest
import torch

from helpers import charts, gpu
from helpers.image_networks import write_hub
from helpers.runs import tiny_run
from helpers.tools import ToolResult, script
from helpers.videos import make_videos
from video_rs.runtime import signals, start


def pytest_addoption(parser):
    parser.addoption("--no-skips", action="store_true", help="a test that is skipped is a failure")
    parser.addoption(
        gpu.OPTION, choices=("cuda", "cpu"), help="what tests of a GPU compute on; without a GPU they are skipped"
    )


def pytest_collection_modifyitems(config, items):
    """Skip the tests that are marked ``gpu`` where there is none."""
    reason = gpu.reason_to_skip(config.getoption("device"))
    for item in items:
        if reason and item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    """Turn a skip into a failure where all that a test needs has been installed for it."""
    report = yield
    if report.skipped and item.config.getoption("no_skips") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped: {report.longrepr[2]}"
    return report


@pytest.fixture(autouse=True)
def no_interrupts(monkeypatch):
    """Tools that are called in this process leave its Ctrl-C alone, and its other signals as they were."""
    monkeypatch.setattr(start, "take_interrupts", lambda: None)
    monkeypatch.setattr(signals.Interrupts, "start", lambda self: None)
    before = {kind: signal.getsignal(kind) for kind in signals.STOPPING}
    yield
    for kind, handler in before.items():
        if signal.getsignal(kind) != handler:
            signal.signal(kind, handler)


@pytest.fixture
def tool(monkeypatch, capfd):
    """``tool("train_net", *arguments)`` runs ``tools/train_net.py`` in this process."""

    def call(name, *arguments):
        path = script(name)
        monkeypatch.setattr(sys, "argv", [str(path), *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as caught:
            runpy.run_path(str(path), run_name="__main__")
        out, err = capfd.readouterr()
        return ToolResult(caught.value.code or 0, out, err)

    return call


@pytest.fixture(scope="session")
def device(request):
    """What tests of a GPU compute on."""
    return torch.device(request.config.getoption("device") or "cuda")


@pytest.fixture
def blank_charts():
    """Reports that are written in this process are without drawn charts, see :mod:`helpers.charts`."""
    with charts.blank_charts():
        yield


@pytest.fixture(scope="session")
def videos(tmp_path_factory):
    """A list of 8 training and 4 validation clips of two classes, 12 frames of 48 x 48 each."""
    return make_videos(tmp_path_factory.mktemp("videos"))


@pytest.fixture(scope="session")
def hub(tmp_path_factory):
    """HF_HOME of somebody who has timm's resnetrs50 (its weights are random ones)."""
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
    from video_rs.runs.train import run_training

    output = tmp_path_factory.mktemp("trained") / "run"
    run_training(load_config(config_file, tiny_run(videos, output)))
    return output
