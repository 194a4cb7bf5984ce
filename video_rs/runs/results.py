"""Evaluation of a list, for testing, k-NN and validation: metrics, what is said of them, and the report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from video_rs.builders import Lists, build_view_loader
from video_rs.config import Config
from video_rs.data.counted_videos import note_counted_videos
from video_rs.data.dataset import record_span
from video_rs.data.preprocessing import ClipSpec, Preprocessing
from video_rs.engine.evaluation import NetworkScorer, Scorer, VideoScorer, evaluate, gather_results
from video_rs.engine.metrics import VideoResult, class_precisions, confusion_matrix, summarize, top_labels
from video_rs.engine.probabilities import ClassProbabilities
from video_rs.inference.calibration import NOT_CALIBRATED, Calibration
from video_rs.inference.predictions import About, Predictions, joined_labels
from video_rs.inference.predictions.parquet import NAME as PREDICTIONS
from video_rs.inference.predictions.text import TEXT_FORMATS
from video_rs.lists.records import RecordList, VideoRecord
from video_rs.reports import Example, Report, write_report
from video_rs.runtime.errors import InputError
from video_rs.runtime.progress import videos_with_progress
from video_rs.runtime.wording import pluralize
from video_rs.video import open_video

# Clips that a report shows, and frames of each.
EXAMPLES = 8
EXAMPLE_FRAMES = 6


@dataclass(frozen=True)
class Evaluation:
    """What was evaluated, and what came out.

    Attributes:
        config: of the run.
        records: the videos, in the order of their list.
        label_names: of the classes, in their order.
        preprocessing: the views of each video.
        results: of each video; empty before an evaluation.
        calibration: with which they were made.
    """

    config: Config
    records: Sequence[VideoRecord]
    label_names: Sequence[str]
    preprocessing: Preprocessing
    results: Sequence[VideoResult]
    calibration: Calibration = NOT_CALIBRATED

    @classmethod
    def of(
        cls, config: Config, lists: Lists, preprocessing: Preprocessing, results: Sequence[VideoResult]
    ) -> "Evaluation":
        """Return the evaluation of a run's validation list, without records where there is none."""
        records = () if lists.val is None else lists.val.records
        return cls(config, records, lists.label_names, preprocessing, results)

    @property
    def multi_label(self) -> bool:
        """Whether a video may have several classes."""
        return self.config.DATA.MULTI_LABEL

    def metrics(self, checkpoint: str | Path) -> dict[str, Any]:
        """Return what metrics.json holds; ``checkpoint`` is what was evaluated."""
        return {
            **summarize(self.results, len(self.label_names), self.multi_label),
            "views": self.preprocessing.views,
            "views_per_video": _views_per_video(self.results),
            "clips": self.preprocessing.num_clips,
            "crops": self.preprocessing.transform.num_crops,
            "checkpoint": str(checkpoint),
        }

    def predictions(self, metrics: Mapping[str, Any], step: int) -> Predictions:
        """Return the results as predictions; the arguments are those of :meth:`about`."""
        about = self.about(metrics, step)
        return Predictions(tuple(self.label_names), tuple(self.records), tuple(self.results), about)

    def about(self, metrics: Mapping[str, Any], step: int) -> About:
        """Return what gave the results.

        Args:
            metrics: what metrics.json holds.
            step: of the checkpoint.
        """
        return About(
            multi_label=self.multi_label,
            checkpoint=metrics["checkpoint"],
            step=step,
            model=self.config.MODEL.ARCH,
            list=metrics.get("list", self.config.DATA.VAL_LIST),
            clips=metrics["clips"],
            crops=metrics["crops"],
            temperature=self.calibration.temperature,
            threshold=self.calibration.threshold,
            views=metrics["views"],
            views_per_video=metrics["views_per_video"],
        )


def _views_per_video(results: Sequence[VideoResult]) -> float:
    """Return how many views the answers are the mean of, in the mean over videos; 0 where none could be read."""
    counts = [result.views for result in results if result.error is None]
    return sum(counts) / max(1, len(counts))


def network_scorer(
    config: Config, model: nn.Module, preprocessing: Preprocessing, temperature: float = 1.0
) -> NetworkScorer:
    """Return what gives the probabilities of views.

    Args:
        config: of the run.
        model: clips -> logits.
        preprocessing: of the views.
        temperature: of the probabilities.
    """
    prepare = partial(preprocessing.prepare, device=next(model.parameters()).device)
    return NetworkScorer(model, prepare, ClassProbabilities(config.DATA.MULTI_LABEL, temperature))


def evaluate_records(
    config: Config, scorer: Scorer | VideoScorer, records: RecordList, preprocessing: Preprocessing, title: str
) -> list[VideoResult]:
    """Return the results of all records in their order; each process reads and scores its part.

    Args:
        config: of the run.
        scorer: views -> probabilities, or what answers for whole videos.
        records: a list as read.
        preprocessing: the views of each video.
        title: what the progress bar is called.
    """
    loader = build_view_loader(config, records, preprocessing)
    results = evaluate(scorer, note_counted_videos(loader), config.TEST.BATCH_SIZE, config.TEST.KEEP_VIEWS)
    return gather_results(list(videos_with_progress(results, len(loader), title)))


