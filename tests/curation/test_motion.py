"""The motion demo: what a clip shows, that one frame says nothing about it, and the folder it is written to."""

import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from video_rs.curation.motion_demo.clips import LABELS, motion_clip, motion_path
from video_rs.curation.motion_demo.data_set import make_motion_demo
from video_rs.runtime.errors import InputError

SCRIPT = Path(__file__).parents[2] / "datasets" / "motion_demo.py"


def test_clip_is_a_pure_function_of_its_arguments():
    clip = motion_clip("growing", seed=5, frames=6, size=48)
    assert clip.shape == (6, 48, 48, 3)
    assert clip.dtype == np.uint8
    np.testing.assert_array_equal(clip, motion_clip(LABELS.index("growing"), seed=5, frames=6, size=48))
    assert (clip != motion_clip("growing", seed=6, frames=6, size=48)).mean() > 0.5
    np.testing.assert_array_equal(clip[:2], motion_clip("growing", seed=5, frames=2, size=48))


@pytest.mark.parametrize("label", ["sideways", -1, 8])
def test_unknown_label_names_the_classes(label):
    with pytest.raises(ValueError, match=r"no motion class .*moving_left.* or 0 to 7"):
        motion_clip(label, seed=0)


def measured_motion(before: np.ndarray, after: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Least-squares flow of two frames near ``centre``: pixels right, pixels down, zoom and clockwise turn per frame.

    Brightness constancy, ix * u + iy * v + it = 0 with u = a + z x - w y and v = b + z y + w x: it knows nothing of
    how the clips are drawn.
    """
    size = before.shape[0]
    middle = [size // 2 - int(c * size) for c in centre[[1, 0]]]
    gray = [np.roll(f.astype(float).mean(-1), middle, (0, 1)) for f in (before, after)]
    gray = [sum(np.roll(f, (i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1)) / 9 for f in gray]
    iy, ix = np.gradient((gray[0] + gray[1]) / 2)
    y, x = np.mgrid[:size, :size] + 0.5 - size // 2
    near = (np.hypot(x, y) > 0.06 * size) & (np.hypot(x, y) < 0.18 * size)
    design = np.stack([ix, iy, ix * x + iy * y, iy * x - ix * y], -1)[near]
    return np.linalg.lstsq(design, (gray[0] - gray[1])[near], rcond=None)[0]


# Where each class shows in (right, down, zoom, turn), and its slowest and fastest rate in pixels, parts and radians.
MOTIONS = {
    "moving_left": (0, -1.3, -0.7),
    "moving_right": (0, 0.7, 1.3),
    "moving_up": (1, -1.3, -0.7),
    "moving_down": (1, 0.7, 1.3),
    "turning_clockwise": (3, 0.08, 0.14),
    "turning_counterclockwise": (3, -0.14, -0.08),
    "growing": (2, 0.03, 0.04),
    "shrinking": (2, -0.04, -0.03),
}


@pytest.mark.parametrize("label", LABELS)
def test_clip_moves_as_its_label_says(label):
    axis, slowest, fastest = MOTIONS[label]
    found = []
    for seed in range(8):
        clip, path = motion_clip(label, seed, frames=4), motion_path(label, seed, frames=4)
        found += [measured_motion(clip[t], clip[t + 1], path[t]) for t in range(3)]
    median = np.median(found, axis=0)
    # The flow is a linearisation on pixels with hard edges: right to a fifth in the median.
    assert 0.8 * abs(slowest + fastest) / 2 < abs(median[axis]) < 1.2 * abs(slowest + fastest) / 2
    assert np.sign(median[axis]) == np.sign(slowest)
    others = np.abs(np.delete(median / [1.0, 1.0, 0.035, 0.11], axis))
    assert others.max() < 0.2


@pytest.mark.parametrize("frame", [0, 11, 23])
@pytest.mark.parametrize("label", LABELS)
def test_object_is_uniform_at_every_frame_of_every_class(label, frame):
    points = np.sort([motion_path(label, seed)[frame] for seed in range(500)], axis=0)
    steps = (np.arange(500) + 0.5)[:, None] / 500
    # Kolmogorov and Smirnov's distance to the uniform law; one sample in 10,000 is above 2.23 / sqrt(n).
    assert np.abs(points - steps).max() < 2.23 / np.sqrt(500)


def test_classes_share_their_first_frame_and_mirror_each_other():
    first = [motion_clip(label, seed=3, frames=1, size=48) for label in LABELS]
    for other in first[1:]:
        np.testing.assert_array_equal(first[0], other)
    opposites = [*zip(LABELS[::2], LABELS[1::2], strict=True)]
    for one, other in opposites:
        there, back = motion_path(one, seed=3), motion_path(other, seed=3)
        drift = (there + back - 2 * there[0]) % 1.0
        assert np.minimum(drift, 1 - drift).max() < 1e-12  # rounding of sums of numbers near one


def test_object_grows_without_a_jump():
    clip = motion_clip("growing", seed=1, frames=60).astype(float)  # long enough to shed four discs
    steps = np.abs(np.diff(clip, axis=0)).mean((1, 2, 3))
    assert steps.max() < 2 * np.median(steps)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    make_motion_demo(folder, train_clips=10, val_clips=8, seed=1)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_folder_holds_what_the_list_says(demo):
    header, *rows = (demo / "motion_demo.csv").read_text().splitlines()
    assert header == "path,label,split"
    assert rows[0] == "train/moving_left/moving_left_0001.mp4,moving_left,train"
    assert rows[9] == "train/moving_right/moving_right_0002.mp4,moving_right,train"
    assert rows[17] == "val/shrinking/shrinking_0001.mp4,shrinking,val"
    assert (demo / "labels.txt").read_text().split() == list(LABELS)
    listed = {row.split(",")[0] for row in rows} | {"motion_demo.csv", "labels.txt", "motion_demo.json"}
    assert set(contents(demo)) == listed


def test_files_are_real_video(demo):
    with av.open(demo / "val/growing/growing_0001.mp4") as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert stream.average_rate == 12
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    assert np.stack(frames).shape == (24, 96, 96, 3)


def test_same_seed_same_bytes_other_seed_others(demo, tmp_path):
    make_motion_demo(tmp_path / "same", 10, 8, seed=1, workers=1)
    assert contents(tmp_path / "same") == contents(demo)
    make_motion_demo(tmp_path / "other", 10, 8, seed=2)
    names = [name for name in contents(demo) if name.endswith(".mp4")]
    assert not set(map(contents(demo).get, names)) & set(map(contents(tmp_path / "other").get, names))


def test_no_clip_twice(demo):
    videos = [data for name, data in contents(demo).items() if name.endswith(".mp4")]
    assert len(set(videos)) == 18


def test_missing_files_are_made_again_and_the_others_kept(demo):
    before = contents(demo)
    lost = demo / "train/moving_up/moving_up_0001.mp4"
    kept = demo / "train/moving_down/moving_down_0001.mp4"
    age = kept.stat().st_mtime_ns
    lost.unlink()
    make_motion_demo(demo, 10, 8, seed=1)
    assert contents(demo) == before
    assert kept.stat().st_mtime_ns == age


def test_other_settings_are_refused(demo):
    expected = r"other settings \(train_clips 10 there, 12 asked for; seed 1 there, 0 asked for\); .*delete"
    with pytest.raises(InputError, match=expected):
        make_motion_demo(demo, train_clips=12, val_clips=8, seed=0)


def test_interrupted_run_continues_only_with_its_settings(tmp_path, demo):
    def interrupt(done, total):
        assert total == 18
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_motion_demo(tmp_path, 10, 8, seed=1, workers=1, progress=interrupt)
    assert not (tmp_path / "motion_demo.json").exists()
    with pytest.raises(InputError, match="seed 1 there, 2 asked for"):
        make_motion_demo(tmp_path, 10, 8, seed=2)
    make_motion_demo(tmp_path, 10, 8, seed=1)
    assert contents(tmp_path) == contents(demo)


@pytest.mark.parametrize(("option", "value"), [("train_clips", 0), ("val_clips", 0), ("seed", -1), ("workers", 0)])
def test_bad_numbers_are_refused(tmp_path, option, value):
    with pytest.raises(InputError, match=f"^{option} is {value}; allowed: "):
        make_motion_demo(tmp_path, **{option: value})


def test_script_makes_the_folder_and_refuses_in_one_line(tmp_path):
    def script(*options):
        return subprocess.run([sys.executable, SCRIPT, *options], capture_output=True, text=True)

    out = str(tmp_path / "demo")
    made = script("--out", out, "--train-clips", "2", "--val-clips", "1")
    assert (made.returncode, made.stdout) == (0, f"motion demo: 3 clips, listed in {out}/motion_demo.csv\n")
    (tmp_path / "file").touch()
    refused = script("--out", str(tmp_path / "file"))
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: cannot make the motion demo in ")
    assert refused.stderr.count("\n") == 1
