"""What predictions say, as a page: accuracy with its intervals, confusion, calibration and mistakes."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import numpy as np

from video_rs.engine.metrics import VideoResult, summarize, top_labels
from video_rs.evaluation import classification
from video_rs.evaluation.calibration import calibration_error, reliability
from video_rs.evaluation.intervals import DRAWS, Interval, bootstrap, weighted_mean
from video_rs.evaluation.similarity import similarity_order
from video_rs.evaluation.views import accuracy_by_views
from video_rs.inference.predictions import About, Predictions, joined_labels
from video_rs.reports.predictions_page import ClassRow, ConfusionView, Number, PredictionsPage, Shown, WrongVideo
from video_rs.runtime.wording import pluralize
from video_rs.video.probing.stills import stills

MISTAKES = 12
# Average precision sorts all videos for each class: of large lists fewer draws.
MANY_SCORES = 20_000
FEW_DRAWS = 100


def page_of(predictions: Predictions, title: str, more: Mapping[str, object] | None = None) -> PredictionsPage:
    """Return the page of predictions.

    Args:
        predictions: of a test.
        title: headline.
        more: fields of the page beside those that come from the predictions; notes and failures are added to theirs.
    """
    more = dict(more or {})
    notes = [*more.pop("notes", ()), *notes_of(predictions)]
    failures = [*more.pop("failures", ()), *((result.video, result.error) for result in predictions.failures)]
    page = {
        "title": title,
        "numbers": numbers_of(predictions),
        "facts": facts_of(predictions.about),
        "label_names": predictions.label_names,
    }
    if labelled(predictions).any():
        page |= _judged(predictions)
        mistakes = page["mistakes"]
        unseen = [shown for shown in mistakes if shown.frames is None]
        if unseen:
            notes.append(f"{len(unseen)} of {pluralize(len(mistakes), 'picture')} of mistakes left out: no such video")
    return PredictionsPage(**{**page, "notes": notes, "failures": failures, **more})


def labelled(predictions: Predictions) -> np.ndarray:
    """Return which of the videos that could be read have a class, bool ``[R]``."""
    return predictions.truth.any(1)


def judged(predictions: Predictions) -> np.ndarray:
    """Return on which of the videos that could be read classes are measured, bool ``[R]``.

    They are those with a class. Where a video may have several, one without is a negative of every class.
    """
    if predictions.about.multi_label:
        return np.ones(len(predictions.truth), bool)
    return labelled(predictions)


def _groups_of(predictions: Predictions, chosen: np.ndarray) -> list[str]:
    """Return the groups of some of the videos that could be read."""
    return [group for group, is_chosen in zip(predictions.groups, chosen, strict=True) if is_chosen]


def numbers_of(predictions: Predictions) -> list[Number]:
    """Return the numbers of the headline, with intervals where there are two groups of videos."""
    about = predictions.about
    counted = summarize(predictions.results, len(predictions.label_names), about.multi_label)
    numbers = []
    known = labelled(predictions)
    if known.any():
        numbers += _accuracies(predictions, known, counted["k"])
    numbers.append(Number("Videos", str(counted["videos"])))
    if counted["failed"]:
        numbers.append(Number("Failed videos", str(counted["failed"])))
        if known.any():
            numbers.append(Number("Top-1, failed count as wrong", _percent(counted["top1_all"])))
        if "map_all" in counted:
            numbers.append(Number("mAP, failed are not found", _percent(counted["map_all"])))
    return numbers


def _accuracies(predictions: Predictions, known: np.ndarray, k: int) -> Iterator[Number]:
    """Give accuracy on the videos with a class, which are ``known``, and what else is measured."""
    chosen = judged(predictions)
    probabilities = predictions.probabilities[chosen]
    truth = predictions.truth[chosen]
    groups = _groups_of(predictions, chosen)
    multi_label = predictions.about.multi_label

    if multi_label:
        draws = DRAWS if probabilities.size <= MANY_SCORES else FEW_DRAWS
        statistic = partial(classification.mean_average_precision, probabilities, truth)
        yield _number("Mean average precision", statistic, groups, draws)
    places = [1]
    if k < len(predictions.label_names):
        places.append(k)
    for most in places:
        right = classification.hits(predictions.probabilities[known], predictions.truth[known], most)
        yield _number(f"Top-{most}", weighted_mean(right), _groups_of(predictions, known))

    predicted = classification.predicted_classes(probabilities, multi_label)
    yield _number("Mean F1 of the classes", classification.macro_f1(predicted, truth), groups)
    losses = classification.log_losses(probabilities, truth, multi_label)
    yield _number("Cross-entropy (nats)", weighted_mean(losses), groups, is_share=False)
    if not multi_label:
        confidence = probabilities.max(1)
        right = classification.hits(probabilities, truth, 1)
        yield _number("Calibration error", partial(calibration_error, confidence, right), groups)


def _number(name, statistic, groups: Sequence[str], draws: int = DRAWS, is_share: bool = True) -> Number:
    """Return a number of the headline; ``statistic`` is as for :func:`bootstrap`."""
    text = _percent if is_share else "{:.3f}".format
    found = bootstrap(statistic, groups, draws)
    if found is None:
        return Number(name, text(statistic(np.ones(len(groups)))))
    return Number(name, text(found.mean), f"{text(found.low)} to {text(found.high)}")


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def interval_text(found: Interval, scale: float, unit: str) -> str:
    """Return a difference with its interval, such as ``+1.2 points (-0.3 to +2.7)``."""
    return f"{scale * found.mean:+.2f} {unit} ({scale * found.low:+.2f} to {scale * found.high:+.2f})"


def facts_of(about: About) -> list[tuple[str, str]]:
    """Return what was tested, as names and values."""
    facts = {
        "Checkpoint": about.checkpoint,
        "Step": str(about.step),
        "Model": about.model,
        "List": about.list,
        "Views of a video": about.views_in_words,
    }
    if about.temperature != 1:
        facts["Temperature"] = f"{about.temperature:.4g}"
    if about.threshold is not None:
        facts["Unsure below"] = _percent(about.threshold)
    return [(name, value) for name, value in facts.items() if value]


def notes_of(predictions: Predictions) -> list[str]:
    """Return sentences on how to read the numbers."""
    notes = []
    count = len(set(predictions.groups))
    if predictions.grouping == "folder":
        what = f"{pluralize(count, 'folder')} of videos"
    elif predictions.grouping == "list" and any(record.group for record in predictions.records):
        what = f"{pluralize(count, 'group')} of videos (the list's column group)"
    else:
        what = pluralize(count, "video")
    if count > 1:
        notes.append(f"intervals are of 95 %, by drawing {what} again")
    if predictions.about.multi_label:
        notes.append(
            "a video may have several classes: precision, recall and F1 are of probabilities from 0.5 on; a video "
            "counts for top-1 where the class of the highest score is one of its own"
        )

    threshold = predictions.about.threshold
    if threshold is not None and len(predictions.probabilities):
        sure = predictions.probabilities.max(1) >= threshold
        text = f"{int(sure.sum())} of {pluralize(len(sure), 'video')} are sure"
        known = labelled(predictions)
        if (sure & known).any():
            right = classification.hits(predictions.probabilities, predictions.truth, 1)
            text += f", and {_percent(float(right[sure & known].mean()))} of these are right"
        notes.append(f"{text} (best probability from {threshold:.3f} on)")
    return notes


def _judged(predictions: Predictions) -> dict[str, object]:
    """Return the parts of the page that need true classes."""
    known = labelled(predictions)
    results = [result for result, is_known in zip(predictions.read_results, known, strict=True) if is_known]
    probabilities = predictions.probabilities[known]
    truth = predictions.truth[known]
    multi_label = predictions.about.multi_label
    names = predictions.label_names

    rows = []
    chosen = judged(predictions)
    for score in classification.class_scores(predictions.probabilities[chosen], predictions.truth[chosen], multi_label):
        shares = (score.precision, score.recall, score.f1, score.average_precision)
        rows.append(ClassRow(names[score.index], score.videos, score.predicted, *shares))
    rows.sort(key=lambda row: row.f1)

    right = classification.hits(probabilities, truth, 1)
    parts: dict[str, object] = {"classes": rows}
    wrong = [result for result, is_right in zip(results, right, strict=True) if not is_right]
    wrong.sort(key=lambda result: -float(result.probabilities.max()))
    parts["mistakes"] = [_shown(predictions, result) for result in wrong[:MISTAKES]]
    if multi_label:
        return parts

    parts["bins"] = reliability(probabilities.max(1), right)
    counts = classification.confusion(probabilities, truth)
    parts["confusion"] = ConfusionView(counts, similarity_order(counts), [_wrong_video(result) for result in wrong])
    views = [result.view_probabilities for result in results]
    if all(part is not None for part in views) and len({len(part) for part in views}) == 1 and len(views[0]) > 1:
        parts["by_views"] = accuracy_by_views([part.numpy() for part in views], truth)
    return parts


def _wrong_video(result: VideoResult) -> WrongVideo:
    """Return a wrong video as the page lists it."""
    predicted = int(result.probabilities.argmax())
    return WrongVideo(result.id or result.video, result.labels[0], predicted, float(result.probabilities[predicted]))


def _shown(predictions: Predictions, result: VideoResult) -> Shown:
    """Return a video with its first, middle and last frame."""
    record = predictions.records[result.index]
    (frames,) = stills(record.path, [(record.start, record.end)])
    names = predictions.label_names
    true = (joined_labels(result.labels, names) or "").replace(";", ", ")
    top = top_labels(result.probabilities, names, 2)
    return Shown(result.id or result.video, frames if len(frames) else None, true, top)
