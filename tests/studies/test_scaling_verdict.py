"""What a scaling study says: strategies at equal compute, laws in words, pictures and tables."""

import dataclasses
import math
import re

import numpy as np
import pytest
from scipy import stats

from helpers.scaling import finish_all, of_compute, study_of
from video_rs.studies.intervals import Interval
from video_rs.studies.running import write_report as write_any_report
from video_rs.studies.scaling_report import pictures_of, write_report
from video_rs.studies.scaling_results import pooled_spread, read_results
from video_rs.studies.scaling_verdict import exponent_text, fits_of, verdict
from video_rs.studies.strategies import alone, best_within, budgets, compare_lines, compare_pairs, frame_size_pairs


@pytest.fixture
def grid(tmp_path, fake):
    """``grid(error_of, seeds)``: results of a grid, of three depths and three widths unless ``axes`` say otherwise."""

    def make(error_of, seeds=1, **axes):
        wanted = {"depths": "1-1-1-1,2-2-2-2,3-3-3-3", "widths": "0.125,0.25,0.5"}
        study = study_of(tmp_path, seeds, **{**wanted, **axes})
        finish_all(study, error_of)
        return read_results(study)

    return make


def test_a_strategy_grows_one_axis_from_the_smallest_point(grid):
    points = grid(of_compute(), widths="0.125,0.25", sizes="32,44", frames="4,8").points
    assert len(points) == 24
    assert [point.point.depth for point in alone(points, "depth")] == ["1-1-1-1", "2-2-2-2", "3-3-3-3"]
    assert [point.point.width for point in alone(points, "width")] == [0.125, 0.25]
    assert [point.point.size for point in alone(points, "size")] == [32, 44]
    assert [point.point.frames for point in alone(points, "frames")] == [4, 8]
    smallest = min(points, key=lambda point: point.gmac)
    assert all(alone(points, axis)[0] == smallest for axis in ("depth", "width", "size", "frames"))


def depth_wins(config, work, seed):
    """Errors of which depth takes away more than width does, with a spread between seeds."""
    blocks = config.MODEL.DEPTHS[0]
    width = config.MODEL.WIDTH
    return 0.5 - 0.1 * math.log2(blocks) - 0.02 * math.log2(width / 0.125) + 0.01 * (seed - 0.5)


def test_depth_and_width_are_compared_over_the_compute_that_both_have(grid):
    points = grid(depth_wins, seeds=2).points
    depth, width = alone(points, "depth"), alone(points, "width")
    contrast = compare_lines(depth, width, "error")

    places = np.linspace(math.log(depth[0].gmac), math.log(min(depth[-1].gmac, width[-1].gmac)), 201)
    lines = []
    for line in (depth, width):
        means = [point.mean("error") for point in line]
        lines.append(np.interp(places, np.log([point.gmac for point in line]), means))
    assert contrast.difference == pytest.approx((lines[0] - lines[1]).mean())
    assert contrast.difference < 0
    assert contrast.interval.high < 0


def test_the_interval_is_that_of_the_spread_between_seeds(grid):
    """Of pairs without common points: variances add up."""
    points = grid(depth_wins, seeds=3, depths="1-1-1-1", widths="0.25", sizes="32,44", frames="4,8").points
    [pair] = [each for each in frame_size_pairs(points) if each.frames.point.frames == 8]
    contrast = compare_pairs([pair], "error")
    spread, freedom = pooled_spread([pair.frames, pair.size], "error")
    assert freedom == 4
    expected = stats.ttest_ind(pair.frames.values("error"), pair.size.values("error")).confidence_interval()
    assert contrast.interval[1:] == pytest.approx((expected.low, expected.high))
    assert spread == pytest.approx(0.01, rel=0.01)


def test_one_seed_has_no_interval(grid):
    points = grid(depth_wins).points
    assert pooled_spread(points, "error") is None
    assert compare_lines(alone(points, "depth"), alone(points, "width"), "error").interval is None
    assert compare_lines(alone(points, "depth")[:1], alone(points, "width"), "error") is None
    assert compare_pairs([], "error") is None


