"""Make a checkpoint's probabilities mean something: fit a temperature and a threshold on a list, and store both."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from video_rs.builders import build_preprocessing
from video_rs.config import Config, config_from_text
from video_rs.data.preprocessing import Preprocessing
from video_rs.engine.checkpoint import load_checkpoint, save_checkpoint
from video_rs.engine.metrics import VideoResult
from video_rs.evaluation.calibrating import OutOfFold, ScoredVideos, calibrate
from video_rs.evaluation.calibration import reliability
from video_rs.inference.calibration import KEY, Calibration
from video_rs.lists.checks import require_labels
from video_rs.lists.chosen_videos import chosen_videos
from video_rs.lists.class_folders import read_class_folders
from video_rs.lists.records import RecordList, read_records
from video_rs.models.convolution_check import require_right_convolutions
from video_rs.models.stored import load_classifier
from video_rs.reports import plots
from video_rs.reports.calibration_plot import reliability_plot
from video_rs.reports.text_table import text_table
from video_rs.runs.results import evaluate_records, network_scorer
from video_rs.runs.stopping import require_views_to_spare, stopping_rule, stopping_sentences
from video_rs.runs.test import FIXED, output_folder, records_to_test, refuse_fixed_keys
from video_rs.runtime import distributed
from video_rs.runtime.atomic import replace_bytes, write_json
from video_rs.runtime.devices import pick_device
from video_rs.runtime.errors import InputError
from video_rs.runtime.outputs import require_own
from video_rs.runtime.progress import print_line, print_notes
from video_rs.runtime.torch_files import find_checkpoint
from video_rs.runtime.wording import pluralize
from video_rs.video.fetching import absolute_path

FILES = ("calibration.json", "reliability.png")
FEWEST = 2  # videos that could be read: of one, any temperature is right


def run_calibrate(
    checkpoint_path: str,
    list_path: str = "",
    precision: float | None = None,
    unknown: str = "",
    overrides: Sequence[str] = (),
    adaptive: float | None = None,
) -> dict[str, Any]:
    """Fit a temperature, and what else is wanted: a threshold, a rule to stop by; and store it in the checkpoint.

    Args:
        checkpoint_path: a .pth file of a run, or the run's folder.
        list_path: videos that the network was not trained on; empty takes the VAL_LIST of the run.
        precision: share of the answers that is to be right, in (0, 1); None: no threshold.
        unknown: a list of videos of other classes, all of which should be "unsure"; "": none.
        overrides: KEY VALUE pairs over the stored config.
        adaptive: share of the answers, in (0, 1), that adaptive views may give otherwise than all views; None: no rule
            for them.

    Returns:
        What calibration.json holds.

    Raises:
        InputError: bad input, no threshold holds the precision, or no rule the share.
    """
    _check(precision, unknown, adaptive)
    path = find_checkpoint(checkpoint_path)
    checkpoint = load_checkpoint(path)
    config = config_from_text(checkpoint["config"], ["TEST.KEEP_VIEWS", "true", *overrides])
    refuse_fixed_keys(overrides, str(path), (*FIXED, "TEST.KEEP_VIEWS"))
    device = pick_device(config.DEVICE)
    distributed.join_process_group(device)

    names = checkpoint["label_names"]
    records = _labelled(config, list_path, names, "DATA.ROOT" in overrides[::2])
    others = _read_unknown(unknown, names) if unknown else None
    folder = output_folder(path, config, overrides, "calibration")
    require_own("OUTPUT_DIR", folder, FILES, FILES[0])

    preprocessing = _clips_and_crops(config)
    if adaptive is not None:
        require_views_to_spare(preprocessing, config.DATA.MULTI_LABEL)
    model = load_classifier(checkpoint, device)
    require_right_convolutions(model, preprocessing.clip_shape(config.TEST.BATCH_SIZE))
    videos = _scored(config, model, preprocessing, records, others, len(names))
    fitted, judged = calibrate(videos, precision)
    content = {"list": absolute_path(records.source), **fitted, "stopping": None}
    if adaptive is not None:
        content |= stopping_rule(videos, preprocessing, fitted["temperature"], adaptive)
    else:
        _note_lost_rule(checkpoint)
    if distributed.rank() == 0:
        save_checkpoint(path, {**checkpoint, KEY: content}, then="calibrate again")
        write_json(folder / FILES[0], content)
        replace_bytes(folder / FILES[1], _picture(videos, judged))
    # No process ends before the files are there.
    distributed.barrier()
    for line in _sentences(content):
        print_line(line)
    print_line(f"stored in {path}; results: {'  '.join(str(folder / name) for name in FILES)}")
    return content


def _note_lost_rule(checkpoint: Mapping[str, Any]) -> None:
    """Say where a calibration without a rule for adaptive views takes the place of one that has one."""
    if Calibration.of_checkpoint(checkpoint).stopping is not None:
        print_notes(["the checkpoint's rule for adaptive views goes with its calibration; add --adaptive to keep one"])


def _check(precision: float | None, unknown: str, adaptive: float | None) -> None:
    """Raise InputError for what cannot be asked."""
    if adaptive is not None and not 0 < adaptive < 1:
        raise InputError(f"--adaptive is {adaptive:g}; allowed: above 0 and below 1, such as 0.01")
    if precision is not None and not 0 < precision < 1:
        raise InputError(f"--precision is {precision:g}; allowed: above 0 and below 1, such as 0.95")
    if unknown and precision is None:
        raise InputError("--unknown is for the threshold, which --precision asks for; give both, or neither")


def _labelled(config: Config, list_path: str, names: Sequence[str], root_given: bool) -> RecordList:
    """Return the videos to calibrate on, of at least two classes, after the notes on their list."""
    records = records_to_test(config, list_path, names, root_given)
    print_notes(records.notes)
    require_labels(records, config.DATA.MULTI_LABEL)
    _require_classes(records, config.DATA.MULTI_LABEL)
    return records


def _clips_and_crops(config: Config) -> Preprocessing:
    """Return the preprocessing to fit on, after a note where answers are by views that it says nothing of."""
    preprocessing = build_preprocessing(config)
    if preprocessing.views not in ("published", "adaptive"):
        print_notes([f"fitted on clips and crops: it promises nothing of answers by views {preprocessing.views!r}"])
    return preprocessing.published_views()


def _require_classes(records: RecordList, multi_label: bool) -> None:
    """Raise InputError where all videos are of one class: a network that always names it is right, however sure."""
    classes = {label for record in records.records for label in record.labels}
    if len(records.label_names) > 1 and len(classes) == 1 and not multi_label:
        (label,) = classes
        raise InputError(
            f"all of {pluralize(len(records), 'video')} of {records.source} are of the class "
            f"{records.label_names[label]!r}; a calibration needs videos of at least 2 classes"
        )


def _read_unknown(source: str, names: Sequence[str]) -> RecordList:
    """Return the videos of a list, of class folders, or of a folder of videos, whatever their labels.

    Args:
        source: the list or folder.
        names: of the network's classes, which the videos should not be of.
    """
    if os.path.isdir(source) and not read_class_folders(source).rows:
        return RecordList(tuple(chosen_videos([source])), (), source)

    records = read_records(source, require_labels=False)
    familiar = {place for place, name in enumerate(records.label_names) if name in names}
    count = sum(not familiar.isdisjoint(record.labels) for record in records.records)
    if count:
        print_notes(
            [
                f"a label of {count} of {pluralize(len(records), 'video')} of {source} is a class of the network: "
                "right answers to these count as wrong"
            ]
        )
    return records


def _scored(
    config: Config,
    model: Any,
    preprocessing: Preprocessing,
    records: RecordList,
    others: RecordList | None,
    classes: int,
) -> ScoredVideos:
    """Return the views of all videos that could be read, with what is true of them."""
    scorer = network_scorer(config, model, preprocessing)
    results = _readable(evaluate_records(config, scorer, records, preprocessing, "videos"), records)
    groups = [records.records[result.index].group_or_file for result in results]
    truth = np.zeros((len(results), classes), bool)
    for row, result in zip(truth, results, strict=True):
        row[list(result.labels)] = True
    known = np.ones(len(results), bool)

    if others is not None:
        strangers = _readable(evaluate_records(config, scorer, others, preprocessing, "unknown"), others, fewest=1)
        groups += [others.records[result.index].group_or_file for result in strangers]
        truth = np.concatenate([truth, np.zeros((len(strangers), classes), bool)])
        known = np.concatenate([known, np.zeros(len(strangers), bool)])
        results = [*results, *strangers]
    views = [result.view_probabilities.numpy() for result in results]
    return ScoredVideos(views, truth, known, np.asarray(groups), config.DATA.MULTI_LABEL)


def _readable(results: Sequence[VideoResult], records: RecordList, fewest: int = FEWEST) -> list[VideoResult]:
    """Return the results of the videos that could be read, after a line on the others.

    Raises:
        InputError: they are fewer than ``fewest``.
    """
    found = [result for result in results if result.error is None]
    failed = len(results) - len(found)
    if failed:
        print_line(f"{pluralize(failed, 'video')} of {records.source} could not be read, and left out")
    if len(found) < fewest:
        raise InputError(
            f"{len(found)} of {pluralize(len(results), 'video')} of {records.source} could be read; a calibration "
            f"needs at least {fewest}"
        )
    return found


def _picture(videos: ScoredVideos, after: OutOfFold | None) -> bytes:
    """Return the reliability curves before and after, the latter by fits without each video's group."""
    known = videos.known
    confidence, right = videos.judged(1.0)
    series = {"before": reliability(confidence[known], right[known])}
    if after is not None:
        series["calibrated, on other groups"] = reliability(after.confidence[known], after.right[known])
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
        if after["cross_entropy"] > before["cross_entropy"]:
            lines.append(
                "note: on other groups the calibrated probabilities are worse than those before: there are too few "
                "videos to fit a temperature on; give more of them"
            )
    if content["threshold"] is not None:
        lines += _threshold_sentences(content)
    if content["stopping"] is not None:
        lines += stopping_sentences(content)
    return lines


def _threshold_sentences(content: Mapping[str, Any]) -> list[str]:
    """Return what a threshold says."""
    lines = [
        f"unsure below {content['threshold']:.4f}: {100 * content['precision']:.1f} % of the answers are right, at "
        f"least {100 * content['bound']:.1f} % with 95 % confidence; {100 * content['coverage']:.1f} % of the videos "
        "are answered"
    ]
    after = content["cross_fitted"]
    if after is None:
        return lines
    precision = "none is answered"
    if after["precision"] is not None:
        precision = f"{100 * after['precision']:.1f} % of {pluralize(after['answers'], 'answer')} are right"
    # Unknown ones are counted apart here.
    videos = "known videos" if "unknown_unsure" in after else "videos"
    coverage = f"{100 * after['coverage']:.1f} % of the {videos} are answered"
    text = f"on groups that it was not chosen on: {precision}, {coverage}"
    if "unknown_unsure" in after:
        text += f", and {100 * after['unknown_unsure']:.1f} % of {content['unknown']} unknown ones are unsure"
    return [*lines, text]
