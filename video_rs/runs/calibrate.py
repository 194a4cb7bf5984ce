"""Make a checkpoint's probabilities mean something: fit a temperature and a threshold on a list, and store both."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.model_selection import GroupKFold

from video_rs.builders import build_preprocessing
from video_rs.config import Config, config_from_text
from video_rs.engine.checkpoint import load_checkpoint, save_checkpoint
from video_rs.engine.metrics import VideoResult
from video_rs.evaluation import calibration
from video_rs.evaluation.calibration import Threshold
from video_rs.evaluation.classification import log_losses
from video_rs.inference.calibration import KEY
from video_rs.inference.predictor import load_classifier
from video_rs.lists.checks import require_labels
from video_rs.lists.records import RecordList, read_records
from video_rs.models.convolution_check import require_right_convolutions
from video_rs.reports import plots
from video_rs.reports.calibration_plot import reliability_plot
from video_rs.reports.text_table import text_table
from video_rs.runs.results import evaluate_records
from video_rs.runs.test import output_folder, records_to_test
from video_rs.runtime import distributed
from video_rs.runtime.atomic import replace_bytes, write_json
from video_rs.runtime.devices import pick_device
from video_rs.runtime.errors import InputError
from video_rs.runtime.progress import print_line, print_notes
from video_rs.runtime.torch_files import find_checkpoint
from video_rs.runtime.wording import pluralize
from video_rs.video.fetching import absolute_path

FOLDS = 5
FEWEST = 2  # videos that could be read: of one, any temperature is right


@dataclass(frozen=True)
class Scored:
    """The videos that a calibration is fitted on; those of no known class have no truth.

    Attributes:
        views: of each video, float32 ``[V, K]`` with temperature 1.
        truth: bool ``[N, K]``.
        groups: of each video.
        multi_label: whether a video may have several classes.
    """

    views: Sequence[np.ndarray]
    truth: np.ndarray
    groups: np.ndarray
    multi_label: bool

    @property
    def known(self) -> np.ndarray:
        """Which videos are of a class that the network knows, bool ``[N]``."""
        return self.truth.any(1)

    def part(self, places: np.ndarray) -> "Scored":
        """Return some of the videos."""
        views = [self.views[place] for place in places]
        return replace(self, views=views, truth=self.truth[places], groups=self.groups[places])

    def judged(self, temperature: float) -> tuple[np.ndarray, np.ndarray]:
        """Return how sure the network is of each video with a temperature, and whether it is right."""
        probabilities = calibration.mean_over_views(self.views, temperature, self.multi_label)
        best = probabilities.argmax(1)
        return probabilities.max(1), self.truth[np.arange(len(best)), best]

    def cross_entropy(self, temperature: float) -> np.ndarray:
        """Return the cross-entropy of each video of a known class, in nats."""
        part = self.part(np.flatnonzero(self.known))
        probabilities = calibration.mean_over_views(part.views, temperature, self.multi_label)
        return log_losses(probabilities, part.truth, self.multi_label)


@dataclass(frozen=True)
class Fit:
    """A temperature and a threshold.

    Attributes:
        temperature: divides the logits.
        threshold: for "unsure"; None where none was asked for, or none holds the precision.
    """

    temperature: float
    threshold: Threshold | None

    @classmethod
    def on(cls, videos: Scored, precision: float | None) -> "Fit":
        """Fit both on some videos."""
        known = videos.part(np.flatnonzero(videos.known))
        temperature = calibration.fit_temperature(known.views, known.truth, videos.multi_label)
        if precision is None:
            return cls(temperature, None)
        confidence, right = videos.judged(temperature)
        return cls(temperature, calibration.precision_threshold(confidence, right, precision))


def run_calibrate(
    checkpoint_path: str,
    list_path: str = "",
    precision: float | None = None,
    unknown: str = "",
    overrides: Sequence[str] = (),
) -> dict[str, Any]:
    """Fit a temperature, and a threshold where a precision is wanted, and store both in the checkpoint.

    Args:
        checkpoint_path: a .pth file of a run, or the run's folder.
        list_path: videos that the network was not trained on; empty takes the VAL_LIST of the run.
        precision: share of the answers that is to be right, in (0, 1); None: no threshold.
        unknown: a list of videos of other classes, all of which should be "unsure"; "": none.
        overrides: KEY VALUE pairs over the stored config.

    Returns:
        What calibration.json holds.

    Raises:
        InputError: bad input, or no threshold holds the precision.
    """
    _check(precision, unknown)
    path = find_checkpoint(checkpoint_path)
    checkpoint = load_checkpoint(path)
    config = config_from_text(checkpoint["config"], [*overrides, "TEST.KEEP_VIEWS", "true"])
    device = pick_device(config.DEVICE)
    distributed.join_process_group(device)

    names = checkpoint["label_names"]
    records = records_to_test(config, list_path, names, "DATA.ROOT" in overrides[::2])
    print_notes(records.notes)
    require_labels(records, config.DATA.MULTI_LABEL)
    others = None
    if unknown:
        others = read_records(unknown, require_labels=False)
    folder = output_folder(path, config, overrides, "calibration")

    model = load_classifier(checkpoint, device)
    require_right_convolutions(model, build_preprocessing(config).clip_shape(config.TEST.BATCH_SIZE))
    videos = _scored(config, model, records, others, len(names))
    content = {"list": absolute_path(records.source), **calibrate(videos, precision)}
    if distributed.rank() == 0:
        save_checkpoint(path, {**checkpoint, KEY: content}, then="calibrate again")
        write_json(folder / "calibration.json", content)
        replace_bytes(folder / "reliability.png", _picture(videos, precision))
    # No process ends before the files are there.
    distributed.barrier()
    for line in _sentences(content):
        print_line(line)
    print_line(f"stored in {path}; results: {folder / 'calibration.json'}  {folder / 'reliability.png'}")
    return content


def _check(precision: float | None, unknown: str) -> None:
    """Raise InputError for what cannot be asked."""
    if precision is not None and not 0 < precision < 1:
        raise InputError(f"--precision is {precision:g}; allowed: above 0 and below 1, such as 0.95")
    if unknown and precision is None:
        raise InputError("--unknown is for the threshold, which --precision asks for; give both, or neither")


def _scored(config: Config, model: Any, records: RecordList, others: RecordList | None, classes: int) -> Scored:
    """Return the views of all videos that could be read, with what is true of them."""
    preprocessing = build_preprocessing(config)
    results = _readable(evaluate_records(config, model, records, preprocessing, "videos"), records)
    groups = [records.records[result.index].group or f"\nknown {result.index}" for result in results]
    truth = np.zeros((len(results), classes), bool)
    for row, result in zip(truth, results, strict=True):
        row[list(result.labels)] = True

    if others is not None:
        strangers = _readable(evaluate_records(config, model, others, preprocessing, "unknown"), others)
        groups += [others.records[result.index].group or f"\nunknown {result.index}" for result in strangers]
        truth = np.concatenate([truth, np.zeros((len(strangers), classes), bool)])
        results = [*results, *strangers]
    views = [result.view_probabilities.numpy() for result in results]
    return Scored(views, truth, np.asarray(groups), config.DATA.MULTI_LABEL)


def _readable(results: Sequence[VideoResult], records: RecordList) -> list[VideoResult]:
    """Return the results of the videos that could be read, after a line on the others."""
    found = [result for result in results if result.error is None]
    failed = len(results) - len(found)
    if failed:
        print_line(f"{pluralize(failed, 'video')} of {records.source} could not be read and are left out")
    if len(found) < FEWEST:
        raise InputError(
            f"{len(found)} of {pluralize(len(results), 'video')} of {records.source} could be read; a calibration needs "
            f"at least {FEWEST}"
        )
    return found


def calibrate(videos: Scored, precision: float | None) -> dict[str, Any]:
    """Return the calibration of a network and how good it is on videos that it was not fitted on.

    Raises:
        InputError: no threshold holds the precision.
    """
    fit = Fit.on(videos, precision)
    if precision is not None and fit.threshold is None:
        raise InputError(_why_no_threshold(videos, fit.temperature, precision))

    known = videos.known
    confidence, right = videos.judged(1.0)
    before = {
        "cross_entropy": float(videos.cross_entropy(1.0).mean()),
        "calibration_error": calibration.calibration_error(confidence[known], right[known]),
    }
    content: dict[str, Any] = {
        "temperature": fit.temperature,
        "threshold": None,
        "videos": len(known),
        "unknown": int((~known).sum()),
        "before": before,
        "cross_fitted": cross_fitted(videos, precision),
    }
    if fit.threshold is not None:
        found = fit.threshold
        chosen = {"precision": found.precision, "bound": found.bound, "coverage": found.coverage}
        content |= {"threshold": found.confidence, "wanted_precision": precision, **chosen}
    return content


def _why_no_threshold(videos: Scored, temperature: float, precision: float) -> str:
    """Return the refusal of a precision that nothing holds, with what could be had."""
    confidence, right = videos.judged(temperature)
    order = np.argsort(-confidence, kind="stable")
    correct = np.cumsum(right[order])
    bounds = [calibration.lower_bound(int(hits), count) for count, hits in enumerate(correct, start=1)]
    best = int(np.argmax(bounds))
    return (
        f"--precision {precision:g}: no threshold holds it on {pluralize(len(right), 'video')}; the best that is held is "
        f"{bounds[best]:.3f}, by {correct[best]} right of the {best + 1} surest; give more videos, or a lower precision"
    )


def cross_fitted(videos: Scored, precision: float | None) -> dict[str, Any] | None:
    """Return how good calibrations are on the groups that they were not fitted on; None of fewer than two groups.

    The groups are dealt into five folds, or as many as there are groups; each is judged by the fit of the others.
    """
    folds = min(FOLDS, len(np.unique(videos.groups)))
    if folds < 2:
        return None
    confidence, right, answered, losses = _out_of_fold(videos, precision, folds)
    known = videos.known
    found: dict[str, Any] = {
        "folds": folds,
        "cross_entropy": float(losses[known].mean()),
        "calibration_error": calibration.calibration_error(confidence[known], right[known]),
    }
    if precision is not None:
        answers = int(answered.sum())
        found["answers"] = answers
        found["precision"] = float(right[answered].mean()) if answers else None
        found["coverage"] = float(answered[known].mean())
        if (~known).any():
            found["unknown_unsure"] = float(1 - answered[~known].mean())
    return found


def _out_of_fold(
    videos: Scored, precision: float | None, folds: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return confidence, right, answered and cross-entropy of each video by a fit without its group.

    The cross-entropy of a video of no known class is 0 and means nothing.
    """
    count = len(videos.views)
    confidence = np.zeros(count)
    right = np.zeros(count, bool)
    answered = np.zeros(count, bool)
    losses = np.zeros(count)
    for rest, fold in GroupKFold(folds).split(np.zeros(count), groups=videos.groups):
        fitted = videos.part(rest)
        # Where all known videos are of one group, the others say nothing of temperatures.
        fit = Fit.on(fitted, precision) if fitted.known.any() else Fit(1.0, None)
        part = videos.part(fold)
        confidence[fold], right[fold] = part.judged(fit.temperature)
        if part.known.any():
            losses[fold[part.known]] = part.cross_entropy(fit.temperature)
        if fit.threshold is not None:
            answered[fold] = confidence[fold] >= fit.threshold.confidence
    return confidence, right, answered, losses