def test_pairs_have_the_same_network_and_about_the_same_compute(grid):
    axes = {"depths": "1-1-1-1", "widths": "0.125,0.25", "sizes": "32,44,64", "frames": "4,8,16", "epochs": "5,20"}
    pairs = frame_size_pairs(grid(of_compute(), **axes).points)
    assert pairs
    for frames, size in pairs:
        assert frames.point.frames > size.point.frames
        assert frames.point.size < size.point.size
        assert 1 / 1.25 <= frames.gmac / size.gmac <= 1.25
        for axis in ("depth", "width", "epochs"):
            assert getattr(frames.point, axis) == getattr(size.point, axis)


def test_the_best_within_a_budget(grid):
    points = grid(lambda config, work, seed: 0.4 if work < 0.02 else 0.3 + work).points
    low, middle, high = budgets(points)
    work = [point.gmac for point in points]
    assert min(work) < low < middle < high == max(work)
    assert best_within(points, min(work) / 2, "error") is None
    best = best_within(points, high, "error")
    assert best.mean("error") == min(point.mean("error") for point in points)


def test_of_one_compute_there_is_one_budget_which_allows_it(grid):
    """The power of a logarithm may be below its number, by the last digit: then nothing would be allowed."""
    [point] = grid(of_compute(), depths="1-1-1-1", widths="0.125").points
    for gmac in np.random.default_rng(0).uniform(0.001, 500, 200):
        points = [dataclasses.replace(point, gmac=float(gmac))]
        assert budgets(points) == [gmac]
        assert best_within(points, budgets(points)[0], "error") == points[0]
    assert any(math.exp(math.log(gmac)) < gmac for gmac in np.random.default_rng(0).uniform(0.001, 500, 200))


# -- What it says.


def say(study):
    results = read_results(study)
    return verdict(results, fits_of(results))


def one(sentences, start):
    [found] = [sentence for sentence in sentences if sentence.startswith(start)]
    return found


def test_a_law_is_said_with_its_interval(tmp_path, fake):
    study = study_of(tmp_path, depths="1-1-1-1,2-2-2-2", widths="0.125,0.25,0.375,0.5", frames="4,8", epochs="20")
    finish_all(study, of_compute(-0.3))
    sentences = say(study)
    assert sentences[0] == (
        "Finished: 16 runs of 16 points of the grid, each tested on 200 videos. So few runs sketch a law; they do not "
        "establish one."
    )
    found = re.match(
        r"All points, 20 epochs: the error goes as compute to the power (\S+) \((\S+) to (\S+)\) "
        r"\(16 runs of 16 computes\); no break "
        r"\(the corrected Akaike criterion prefers the straight law by [\d.]+\)\.$",
        one(sentences, "All points"),
    )
    # Errors are counted in videos of 200.
    value, low, high = map(float, found.groups())
    assert value == pytest.approx(-0.3, abs=0.02)
    assert low <= -0.3 <= high
    assert "a break cannot be told from so few runs." in one(sentences, "Width alone")
    assert one(sentences, "Depth alone") == (
        "Depth alone, 20 epochs: no fit: 2 different computes, and a power law wants 4 at least."
    )


def test_a_break_is_said(tmp_path, fake):
    def error_of(config, work, seed):
        away = math.log(work / 0.02)
        return 0.15 * math.exp(-0.4 * away if away < 0 else -0.05 * away)

    study = study_of(tmp_path, depths="1-1-1-1,2-2-2-2,4-4-4-4", widths="0.125,0.25,0.375,0.5", frames="4,8")
    finish_all(study, error_of)
    sentence = one(say(study), "All points")
    found = re.search(r"up to a break at (\S+) GMAC \(", sentence)
    assert float(found[1]) == pytest.approx(0.02, rel=0.2)
    assert "the corrected Akaike criterion prefers the break by" in sentence


