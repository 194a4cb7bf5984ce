"""Two sets of predictions of the same videos, compared one by one."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from video_rs.evaluation import classification
from video_rs.evaluation.comparison import Comparison, compare
from video_rs.inference.predictions import Predictions
from video_rs.reports.predictions_page import Against, ChangedVideo
from video_rs.runs.report import interval_text
from video_rs.runtime.errors import InputError
from video_rs.runtime.wording import first_names, pluralize

MOST_CLASSES = 20
# A chance that is smaller counts as a difference, as everywhere.
ALPHA = 0.05


def against(predictions: Predictions, other: Predictions) -> Against:
    """Return what differs between predictions and other ones of the same videos.

    Raises:
        InputError: the classes or the videos are others, or a video has several classes.
    """
    _require_comparable(predictions, other)
    places = _common_places(predictions, other)
    now, before = (_of_places(each, [pair[side] for pair in places]) for side, each in enumerate((predictions, other)))
    truth, probabilities = now
    right = [classification.hits(part, truth, 1) for part in (before[1], probabilities)]
    losses = [classification.log_losses(part, truth, False) for part in (before[1], probabilities)]
    groups = [predictions.groups[place] for place, _ in places]
    found = compare((right[0], right[1]), (losses[0], losses[1]), groups)

    def changed(which: Sequence[int]) -> list[ChangedVideo]:
        return [_changed(predictions, places[number][0], before[1][number], probabilities[number]) for number in which]

    # Of both, the videos that are in one alone.
    left_out = _read_and_known(predictions) ^ _read_and_known(other)
    return Against(
        sentences=_sentences(found, right, len(left_out)),
        gained=changed(found.gained),
        lost=changed(found.lost),
        classes=_classes(predictions.label_names, truth, before[1], probabilities),
    )


def _require_comparable(predictions: Predictions, other: Predictions) -> None:
    """Raise InputError where a comparison would have no meaning."""
    if predictions.label_names != other.label_names:
        first = set(predictions.label_names) ^ set(other.label_names)
        which = f"; only one of them has {first_names(sorted(first))}" if first else ", in another order"
        raise InputError(f"--against: the classes are others{which}; compare networks of the same classes")
    if predictions.about.multi_label or other.about.multi_label:
        raise InputError("--against: videos of several classes are not compared; leave --against out")
    for each in (predictions, other):
        counts = Counter(result.id or result.video for result in each.results)
        name, count = counts.most_common(1)[0]
        if count > 1:
            raise InputError(
                f"--against: {name} stands {count} times in one of the two, and ids tell videos apart; give the list's "
                "rows different ids (column id), and test again"
            )
    ids = [{result.id or result.video: result.labels for result in each.results} for each in (predictions, other)]
    if not ids[0].keys() & ids[1].keys():
        raise InputError("--against: the two have no video in common, by id; test both on the same list")
    for name, labels in ids[0].items():
        if ids[1].get(name, labels) != labels:
            raise InputError(f"--against: {name} has another class in each of the two; test both on the same list")


def _read_and_known(predictions: Predictions) -> set[str]:
    """Return the ids of the videos that could be read and have a class."""
    return {result.id or result.video for result in predictions.read_results if result.labels}


def _common_places(predictions: Predictions, other: Predictions) -> list[tuple[int, int]]:
    """Return where each video stands that both could read and whose class is known, among the readable ones of each."""
    theirs = {result.id or result.video: place for place, result in enumerate(other.read_results)}
    places = []
    for place, result in enumerate(predictions.read_results):
        name = result.id or result.video
        if result.labels and name in theirs:
            places.append((place, theirs[name]))
    if not places:
        raise InputError("--against: no video with a known class could be read in both; test both on the same list")
    return places


def _of_places(predictions: Predictions, places: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the truth and the probabilities of some videos."""
    return predictions.truth[places], predictions.probabilities[places]


def _sentences(found: Comparison, right: Sequence[np.ndarray], left_out: int) -> list[str]:
    """Return what the comparison says."""
    before, now = (100 * float(part.mean()) for part in right)
    sentences = [f"On {pluralize(found.videos, 'video')}, top-1 is {now:.1f} % here and {before:.1f} % there."]
    changed = len(found.gained) + len(found.lost)
    verdict = "no difference is shown"
    if found.p_value < ALPHA:
        verdict = "this one is better" if len(found.gained) > len(found.lost) else "this one is worse"
    sentences.append(
        f"{pluralize(changed, 'video')} changed: {len(found.gained)} are right here only, {len(found.lost)} there only "
        f"(McNemar's exact test, p = {found.p_value:.3g}: {verdict})."
    )
    if found.accuracy is not None:
        sentences.append(
            f"Difference of top-1: {interval_text(found.accuracy, 100, 'points')}; of the cross-entropy: "
            f"{interval_text(found.cross_entropy, 1, 'nats')}. Intervals are of 95 %, over groups of videos."
        )
    if left_out:
        sentences.append(f"{pluralize(left_out, 'video')} that only one of the two has read do not count.")
    return sentences


def _changed(predictions: Predictions, place: int, before: np.ndarray, now: np.ndarray) -> ChangedVideo:
    """Return a video whose answer changed; ``before`` and ``now`` are the probabilities of all classes."""
    names = predictions.label_names
    result = predictions.read_results[place]
    (label,) = result.labels
    video = result.id or result.video
    answers = (names[int(before.argmax())], names[int(now.argmax())])
    return ChangedVideo(video, names[label], *answers, float(before[label]), float(now[label]))


def _classes(
    names: Sequence[str], truth: np.ndarray, before: np.ndarray, now: np.ndarray
) -> list[tuple[str, float, float]]:
    """Return the classes whose recall changed, the largest change first."""
    recalls = []
    for probabilities in (before, now):
        right = classification.hits(probabilities, truth, 1)
        recalls.append((right @ truth) / np.maximum(truth.sum(0), 1))
    rows = [(name, float(old), float(new)) for name, old, new in zip(names, *recalls, strict=True) if old != new]
    rows.sort(key=lambda row: -abs(row[2] - row[1]))
    return rows[:MOST_CLASSES]
