"""Filmed scenes of two moving squares with a box around each, and small backbones, for the tests of detection."""

import numpy as np
import torch

from video_rs import create_backbone
from video_rs.video import open_video
from video_rs.video.encoding import write_video

KEY, FRAMES, SIZE, SQUARE = 8, 16, 64, 16
LABELS = ("bright", "moves right")


def tiny(*features, **overrides):
    torch.manual_seed(0)
    return create_backbone("r3d_rs_tiny", features, **{"width": 0.125, **overrides})


def scene(seed):
    """Two squares on noise, one in each half: frames uint8 [16, 64, 64, 3], boxes [2, 4] at frame 8, targets [2, 2]."""
    rng = np.random.default_rng(seed)
    video = rng.integers(90, 150, (FRAMES, SIZE, SIZE, 3), dtype=np.uint8)
    boxes, targets = [], []
    for half in (4, 36):
        bright, right = rng.integers(2, size=2).tolist()
        top, left = half + int(rng.integers(8)), int(rng.integers(16, 33))
        colour = rng.integers(50, size=3) + 205 * bright
        for t in range(FRAMES):
            x = left + 2 * (t - KEY) * (1 if right else -1)
            video[t, top : top + SQUARE, x : x + SQUARE] = colour
        boxes.append([left, top, left + SQUARE, top + SQUARE])
        targets.append([bright, right])
    return video, boxes, targets


def write_scenes(folder, count=64):
    """Encoded scenes: a list of (path, boxes, targets)."""
    written = []
    for seed in range(count):
        video, boxes, targets = scene(seed)
        write_video(folder / f"{seed}.mp4", video, fps=8)
        written.append((folder / f"{seed}.mp4", boxes, targets))
    return written


def read(scenes):
    """Clips [B, 3, 8, 64, 64] of every other frame, boxes as a list of [2, 4], targets [B, 2, 2]."""
    clips = []
    for path, _, _ in scenes:
        with open_video(path) as video:
            clips.append(video.frames(range(0, FRAMES, 2)).permute(3, 0, 1, 2) / 255)
    boxes = [torch.tensor(of_scene, dtype=torch.float32) for _, of_scene, _ in scenes]
    return torch.stack(clips), boxes, torch.tensor([targets for _, _, targets in scenes]).float()
