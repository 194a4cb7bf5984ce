"""pytorchvideo's testing: its clips, crops and pixels."""

import pytest
import torch

from helpers.videos import moving_square
from video_rs.benchmarks import eval_peers
from video_rs.benchmarks.eval_benchmark import eval_subjects
from video_rs.benchmarks.eval_calls import TestingRounds
from video_rs.benchmarks.eval_peers import ViewTransform, pytorchvideo_batches
from video_rs.video import open_video
from video_rs.video.encoding import write_video

pytest.importorskip("pytorchvideo")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """60 frames, 48 x 64."""
    path = tmp_path_factory.mktemp("peers") / "a.mp4"
    write_video(path, moving_square(0, frames=60, size=64)[:, :48], fps=30)
    return str(path)


def subject(path, workers):
    testing = {"batch": 4, "frames": 4, "size": 48, "clips_per_video": 2, "crops": 3, "device": "cpu"}
    subjects = eval_subjects(["r3d_rs_tiny"], True, {**testing, "videos": (path,), "workers": workers})
    return next(one for one in subjects if one.name == "pytorchvideo, slow_r50")


def pixels(view):
    """The levels of a view before they were normalised."""
    return (view * 0.225 + 0.45) * 255


def ramp(height, width):
    """Float ``[3, 7, height, width]``: where a pixel is along the longer side, and 100 for each frame."""
    along = torch.arange(max(height, width)).float()
    picture = along.expand(height, width) if width > height else along[:, None].expand(height, width)
    return picture + 100 * torch.arange(7.0).view(7, 1, 1).expand(3, 7, height, width)


@pytest.mark.parametrize(("height", "width"), [(8, 14), (14, 8)])
@pytest.mark.parametrize(("crops", "firsts"), [(3, [0, 3, 6]), (1, [3])])
def test_crops_and_frames(height, width, crops, firsts):
    """No resizing: even frames 0, 3 and 6, and squares of 8 along the longer side."""
    transform = ViewTransform(frames=3, size=8, crops=crops)
    for number, first in enumerate(firsts):
        made = transform({"video": ramp(height, width), "label": 5, "aug_index": number})
        levels = pixels(made["video"])
        assert (made["label"], levels.shape) == (5, (3, 3, 8, 8))
        longer = levels[0, :, 0, :] if width > height else levels[0, :, :, 0]
        expected = first + torch.arange(8) + torch.tensor([[0], [300], [600]])
        torch.testing.assert_close(longer, expected.float(), atol=1e-3, rtol=0)


def test_the_short_side_gets_the_size():
    made = ViewTransform(frames=2, size=4, crops=3)({"video": ramp(8, 14), "label": 0, "aug_index": 2})
    # 8 x 14 becomes 4 x 7: half a pixel after each two, the last four of seven columns.
    torch.testing.assert_close(pixels(made["video"])[0, 0, 0], torch.tensor([6.5, 8.5, 10.5, 12.5]), atol=1e-3, rtol=0)


@pytest.mark.parametrize("workers", [0, 1])
def test_views_come_clip_by_clip(path, workers):
    batches = pytorchvideo_batches(subject(path, workers))
    views = torch.cat([next(batches)["video"] for _ in range(3)])
    assert views.shape == (12, 3, 4, 48, 48)
    # Eight frames of each interval, of which the even ones are 0, 2, 4 and 7. In 2 s they start at 0 and 26 / 30 s.
    with open_video(path) as reader:
        frames = [reader.frames([first, first + 2, first + 4, first + 7]) for first in (0, 26)]
    expected = [clip[:, :, left : left + 48].permute(3, 0, 1, 2) for clip in frames for left in (0, 8, 16)]
    # PyAV converts colours by other filters than ours: a few levels.
    difference = (pixels(views[:6]) - torch.stack(expected).float()).abs()
    assert difference.mean() < 2
    assert torch.equal(views[:6], views[6:])


def test_testing_scores_its_batches(path, monkeypatch):
    seen = []

    def network(views):
        seen.append(views)
        return views.mean((2, 3, 4))

    monkeypatch.setattr(eval_peers, "network_on_device", lambda _: torch.nn.Module())
    monkeypatch.setattr(torch.nn.Module, "__call__", lambda _, views: network(views))
    rounds = TestingRounds(subject(path, 0))
    assert [next(rounds.pipeline.scored) for _ in range(3)] == [4, 4, 4]
    assert rounds.pipeline.ahead == 0
    assert torch.equal(torch.cat(seen)[:6], torch.cat(seen)[6:])
    assert rounds.waiting.seconds > 0
    assert rounds.computing.seconds > 0
