"""How much of Grad-CAM's heat lies on the moving object of the motion demo: ``python tests/where_it_looks.py RUN``.

RUN is a trained run of motion_demo.yaml (``video-rs train --cfg motion_demo.yaml``: two minutes on two cores). A line
for each stage says which share of the heat lies inside the square around the object, for clips that are in no list and
the class that each of them shows: for the trained network, for the same network with random weights, and the share of
the area that the square takes, which heat without any meaning would have. Prints the table of docs/looking.md.
"""

import argparse

import numpy as np
import torch

from helpers.motion_boxes import shares_in_box
from video_rs.curation.motion_demo.clips import LABELS, SIZE, motion_clip, motion_path
from video_rs.engine.evaluation import NetworkScorer
from video_rs.inference import Predictor
from video_rs.inference.looking import look
from video_rs.models import VideoClassifier
from video_rs.models.fast import speed_up

STAGES = ("res2", "res3", "res4", "res5")
# Far from those of the demo, which are hashes of small numbers.
FIRST_SEED = 7_000_000


def with_random_weights(predictor, seed=0):
    """Return the same predictor with a network that has learned nothing."""
    scorer = predictor.scorer
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = VideoClassifier(scorer.model.backbone.architecture, scorer.model.num_classes)
    device = next(scorer.model.parameters()).device
    model = speed_up(model).to(device, memory_format=torch.channels_last_3d).eval()
    untrained = NetworkScorer(model, scorer.prepare, scorer.probabilities)
    return Predictor(untrained, predictor.preprocessing, predictor.answers, predictor.decoder)


def shares(predictor, stage, clips):
    """Return the shares of heat and of area of so many clips, float ``[clips, 2]``; classes take turns."""
    found = []
    for number in range(clips):
        label = LABELS[number % len(LABELS)]
        seed = FIRST_SEED + number
        heat_map = look(predictor, motion_clip(label, seed), label, stage)
        found.append(shares_in_box(heat_map, motion_path(label, seed), SIZE))
    return np.array(found)


def mean_and_error(values):
    """Return the mean share and its standard error as text, and how many maps had no heat to share."""
    shares = values[np.isfinite(values)]
    text = "-"
    if len(shares) > 1:
        text = f"{shares.mean():.1%} ± {shares.std(ddof=1) / np.sqrt(len(shares)):.1%}"
    if len(shares) < len(values):
        text += f" ({len(values) - len(shares)} of {len(values)} without heat)"
    return text


def table(predictor, clips, stages=STAGES):
    """Return the lines of the table."""
    untrained = with_random_weights(predictor)
    lines = ["| stage | trained | random weights | area of the square |", "|---|---:|---:|---:|"]
    for stage in stages:
        learned = shares(predictor, stage, clips)
        random = shares(untrained, stage, clips)
        cells = [mean_and_error(learned[:, 0]), mean_and_error(random[:, 0]), f"{learned[:, 1].mean():.1%}"]
        lines.append(f"| {stage} | {' | '.join(cells)} |")
    return lines


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", metavar="RUN", help="a trained run of motion_demo.yaml")
    parser.add_argument("--clips", type=int, default=80, help="how many clips (default: %(default)s)")
    args = parser.parse_args()
    print("\n".join(table(Predictor.from_checkpoint(args.run, "cpu"), args.clips)))


if __name__ == "__main__":
    main()