@pytest.mark.parametrize("error", [0.0, 0.005])
def test_no_error_left_is_no_fit_and_the_table_is_there(tmp_path, fake, error):
    study = study_of(tmp_path, widths="0.125,0.25,0.375,0.5")
    finish_all(study, lambda config, work, seed: error if config.MODEL.WIDTH == 0.5 else 0.2)
    lines = write_report(study, {})
    assert one(lines, "No power law") == (
        f"No power law is fitted: the best run errs by {100 * error:.2f} %, and below 1 % there is no error left to "
        "fit; give --measure cross_entropy, or take a harder task (fewer training videos, more or more similar "
        "classes, smaller clips)."
    )
    assert not any("to the power" in line for line in lines)
    assert (study.folder / "table.csv").read_text().count("\n") == 5
    assert "No power law is fitted" in (study.folder / "report.html").read_text()


def test_the_cross_entropy_is_fitted_where_it_is_asked_for(tmp_path, fake):
    study = study_of(tmp_path, measure="cross_entropy", widths="0.125,0.25,0.375,0.5")
    finish_all(study, lambda config, work, seed: 0.0)
    sentences = say(study)
    assert "the cross-entropy goes as compute to the power 0.00" in one(sentences, "Width alone")
    assert not any("No power law" in sentence for sentence in sentences)


def test_which_strategy_won_at_short_and_at_long_training(tmp_path, fake):
    def error_of(config, work, seed):
        blocks, width = math.log2(config.MODEL.DEPTHS[0]), math.log2(config.MODEL.WIDTH / 0.125)
        gains = (0.0, 0.1) if config.SOLVER.MAX_EPOCH == 5 else (0.15, 0.001)
        return 0.5 - gains[0] * blocks - gains[1] * width + 0.01 * seed

    study = study_of(tmp_path, 2, depths="1-1-1-1,2-2-2-2", widths="0.125,0.25,0.5", epochs="5,20")
    finish_all(study, error_of)
    sentences = say(study)
    assert re.match(
        r"In 5 epochs, width was better than depth by [\d.]+ points of error from \S+ to \S+ GMAC, beyond the spread "
        r"between seeds \([\d.]+ points to [\d.]+ points\)\.",
        one(sentences, "In 5 epochs"),
    )
    assert "depth was better than width" in one(sentences, "In 20 epochs")


def test_a_difference_within_the_spread_is_none(tmp_path, fake):
    study = study_of(tmp_path, 2, depths="1-1-1-1,2-2-2-2", widths="0.125,0.25")
    finish_all(study, lambda config, work, seed: 0.2 + 0.1 * seed + 0.01 * (config.MODEL.WIDTH == 0.25))
    sentences = say(study)
    assert "within the spread between seeds (-" in one(sentences, "In 350 epochs")
    assert "no difference is shown." in one(sentences, "In 350 epochs")
    assert one(sentences, "The grid has one length")
    assert one(sentences, "More frames or larger ones: no two points")


def test_seeds_that_agree_show_no_spread(tmp_path, fake):
    study = study_of(tmp_path, 2, depths="1-1-1-1,2-2-2-2", widths="0.125,0.25")
    finish_all(study, lambda config, work, seed: 0.2 - 0.05 * (config.MODEL.WIDTH == 0.25))
    assert re.match(
        r"In 350 epochs, width was better than depth by [\d.]+ points of error from \S+ to \S+ GMAC; all seeds of a "
        r"point gave the same, which shows no spread, and this may be chance\.$",
        one(say(study), "In 350 epochs"),
    )