def _picture(videos: Scored, precision: float | None) -> bytes:
    """Return the reliability curves before and after, the latter by fits without each video's group."""
    known = videos.known
    confidence, right = videos.judged(1.0)
    series = {"before": calibration.reliability(confidence[known], right[known])}
    folds = min(FOLDS, len(np.unique(videos.groups)))
    if folds > 1:
        confidence, right, _, _ = _out_of_fold(videos, precision, folds)
        series["calibrated, on other groups"] = calibration.reliability(confidence[known], right[known])
    return plots.png(reliability_plot(series))


def _sentences(content: Mapping[str, Any]) -> list[str]:
    """Return what a calibration says."""
    before = content["before"]
    after = content["cross_fitted"]
    lines = [f"temperature {content['temperature']:.4g}, fitted on {pluralize(content['videos'], 'video')}"]
    if after is None:
        lines.append("note: all videos are of one group: how good the calibration is on others is not known")
    else:
        rows = [
            ["cross-entropy (nats)", f"{before['cross_entropy']:.4f}", f"{after['cross_entropy']:.4f}"],
            [
                "calibration error",
                f"{100 * before['calibration_error']:.2f} %",
                f"{100 * after['calibration_error']:.2f} %",
            ],
        ]
        lines.append(text_table(("", "before", "calibrated"), rows))
        lines.append(f"calibrated: each video by a fit without its group ({after['folds']} folds)")
    if content["threshold"] is not None:
        lines += _threshold_sentences(content)
    return lines


def _threshold_sentences(content: Mapping[str, Any]) -> list[str]:
    """Return what a threshold says."""
    lines = [
        f"unsure below {content['threshold']:.4f}: {100 * content['precision']:.1f} % of the answers are right, at least "
        f"{100 * content['bound']:.1f} % with 95 % confidence; {100 * content['coverage']:.1f} % of the videos are "
        "answered"
    ]
    after = content["cross_fitted"]
    if after is None:
        return lines
    precision = "none is answered"
    if after["precision"] is not None:
        precision = f"{100 * after['precision']:.1f} % of {pluralize(after['answers'], 'answer')} are right"
    text = (
        f"on groups that it was not chosen on: {precision}, {100 * after['coverage']:.1f} % of the videos are answered"
    )
    if "unknown_unsure" in after:
        text += f", and {100 * after['unknown_unsure']:.1f} % of {content['unknown']} unknown ones are unsure"
    return [*lines, text]