def write_predictions(folder: Path, predictions: Predictions, also_as: str = "") -> list[Path]:
    """Write predictions.parquet, and another format beside it where one is named; return the files."""
    files = [folder / PREDICTIONS]
    predictions.write(files[0])
    if also_as:
        files.append(folder / f"predictions.{also_as}")
        TEXT_FORMATS[also_as](predictions, files[1])
    return files


def describe(metrics: dict[str, Any]) -> str:
    """Return mAP where there is one, both accuracies and the failures in one line."""
    parts = []
    if "map" in metrics:
        judged = metrics["map_classes"]
        classes = metrics["classes"]
        over = f"{judged} classes" if judged == classes else f"{judged} of {classes} classes"
        parts.append(f"mAP {metrics['map']:.4f} over {over}")

    parts.append(f"top1 {metrics['top1']:.4f}")
    parts.append(f"top{metrics['k']} {metrics['topk']:.4f}")
    parts.append(f"videos {metrics['videos']}")

    # Where nothing failed, both ways of counting give the same numbers.
    if metrics["failed"]:
        parts.append(f"failed {metrics['failed']}")
        with_failed = f"top1 with failed videos counted as wrong {metrics['top1_all']:.4f}"
        if "map" in metrics:
            with_failed += f", mAP {metrics['map_all']:.4f}"
        parts.append(with_failed)
    return "  ".join(parts)


def write_evaluation_report(
    path: Path,
    evaluation: Evaluation,
    *,
    title: str,
    summary: dict[str, Any],
    log: list[dict[str, Any]],
    failures: list[tuple[str, str]],
    notes: list[str],
) -> None:
    """Write report.html over whatever there is: without results it holds the curves alone.

    Args:
        path: the file to write.
        evaluation: what was evaluated.
        title: headline.
        summary: numbers under it.
        log: records of a training run; empty for a test.
        failures: (video, reason) of videos beside those of the evaluation.
        notes: sentences under the numbers.
    """
    results = evaluation.results
    names = evaluation.label_names
    notes = list(notes)

    # Of several labels a video, no matrix of true and predicted classes can be made.
    confusion = None
    precisions = None
    if results and evaluation.multi_label:
        precisions = class_precisions(results, len(names))
        notes.append(
            f"mAP is the mean over the {len(precisions)} of {len(names)} classes that have videos here; a video counts "
            "for top-1 where the class of the highest score is one of its own"
        )
    elif results:
        confusion = confusion_matrix(results, len(names)).numpy()

    # A report without pictures is better than none, for instance when the videos have gone.
    examples, reasons = pick_examples(evaluation)
    if reasons:
        notes.append(f"{pluralize(len(reasons), 'sample clip')} left out, the first one because: {reasons[0]}")

    failed = [(result.video, result.error) for result in results if result.error is not None]
    report = Report(
        title=title,
        summary=summary,
        log=log,
        confusion=confusion,
        precisions=precisions,
        label_names=list(names),
        examples=examples,
        failures=[*failures, *failed],
        config_text=evaluation.config.dump(),
        notes=notes,
    )
    write_report(path, report)


def pick_examples(evaluation: Evaluation) -> tuple[list[Example], list[str]]:
    """Return clips for the report: wrong ones first, then right ones, each spread over the list.

    Returns:
        The clips, and why others cannot be shown.
    """
    wrong = []
    right = []
    for result in evaluation.results:
        if result.error is not None:
            continue
        is_right = int(result.probabilities.argmax()) in result.labels
        (right if is_right else wrong).append(result)

    # Half of each, and more of the wrong ones where there are few right ones.
    half = EXAMPLES // 2
    chosen = _spread(wrong, max(half, EXAMPLES - len(right)))
    chosen += _spread(right, EXAMPLES - len(chosen))

    names = evaluation.label_names
    examples = []
    reasons = []
    for result in chosen:
        record = evaluation.records[result.index]
        try:
            frames = _example_frames(record, evaluation.preprocessing.clip, evaluation.config.DATA.DECODER)
        except InputError as error:
            reasons.append(str(error))
            continue
        label = joined_labels(result.labels, names)
        examples.append(Example(frames, result.video, label, top_labels(result.probabilities, names, 3)))
    return examples, reasons


def _spread(items: list, count: int) -> list:
    """Return at most ``count`` items at even distances."""
    if len(items) <= count:
        return items
    return [items[number * len(items) // count] for number in range(count)]


def _example_frames(record: VideoRecord, clip: ClipSpec, decoder: str) -> Tensor:
    """Return a few frames over the centre clip of a video, uint8 ``[T, H, W, 3]``."""
    with open_video(record.path, decoder) as reader:
        indices = clip.uniform(record_span(reader, record), 1)[0]
        distance = max(1, len(indices) // EXAMPLE_FRAMES)
        return reader.frames(indices[::distance][:EXAMPLE_FRAMES])
