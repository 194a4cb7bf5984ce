"""How long the runs of a study take: by networks that were tried, and by runs that have ended."""

import pytest

from helpers.studies import finish
from video_rs.studies import budget
from video_rs.studies.budget import measure_budget
from video_rs.studies.probing import Speed
from video_rs.studies.rates import fit_rates
from video_rs.studies.work import Work


def work(clips, gmac, views=0):
    """Three times the multiply-adds for a clip that is trained on: with 3 views of one, a clip more."""
    return Work(1, clips, views, gmac, gmac, 5)


def test_clips_and_multiply_adds_take_their_time():
    """0.01 s a clip, and 0.5 s for 10^9 multiply-adds; 60 views pass as 20 clips do."""
    works = [work(100, 0.01), work(50, 0.04, views=60), work(80, 0.2)]
    seconds = [100 * 0.01 + 3.0 * 0.5, 70 * 0.01 + 210 * 0.04 * 0.5, 80 * 0.01 + 48 * 0.5]
    rates = fit_rates(works, seconds)
    assert (rates.clip, rates.gmac) == pytest.approx((0.01, 0.5))
    assert rates.seconds(work(10, 1.0, views=3)) == pytest.approx(11 * 0.01 + 33 * 0.5)


def test_no_work_takes_less_than_no_time():
    """Ten times the multiply-adds at twenty times the time: clips alone would give some back."""
    rates = fit_rates([work(100, 0.01), work(100, 0.1)], [1.0, 20.0])
    assert rates.clip == 0
    assert 1 / 3 < rates.gmac < 20 / 30


def test_networks_of_one_size_go_by_multiply_adds():
    rates = fit_rates([work(100, 0.01), work(100, 0.014), work(300, 0.01)], [1.0, 1.4, 9.0])
    assert (rates.clip, rates.gmac) == (0, pytest.approx(1 / 3))


WIDTHS = {f"w{width}": {"MODEL__WIDTH": width, "SOLVER__MAX_STEPS": 10} for width in (0.25, 0.5, 0.125)}


def test_the_smallest_and_the_largest_network_are_tried(make_study, monkeypatch):
    """At a tenth of a second a clip whatever they are, and what their multiply-adds take."""
    study = make_study("study", WIDTHS)
    tried = {}

    def probe(study, run, jobs, processes):
        tried[run.row] = (jobs, processes)
        return Speed({"w0.125": 1 / 0.11, "w0.5": 1 / 0.18}[run.row], 5.0)

    monkeypatch.setattr(budget, "probe", probe)
    found = measure_budget(study, jobs=2)
    assert tried == {"w0.125": (2, 1), "w0.5": (2, 1)}
    small, middle, large = (found.work[f"{name}-seed0"] for name in ("w0.125", "w0.25", "w0.5"))
    each = (0.18 - 0.11) / (3 * (large.gmac - small.gmac))
    fixed = 0.11 - 3 * small.gmac * each
    expected = 5 + (middle.clips + middle.views / 3) * (fixed + 3 * middle.gmac * each)
    assert found.seconds["w0.25-seed0"] == pytest.approx(expected)
    assert found.source == "in 24 steps, w0.125 made 9.09 clips/s, w0.5 made 5.56 clips/s; others by multiply-adds"


def test_one_network_is_tried_once(make_study, monkeypatch):
    study = make_study("study", {"a": {}, "b": {"SOLVER__BASE_LR": 0.01}}, SOLVER__MAX_STEPS=10)
    monkeypatch.setattr(budget, "probe", lambda *_: Speed(8.0, 5.0))
    found = measure_budget(study, jobs=1)
    clips = found.work["a-seed0"].clips + found.work["a-seed0"].views / 3
    assert found.seconds == dict.fromkeys(("a-seed0", "b-seed0"), pytest.approx(5 + clips / 8))
    assert found.source == "in 24 steps, a made 8 clips/s; others by multiply-adds"


def test_runs_that_have_ended_say_more_than_steps(make_study, monkeypatch):
    study = make_study("study", WIDTHS)
    monkeypatch.setattr(budget, "probe", None)
    finish(study, "w0.125-seed0", ["dark"], [[1.0]], seconds=10.0)
    finish(study, "w0.5-seed0", ["dark"], [[1.0]], seconds=16.0)
    found = measure_budget(study, jobs=1)
    assert (found.seconds["w0.125-seed0"], found.seconds["w0.5-seed0"]) == (10.0, 16.0)
    small, middle, large = (found.work[f"{name}-seed0"].total for name in ("w0.125", "w0.25", "w0.5"))
    expected = 10 + 6 * (middle - small) / (large - small)
    assert found.seconds["w0.25-seed0"] == pytest.approx(expected)
    assert found.source == "as 2 runs of it took"