@pytest.mark.parametrize("seeds", [1, 3])
def test_where_all_err_alike_nothing_is_better(tmp_path, fake, seeds):
    """Of three seeds, the mean of equal numbers may differ from them in its last digit."""
    study = study_of(tmp_path, seeds, depths="1-1-1-1,2-2-2-2", widths="0.125,0.25", sizes="32,44", frames="4,8")
    finish_all(study, lambda config, work, seed: 0.3)
    sentences = say(study)
    assert re.match(
        r"In 350 epochs, depth and width had the same error from \S+ to \S+ GMAC\.$", one(sentences, "In 350 epochs")
    )
    assert re.match(
        r"In 4 pairs of equal compute, more frames were better in 0; on average more frames and larger frames had the "
        r"same error from \S+ to \S+ GMAC\.$",
        one(sentences, "In 4 pairs"),
    )
    assert "to the power 0.00 (0.00 to 0.00)" in one(sentences, "All points")


def test_a_zero_has_no_sign():
    assert exponent_text(Interval(-0.001, -0.0049, 0.001)) == "0.00 (0.00 to 0.00)"
    assert exponent_text(Interval(-0.3, -0.5, -0.1)) == "-0.30 (-0.50 to -0.10)"


def test_one_point_is_reported(tmp_path, fake):
    study = study_of(tmp_path, widths="0.125")
    finish_all(study, of_compute())
    lines = write_report(study, {})
    assert one(lines, "Finished: 1 run of 1 point of the grid, each tested on 200 videos.")
    assert one(lines, "All points") == ("All points, 350 epochs: no fit: 1 compute, and a power law wants 4 at least.")
    page = (study.folder / "report.html").read_text()
    assert "At the budget of the grid" in page
    assert page.count("below its smallest network") == 1
    assert "Its error" in page


def test_a_picture_without_a_law_says_why(tmp_path, fake):
    study = study_of(tmp_path, widths="0.125,0.25,0.375,0.5,0.75")
    finish_all(study, lambda config, work, seed: 0.0 if config.MODEL.WIDTH == 0.75 else 0.2)
    results = read_results(study)
    figure = pictures_of(results, fits_of(results))["scaling"].figure
    notes = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert notes == ["no fit: too little error"] * 2


def test_frames_against_resolution_in_words(tmp_path, fake):
    study = study_of(tmp_path, widths="0.125,0.25", sizes="32,44", frames="4,8")
    finish_all(study, lambda config, work, seed: 0.3 - 0.02 * (config.DATA.NUM_FRAMES == 8))
    sentence = one(say(study), "In 2 pairs")
    assert re.match(
        r"In 2 pairs of equal compute, more frames were better in 2; on average more frames were better than larger "
        r"frames by 2.0 points of error from \S+ to \S+ GMAC; with one seed a point the spread is not known, and this "
        r"may be chance\.$",
        sentence,
    )
    assert "In 350 epochs, depth and width cannot be compared" in "".join(say(study))


def test_the_report_has_pictures_and_tables(tmp_path, fake):
    study = study_of(
        tmp_path, depths="1-1-1-1,2-2-2-2", widths="0.125,0.25", sizes="32,44", frames="4,8", epochs="5,20"
    )
    finish_all(study, of_compute())
    lines = write_report(study, {"some-run": "exit code 1: no"})
    assert lines[0].splitlines()[0].split()[:2] == ["Point", "GMAC"]
    assert lines[-1] == f"report: {study.folder / 'report.html'}"
    for name in ("scaling", "depth_width", "resolution_frames"):
        assert (study.folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    page = (study.folder / "report.html").read_text()
    assert page.count("<figure") == 3
    for text in ("Points", "Power laws", "At three budgets", "exit code 1: no", "r3d_rs_tiny, width 0.125, "):
        assert text in page


def test_a_study_that_is_half_done_is_reported(tmp_path, fake):
    study = study_of(tmp_path, widths="0.125,0.25,0.5")
    write_any_report(study, {})
    assert not (study.folder / "report.html").exists()
    finish_all(study, of_compute())
    for run in study.runs[1:]:
        (study.run_folder(run) / "done.json").unlink()
    write_any_report(study, {})
    assert "Finished: 1 run of 1 point" in (study.folder / "report.html").read_text()
