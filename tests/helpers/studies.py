"""Finished runs of a study that nothing has trained, and studies in processes of their own."""

import time

import torch

from helpers.jobs import SECONDS
from video_rs.engine.metrics import VideoResult
from video_rs.inference.predictions import About, Predictions
from video_rs.lists.records import VideoRecord
from video_rs.runtime.atomic import write_json
from video_rs.studies.one_run import do_run

# No steps are taken before the runs start, to see how fast they are.
WITHOUT_PROBE = """
import video_rs.studies.budget
from video_rs.studies.probing import Speed
video_rs.studies.budget.probe = lambda *_: Speed(10.0, 1.0)
"""


def steps_of(study, name):
    """How many steps a run has logged."""
    path = study.folder / "runs" / name / "log.jsonl"
    return path.read_text().count('"train"') if path.exists() else 0


def wait_for_steps(job, study, *names, steps):
    """Wait until each of these runs has logged so many steps, or the job has ended."""
    late = time.monotonic() + SECONDS
    while job.is_alive() and min(steps_of(study, name) for name in names) < steps:
        assert time.monotonic() < late, "the runs do not get anywhere"
        time.sleep(0.01)


def run_here(jobs, processes):
    """An engine that does the runs in this process, one after the other."""

    def do_all(study, names, progress):
        for name in names:
            do_run(study, name)
            progress.ended(name, None)
        return {}

    return do_all


def finish(study, name, labels, probabilities, seconds=10.0):
    """Write what a run of a study leaves.

    Args:
        study: of the run.
        name: of the run.
        labels: the class name of each test video; or None for one that could not be read.
        probabilities: of each test video, a row of numbers.
        seconds: of training and of testing together.
    """
    folder = study.run_folder(study.run(name))
    test = folder / "test"
    test.mkdir(parents=True, exist_ok=True)
    names = sorted({label for label in labels if label is not None})
    records = []
    results = []
    for index, (label, row) in enumerate(zip(labels, probabilities, strict=True)):
        video = f"{index}.mp4"
        known = () if label is None else (names.index(label),)
        records.append(VideoRecord(video, known, None, None, video))
        error = "it does not open as a video" if label is None else None
        scores = None if label is None else torch.tensor(row, dtype=torch.float32)
        results.append(VideoResult(index, video, known, scores, error))
    predictions = Predictions(tuple(names), tuple(records), tuple(results), About())
    predictions.write(test / "predictions.parquet")
    right = [int(result.probabilities.argmax()) in result.labels for result in predictions.read_results]
    write_json(test / "metrics.json", {"top1": sum(right) / len(right), "videos": len(labels)})
    done = {"training_seconds": seconds - 1, "test_seconds": 1.0, "resumed": False, "threads": study.threads}
    write_json(folder / "done.json", done)
