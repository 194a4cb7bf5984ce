"""Studies of runs of seconds."""

import pytest

from helpers.benchmarks import pids, quick
from helpers.runs import tiny_run
from helpers.scaling import FakeMeasure
from video_rs.config import load_config
from video_rs.studies import latency
from video_rs.studies.study import Study, StudyRun, keys_of

__all__ = ["make_study", "pids", "quick"]


@pytest.fixture
def make_study(videos, config_file, tmp_path):
    """``make_study(name, rows, **keys)``: a study with a run for each of ``rows``, which are row -> more keys."""

    def make(name, rows, **keys):
        runs = []
        for row, more in rows.items():
            config = load_config(config_file, tiny_run(videos, tmp_path, **{**keys, **more}))
            runs.append(StudyRun(row, 0, keys_of(config)))
        study = Study(tmp_path / name, "additive", {"rows": list(rows)}, 1, tuple(runs))
        study.save()
        return study

    return make


@pytest.fixture
def fake(monkeypatch):
    """Latencies that nothing measures."""
    measure = FakeMeasure()
    monkeypatch.setattr(latency, "measure", measure)
    return measure
