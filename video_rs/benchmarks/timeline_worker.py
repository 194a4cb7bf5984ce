"""The process that measures one timeline: ``python -m video_rs.benchmarks.timeline_worker SUBJECT``."""

import json
import sys
import time
from dataclasses import asdict
from functools import partial

import torch

from video_rs.benchmarks.memory import peak_memory_mb
from video_rs.benchmarks.timelines import TimelineRow, TimelineSubject
from video_rs.data.eval_transform import EvalTransform
from video_rs.data.preprocessing import ClipSpec, Preprocessing
from video_rs.engine.evaluation import NetworkScorer
from video_rs.inference.prediction import Answers
from video_rs.inference.predictor import Predictor
from video_rs.inference.timeline.making import make_timeline
from video_rs.inference.timeline.settings import TimelineSettings
from video_rs.models import create_model
from video_rs.models.fast import speed_up
from video_rs.runtime.allocator import keep_large_blocks


def main() -> None:
    """Measure the subject of the command line, and print the row as JSON."""
    keep_large_blocks()
    subject = TimelineSubject(**json.loads(sys.argv[1]))
    predictor = build_predictor(subject)

    began = time.perf_counter()
    timeline = make_timeline(predictor, subject.video, TimelineSettings(stride=subject.stride))
    wall_seconds = time.perf_counter() - began
    row = TimelineRow(timeline.seconds, len(timeline.windows), wall_seconds, peak_memory_mb("cpu"))
    print(json.dumps(asdict(row)))


def build_predictor(subject: TimelineSubject) -> Predictor:
    """Return the predictor of a checkpoint, or one with fresh weights, which takes as long."""
    if subject.checkpoint:
        return Predictor.from_checkpoint(subject.checkpoint, "cpu")

    clip = ClipSpec(subject.frames, subject.rate, "wrap", "frames")
    transform = EvalTransform(subject.size, subject.size, 1, antialias=False)
    preprocessing = Preprocessing(clip, 1, transform, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    model = speed_up(create_model(subject.network, num_classes=subject.classes))
    model = model.to(memory_format=torch.channels_last_3d).eval()

    scorer = NetworkScorer(model, partial(preprocessing.prepare, device=torch.device("cpu")))
    return Predictor(scorer, preprocessing, Answers(tuple(map(str, range(subject.classes)))))


if __name__ == "__main__":
    main()
